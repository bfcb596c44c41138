-- Copyright (c) 2026 Granary contributors
-- GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
-- SPDX-License-Identifier: GPL-3.0-or-later

-- Text that the locales sort differently, in keys, partitions and views.

CREATE TABLE words (t text PRIMARY KEY, n integer);
INSERT INTO words SELECT (ARRAY['ä', 'z', 'ı', 'İ', 'ß', 'Ǆ', 'a', '10', '9', '🐘', 'ﬁ', 'é', 'é'])[1 + i % 13] || i, i FROM generate_series(1, 2000) i;
CREATE INDEX ON words (upper(t));
CREATE TABLE by_order (t text, n integer) PARTITION BY RANGE (t);
CREATE TABLE by_order_1 PARTITION OF by_order FOR VALUES FROM (MINVALUE) TO ('m');
CREATE TABLE by_order_2 PARTITION OF by_order FOR VALUES FROM ('m') TO ('ö');
CREATE TABLE by_order_3 PARTITION OF by_order FOR VALUES FROM ('ö') TO (MAXVALUE);
INSERT INTO by_order SELECT t, n FROM words;
CREATE MATERIALIZED VIEW sorted AS SELECT t, row_number() OVER (ORDER BY t) AS place FROM words;
\if :{?since_12}
CREATE COLLATION blind (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TABLE blindly (t text COLLATE blind PRIMARY KEY);
INSERT INTO blindly VALUES ('a'), ('B'), ('ä');
CREATE TABLE hashed_blindly (t text COLLATE blind, n integer) PARTITION BY HASH (t);
CREATE TABLE hashed_blindly_0 PARTITION OF hashed_blindly FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE hashed_blindly_1 PARTITION OF hashed_blindly FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO hashed_blindly SELECT t, n FROM words;
\endif
