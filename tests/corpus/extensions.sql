-- Copyright (c) 2026 Granary contributors
-- GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
-- SPDX-License-Identifier: GPL-3.0-or-later

-- Extensions with members, with configuration tables, in other schemas, and users of their types.

CREATE SCHEMA ext;
CREATE EXTENSION hstore SCHEMA ext;
CREATE EXTENSION citext;
CREATE EXTENSION ltree;
CREATE EXTENSION cube SCHEMA ext;
CREATE EXTENSION isn SCHEMA ext;
CREATE EXTENSION pg_trgm;
CREATE EXTENSION intarray SCHEMA ext;
CREATE EXTENSION btree_gist SCHEMA ext;
CREATE EXTENSION "uuid-ossp" SCHEMA ext;
CREATE EXTENSION bloom;
CREATE EXTENSION seg;
CREATE EXTENSION postgres_fdw;
CREATE EXTENSION tablefunc;
CREATE EXTENSION unaccent;
CREATE EXTENSION lo SCHEMA ext;
COMMENT ON EXTENSION citext IS 'another comment';
CREATE TABLE ext.users_of (
    id integer PRIMARY KEY, h ext.hstore, c public.citext UNIQUE, l public.ltree, u ext.cube, i ext.isbn, s public.seg,
    EXCLUDE USING gist (id WITH =, u WITH OPERATOR(ext.&&))
);
INSERT INTO ext.users_of SELECT i, ext.hstore('a' || i, NULL), 'Case ' || i, ('top.n' || i)::public.ltree, ext.cube(i, i + 0.25), NULL, (i || ' .. ' || i + 1)::public.seg
  FROM generate_series(1, 600) i;
CREATE INDEX ON ext.users_of USING gin (h);
CREATE INDEX ON ext.users_of USING gin ((c::text) public.gin_trgm_ops);
CREATE INDEX ON ext.users_of USING bloom (id);
CREATE TABLE ext.configuration (id integer, builtin boolean);
INSERT INTO ext.configuration SELECT i, i % 2 = 0 FROM generate_series(1, 1000) i;
GRANT SELECT ON ext.users_of TO app_user;
GRANT USAGE ON SCHEMA ext TO reader;
