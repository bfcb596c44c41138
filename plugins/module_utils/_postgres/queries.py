# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""The SQL by which catalogs are read, one text for each question.

All of it runs with an empty search_path on PostgreSQL 12 and later unless said otherwise. System
schemas are left out as pg_dump leaves them out (pg_dump.c, selectDumpableNamespace); temporary
relations belong to other sessions.
"""

from __future__ import annotations

_USER_RELATIONS = """
      c.relpersistence <> 't'
  AND n.nspname !~ '^pg_'
  AND n.nspname <> 'information_schema'"""

# Sizes are read of ordinary tables only: those we hold locks on, so that no size waits for
# somebody.
TABLES = f"""
SELECT c.oid, n.nspname, c.relname, c.relkind, c.relpersistence, a.amname, c.relfilenode,
       e.extname, coalesce(c.oid = ANY (e.extconfig), false),
       CASE c.relkind WHEN 'r' THEN coalesce(pg_table_size(c.oid), 0) ELSE 0 END,
       CASE c.relkind WHEN 'r' THEN coalesce(pg_relation_size(c.oid), 0) ELSE 0 END
           / current_setting('block_size')::int,
       CASE WHEN c.relkind = 'r' AND c.reltoastrelid <> 0
            THEN coalesce(pg_relation_size(c.reltoastrelid), 0) ELSE 0 END,
       c.relispartition,
       EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = c.oid),
       row_security_active(c.oid),
       (SELECT count(*) FROM pg_index x WHERE x.indrelid = c.oid)
  FROM pg_class c
  JOIN pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_am a ON a.oid = c.relam
  LEFT JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.objsubid = 0
                       AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
  LEFT JOIN pg_extension e ON e.oid = d.refobjid
 WHERE c.relkind IN ('r', 'p', 'm', 'f') AND {_USER_RELATIONS}
 ORDER BY c.oid"""

# A generated column's values are computed again on load; COPY refuses to name it.
COLUMNS = f"""
SELECT a.attrelid, a.attname, a.attgenerated = ''
  FROM pg_attribute a
  JOIN pg_class c ON c.oid = a.attrelid
  JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE a.attnum > 0 AND NOT a.attisdropped
   AND c.relkind IN ('r', 'p', 'm', 'f') AND {_USER_RELATIONS}
 ORDER BY a.attrelid, a.attnum"""

# A key of a type that has no collation has 0 for it.
PARTITION_PARENTS = """
SELECT i.inhrelid, i.inhparent, p.partstrat,
       p.partstrat = 'r' AND EXISTS (SELECT FROM unnest(p.partcollation::oid[]) c WHERE c <> 0)
  FROM pg_inherits i
  JOIN pg_partitioned_table p ON p.partrelid = i.inhparent"""

# Reads no sizes and calls no function that opens a relation: it waits for nobody.
TABLE_FILES = f"""
SELECT c.oid, n.nspname, c.relname, c.relfilenode,
       (SELECT count(*) FROM pg_index x WHERE x.indrelid = c.oid),
       (SELECT i.inhparent FROM pg_inherits i WHERE i.inhrelid = c.oid AND c.relispartition)
  FROM pg_class c
  JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p') AND {_USER_RELATIONS}
 ORDER BY c.oid"""

# A database with a limit of -2 is one whose DROP did not end: it can only be dropped. Any version.
DATABASES = """
SELECT d.oid, d.datname, pg_encoding_to_char(d.encoding), d.datistemplate,
       d.datallowconn AND d.datconnlimit <> -2, has_database_privilege(d.oid, 'CONNECT')
  FROM pg_database d
 ORDER BY d.datname"""

# What the role may not read; pg_dump locks every table that it describes, and LOCK asks for SELECT
# on the whole table.
UNREADABLE_SCHEMAS = f"""
SELECT DISTINCT n.nspname
  FROM pg_class c
  JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p', 'S') AND {_USER_RELATIONS}
   AND NOT has_schema_privilege(n.oid, 'USAGE')
 ORDER BY 1"""

UNREADABLE_RELATIONS = f"""
SELECT c.relkind, n.nspname, c.relname
  FROM pg_class c
  JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE {_USER_RELATIONS}
   AND CASE c.relkind
       WHEN 'r' THEN NOT has_table_privilege(c.oid, 'SELECT')
       WHEN 'p' THEN NOT has_table_privilege(c.oid, 'SELECT')
       WHEN 'S' THEN NOT has_sequence_privilege(c.oid, 'SELECT')
                     AND NOT EXISTS (
                         SELECT FROM pg_depend d
                           JOIN pg_extension e ON e.oid = d.refobjid
                          WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
                            AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
                            AND c.oid <> ALL (coalesce(e.extconfig, '{{}}')))
       ELSE false END
 ORDER BY 2, 3"""

# Policies that apply to us: with row_security off, as pg_dump sets it, reading such a table is an
# error.
ROW_SECURITY = f"""
SELECT c.oid, n.nspname, c.relname
  FROM pg_class c
  JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind = 'r' AND c.relrowsecurity AND {_USER_RELATIONS}
   AND row_security_active(c.oid)
 ORDER BY 2, 3"""

# has_largeobject_privilege() came with 18; before it no role but the owner, the granted and
# superusers may read.
UNREADABLE_LARGE_OBJECTS_18 = """
SELECT m.oid FROM pg_largeobject_metadata m
 WHERE NOT has_largeobject_privilege(m.oid, 'SELECT')
 ORDER BY m.oid"""

UNREADABLE_LARGE_OBJECTS = """
SELECT m.oid FROM pg_largeobject_metadata m
 WHERE current_setting('lo_compat_privileges') = 'off'
   AND NOT pg_has_role(m.lomowner, 'USAGE')
   AND NOT EXISTS (SELECT FROM aclexplode(m.lomacl) x
                    WHERE x.privilege_type = 'SELECT'
                      AND (x.grantee = 0 OR pg_has_role(x.grantee, 'USAGE')))
 ORDER BY m.oid"""

# User mappings whose options pg_user_mappings, all that pg_dump looks at, hides from the role. The
# catalog itself says whether there are any, to those who may read it.
HIDDEN_MAPPINGS = """
SELECT u.usename, u.srvname
  FROM pg_user_mappings u JOIN pg_user_mapping m ON m.oid = u.umid
 WHERE u.umoptions IS NULL AND m.umoptions IS NOT NULL
 ORDER BY 2, 1"""

PERHAPS_HIDDEN_MAPPINGS = """
SELECT u.usename, u.srvname
  FROM pg_user_mappings u JOIN pg_foreign_server s ON s.oid = u.srvid
 WHERE u.umoptions IS NULL
   AND CASE u.umuser
       WHEN 0 THEN NOT pg_has_role(s.srvowner, 'USAGE')
       ELSE u.usename <> current_user
            OR NOT (pg_has_role(s.srvowner, 'USAGE') OR has_server_privilege(s.oid, 'USAGE'))
       END
 ORDER BY 2, 1"""

# Sessions that hold, or wait for, a lock on one table that ours conflicts with.
LOCK_HOLDERS = """
SELECT l.pid, NOT l.granted, a.application_name, a.usename, a.state, left(a.query, 120)
  FROM pg_locks l
  LEFT JOIN pg_stat_activity a ON a.pid = l.pid
 WHERE l.locktype = 'relation' AND l.mode = 'AccessExclusiveLock' AND l.relation = {oid}
   AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
   AND l.pid IS DISTINCT FROM pg_backend_pid()
 ORDER BY l.granted DESC, l.pid"""

# Relations locked against us, and the table that each is, or is a part of: its index, its TOAST.
EXCLUSIVELY_LOCKED = """
SELECT l.relation, coalesce(o.oid, i.indrelid, l.relation)
  FROM pg_locks l
  LEFT JOIN pg_index i ON i.indexrelid = l.relation
  LEFT JOIN pg_class o ON o.reltoastrelid = coalesce(i.indrelid, l.relation)
 WHERE l.locktype = 'relation' AND l.mode = 'AccessExclusiveLock'
   AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
   AND l.pid IS DISTINCT FROM pg_backend_pid()
 ORDER BY l.granted DESC, l.relation"""

# Client programs of ours that wait for a lock, and for which relation.
WAITING_PROGRAMS = """
SELECT l.pid, l.relation, coalesce(n.nspname || '.' || c.relname, l.locktype)
  FROM pg_locks l
  JOIN pg_stat_activity a ON a.pid = l.pid
  LEFT JOIN pg_class c ON c.oid = l.relation
  LEFT JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE NOT l.granted AND a.application_name = %(application_name)s"""

PROGRAMS = """
SELECT pid FROM pg_stat_activity WHERE application_name = %(application_name)s"""

# Sessions that wait behind one of ours, and since when; waitstart came with version 14.
WAITERS = """
SELECT l.pid, %(waited)s
  FROM pg_locks l
  LEFT JOIN pg_stat_activity a ON a.pid = l.pid
 WHERE NOT l.granted
   AND pg_blocking_pids(l.pid) && ARRAY(SELECT o.pid FROM pg_stat_activity o
                                         WHERE o.application_name IN (%(names)s))
 GROUP BY l.pid"""
