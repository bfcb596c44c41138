-- Copyright (c) 2026 Granary contributors
-- GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
-- SPDX-License-Identifier: GPL-3.0-or-later

-- :small_tables tables of a few rows.

CREATE SCHEMA small;
SELECT format('CREATE TABLE small.t%s (id serial PRIMARY KEY, t text)', i) FROM generate_series(1, :small_tables) i \gexec
SELECT format('INSERT INTO small.t%s (t) SELECT ''row '' || i FROM generate_series(1, %s) i', i, i % 5) FROM generate_series(1, :small_tables) i \gexec
