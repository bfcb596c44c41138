-- Copyright (c) 2026 Granary contributors
-- GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
-- SPDX-License-Identifier: GPL-3.0-or-later

-- Inheritance whose columns come back in another order, foreign keys in a circle, views on views.

CREATE SCHEMA "Inherit";
SET search_path = "Inherit";
CREATE TABLE base (a integer, b text DEFAULT 'b');
CREATE TABLE other_base (c integer CHECK (c >= 0), b text);
CREATE TABLE child (own integer) INHERITS (base, other_base);
CREATE TABLE grandchild (z text, a integer DEFAULT 9) INHERITS (child);
INSERT INTO base SELECT i, 'base' FROM generate_series(1, 300) i;
INSERT INTO child SELECT i, 'child', i, i FROM generate_series(1, 2000) i;
INSERT INTO grandchild (a, b, c, own, z) SELECT i, 'grand', i, i, 'z' FROM generate_series(1, 2000) i;
ALTER TABLE base ADD COLUMN late date DEFAULT '2026-01-01';
ALTER TABLE other_base ADD COLUMN later text DEFAULT 'later';
CREATE TABLE joined (later text, c integer, b text, own_too integer, late date, a integer);
ALTER TABLE joined ADD CHECK (c >= 0);
ALTER TABLE joined INHERIT base;
INSERT INTO joined SELECT 'l' || i, i, NULL, i, '2026-02-02', -i FROM generate_series(1, 3000) i;
ALTER TABLE child DROP COLUMN own;

CREATE TABLE hen (id integer PRIMARY KEY, egg integer NOT NULL, name text NOT NULL UNIQUE);
CREATE TABLE egg (id integer PRIMARY KEY, hen integer NOT NULL REFERENCES hen DEFERRABLE INITIALLY DEFERRED, same integer REFERENCES egg);
ALTER TABLE hen ADD CONSTRAINT "hen's egg" FOREIGN KEY (egg) REFERENCES egg ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED;
BEGIN;
INSERT INTO hen SELECT i, i, 'hen ' || i FROM generate_series(1, 1000) i;
INSERT INTO egg SELECT i, 1001 - i, 1 + i % 1000 FROM generate_series(1, 1000) i;
COMMIT;
ALTER TABLE egg ADD CONSTRAINT not_valid CHECK (id < 500) NOT VALID;

CREATE VIEW plain AS SELECT a, b, late FROM base;
CREATE MATERIALIZED VIEW first AS SELECT a % 10 AS ten, count(*) AS n FROM plain GROUP BY 1;
CREATE VIEW between_them AS SELECT ten, n FROM first WHERE n > 0;
CREATE MATERIALIZED VIEW second AS SELECT f.ten, b.n, h.name FROM between_them b JOIN first f USING (ten) JOIN hen h ON h.id = f.ten;
CREATE UNIQUE INDEX ON second (ten);
CREATE MATERIALIZED VIEW not_filled AS SELECT * FROM second WITH NO DATA;
CREATE MATERIALIZED VIEW stale AS SELECT count(*) AS n FROM hen WITH DATA;
CREATE FUNCTION counted(text) RETURNS bigint LANGUAGE plpgsql STABLE AS $$
DECLARE n bigint;
BEGIN EXECUTE format('SELECT count(*) FROM %s', $1) INTO n; RETURN n; END $$;
CREATE MATERIALIZED VIEW by_function AS SELECT "Inherit".counted('"Inherit".hen') AS n;
CREATE VIEW keyed AS SELECT h.*, count(*) AS eggs FROM hen h JOIN egg e ON e.hen = h.id GROUP BY h.id;
CREATE RECURSIVE VIEW numbers (n) AS VALUES (1) UNION ALL SELECT n + 1 FROM numbers WHERE n < 5;
CREATE RULE insert_plain AS ON INSERT TO plain DO INSTEAD INSERT INTO base VALUES (NEW.a, NEW.b);

CREATE SEQUENCE never_called INCREMENT -5 MAXVALUE 100 MINVALUE -100 START 55 CYCLE;
CREATE SEQUENCE called AS smallint;
CREATE SEQUENCE far MAXVALUE 9223372036854775807;
CREATE SEQUENCE "owned seq" OWNED BY hen.id;
CREATE UNLOGGED TABLE unlogged_serial (id serial, t text);
INSERT INTO unlogged_serial (t) VALUES ('one'), ('two');
SELECT nextval('called'), nextval('called'), setval('far', 9223372036854775806), setval('"owned seq"', 44, false);

CREATE TABLE log (op text, at text);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN INSERT INTO "Inherit".log VALUES (TG_OP, TG_TABLE_NAME); RETURN NEW; END $$;
CREATE TRIGGER noted BEFORE INSERT OR UPDATE OR DELETE ON base FOR EACH ROW EXECUTE PROCEDURE note();
CREATE TRIGGER always_noted AFTER INSERT ON egg FOR EACH ROW EXECUTE PROCEDURE note();
CREATE TRIGGER "switched off" BEFORE INSERT ON hen FOR EACH ROW EXECUTE PROCEDURE note();
ALTER TABLE egg ENABLE ALWAYS TRIGGER always_noted;
ALTER TABLE hen DISABLE TRIGGER "switched off";
INSERT INTO base VALUES (-1, 'triggered');
REFRESH MATERIALIZED VIEW first;
REFRESH MATERIALIZED VIEW second;

CREATE TABLE details (
    id integer, t text, r int4range, e integer, g point,
    EXCLUDE USING gist (r WITH &&) WHERE (id > 0), CONSTRAINT "check me" CHECK (id <> 13) NO INHERIT
) WITH (fillfactor = 50, autovacuum_enabled = false);
INSERT INTO details SELECT i, 't' || i, int4range(i * 2, i * 2 + 1), i, point(i, i) FROM generate_series(100, 900) i;
CREATE INDEX "an index" ON details USING btree (lower(t) DESC NULLS LAST, id) WHERE id > 5;
CREATE INDEX ON details USING gin (to_tsvector('pg_catalog.english', t));
CREATE INDEX ON details USING brin (id);
CREATE INDEX ON details USING hash (t);
CREATE INDEX ON details USING spgist (g);
CREATE STATISTICS stats ON id, e FROM details;
ALTER TABLE details ALTER t SET STORAGE EXTERNAL, ALTER t SET STATISTICS 77, REPLICA IDENTITY FULL, ALTER id SET NOT NULL;
CREATE UNIQUE INDEX details_key ON details (id);
ALTER TABLE details CLUSTER ON details_key;
COMMENT ON TABLE details IS E'a comment\nof two lines with ''quotes'' and \\';
COMMENT ON COLUMN details.t IS 'column';
COMMENT ON INDEX "an index" IS 'index';
COMMENT ON VIEW plain IS 'view';
COMMENT ON SEQUENCE called IS 'sequence';
COMMENT ON FUNCTION counted(text) IS 'function';
COMMENT ON TRIGGER noted ON base IS 'trigger';
COMMENT ON CONSTRAINT "check me" ON details IS 'constraint';
COMMENT ON SCHEMA "Inherit" IS 'schema';

CREATE AGGREGATE total(integer) (SFUNC = int4pl, STYPE = integer, INITCOND = '0');
CREATE FUNCTION same(integer, integer) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT $1 = $2';
CREATE OPERATOR === (LEFTARG = integer, RIGHTARG = integer, PROCEDURE = same);
CREATE FUNCTION as_text(point) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT $1[0]::text';
CREATE CAST (point AS text) WITH FUNCTION as_text(point) AS ASSIGNMENT;
CREATE COLLATION "by bytes" FROM "C";
CREATE TEXT SEARCH CONFIGURATION ours (COPY = pg_catalog.simple);
CREATE TEXT SEARCH DICTIONARY words (TEMPLATE = pg_catalog.simple, STOPWORDS = english);
CREATE FUNCTION variadic_default(a integer DEFAULT 3, VARIADIC b text[] DEFAULT '{}') RETURNS TABLE (x integer, y text)
    LANGUAGE sql ROWS 7 COST 3 SECURITY DEFINER SET search_path = pg_catalog, "odd, path" AS 'SELECT a, unnest(b)';
\if :{?since_11}
CREATE PROCEDURE do_it(INOUT n integer) LANGUAGE plpgsql AS 'BEGIN n := n + 1; END';
\endif
\if :{?since_14}
CREATE FUNCTION with_body(a integer) RETURNS integer LANGUAGE sql BEGIN ATOMIC SELECT count(*)::integer + a FROM hen; END;
ALTER TABLE details ALTER t SET COMPRESSION pglz;
CREATE STATISTICS expressions ON (id + e), (lower(t)) FROM details;
\endif
\if :{?since_15}
ALTER TABLE hen ADD UNIQUE NULLS NOT DISTINCT (egg, name);
CREATE VIEW invoker WITH (security_invoker = true) AS SELECT * FROM hen;
\endif
RESET search_path;

CREATE PUBLICATION everything FOR ALL TABLES WITH (publish = 'insert');
CREATE PUBLICATION some_tables FOR TABLE "Inherit".hen, "Inherit".egg WITH (publish = 'insert');
CREATE FOREIGN DATA WRAPPER nothing;
CREATE SERVER elsewhere FOREIGN DATA WRAPPER nothing OPTIONS (host 'it''s', "odd option" 'x');
CREATE USER MAPPING FOR app_user SERVER elsewhere;
CREATE FOREIGN TABLE "Inherit".remote (a integer OPTIONS (x 'y'), b text) SERVER elsewhere;

CREATE FUNCTION public.on_ddl() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    IF tg_tag = 'CREATE TABLE' AND current_setting('granary.watched', true) = 'yes' THEN
        RAISE EXCEPTION 'no tables here';
    END IF;
    INSERT INTO public.ddl_seen VALUES (tg_event, tg_tag);
END $$;
CREATE TABLE public.ddl_seen (event text, tag text);
\if :{?since_12}
CREATE EVENT TRIGGER watch ON ddl_command_end
    WHEN TAG IN ('CREATE TABLE', 'ALTER TABLE', 'REFRESH MATERIALIZED VIEW', 'CREATE INDEX') EXECUTE FUNCTION public.on_ddl();
\else
-- In a plain dump it is made before the materialized views are filled, and sees that.
CREATE EVENT TRIGGER watch ON ddl_command_end
    WHEN TAG IN ('CREATE TABLE', 'ALTER TABLE', 'CREATE INDEX') EXECUTE PROCEDURE public.on_ddl();
\endif
CREATE EVENT TRIGGER asleep ON sql_drop EXECUTE PROCEDURE public.on_ddl();
ALTER EVENT TRIGGER asleep DISABLE;
COMMENT ON EVENT TRIGGER watch IS 'sees all';
CREATE TABLE public.made_under_watch (a integer);
