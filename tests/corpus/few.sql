-- Copyright (c) 2026 Granary contributors
-- GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
-- SPDX-License-Identifier: GPL-3.0-or-later

-- A table and a sequence, for databases whose names are what matters.

CREATE TABLE items (id serial PRIMARY KEY, t text);
INSERT INTO items (t) SELECT repeat(md5(i::text), 10) FROM generate_series(1, 1000) i;
CREATE TABLE "globals.sql" (a integer);
CREATE MATERIALIZED VIEW counted AS SELECT count(*) FROM items;
