-- Copyright (c) 2026 Granary contributors
-- GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
-- SPDX-License-Identifier: GPL-3.0-or-later

-- Every type of pg_catalog in a table of its own, with arrays and NULLs; then users' own types.

CREATE SCHEMA types;
CREATE TABLE types.literals (type name NOT NULL, value text NOT NULL);
INSERT INTO types.literals VALUES
('bool', 't'), ('bool', 'f'),
('bytea', ''), ('bytea', '\x00'), ('bytea', '\xdeadbeef5c0a0d09'),
('char', 'a'), ('char', ' '), ('char', ''), ('char', '\'), ('char', '"'),
('bpchar', 'ab  '), ('name', 'a name'), ('name', ''), ('varchar', 'x'),
('int8', '9223372036854775807'), ('int8', '-9223372036854775808'),
('int2', '-32768'), ('int4', '2147483647'), ('int2vector', '1 2 3'), ('oidvector', '1 4294967295'),
('text', ''), ('text', '\N'), ('text', '\.'), ('text', '\\.'), ('text', 'NULL'), ('text', E'a\tb\nc\rd\be\ff\vg'),
('text', E'\x01\x7f'), ('text', ' leading and trailing '), ('text', E'\\.\n'), ('text', E'a\n\\.\nb'),
('text', '{"a",b}'), ('text', ',;''"'),
('oid', '0'), ('oid', '4294967295'), ('tid', '(4294967295,65535)'), ('xid', '4294967295'), ('cid', '7'), ('xid8', '18446744073709551615'),
('json', '{"b": 1,  "a": [null, true, "\u00e9\\"]}'), ('json', 'null'),
('jsonb', '{"b": 1.50, "a": [null, true, "\\n"]}'), ('jsonb', '1e1000'),
('jsonpath', '$.a[*] ? (@ > 2)'),
('xml', '<a b="c">&lt;x</a>'), ('xml', 'text only'), ('xml', '<a/><b/>'),
('point', '(1.5,-2)'), ('point', '(NaN,Infinity)'), ('lseg', '[(0,0),(1,1)]'), ('path', '[(0,0),(1,1)]'), ('path', '((0,0),(1,1))'),
('box', '(1,1),(0,0)'), ('polygon', '((0,0),(1,1),(2,0))'), ('line', '{1,-1,0}'), ('circle', '<(0,0),1.5>'),
('float4', '0.1'), ('float4', 'NaN'), ('float4', '-Infinity'), ('float4', '1.17549435e-38'), ('float4', '-0'),
('float8', '0.1'), ('float8', '1.7976931348623157e308'), ('float8', '2.2250738585072014e-308'), ('float8', 'NaN'), ('float8', '-0'),
('numeric', '0.000'), ('numeric', '-12345678901234567890.123456789012345678901234567890'), ('numeric', 'NaN'), ('numeric', '1e-200'),
('money', '-12345.67'), ('money', '92233720368547758.07'),
('macaddr', '08:00:2b:01:02:03'), ('macaddr8', '08:00:2b:01:02:03:04:05'),
('inet', '192.168.0.1/24'), ('inet', '::ffff:1.2.3.4'), ('cidr', '10.0.0.0/8'), ('cidr', '2001:db8::/32'),
('date', '0001-01-01 BC'), ('date', 'infinity'), ('date', '5874897-12-31'),
('time', '24:00:00'), ('time', '12:34:56.789012'), ('timetz', '12:34:56.789+05:45'),
('timestamp', '-infinity'), ('timestamp', '4713-01-01 00:00:00 BC'), ('timestamp', '2026-02-28 23:59:59.999999'),
('timestamptz', 'infinity'), ('timestamptz', '1883-11-18 12:03:58-04:56:02'), ('timestamptz', '2026-03-29 02:30:00+02'),
('interval', '-1 years 2 mons -3 days 04:05:06.000007'), ('interval', '178000000 years'), ('interval', '0'),
('bit', '1'), ('varbit', ''), ('varbit', '10110'),
('uuid', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'),
('tsvector', '''a'':1A,2 ''it''''s'':3B ''\\'':4'), ('tsquery', '''a'':A & !( ''b'':* <-> ''c'' )'),
('txid_snapshot', '10:20:10,14,15'), ('pg_snapshot', '10:20:10,14,15'), ('pg_lsn', 'FFFFFFFF/0'), ('pg_lsn', '0/16B3748'),
('regproc', 'pg_catalog.now'), ('regprocedure', 'pg_catalog.length(text)'), ('regoper', 'pg_catalog.||/'), ('regoperator', 'pg_catalog.+(integer,integer)'),
('regclass', 'pg_catalog.pg_class'), ('regtype', 'timestamp with time zone'), ('regrole', 'app_user'), ('regrole', '"app-group"'),
('regnamespace', 'pg_catalog'), ('regconfig', 'pg_catalog.english'), ('regdictionary', 'pg_catalog.simple'), ('regcollation', 'pg_catalog."C"'),
('refcursor', 'a cursor'), ('aclitem', '"app-group"=r*w/app_user'), ('aclitem', '=r/app_owner'),
('int4range', '[1,5)'), ('int4range', 'empty'), ('int4range', '(,)'), ('int8range', '[1,)'), ('numrange', '(1.5,2.50]'),
('tsrange', '["2020-01-01 00:00:00","infinity")'), ('tstzrange', '[2020-01-01 00:00:00+00,)'), ('daterange', '[2020-01-01,2020-02-01)'),
('int4multirange', '{[1,3),[5,7)}'), ('int4multirange', '{}'), ('int8multirange', '{(,)}'), ('nummultirange', '{[1.5,2.5]}'),
('tsmultirange', '{["2020-01-01 00:00:00","2020-02-01 00:00:00")}'), ('tstzmultirange', '{}'), ('datemultirange', '{[2020-01-01,2020-02-01)}');
\if :{?since_14}
INSERT INTO types.literals VALUES ('numeric', 'Infinity'), ('numeric', '-Infinity');
\endif
\if :{?since_17}
INSERT INTO types.literals VALUES ('interval', 'infinity'), ('interval', '-infinity');
\endif

DO $$
DECLARE
    type record;
    literal text;
BEGIN
    FOR type IN
        SELECT t.oid, t.typname, t.typarray, format_type(t.oid, -1) AS spelled
          FROM pg_type t
         WHERE t.typnamespace = 'pg_catalog'::regnamespace
           AND t.typtype IN ('b', 'r', 'm') AND t.typcategory <> 'A'
           AND t.typname NOT IN ('abstime', 'reltime', 'tinterval', 'smgr')  -- gone with 12
           AND t.typname !~ '^pg_(node_tree|ndistinct|dependencies|mcv_list|brin|ddl)'
         ORDER BY t.typname
    LOOP
        EXECUTE format('CREATE TABLE types.%I (id serial, v %s)', 'of ' || type.typname, type.spelled);
        EXECUTE format('INSERT INTO types.%I (v) VALUES (NULL)', 'of ' || type.typname);
        IF type.typarray <> 0 THEN
            EXECUTE format('ALTER TABLE types.%I ADD vs %s[]', 'of ' || type.typname, type.spelled);
        END IF;
        FOR literal IN SELECT value FROM types.literals WHERE literals.type = type.typname LOOP
            EXECUTE format('INSERT INTO types.%I (v) VALUES (%L)', 'of ' || type.typname, literal);
            IF type.typarray <> 0 THEN
                EXECUTE format('INSERT INTO types.%I (vs) VALUES (array_fill(%L::%s, ARRAY[2, 3], ARRAY[-1, 0])), (ARRAY[NULL, %2$L::%3$s]), (''{}'')',
                               'of ' || type.typname, literal, type.spelled);
            END IF;
        END LOOP;
    END LOOP;
END $$;

CREATE TYPE types.mood AS ENUM ('sad', 'it''s "ok"', 'happy, very', '\');
ALTER TYPE types.mood ADD VALUE 'between' BEFORE 'happy, very';
CREATE DOMAIN types.positive AS integer CHECK (VALUE > 0) DEFAULT 5;
CREATE DOMAIN types.word AS text COLLATE "C" NOT NULL CONSTRAINT "a word!" CHECK (VALUE !~ '\s');
\if :{?since_11}
CREATE DOMAIN types.word_list AS types.word[];
\else
CREATE DOMAIN types.word_list AS text[];
\endif
CREATE TYPE types.pair AS (a integer, b text, "C c" types.mood);
CREATE TYPE types.nested AS (p types.pair, ps types.pair[], d types.positive);
CREATE TYPE types.span AS RANGE (subtype = float8, subtype_diff = float8mi);
CREATE TYPE types.shell;
CREATE FUNCTION types.celsius_in(cstring) RETURNS types.shell LANGUAGE internal IMMUTABLE STRICT AS 'int4in';
CREATE FUNCTION types.celsius_out(types.shell) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'int4out';
CREATE TYPE types.shell (INPUT = types.celsius_in, OUTPUT = types.celsius_out, LIKE = int4);
CREATE TABLE types.own (
    id bigint GENERATED ALWAYS AS IDENTITY (START 100 INCREMENT 7 CACHE 3) PRIMARY KEY,
    m types.mood DEFAULT 'sad', ms types.mood[], d types.positive, w types.word DEFAULT 'x', wl types.word_list,
    p types.pair, ps types.pair[], n types.nested, r types.span, b types.shell,
    by_default integer GENERATED BY DEFAULT AS IDENTITY,
    dropped text, v varchar(5), c char(7), nu numeric(10, 3), ts timestamptz(2), bits bit(5), iv interval day to second(2),
    UNIQUE (m, v)
);
INSERT INTO types.own (m, ms, p, ps, n, r, b, dropped, v, c, nu, ts, bits, iv)
SELECT (enum_range(NULL::types.mood))[1 + i % 5], ARRAY['sad', NULL]::types.mood[], ROW(i, E'a "b", (c)\\', 'between')::types.pair,
       ARRAY[ROW(NULL, '', NULL)::types.pair, NULL], ROW(ROW(i, NULL, 'sad'), '{}', 7)::types.nested, types.span(i, i + 0.5), '37',
       'gone', 'v' || i, 'c', i / 7.0, timestamptz '2026-01-01 00:00:00+00' + i * interval '1.001 s', B'10101', i * interval '1 hour'
  FROM generate_series(1, 500) i;
ALTER TABLE types.own DROP COLUMN dropped;
\if :{?since_12}
CREATE TABLE types.generated (
    twice integer GENERATED ALWAYS AS (a * 2) STORED, a integer, b text DEFAULT 'b', length integer GENERATED ALWAYS AS (length(b)) STORED
);
INSERT INTO types.generated (a, b) SELECT i, repeat('x', i % 50) FROM generate_series(1, 1000) i;
CREATE TABLE types.only_generated (one integer GENERATED ALWAYS AS (1) STORED);
INSERT INTO types.only_generated DEFAULT VALUES;
INSERT INTO types.only_generated DEFAULT VALUES;
\endif
\if :{?since_18}
CREATE TABLE types.virtual (a integer, twice integer GENERATED ALWAYS AS (a * 2) VIRTUAL, b integer NOT NULL);
INSERT INTO types.virtual (a, b) SELECT i, i FROM generate_series(1, 1000) i;
\endif

CREATE TABLE types.no_columns ();
INSERT INTO types.no_columns DEFAULT VALUES;
INSERT INTO types.no_columns DEFAULT VALUES;
INSERT INTO types.no_columns DEFAULT VALUES;
CREATE TABLE types.empty (a integer, b text);
CREATE TABLE types.all_dropped (a integer, b text);
INSERT INTO types.all_dropped SELECT i, i FROM generate_series(1, 100) i;
ALTER TABLE types.all_dropped DROP a, DROP b;
CREATE UNLOGGED TABLE types.unlogged AS SELECT i, repeat('u', 100) AS u FROM generate_series(1, 1000) i;

CREATE TABLE types.odd_text (id integer PRIMARY KEY, t text, u text);
INSERT INTO types.odd_text
SELECT i, (ARRAY[NULL, '', '\N', '\.', E'\\.\n', E'\n\\.\n', E'\r', E'\t', '\', '\\', E'a\r\nb', 'NULL', '\x41', E'\x7f'])[1 + i % 14],
       CASE WHEN i % 3 = 0 THEN NULL ELSE repeat('\.', i % 20) END
  FROM generate_series(1, 3000) i;
