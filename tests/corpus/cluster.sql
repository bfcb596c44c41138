-- Copyright (c) 2026 Granary contributors
-- GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
-- SPDX-License-Identifier: GPL-3.0-or-later

-- Roles with every property, memberships, settings: what globals.sql must bring along.

CREATE ROLE app_owner;
CREATE ROLE "Ownér ""quoted"" \ role" NOLOGIN;
CREATE ROLE app_user LOGIN PASSWORD 'secret of app_user' CONNECTION LIMIT 7 VALID UNTIL '2038-01-01';
CREATE ROLE app_admin CREATEDB CREATEROLE NOINHERIT REPLICATION BYPASSRLS;
CREATE ROLE "app-group" IN ROLE app_owner;
CREATE ROLE reader LOGIN;
GRANT app_owner TO app_user WITH ADMIN OPTION;
GRANT "app-group" TO "Ownér ""quoted"" \ role";
COMMENT ON ROLE app_user IS 'It''s the application''s \ user';
ALTER ROLE app_user SET work_mem TO '7MB';
ALTER ROLE app_user SET search_path TO "$user", public, "odd, ""path""";
ALTER ROLE app_owner SET statement_timeout TO '77s';
\if :{?since_14}
GRANT pg_read_all_data TO reader;
\endif
\if :{?since_16}
GRANT app_owner TO app_admin WITH INHERIT FALSE, SET FALSE;
\endif
