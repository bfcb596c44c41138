# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""The server that is restored into: what is there already, and the mark on a database that is not
whole yet.

The mark is a setting of the database that every connection to it can see (``SHOW
granary.restoring``).
"""

from __future__ import annotations

import dataclasses
import typing as t

from .model import APPLICATION_NAME
from .session import execute, fetch, session_text

if t.TYPE_CHECKING:
    from collections.abc import Mapping

    from psycopg2.extensions import connection as Connection

RESTORING = "granary.restoring"
# The first key of the advisory locks of restores: any number of ours.
_CLAIM = 0x6772616E
# The first oid that initdb does not give away (access/transam.h, FirstNormalObjectId).
_FIRST_USER_OID = 16384
# Catalogs of which every row of a user's is an object; pg_namespace, pg_class and pg_type hold
# temporary ones too.
_OBJECT_CATALOGS = (
    "pg_proc",
    "pg_extension",
    "pg_largeobject_metadata",
    "pg_event_trigger",
    "pg_publication",
    "pg_foreign_data_wrapper",
    "pg_cast",
    "pg_operator",
    "pg_collation",
    "pg_ts_config",
    "pg_ts_dict",
)
_ANY_OBJECT = " OR ".join(
    [
        "EXISTS (SELECT FROM pg_catalog.pg_namespace "
        f"WHERE oid >= {_FIRST_USER_OID} AND nspname !~ '^pg_(toast_)?temp_')",
        *(
            f"EXISTS (SELECT FROM pg_catalog.{catalog} o JOIN pg_catalog.pg_namespace n "
            f"ON n.oid = o.{column} WHERE o.oid >= {_FIRST_USER_OID} AND n.nspname !~ '^pg_')"
            for catalog, column in (("pg_class", "relnamespace"), ("pg_type", "typnamespace"))
        ),
        *(
            f"EXISTS (SELECT FROM pg_catalog.{catalog} WHERE oid >= {_FIRST_USER_OID})"
            for catalog in _OBJECT_CATALOGS
        ),
    ]
)
_DATABASES = f"""
SELECT d.datname, d.datallowconn,
       (SELECT substr(s.setting, {len(RESTORING) + 2})
          FROM pg_catalog.pg_db_role_setting r, unnest(r.setconfig) AS s(setting)
         WHERE r.setdatabase = d.oid AND r.setrole = 0 AND s.setting LIKE '{RESTORING}=%')
  FROM pg_catalog.pg_database d
"""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TargetDatabase:
    """A database that is there already; ``restoring`` is the snapshot id in its mark, if it has
    one."""

    name: str
    allows_connections: bool
    restoring: str | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TargetServer:
    """What a server holds; ``extensions`` are the names of those that it could make."""

    databases: Mapping[str, TargetDatabase]
    roles: frozenset[str]
    tablespaces: frozenset[str]
    extensions: frozenset[str]


def read_target(conn: Connection) -> TargetServer:
    """Return what the server of ``conn`` holds."""
    databases = {
        name: TargetDatabase(name=name, allows_connections=allowed, restoring=mark)
        for name, allowed, mark in fetch(conn, _DATABASES)
    }
    return TargetServer(
        databases=databases,
        roles=_names(conn, "SELECT rolname FROM pg_catalog.pg_roles"),
        tablespaces=_names(conn, "SELECT spcname FROM pg_catalog.pg_tablespace"),
        extensions=_names(conn, "SELECT name FROM pg_catalog.pg_available_extensions"),
    )


def _names(conn: Connection, sql: str) -> frozenset[str]:
    return frozenset(name for (name,) in fetch(conn, sql))


def is_empty(conn: Connection) -> bool:
    """Tell whether the database of ``conn`` holds nothing that a user made."""
    return not fetch(conn, f"SELECT {_ANY_OBJECT}")[0][0]


def read_relations(conn: Connection) -> tuple[frozenset[str], frozenset[tuple[str, str]]]:
    """Return the schemas of a database, and all relations in them as schema and name."""
    relations = fetch(
        conn,
        "SELECT n.nspname, c.relname FROM pg_catalog.pg_class c "
        "JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace",
    )
    schemas = _names(conn, "SELECT nspname FROM pg_catalog.pg_namespace")
    return schemas, frozenset((schema, name) for schema, name in relations)


def read_tables(conn: Connection) -> list[tuple[str, str]]:
    """Return schema and name of what can be analyzed: tables, partitioned ones, materialized
    views.

    No table is opened, so nobody's table lock is in the way.
    """
    rows = fetch(
        conn,
        "SELECT n.nspname, c.relname FROM pg_catalog.pg_class c "
        "JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
        "WHERE c.relkind IN ('r', 'p', 'm') AND c.relpersistence <> 't' "
        "AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' ORDER BY 1, 2",
    )
    return [(row[0], row[1]) for row in rows]


def mark_restoring(conn: Connection, database: str, snapshot: str) -> None:
    """Put our mark on a database: every later session in it sees that it is not whole."""
    text = session_text(conn)
    execute(
        conn,
        b"ALTER DATABASE %b SET %b = %b"
        % (text.identifier(database), RESTORING.encode(), text.literal(snapshot)),
        f"Could not mark database {database!r} as being restored",
    )


def unmark_restoring(conn: Connection, database: str) -> None:
    """Take our mark off a database that is whole."""
    text = session_text(conn)
    execute(
        conn,
        b"ALTER DATABASE %b RESET %b" % (text.identifier(database), RESTORING.encode()),
        f"Could not take the mark {RESTORING} off database {database!r}",
    )


def claim_database(conn: Connection, database: str) -> bool:
    """Claim a database for one restore, as long as ``conn`` lives; False if another one has.

    Seen by restores that talk to the same maintenance database.
    """
    name = session_text(conn).literal(database)
    sql = b"SELECT pg_catalog.pg_try_advisory_lock(%d, pg_catalog.hashtext(%b))" % (_CLAIM, name)
    return bool(fetch(conn, sql, f"Could not claim database {database!r}")[0][0])


def end_sessions(conn: Connection, database: str) -> None:
    """End what a killed restore of the same role left running in a database."""
    sql = (
        b"SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity "
        b"WHERE datname = %b AND usename = current_user AND application_name LIKE '%b%%'"
    ) % (session_text(conn).literal(database), APPLICATION_NAME.encode())
    execute(conn, sql, f"Could not end the sessions of an earlier restore of {database!r}")


def rename_database(conn: Connection, old: str, new: str) -> None:
    """Give a database another name; nobody may be in it."""
    text = session_text(conn)
    sql = b"ALTER DATABASE %b RENAME TO %b" % (text.identifier(old), text.identifier(new))
    execute(conn, sql, f"Could not give database {new!r} its name")


def drop_database(conn: Connection, database: str) -> None:
    """Drop a database; a template is made droppable first.

    Sessions that are in it make this fail, by their count.
    """
    name = session_text(conn).identifier(database)
    doing = f"Could not drop database {database!r} to make it anew"
    execute(conn, b"ALTER DATABASE %b WITH IS_TEMPLATE false" % name, doing)
    execute(conn, b"DROP DATABASE %b" % name, doing)
