-- Copyright (c) 2026 Granary contributors
-- GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
-- SPDX-License-Identifier: GPL-3.0-or-later

-- Letters of Latin 1 in names and rows.

CREATE SCHEMA "Bücher";
CREATE TYPE "Bücher"."größe" AS ENUM ('groß', 'klein', 'ÿ');
CREATE TABLE "Bücher"."Straße" (id integer PRIMARY KEY, "Länge" text, "größe" "Bücher"."größe");
INSERT INTO "Bücher"."Straße" SELECT i, repeat('äöüßÄÖÜ\.', i % 30), 'groß' FROM generate_series(1, 2000) i;
CREATE SEQUENCE "Bücher"."zähler" START 5;
COMMENT ON TABLE "Bücher"."Straße" IS 'Maßstab';
CREATE TABLE parts_by_letter (t text, n integer) PARTITION BY LIST (t);
CREATE TABLE "parts_ä" PARTITION OF parts_by_letter FOR VALUES IN ('ä');
CREATE TABLE "parts_ö" PARTITION OF parts_by_letter FOR VALUES IN ('ö');
INSERT INTO parts_by_letter SELECT (ARRAY['ä', 'ö'])[1 + i % 2], i FROM generate_series(1, 1000) i;
\if :{?since_11}
CREATE TABLE hashed (t text, n integer) PARTITION BY HASH (t);
CREATE TABLE hashed_0 PARTITION OF hashed FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE hashed_1 PARTITION OF hashed FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO hashed SELECT 'ä' || i, i FROM generate_series(1, 1000) i;
\endif
