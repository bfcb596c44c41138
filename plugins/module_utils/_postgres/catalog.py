# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""Reading catalogs into the data of ``model``, and the rules on who copies a table's rows.

It decides nothing about locks or order: what it says is true for the moment, or for the snapshot,
of its queries.
"""

from __future__ import annotations

import collections
import typing as t

from . import queries
from .model import Database, PartitionRoot, Table, TableFile
from .session import execute, fetch, session_text

if t.TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection

    from .session import Row

_STRATEGIES = {"h": "hash", "l": "list", "r": "range"}


def list_databases(conn: Connection) -> list[Database]:
    """Return every database of the server, templates too, by name.

    Names are shared by databases of different encodings, so they are taken as plain bytes: read
    them with this, not with a query of your own. Must not be called inside a transaction.
    """
    before = session_text(conn).encoding
    execute(conn, "SET client_encoding TO 'SQL_ASCII'")
    try:
        rows = fetch(conn, queries.DATABASES, "Could not list the databases")
    finally:
        if not conn.closed:
            execute(conn, f"SET client_encoding TO '{before}'")
    return [
        Database(
            oid=row[0],
            name=row[1],
            encoding=row[2],
            is_template=row[3],
            allows_connections=row[4],
            may_connect=row[5],
        )
        for row in rows
    ]


def list_tables(conn: Connection) -> list[Table]:
    """Return the tables, partitioned tables, materialized views and foreign tables, by oid.

    Reading sizes opens each ordinary table: run it in a transaction that has locked them all, or it
    may wait.
    """
    columns: dict[int, list[str]] = collections.defaultdict(list)
    column_counts: dict[int, int] = collections.Counter()
    for oid, name, insertable in fetch(conn, queries.COLUMNS, "Could not list the columns"):
        column_counts[oid] += 1
        if insertable:
            columns[oid].append(name)
    rows = fetch(conn, queries.TABLES, "Could not list the tables")
    names = {row[0]: (row[1], row[2]) for row in rows}
    parents = {
        child: (parent, _STRATEGIES[strategy], sorts_text)
        for child, parent, strategy, sorts_text in fetch(conn, queries.PARTITION_PARENTS)
    }
    return [
        _table(
            row,
            columns=tuple(columns[row[0]]),
            column_count=column_counts[row[0]],
            root=_root(row[0], parents, names),
            parent=parents[row[0]][0] if row[0] in parents else None,
        )
        for row in rows
    ]


def _table(
    row: Row,
    *,
    columns: tuple[str, ...],
    column_count: int,
    root: PartitionRoot | None,
    parent: int | None,
) -> Table:
    return Table(
        oid=row[0],
        schema=row[1],
        name=row[2],
        kind=row[3],
        persistence=row[4],
        access_method=row[5],
        file_node=row[6],
        extension=row[7],
        is_extension_config=row[8],
        size_bytes=row[9],
        pages=row[10],
        toast_bytes=row[11],
        is_leaf=row[12] and row[3] != "p",
        inherits=row[13],
        row_security=row[14],
        index_count=row[15],
        columns=columns,
        column_count=column_count,
        root=root,
        parent=parent,
    )


def _root(
    oid: int, parents: dict[int, tuple[int, str, bool]], names: dict[int, tuple[str, str]]
) -> PartitionRoot | None:
    strategies: list[str] = []
    sorts_text = False
    while oid in parents:
        oid, strategy, sorts_here = parents[oid]
        strategies.append(strategy)
        sorts_text = sorts_text or sorts_here
    if not strategies or oid not in names:
        return None
    return PartitionRoot(
        schema=names[oid][0],
        name=names[oid][1],
        strategies=tuple(reversed(strategies)),
        sorts_text=sorts_text,
    )


def list_table_files(conn: Connection) -> dict[int, TableFile]:
    """Return what a backup locks, tables and partitioned tables, by oid; it waits for no lock."""
    return {
        row[0]: TableFile(
            oid=row[0],
            schema=row[1],
            name=row[2],
            file_node=row[3],
            index_count=row[4],
            parent=row[5],
        )
        for row in fetch(conn, queries.TABLE_FILES, "Could not list the tables")
    }


def has_rows_in_dump(table: Table, *, in_recovery: bool) -> bool:
    """Tell whether pg_dump, told to leave nothing out, writes a TABLE DATA entry for ``table``.

    Its rules (pg_dump.c, makeTableDataInfo and processExtensionTables): ordinary tables, also empty
    ones and ones without columns; of an extension's members only its configuration tables; unlogged
    ones not on a standby.
    """
    if table.kind != "r":
        return False
    if table.extension is not None and not table.is_extension_config:
        return False
    return not (in_recovery and table.persistence == "u")


def why_not_taken_over(table: Table, *, threshold_bytes: int, in_recovery: bool) -> str | None:
    """Return why pg_dump, not we, must copy the rows of ``table``; ``None`` if we take them over.

    With a threshold of 0 size is no reason; nor is it for a leaf whose rows may belong to another
    leaf where they are restored: pg_dump would load them into this one.
    """
    moves = table.root is not None and table.root.moves_rows
    reasons = {
        "not an ordinary table": table.kind != "r",
        "not of the heap access method": table.access_method != "heap",
        "unlogged, and the server is a standby": in_recovery and table.persistence == "u",
        "member of an extension": table.extension is not None,
        "no column that can be inserted": not table.columns,
        "not larger than the threshold": 0 < threshold_bytes >= table.size_bytes and not moves,
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def may_take_over(table: Table, *, threshold_bytes: int, in_recovery: bool) -> bool:
    """Tell whether we copy the rows of ``table`` ourselves, instead of pg_dump."""
    reason = why_not_taken_over(table, threshold_bytes=threshold_bytes, in_recovery=in_recovery)
    return reason is None
