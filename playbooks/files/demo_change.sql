-- Copyright (c) 2026 Granary contributors
-- GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
-- SPDX-License-Identifier: GPL-3.0-or-later

-- What happens between the two backups of the demo.
UPDATE sales.orders SET state = 'sent' WHERE id BETWEEN 500000 AND 502000;
DELETE FROM sales.orders WHERE id BETWEEN 700000 AND 700500;
INSERT INTO audit.log SELECT now(), 'demo', 'added ' || n FROM generate_series(1, 1000) n;
REFRESH MATERIALIZED VIEW sales.by_month;
