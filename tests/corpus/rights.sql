-- Copyright (c) 2026 Granary contributors
-- GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
-- SPDX-License-Identifier: GPL-3.0-or-later

-- Owners, grants of every kind, default privileges.

CREATE SCHEMA owned AUTHORIZATION app_owner;
SET ROLE app_owner;
CREATE TABLE owned.of_app (id serial PRIMARY KEY, secret text, open text);
INSERT INTO owned.of_app (secret, open) SELECT md5(i::text), 'open' FROM generate_series(1, 700) i;
CREATE VIEW owned.looks AS SELECT id, open FROM owned.of_app;
GRANT SELECT (open, id), UPDATE (open) ON owned.of_app TO app_user WITH GRANT OPTION;
GRANT SELECT, TRIGGER ON owned.looks TO PUBLIC;
GRANT USAGE ON SEQUENCE owned.of_app_id_seq TO app_user;
GRANT USAGE ON SCHEMA owned TO app_user WITH GRANT OPTION;
RESET ROLE;
SET ROLE app_user;
GRANT SELECT (open) ON owned.of_app TO "app-group";
GRANT USAGE ON SCHEMA owned TO "Ownér ""quoted"" \ role";
RESET ROLE;
CREATE TABLE owned.nobody (a integer);
REVOKE ALL ON owned.nobody FROM postgres;
CREATE TABLE owned.everybody (a integer);
GRANT ALL ON owned.everybody TO PUBLIC, app_admin;
CREATE FUNCTION owned.private() RETURNS integer LANGUAGE sql AS 'SELECT 1';
REVOKE ALL ON FUNCTION owned.private() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION owned.private() TO app_user;
ALTER FUNCTION owned.private() OWNER TO app_owner;
CREATE TYPE owned.kind AS ENUM ('a');
ALTER TYPE owned.kind OWNER TO "Ownér ""quoted"" \ role";
REVOKE USAGE ON TYPE owned.kind FROM PUBLIC;
CREATE DOMAIN owned.dom AS text;
GRANT USAGE ON DOMAIN owned.dom TO app_user;
REVOKE ALL ON LANGUAGE plpgsql FROM PUBLIC;
GRANT USAGE ON LANGUAGE plpgsql TO app_owner;
ALTER DEFAULT PRIVILEGES FOR ROLE app_owner IN SCHEMA owned GRANT SELECT ON TABLES TO app_user;
ALTER DEFAULT PRIVILEGES FOR ROLE app_owner REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
ALTER DEFAULT PRIVILEGES FOR ROLE app_owner IN SCHEMA owned GRANT USAGE ON SEQUENCES TO "app-group" WITH GRANT OPTION;
ALTER DEFAULT PRIVILEGES GRANT INSERT ON TABLES TO app_admin;
GRANT CREATE ON SCHEMA public TO app_user;
REVOKE USAGE ON SCHEMA public FROM PUBLIC;
GRANT SELECT ON pg_catalog.pg_authid TO app_admin;
REVOKE EXECUTE ON FUNCTION pg_catalog.pg_ls_dir(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pg_catalog.pg_ls_dir(text) TO app_admin;
\if :{?since_17}
GRANT MAINTAIN ON owned.everybody TO app_user;
\endif
GRANT USAGE ON SCHEMA owned TO reader;
