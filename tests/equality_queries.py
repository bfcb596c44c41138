# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The SQL of the equality oracle; the first column of a result is a name that is unique in it.

Object ids are never compared; rights are sorted, and without MAINTAIN (17), which GRANT ALL of an
older server does not mean.
"""

from __future__ import annotations

STATISTICS_SINCE = 18
_PROVIDER_SINCE = 15
_REGCOLLATION_SINCE = 13

READ_ALIKE = """
SET search_path = ''; SET extra_float_digits = {digits}; SET bytea_output = hex; SET timezone = UTC;
SET datestyle = ISO; SET intervalstyle = postgres; SET row_security = off; SET lc_monetary = 'C';
SET default_transaction_read_only = off; SET xmloption = content"""

_USER = "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"
_NAME = "format('%I.%I', n.nspname, c.relname)"
_NO_MEMBER = """NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = '{classid}'::regclass
    AND d.objid = {oid} AND d.deptype IN ('e', 'i'))"""


def _acl(column: str) -> str:
    return f"""(SELECT array_agg(right_ ORDER BY right_) FROM (
        SELECT format('%s %s %s %s', x.grantor::regrole, CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE
                      x.grantee::regrole::text END, x.privilege_type, x.is_grantable) AS right_
          FROM aclexplode({column}) x WHERE x.privilege_type <> 'MAINTAIN') rights_)"""


TABLES_OF_KIND = f"""
SELECT {_NAME},
       (SELECT string_agg(CASE WHEN a.atttypid IN ('float4'::regtype, 'float8'::regtype)
                               THEN format('float8send(c.%I)', a.attname)
                               ELSE format('c.%I', a.attname) END,
                          ', ' ORDER BY a.attname::text COLLATE "C")
          FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind = '{{kind}}' AND c.relpersistence <> 't' AND {_USER}
   AND (c.relkind <> 'm' OR c.relispopulated)
   AND ({{unlogged}} OR NOT EXISTS (WITH RECURSIVE down (oid) AS (
        SELECT c.oid UNION ALL
        SELECT i.inhrelid FROM down JOIN pg_inherits i ON i.inhparent = down.oid)
        SELECT FROM down JOIN pg_class u ON u.oid = down.oid WHERE u.relpersistence = 'u'))
   AND NOT EXISTS (WITH RECURSIVE up (oid) AS (
        SELECT c.oid UNION ALL SELECT i.inhparent FROM up JOIN pg_inherits i ON i.inhrelid = up.oid)
        SELECT FROM up JOIN pg_partitioned_table p ON p.partrelid = up.oid
         WHERE up.oid <> c.oid AND p.partstrat = 'h')
 ORDER BY 1"""


def rows_hash(name: str, columns: str | None, only: str) -> str:
    """Return the query for the number of rows of a table and the sum of their hashes.

    `columns` are those of the table as SQL, in the order of their names; a table may have none.
    """
    row = f"(ROW({columns or ''})::text)"
    return f"""SELECT count(*), sum(('x' || left(md5({row}), 16))::bit(64)::bigint::numeric)
                 FROM {only}{name} AS c"""


SEQUENCES = f"""
SELECT {_NAME}, s.seqtypid::regtype::text, s.seqstart, s.seqincrement, s.seqmax, s.seqmin,
       s.seqcache, s.seqcycle
  FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid
  JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE {{unlogged}} OR c.relpersistence <> 'u'"""

LARGE_OBJECTS = f"""
SELECT m.oid::text, m.lomowner::regrole::text, {_acl("m.lomacl")}, md5(lo_get(m.oid)),
       obj_description(m.oid, 'pg_largeobject')
  FROM pg_largeobject_metadata m"""

ROLES_WITHOUT_PASSWORDS = """
SELECT rolname, rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolcanlogin, rolreplication,
       rolbypassrls, rolconnlimit, rolvaliduntil::text, rolconfig,
       shobj_description(oid, 'pg_authid')
  FROM pg_roles WHERE rolname !~ '^pg_'"""

ROLES = """
SELECT r.rolname, r.rolsuper, r.rolinherit, r.rolcreaterole, r.rolcreatedb, r.rolcanlogin,
       r.rolreplication, r.rolbypassrls, r.rolconnlimit, r.rolvaliduntil::text, s.setconfig,
       shobj_description(r.oid, 'pg_authid'),
       CASE WHEN r.rolname <> current_user THEN r.rolpassword END
  FROM pg_authid r LEFT JOIN pg_db_role_setting s ON s.setrole = r.oid AND s.setdatabase = 0
 WHERE r.rolname !~ '^pg_'"""

MEMBERS = """
SELECT format('%s of %s by %s', member::regrole, roleid::regrole, grantor::regrole), admin_option
  FROM pg_auth_members"""

SETTINGS = """
SELECT format('%s in %s', r.rolname, d.datname), s.setconfig FROM pg_db_role_setting s
  LEFT JOIN pg_roles r ON r.oid = s.setrole LEFT JOIN pg_database d ON d.oid = s.setdatabase"""


def database(name: str, major: int) -> str:
    """Return the query for a database's own properties; the key is the same for every name."""
    literal = "'" + name.replace("'", "''") + "'"
    provider = "d.datlocprovider::text" if major >= _PROVIDER_SINCE else "'c'"
    return f"""
SELECT 'itself', d.datdba::regrole::text, d.encoding, d.datcollate, d.datctype, {provider},
       d.datistemplate, d.datallowconn, d.datconnlimit, {_acl("d.datacl")},
       shobj_description(d.oid, 'pg_database')
  FROM pg_database d WHERE d.datname = {literal}"""


_KINDS = "'r','p','v','m','f','c'"
_RELATION = _NO_MEMBER.format(classid="pg_class", oid="c.oid")
_CATALOG = {
    "relation": f"""
SELECT {_NAME}, c.relkind, c.relpersistence, c.relowner::regrole::text, {_acl("c.relacl")},
       c.reloptions, c.relrowsecurity, c.relforcerowsecurity, c.relreplident, c.relispopulated,
       c.relispartition, pg_get_expr(c.relpartbound, c.oid), pg_get_partkeydef(c.oid),
       obj_description(c.oid, 'pg_class'), t.spcname,
       ARRAY(SELECT i.inhparent::regclass::text FROM pg_inherits i WHERE i.inhrelid = c.oid
              ORDER BY i.inhseqno)
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_tablespace t ON t.oid = c.reltablespace
 WHERE {_USER} AND c.relkind IN ({_KINDS},'S','i','I') AND {_RELATION}""",
    "column": f"""
SELECT format('%I.%I.%I', n.nspname, c.relname, a.attname), format_type(a.atttypid, a.atttypmod),
       a.attnotnull, a.attidentity, pg_get_expr(x.adbin, x.adrelid), a.attcollation::regcollation,
       a.attislocal, a.attinhcount, a.attstorage, {_acl("a.attacl")}, a.attoptions, a.attfdwoptions,
       coalesce(nullif(a.attstattarget, -1), -1), col_description(c.oid, a.attnum)
  FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
  JOIN pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_attrdef x ON x.adrelid = c.oid AND x.adnum = a.attnum
 WHERE {_USER} AND a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ({_KINDS})
   AND {_RELATION}""",
    "constraint": f"""
SELECT format('%s on %s %s', k.conname, k.conrelid::regclass, k.contypid::regtype), k.contype,
       pg_get_constraintdef(k.oid), k.convalidated, k.condeferrable, k.condeferred,
       k.connoinherit AND k.contype = 'c', obj_description(k.oid, 'pg_constraint')
  FROM pg_constraint k JOIN pg_namespace n ON n.oid = k.connamespace
 WHERE {_USER} AND k.contype <> 'n'
   -- Those to partitions are named by other rules in each major; 10 has no such column.
   AND coalesce(to_jsonb(k) ->> 'conparentid', '0') = '0'""",
    "index": f"""
SELECT {_NAME}, pg_get_indexdef(c.oid), i.indisvalid, i.indisclustered, i.indisreplident
  FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
  JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {_USER}""",
    "trigger": """
SELECT format('%s on %s', t.tgname, t.tgrelid::regclass),
       replace(pg_get_triggerdef(t.oid), ' EXECUTE PROCEDURE ', ' EXECUTE FUNCTION '),
       t.tgenabled,       obj_description(t.oid, 'pg_trigger')
  FROM pg_trigger t WHERE NOT t.tgisinternal""",
    "policy": """
SELECT format('%s on %s', p.polname, p.polrelid::regclass), p.polcmd, p.polpermissive,
       p.polroles::regrole[]::text, pg_get_expr(p.polqual, p.polrelid),
       pg_get_expr(p.polwithcheck, p.polrelid), obj_description(p.oid, 'pg_policy')
  FROM pg_policy p""",
    "function": f"""
SELECT p.oid::regprocedure::text, p.proowner::regrole::text, {_acl("p.proacl")}, p.prosrc,
       p.provolatile, p.prosecdef, p.proconfig, p.procost, p.prorows,
       pg_get_function_arguments(p.oid), pg_get_function_result(p.oid),
       obj_description(p.oid, 'pg_proc')
  FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
 WHERE {_USER} AND {_NO_MEMBER.format(classid="pg_proc", oid="p.oid")}""",
    "type": f"""
SELECT y.oid::regtype::text, y.typtype, y.typowner::regrole::text, {_acl("y.typacl")}, y.typnotnull,
       y.typdefault, y.typbasetype::regtype::text,
       ARRAY(SELECT e.enumlabel FROM pg_enum e WHERE e.enumtypid = y.oid ORDER BY e.enumsortorder),
       obj_description(y.oid, 'pg_type')
  FROM pg_type y JOIN pg_namespace n ON n.oid = y.typnamespace
 WHERE {_USER} AND y.typcategory <> 'A'
   AND NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = y.typrelid AND c.relkind = 'S')
   AND {_NO_MEMBER.format(classid="pg_type", oid="y.oid")}""",
    "schema": f"""
SELECT n.nspname, n.nspowner::regrole::text, {_acl("n.nspacl")},
       obj_description(n.oid, 'pg_namespace')
  FROM pg_namespace n WHERE {_USER} AND n.nspname <> 'public'""",
    "extension": """
SELECT e.extname, e.extnamespace::regnamespace::text, obj_description(e.oid, 'pg_extension')
  FROM pg_extension e""",
    "default right": f"""
SELECT format('%s in %s on %s', a.defaclrole::regrole, a.defaclnamespace, a.defaclobjtype),
       {_acl("a.defaclacl")}
  FROM (SELECT defaclrole, defaclobjtype, defaclacl, coalesce((SELECT n.nspname FROM pg_namespace n
          WHERE n.oid = d.defaclnamespace), '-') AS defaclnamespace FROM pg_default_acl d) a""",
    "event trigger": """
SELECT e.evtname, e.evtevent, e.evtfoid::regprocedure::text, e.evtenabled, e.evttags,
       e.evtowner::regrole::text, obj_description(e.oid, 'pg_event_trigger')
  FROM pg_event_trigger e""",
    "publication": """
SELECT p.pubname, p.pubowner::regrole::text, p.puballtables, p.pubinsert, p.pubdelete,
       ARRAY(SELECT r.prrelid::regclass::text FROM pg_publication_rel r WHERE r.prpubid = p.oid
              ORDER BY 1)
  FROM pg_publication p""",
    "server": f"""
SELECT s.srvname, s.srvowner::regrole::text, {_acl("s.srvacl")}, s.srvoptions,
       ARRAY(SELECT format('%s %s', u.usename, ARRAY(SELECT unnest(u.umoptions) ORDER BY 1))
               FROM pg_user_mappings u
              WHERE u.srvid = s.oid ORDER BY 1)
  FROM pg_foreign_server s""",
}


def catalog(oldest_major: int) -> dict[str, str]:
    """Return queries on definitions whose answers the major does not change; kind -> SQL.

    `oldest_major` is the older one of the two servers: what it has not got is not asked for.
    """
    found = dict(_CATALOG)
    if oldest_major < _REGCOLLATION_SINCE:
        found["column"] = found["column"].replace(
            "a.attcollation::regcollation", "a.attcollation = 100"
        )
    return found
