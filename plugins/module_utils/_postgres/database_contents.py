# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""What a database needs from its server, so that a restore can say beforehand what is missing
there.

Facts for a plan only: nothing is made from them, and a dump holds them all again.
"""

from __future__ import annotations

import dataclasses
import typing as t

from .manifest import ExtensionEntry, TablespaceEntry
from .session import fetch

if t.TYPE_CHECKING:
    from .connection import Connection

# pg_shdepend knows owners, grantees and roles of policies; of the bootstrap superuser, who is
# everywhere, it knows nothing.
_ROLES = """
SELECT DISTINCT r.rolname
  FROM pg_catalog.pg_shdepend d
  JOIN pg_catalog.pg_database b ON b.oid = d.dbid AND b.datname = pg_catalog.current_database()
  JOIN pg_catalog.pg_roles r ON r.oid = d.refobjid
 WHERE d.refclassid = 'pg_catalog.pg_authid'::pg_catalog.regclass AND r.rolname !~ '^pg_'
 ORDER BY 1"""
_TABLESPACES = """
SELECT DISTINCT s.spcname
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_tablespace s ON s.oid = c.reltablespace
 WHERE s.spcname NOT IN ('pg_default', 'pg_global')
 ORDER BY 1"""
# plpgsql is in every new database.
_EXTENSIONS = """
SELECT e.extname, e.extversion, n.nspname
  FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace
 WHERE e.extname <> 'plpgsql'
 ORDER BY 1"""
_LARGE_OBJECTS = "SELECT count(*) FROM pg_catalog.pg_largeobject_metadata"
_ALL_ROLES = "SELECT rolname FROM pg_catalog.pg_roles WHERE rolname !~ '^pg_' ORDER BY 1"
_ALL_TABLESPACES = """
SELECT spcname, pg_catalog.pg_tablespace_location(oid)
  FROM pg_catalog.pg_tablespace WHERE spcname NOT IN ('pg_default', 'pg_global')
 ORDER BY 1"""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseContents:
    """What ``DatabaseEntry`` says of the fields of the same names."""

    extensions: tuple[ExtensionEntry, ...]
    roles: tuple[str, ...]
    tablespaces: tuple[str, ...]
    large_objects: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class GlobalContents:
    """What ``GlobalsEntry`` says of the fields of the same names."""

    roles: tuple[str, ...]
    tablespaces: tuple[TablespaceEntry, ...]


def read_contents(conn: Connection) -> DatabaseContents:
    """Read what the database of ``conn`` needs; in the snapshot, if there is one."""
    return DatabaseContents(
        extensions=tuple(ExtensionEntry(*row) for row in fetch(conn, _EXTENSIONS)),
        roles=tuple(name for (name,) in fetch(conn, _ROLES)),
        tablespaces=tuple(name for (name,) in fetch(conn, _TABLESPACES)),
        large_objects=int(fetch(conn, _LARGE_OBJECTS)[0][0]),
    )


def read_globals(conn: Connection) -> GlobalContents:
    """Read what the server of ``conn`` defines for all its databases."""
    return GlobalContents(
        roles=tuple(name for (name,) in fetch(conn, _ALL_ROLES)),
        tablespaces=tuple(TablespaceEntry(*row) for row in fetch(conn, _ALL_TABLESPACES)),
    )


def database_size(conn: Connection) -> int:
    """Return the size in bytes of the files of the database of ``conn``."""
    size = fetch(conn, "SELECT pg_catalog.pg_database_size(pg_catalog.current_database())")
    return int(size[0][0])
