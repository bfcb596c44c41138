-- Copyright (c) 2026 Granary contributors
-- GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
-- SPDX-License-Identifier: GPL-3.0-or-later

-- Partitioned tables of every strategy, several levels, with attached tables and odd leaves.

CREATE SCHEMA parts;
CREATE TYPE parts.unused_before AS ENUM ('x');
CREATE TYPE parts.color AS ENUM ('red', 'green', 'blue', 'yellow', 'black', 'white', 'grey');

CREATE TABLE parts.by_range (day date NOT NULL, n integer, payload text) PARTITION BY RANGE (day);
CREATE TABLE parts.by_range_1 PARTITION OF parts.by_range FOR VALUES FROM (MINVALUE) TO ('2026-02-01');
CREATE TABLE parts.by_range_2 PARTITION OF parts.by_range FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
CREATE TABLE parts.attached (extra_first integer, n integer, day date NOT NULL, payload text);
ALTER TABLE parts.attached DROP COLUMN extra_first;
ALTER TABLE parts.by_range ATTACH PARTITION parts.attached FOR VALUES FROM ('2026-03-01') TO ('2026-04-01');
CREATE TABLE parts.by_range_empty PARTITION OF parts.by_range FOR VALUES FROM ('2030-01-01') TO ('2031-01-01');
INSERT INTO parts.by_range SELECT date '2026-01-01' + i % 89, i, repeat('r', 80) FROM generate_series(1, 4000) i;

CREATE TABLE parts.by_list (word text, n integer) PARTITION BY LIST (word);
CREATE TABLE parts.by_list_1 PARTITION OF parts.by_list FOR VALUES IN ('a', 'it''s', NULL);
CREATE TABLE parts.by_list_2 PARTITION OF parts.by_list FOR VALUES IN ('b', '\.') PARTITION BY RANGE (n);
CREATE TABLE parts.by_list_2_low PARTITION OF parts.by_list_2 FOR VALUES FROM (0) TO (100);
CREATE TABLE parts.by_list_2_high PARTITION OF parts.by_list_2 FOR VALUES FROM (100) TO (100000);
INSERT INTO parts.by_list SELECT (ARRAY['a', 'it''s', NULL, 'b', '\.'])[1 + i % 5], i FROM generate_series(0, 999) i;

CREATE TABLE parts.by_text_order (t text COLLATE "default", n integer) PARTITION BY RANGE (t);
CREATE TABLE parts.by_text_order_low PARTITION OF parts.by_text_order FOR VALUES FROM (MINVALUE) TO ('a');
CREATE TABLE parts.by_text_order_high PARTITION OF parts.by_text_order FOR VALUES FROM ('a') TO (MAXVALUE);
INSERT INTO parts.by_text_order SELECT (ARRAY['A', 'Z', 'a', 'z', '_', '0'])[1 + i % 6] || i, i FROM generate_series(1, 1000) i;

\if :{?since_11}
CREATE TABLE parts.by_enum (c parts.color, n integer, payload text) PARTITION BY HASH (c);
CREATE TABLE parts.by_text (t text, n integer, payload text) PARTITION BY HASH (t);
CREATE TABLE parts.by_two (t text, c parts.color, n integer) PARTITION BY LIST (c);
CREATE TABLE parts.by_two_red PARTITION OF parts.by_two FOR VALUES IN ('red', 'blue') PARTITION BY HASH (t);
CREATE TABLE parts.by_two_rest PARTITION OF parts.by_two DEFAULT PARTITION BY HASH (c, n);
SELECT format('CREATE TABLE parts.%I PARTITION OF parts.%I FOR VALUES WITH (MODULUS 4, REMAINDER %s)', root || '_' || i, root, i)
  FROM unnest(ARRAY['by_enum', 'by_text', 'by_two_red', 'by_two_rest']) root, generate_series(0, 3) i \gexec
INSERT INTO parts.by_enum SELECT (enum_range(NULL::parts.color))[1 + i % 7], i, repeat('e', 150) FROM generate_series(1, 5000) i;
INSERT INTO parts.by_text SELECT 'text ' || i, i, repeat('t', 150) FROM generate_series(1, 5000) i;
INSERT INTO parts.by_two SELECT 'two ' || i, (enum_range(NULL::parts.color))[1 + i % 7], i FROM generate_series(1, 3000) i;
CREATE INDEX ON parts.by_text (n);
ALTER TABLE parts.by_text ADD PRIMARY KEY (t);
CREATE TABLE parts.with_default (n integer, t text) PARTITION BY LIST (n);
CREATE TABLE parts.with_default_1 PARTITION OF parts.with_default (t DEFAULT 'own default') FOR VALUES IN (1);
CREATE TABLE parts.with_default_rest PARTITION OF parts.with_default DEFAULT;
INSERT INTO parts.with_default SELECT i % 10, 'd' || i FROM generate_series(1, 1000) i;
CREATE UNLOGGED TABLE parts.unlogged_leaf PARTITION OF parts.with_default FOR VALUES IN (77);
INSERT INTO parts.with_default VALUES (77, 'unlogged');
\endif
\if :{?since_12}
CREATE TABLE parts.refers (id integer PRIMARY KEY, t text REFERENCES parts.by_text);
INSERT INTO parts.refers SELECT i, 'text ' || i FROM generate_series(1, 500) i;
CREATE TABLE parts.keyed (k integer, d date, PRIMARY KEY (k, d)) PARTITION BY RANGE (d);
CREATE TABLE parts.keyed_1 PARTITION OF parts.keyed FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
INSERT INTO parts.keyed SELECT i, date '2026-01-01' + i % 300 FROM generate_series(1, 1000) i;
\endif
\if :{?since_17}
CREATE TABLE parts.numbered (id bigint GENERATED ALWAYS AS IDENTITY, n integer) PARTITION BY RANGE (n);
CREATE TABLE parts.numbered_1 PARTITION OF parts.numbered FOR VALUES FROM (0) TO (500);
CREATE TABLE parts.numbered_2 PARTITION OF parts.numbered FOR VALUES FROM (500) TO (5000);
INSERT INTO parts.numbered (n) SELECT i FROM generate_series(0, 999) i;
\endif
