-- Copyright (c) 2026 Granary contributors
-- GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
-- SPDX-License-Identifier: GPL-3.0-or-later

-- Large objects with owners, rights and comments; row security: what a mere reader may not read.

SELECT lo_create(0), lo_from_bytea(111111, ''), lo_from_bytea(4294967295, '\x00ff5c2e0a');
SELECT lo_from_bytea(200000 + i, decode(repeat(md5(i::text), 100 * i), 'hex')) FROM generate_series(1, 40) i;
SELECT lo_from_bytea(300000, decode(repeat(md5('large'), 200000), 'hex'));
\if :{?since_11}
SELECT lo_put(300000, 50000000, '\xcafe');
\endif
ALTER LARGE OBJECT 200001 OWNER TO app_owner;
ALTER LARGE OBJECT 200002 OWNER TO "Ownér ""quoted"" \ role";
GRANT SELECT ON LARGE OBJECT 200001 TO app_user WITH GRANT OPTION;
GRANT ALL ON LARGE OBJECT 200003 TO PUBLIC;
REVOKE ALL ON LARGE OBJECT 200002 FROM "Ownér ""quoted"" \ role";
COMMENT ON LARGE OBJECT 200001 IS 'a large object''s comment \';
CREATE TABLE pictures (id serial PRIMARY KEY, picture oid);
INSERT INTO pictures (picture) SELECT oid FROM pg_largeobject_metadata ORDER BY oid;

CREATE TABLE secured (id integer PRIMARY KEY, whose name, t text);
INSERT INTO secured SELECT i, CASE WHEN i % 2 = 0 THEN 'app_user' ELSE 'reader' END, 'row ' || i FROM generate_series(1, 2000) i;
ALTER TABLE secured ENABLE ROW LEVEL SECURITY;
ALTER TABLE secured FORCE ROW LEVEL SECURITY;
CREATE POLICY "own rows" ON secured AS PERMISSIVE FOR SELECT TO app_user, PUBLIC USING (whose = current_user);
CREATE POLICY restricts ON secured AS RESTRICTIVE FOR UPDATE USING (id > 0) WITH CHECK (t IS NOT NULL);
CREATE TABLE secured_to_all (id integer);
INSERT INTO secured_to_all SELECT generate_series(1, 100);
ALTER TABLE secured_to_all ENABLE ROW LEVEL SECURITY;
ALTER TABLE secured_to_all OWNER TO app_owner;
COMMENT ON POLICY restricts ON secured IS 'policy';
