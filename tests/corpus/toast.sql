-- Copyright (c) 2026 Granary contributors
-- GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
-- SPDX-License-Identifier: GPL-3.0-or-later

-- Rows far larger than their heap: :toast_mb MB of TOAST in about 39 pages, and rows of :row_mb MB.

CREATE SCHEMA toast;
CREATE TABLE toast.wide (id integer, a text, filler text);
ALTER TABLE toast.wide ALTER a SET STORAGE EXTERNAL, ALTER filler SET STORAGE PLAIN;
INSERT INTO toast.wide
SELECT i, repeat(md5(i::text), (:toast_mb * 1024 * 1024 / 1000 / 32)::integer), repeat('f', 240) FROM generate_series(1, 1000) i;
CREATE TABLE toast.large_rows (id integer PRIMARY KEY, t text, b bytea, x text[]);
ALTER TABLE toast.large_rows ALTER t SET STORAGE EXTERNAL;
INSERT INTO toast.large_rows
SELECT i, repeat(chr(9 + i) || '\' || md5(i::text), :row_mb * 30000), decode(repeat(md5(i::text), :row_mb * 20000), 'hex'),
       ARRAY[repeat('"', 1000 * i), NULL, E'\\N']
  FROM generate_series(1, 6) i;
CREATE TABLE toast.holes (id integer, t text) WITH (fillfactor = 10);
INSERT INTO toast.holes SELECT i, repeat('h', 700) FROM generate_series(1, 3000) i;
DELETE FROM toast.holes WHERE id % 100 < 93;
UPDATE toast.holes SET t = t || 'updated' WHERE id % 2 = 0;
CREATE TABLE toast.emptied (id integer, t text);
INSERT INTO toast.emptied SELECT i, repeat('e', 700) FROM generate_series(1, 3000) i;
DELETE FROM toast.emptied;
CREATE TABLE toast.compressed (id integer, t text);
INSERT INTO toast.compressed SELECT i, repeat('compressible ' || i, 5000) FROM generate_series(1, 300) i;
CREATE TABLE toast.plenty (id bigint PRIMARY KEY, t text);
INSERT INTO toast.plenty SELECT i, md5(i::text) FROM generate_series(1, :rows) i;
