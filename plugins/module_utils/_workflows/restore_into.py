# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""Tables beside what is there in a database.

Such a database is never marked and never dropped: it is somebody's. What a failed restore made in
it is dropped again, so that the same restore may be made again; what somebody else made meanwhile
under one of our names is not.
"""

from __future__ import annotations

import contextlib
import itertools
import typing as t

from .._core.errors import GranaryError, RestoreFailed, TargetNotEmpty
from .._core.units import quoted
from .._postgres import layout
from .._postgres.connection import connect
from .._postgres.session import execute, prepare_restore_session, session_text
from .._postgres.target import read_relations
from .database_making import claimed
from .renamed_tables import restore_renamed
from .restore_database import load_database, prove_rows

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .._postgres.archive import TocEntry
    from .._postgres.connection import Connection
    from .renamed_tables import RenamedTable, TableKey
    from .restore_database import RestoreContext
    from .restore_plan import DatabasePlan

# For sessions that work on with our tables, those of a killed pg_restore among them.
_DROP_PATIENCE_SECONDS = 60
_RELATIONS = ("TABLE", "FOREIGN TABLE", "SEQUENCE")


class _Made:
    """What this restore made in somebody's database, in the words of DROP."""

    def __init__(self) -> None:
        self.schemas: list[str] = []
        self.tables: set[TableKey] = set()
        self.sequences: set[TableKey] = set()

    def add(self, relations: Iterable[TocEntry]) -> None:
        """Take note of entries of schema.dump."""
        for entry in relations:
            (self.sequences if entry.desc == "SEQUENCE" else self.tables).add(entry.table)

    def drop(self, conn: Connection) -> None:
        """Drop it."""
        text = session_text(conn)
        for kind, names in ((b"TABLE", self.tables), (b"SEQUENCE", self.sequences)):
            # In one statement, since foreign keys may go both ways.
            if names:
                listing = b", ".join(text.qualified(*name) for name in sorted(names))
                execute(conn, b"DROP %b IF EXISTS %b" % (kind, listing))
        for schema in self.schemas:
            execute(conn, b"DROP SCHEMA IF EXISTS " + text.identifier(schema))


def restore_into(
    context: RestoreContext,
    plan: DatabasePlan,
    renamed: Sequence[RenamedTable],
    schemas: Sequence[str],
) -> None:
    """Restore the plan's tables under their names, and others under new ones; prove their rows.

    Raises as ``restore_database``, after everything that was made was dropped again.
    """
    made = _Made()
    relations = _relations(context, plan)
    with claimed(context, plan.target):
        _refuse_taken(context, plan, renamed, relations)
        try:
            make_schemas(context, plan, schemas, made.schemas)
            if relations:
                _load(context, plan, relations, made)
            restore_renamed(context, plan, renamed, made.tables)
        except GranaryError:
            _drop_again(context, plan, made)
            raise


def _relations(context: RestoreContext, plan: DatabasePlan) -> list[TocEntry]:
    """Return the selected tables and their sequences, in the order in which they are made."""
    if plan.selection is None:
        return []
    toc = context.source.read_toc(layout.schema_dump(plan.source.name))
    chosen = plan.selection.schema
    return [entry for entry in toc.of(*_RELATIONS) if entry.dump_id in chosen]


def _refuse_taken(
    context: RestoreContext,
    plan: DatabasePlan,
    renamed: Sequence[RenamedTable],
    relations: Sequence[TocEntry],
) -> None:
    """Look again for relations in the way: the plan may be old by now."""
    wanted = {table.target for table in renamed} | {entry.table for entry in relations}
    with contextlib.closing(connect(context.settings, plan.target)) as conn:
        there = read_relations(conn)[1] & wanted
    if there:
        raise TargetNotEmpty(
            f"Database {plan.target!r} has {quoted('.'.join(name) for name in there)} already; "
            "drop that, or give new names by rename_tables."
        )


def _load(
    context: RestoreContext, plan: DatabasePlan, relations: Sequence[TocEntry], made: _Made
) -> None:
    try:
        load_database(context, plan)
        prove_rows(context, plan)
    except RestoreFailed as exc:
        # What pg_restore could not make is not ours, nor is what would have come after it.
        refused = exc.details.get("refused")
        made.add(itertools.takewhile(lambda entry: _first_line(entry) != refused, relations))
        raise
    except GranaryError:
        made.add(relations)
        raise
    made.add(relations)


def _first_line(entry: TocEntry) -> str:
    return entry.defn.partition("\n")[0]


def make_schemas(
    context: RestoreContext, plan: DatabasePlan, schemas: Iterable[str], made: list[str]
) -> None:
    """Make schemas in the target of a plan, and add each to ``made``."""
    with contextlib.closing(connect(context.settings, plan.target)) as conn:
        there = read_relations(conn)[0]
        # From here on names go out as pg_restore sends them.
        prepare_restore_session(conn, plan.source.definition.encoding)
        text = session_text(conn)
        for schema in schemas:
            if schema not in there:
                statement = b"CREATE SCHEMA " + text.identifier(schema)
                execute(conn, statement, f"Could not make schema {schema!r}")
                made.append(schema)


def _drop_again(context: RestoreContext, plan: DatabasePlan, made: _Made) -> None:
    """Drop what was made, as far as that can be; say what is left."""
    try:
        with contextlib.closing(connect(context.settings, plan.target)) as conn:
            prepare_restore_session(conn, plan.source.definition.encoding)
            execute(conn, f"SET lock_timeout = '{_DROP_PATIENCE_SECONDS}s'")
            made.drop(conn)
    except GranaryError as exc:
        context.events.warn(
            f"Not all that this restore made in {plan.target!r} could be dropped again: "
            f"{exc.message}"
        )
