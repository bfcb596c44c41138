# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""What the role may not read, all of it at once, before anything is read.

A backup as a role without superuser rights is a normal case; finding out at the last table is not.
"""

from __future__ import annotations

import dataclasses
import typing as t

from . import queries
from .session import fetch

if t.TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from psycopg2.extensions import connection as Connection

_RELATION_KINDS = {"r": "table", "p": "partitioned table", "S": "sequence"}
_LARGE_OBJECT_PRIVILEGE_SINCE = 180000


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Unreadable:
    """One thing that the role may not read, or not in full.

    ``kind`` is ``schema``, ``table``, ``partitioned table``, ``sequence``, ``large object`` or
    ``row security`` (``name`` is then the table whose policies apply to the role).
    """

    kind: str
    name: str

    def __str__(self) -> str:
        if self.kind == "row security":
            return f"table {self.name} (row security)"
        return f"{self.kind} {self.name}"


def unreadable(conn: Connection, *, without_rows: Collection[int] = ()) -> list[Unreadable]:
    """Return everything in the session's database that a whole backup reads and the role may not.

    ``without_rows`` are oids of tables whose rows are not wanted: policies on them are no matter,
    but SELECT on them is, since pg_dump locks what it describes. Superusers may read everything.
    """
    doing = "Could not look at the role's rights"
    found = [Unreadable("schema", row[0]) for row in fetch(conn, queries.UNREADABLE_SCHEMAS, doing)]
    found += [
        Unreadable(_RELATION_KINDS[kind], f"{schema}.{name}")
        for kind, schema, name in fetch(conn, queries.UNREADABLE_RELATIONS, doing)
    ]
    found += [
        Unreadable("row security", f"{schema}.{name}")
        for oid, schema, name in fetch(conn, queries.ROW_SECURITY, doing)
        if oid not in without_rows
    ]
    found += [Unreadable("large object", str(oid)) for oid in _large_objects(conn, doing)]
    return found


def hidden_mappings(conn: Connection) -> list[str]:
    """Return the user mappings whose options pg_dump would leave out without a word.

    Each as ``role on server name``. Only superusers and a mapping's own role see its options.
    """
    doing = "Could not look at the user mappings"
    ((sees_all,),) = fetch(conn, "SELECT has_table_privilege('pg_user_mapping', 'SELECT')", doing)
    sql = queries.HIDDEN_MAPPINGS if sees_all else queries.PERHAPS_HIDDEN_MAPPINGS
    return [f"{role} on server {server}" for role, server in fetch(conn, sql, doing)]


def _large_objects(conn: Connection, doing: str) -> Iterable[int]:
    since_18 = conn.server_version >= _LARGE_OBJECT_PRIVILEGE_SINCE
    sql = queries.UNREADABLE_LARGE_OBJECTS_18 if since_18 else queries.UNREADABLE_LARGE_OBJECTS
    return [row[0] for row in fetch(conn, sql, doing)]
