-- Copyright (c) 2026 Granary contributors
-- GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
-- SPDX-License-Identifier: GPL-3.0-or-later

-- Names with everything that a file system, a shell, SQL or a pattern could trip over.

CREATE TABLE public.odd_names (place serial, name text NOT NULL);
INSERT INTO public.odd_names (name) VALUES
('s'), ('a.b'), ('..'), ('.'), ('a/b'), ('%'), ('%2F'), (E'new\nline'), (E'tab\t'), (E'carriage\rreturn'), ('it''s'), ('"quoted"'),
('\'), ('$(x)'), ('*'), ('?[a-z]'), ('{a,b}'), ('-rf'), (' '), ('trailing '), ('UPPER'), ('upper'), ('select'), (E'bell\x07'),
(E'\x01\x1f\x7f'), ('a"."b'), (';--'), ('#'), ('~'), ('|'), ('&'), ('000'), ('tables'), ('data.dump'), ('!'), ('(a|b)'), ('^a$'),
('a+b'), ('@file'), (':v'), ('%s'), ('-'), ('--'), (''''''), ('""'), ('a,b'), ('a\nb'), ('//'), ('schema.dump'), (E'\n'), ('nul'), ('=x'),
('x (y)'), (E'") FROM stdin;\n'), ('COPY "a" (b'),
(repeat('x', 63)), (repeat('/', 63)), (repeat('%', 63)), (repeat('"', 63));
SELECT pg_encoding_to_char(encoding) = 'UTF8' AS utf8 FROM pg_database WHERE datname = current_database() \gset
\if :utf8
INSERT INTO public.odd_names (name) VALUES
(U&'\+01F418'), (repeat(U&'\+01F418', 15)), (repeat(U&'\00e9', 31)), (U&'\00e9'), (U&'e\0301'), (U&'\202eright to left'), (U&'\00a0'),
(U&'\2028'), (U&'zero\200bwidth'), (repeat('x', 62) || 'y'), (U&'\00dc'), (U&'\00fc');
\endif
SELECT format('CREATE SCHEMA IF NOT EXISTS %1$I;
               CREATE TABLE %1$I.%2$I (%3$I integer PRIMARY KEY, %2$I text, CONSTRAINT %2$I CHECK (%3$I > 0));
               INSERT INTO %1$I.%2$I SELECT i, %4$L || i FROM generate_series(1, 800) i;
               CREATE SEQUENCE %1$I.%5$I; SELECT setval(%6$L, 7);
               CREATE VIEW %1$I.%7$I AS SELECT * FROM %1$I.%2$I;
               COMMENT ON COLUMN %1$I.%2$I.%2$I IS %4$L',
              schema, name, 'id of ' || left(name, 14), name, 'seq ' || left(name, 14),
              format('%I.%I', schema, 'seq ' || left(name, 14)), 'view ' || left(name, 14))
  FROM public.odd_names,
       LATERAL (SELECT CASE WHEN place % 4 = 0 THEN name WHEN place % 9 = 0 THEN 'schema ' || left(name, 14) ELSE 'names' || place % 3 END AS schema) s
 ORDER BY place \gexec
CREATE TYPE names1."an, ""enum""" AS ENUM ('''', '"', '\');
CREATE DOMAIN names1."a.domain" AS names1."an, ""enum""";
CREATE TABLE names1."uses them" ("of it" names1."a.domain", "and an array" names1."an, ""enum"""[]);
INSERT INTO names1."uses them" VALUES ('''', ARRAY['"', '\', NULL]::names1."an, ""enum"""[]);
CREATE FUNCTION names1."a ""function"" \"("a ""b""" integer) RETURNS integer LANGUAGE sql AS 'SELECT 1';
GRANT SELECT ON names1."uses them" TO "Ownér ""quoted"" \ role";
