# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""A table under another name: its columns, NOT NULL and its rows, and nothing else.

Its definition is run under a passing name and copied by ``LIKE``, so that a partitioned table
becomes one table that holds the rows of all its partitions.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
import secrets
import typing as t

from .._core.errors import RestoreFailed, VerifyFailed
from .._postgres import layout
from .._postgres.archive_rows import read_archive_rows
from .._postgres.connection import connect
from .._postgres.copying import copy_in, count_rows
from .._postgres.load_programs import peek_toc
from .._postgres.session import execute, prepare_restore_session, session_text
from .restore_source import load_units
from .restore_worker import CloseTarget, LoadRows, OpenTarget, nothing_more, run_all, run_everywhere

if t.TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .._postgres.connection import Connection
    from .._postgres.manifest import TableEntry
    from .requests import Plain
    from .restore_database import RestoreContext
    from .restore_plan import DatabasePlan

TableKey = tuple[str, str]

_CREATE = re.compile(r'\A(CREATE (?:UNLOGGED )?TABLE )("(?:[^"]|"")+"\."(?:[^"]|"")+")')
UNIT_BYTES = 16 << 20


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RenamedTable:
    """A table and its new name; ``definition`` is the archive's SQL, ``entries`` hold its rows."""

    key: tuple[str, str]
    target: tuple[str, str]
    definition: str
    entries: tuple[TableEntry, ...]

    def to_return(self) -> dict[str, Plain]:
        """Return it in plain types."""
        return {
            "table": f"{self.key[0]}.{self.key[1]}",
            "target": f"{self.target[0]}.{self.target[1]}",
            "rows": sum(entry.rows or 0 for entry in self.entries),
        }


def restore_renamed(
    context: RestoreContext,
    plan: DatabasePlan,
    tables: Sequence[RenamedTable],
    made: set[TableKey] | None = None,
) -> None:
    """Make each table under its new name, load its rows, and prove their number.

    The new names are added to ``made``. Raises ``RestoreFailed``, ``VerifyFailed``.
    """
    if not tables:
        return
    encoding = plan.source.definition.encoding
    with contextlib.closing(connect(context.settings, plan.target)) as conn:
        prepare_restore_session(conn, encoding)
        for table in tables:
            _make(conn, table)
            if made is not None:
                made.add(table.target)
        run_everywhere(context.pool, OpenTarget(database=plan.target, encoding=encoding))
        run_all(context.pool, list(_taken_over(context, plan, tables)), nothing_more)
        run_everywhere(context.pool, CloseTarget())
        for table in tables:
            _load_small(context, plan, table, conn)
            _prove(conn, table)


def _make(conn: Connection, table: RenamedTable) -> None:
    """Make the table by its definition under a passing name, and keep a copy of its columns."""
    text = session_text(conn)
    doing = f"Could not make table {table.target[0]}.{table.target[1]}"
    passing = (table.target[0], f"granary_{secrets.token_hex(8)}")
    definition, found = _CREATE.subn(
        lambda match: match[1] + text.decode(text.qualified(*passing)), table.definition
    )
    if not found:
        raise RestoreFailed(f"{doing}: its definition is not of a kind that can be renamed.")
    execute(conn, "BEGIN", doing)
    execute(conn, definition, doing)
    new, old = text.qualified(*table.target), text.qualified(*passing)
    execute(conn, b"CREATE TABLE %b (LIKE %b INCLUDING GENERATED)" % (new, old), doing)
    execute(conn, b"DROP TABLE " + old, doing)
    execute(conn, "COMMIT", doing)


def _taken_over(
    context: RestoreContext, plan: DatabasePlan, tables: Sequence[RenamedTable]
) -> Iterator[LoadRows]:
    for table in tables:
        for entry in table.entries:
            if not entry.taken_over:
                continue
            ids = context.source.files.table_ids(plan.source.name, entry)
            for unit in load_units(entry, ids, UNIT_BYTES):
                yield LoadRows(
                    schema=table.target[0],
                    name=table.target[1],
                    columns=entry.columns,
                    ids=unit.ids,
                    rows=unit.rows,
                )


def _load_small(
    context: RestoreContext, plan: DatabasePlan, table: RenamedTable, conn: Connection
) -> None:
    """Load the rows that are in data.dump."""
    small = {(entry.schema, entry.name) for entry in table.entries if not entry.taken_over}
    if not small:
        return
    path = layout.data_dump(plan.source.name)
    toc, blocks = peek_toc(context.source.files.stream(path))
    ids = [one.dump_id for one in toc.of("TABLE DATA") if one.table in small]

    def take(columns: tuple[str, ...], rows: Iterator[bytes]) -> None:
        copy_in(conn, table.target, columns, rows)

    read_archive_rows(context.loader(plan.target), blocks, ids, session_text(conn), take)


def _prove(conn: Connection, table: RenamedTable) -> None:
    counted = [entry.rows for entry in table.entries if entry.rows is not None]
    if len(counted) != len(table.entries):
        return
    rows = count_rows(conn, table.target)
    if rows != sum(counted):
        raise VerifyFailed(
            f"Table {table.target[0]}.{table.target[1]} holds {rows} rows where {sum(counted)} "
            "were backed up; the restore is not whole."
        )
