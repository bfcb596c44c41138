# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""One database from a snapshot into a server: made, marked, loaded in parallel, proved, unmarked.

The mark stays on a database whose restore did not come to its end.
"""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
import typing as t

from .._core.errors import GranaryError, VerifyFailed
from .._core.units import MIB
from .._postgres import layout
from .._postgres.archive import read_toc
from .._postgres.connection import connect, connect_server
from .._postgres.database_definition import read_definition
from .._postgres.load_programs import Loader, load_post_data, load_pre_data
from .._postgres.session import prepare_restore_session
from .._postgres.target import read_tables
from .database_making import claimed, finish_database, make_database, not_whole
from .pace import Pace
from .restore_source import load_units
from .restore_worker import (
    Analyze,
    CloseTarget,
    CountRows,
    LoadArchive,
    LoadRows,
    OpenTarget,
    in_turns,
    run_all,
    run_everywhere,
)

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from .._core.events import Events
    from .._postgres.archive import ArchiveToc
    from .._postgres.connection import Connection
    from .._postgres.manifest import DatabaseDefinition, DatabaseEntry, TableEntry
    from .._postgres.model import ConnectionSettings, ServerFacts
    from .._postgres.programs import Program
    from .requests import RestoreRequest
    from .restore_plan import DatabasePlan
    from .restore_snapshot import Source
    from .restore_worker import Task
    from .worker_pool import WorkerPool

# Small enough that all workers end at about the same time, large enough that a COPY is worth it.
UNIT_BYTES = 16 * MIB


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RestoreContext:
    """What every step of a restore needs; ``pg_restore`` is the program that reads the archives."""

    request: RestoreRequest
    source: Source
    facts: ServerFacts
    pg_restore: Program
    pool: WorkerPool
    events: Events

    @property
    def settings(self) -> ConnectionSettings:
        """How to reach the server."""
        return self.request.connection

    def loader(self, database: str) -> Loader:
        """Return how pg_restore is called for one database."""
        return Loader(
            program=self.pg_restore,
            settings=self.settings,
            database=database,
            target_major=self.facts.major,
            no_owner=self.request.no_owner,
            no_privileges=self.request.no_privileges,
            no_tablespaces=self.request.no_tablespaces,
        )

    def maintenance(self, target: str) -> Connection:
        """Connect to a database from which ``target`` can be dropped."""
        return connect_server(self.settings, besides=target)


def restore_database(
    context: RestoreContext,
    plan: DatabasePlan,
    besides: Callable[[], None] = lambda: None,
) -> None:
    """Restore one whole database and prove the number of rows of every table.

    ``besides`` is called while the database still carries the mark. Raises ``RestoreFailed``,
    ``VerifyFailed`` or what the server and the repository raise; the mark then stays.
    """
    with claimed(context, plan.target):
        make_database(context, plan)
        context.events.progress("database_begun", database=plan.target)
        try:
            load_database(context, plan)
            prove_rows(context, plan)
            besides()
            finish_database(context, plan)
        except GranaryError:
            context.events.warn(not_whole(plan.target))
            raise
        context.events.progress("database_restored", database=plan.target)


def load_database(context: RestoreContext, plan: DatabasePlan) -> None:
    """Load what the plan names into its target, which is there: definitions, rows, definitions."""
    database, loader = plan.source, context.loader(plan.target)
    with tempfile.TemporaryFile(prefix="granary-") as archive:
        archive.writelines(context.source.files.stream(layout.schema_dump(database.name)))
        archive.seek(0)
        left_out = _keys_left_out(context, plan, read_toc(archive.read))
        only = plan.selection.schema if plan.selection else None
        _warn(context, load_pre_data(loader, archive, only=only))
        context.events.progress("definitions_loaded", database=plan.target)
        load_rows(context, plan, loader)
        context.events.progress("rows_loaded", database=plan.target)
        jobs = len(context.pool)
        _warn(context, load_post_data(loader, archive, jobs=jobs, only=only, leave_out=left_out))
        context.events.progress("database_loaded", database=plan.target)


def _keys_left_out(
    context: RestoreContext, plan: DatabasePlan, schema: ArchiveToc
) -> frozenset[int]:
    """Return what is left out of the definitions since the rows that it refers to were not backed
    up, and say which foreign keys these are."""
    left_out = frozenset(plan.source.excluded_keys)
    chosen = left_out if plan.selection is None else left_out & plan.selection.schema
    keys = [key for key in schema.of("FK CONSTRAINT") if key.dump_id in chosen]
    if keys:
        names = ", ".join(sorted(f"{key.namespace}.{key.tag}" for key in keys))
        context.events.warn(
            f"Left out of database {plan.source.name!r}, since the rows that they refer to were "
            f"not backed up: foreign keys {names}."
        )
    return left_out


def _warn(context: RestoreContext, warnings: Iterable[str]) -> None:
    for warning in warnings:
        context.events.warn(warning)


def load_rows(context: RestoreContext, plan: DatabasePlan, loader: Loader) -> None:
    """Load the rows of the plan's tables on all workers."""
    database, files = plan.source, context.source.files
    with contextlib.closing(connect(context.settings, plan.target)) as conn:
        here = read_definition(conn, plan.target)
    encoding = database.definition.encoding
    run_everywhere(context.pool, OpenTarget(database=plan.target, encoding=encoding))
    data = files[layout.data_dump(database.name)]
    entries = plan.selection.data if plan.selection else None
    archive = LoadArchive(loader=loader, ids=data.ids, entries=entries)
    through_root = routes_differ(database.definition, here)
    rows = in_turns(
        [*table_tasks(table, files.table_ids(database.name, table), through_root=through_root)]
        for table in sorted(database.tables, key=lambda table: table.size, reverse=True)
        if table.taken_over
    )
    run_all(context.pool, [archive, *rows], _told_rows(context, plan))
    run_everywhere(context.pool, CloseTarget())


def _told_rows(context: RestoreContext, plan: DatabasePlan) -> Callable[[Task, object], None]:
    """Return what takes the answers to tasks, and says now and then how many rows are loaded."""
    pace, loaded = Pace(), 0
    expected = sum(table.rows or 0 for table in plan.source.tables if table.taken_over)

    def take(task: Task, dummy_answer: object) -> None:
        nonlocal loaded
        loaded += task.rows if isinstance(task, LoadRows) else 0
        if pace.due():
            context.events.progress(
                "rows_coming", database=plan.target, rows=loaded, of_rows=expected
            )

    return take


def table_tasks(table: TableEntry, ids: bytes, *, through_root: bool) -> Iterator[LoadRows]:
    """Yield what loads one table that was taken over, into itself or through its partition root."""
    place = table.root if table.root and (through_root or table.root.hashed) else table
    for unit in load_units(table, ids, UNIT_BYTES):
        yield LoadRows(
            schema=place.schema,
            name=place.name,
            columns=table.columns,
            ids=unit.ids,
            rows=unit.rows,
        )


def routes_differ(source: DatabaseDefinition, target: DatabaseDefinition) -> bool:
    """Tell whether a row may belong to another partition in the target than in the source.

    Bounds of text are ordered by the locale, and hashes of text depend on the encoding.
    """

    def order(definition: DatabaseDefinition) -> tuple[str | None, ...]:
        return (
            definition.encoding,
            definition.locale_provider,
            definition.collate,
            definition.ctype,
            definition.locale,
            definition.icu_rules,
            definition.collation_version,
        )

    return order(source) != order(target)


def prove_rows(context: RestoreContext, plan: DatabasePlan) -> None:
    """Count the rows of every table of the plan, and collect the planner's statistics.

    Raises ``VerifyFailed`` naming the first table that holds another number than was backed up.
    """
    database = plan.source
    encoding = database.definition.encoding
    with contextlib.closing(connect(context.settings, plan.target)) as conn:
        # Names in an SQL_ASCII database may be of no encoding at all.
        prepare_restore_session(conn, encoding)
        tables = read_tables(conn)
    if plan.selection is not None:
        tables = [table for table in tables if table in plan.selection.tables]
    counts = expected_counts(database)
    tasks: list[Task] = [*counts, *(Analyze(schema=schema, name=name) for schema, name in tables)]
    run_everywhere(context.pool, OpenTarget(database=plan.target, encoding=encoding))

    def compare(task: Task, answer: object) -> None:
        if isinstance(task, CountRows) and answer != counts[task]:
            raise VerifyFailed(
                f"Table {task.schema}.{task.name} of database {plan.target!r} holds {answer} rows "
                f"where {counts[task]} were backed up; the restore is not whole."
            )

    run_all(context.pool, tasks, compare)
    run_everywhere(context.pool, CloseTarget())


def expected_counts(database: DatabaseEntry) -> dict[CountRows, int]:
    """Return how many rows to find where: in each table alone, and for partitions in their root.

    Rows may have moved between the partitions of one root; their sum may not change. A root with a
    partition that nobody counted is left out.
    """
    counts: dict[CountRows, int] = {}
    unknown: set[CountRows] = set()
    for table in database.tables:
        place = table.root or table
        count = CountRows(schema=place.schema, name=place.name, only=table.root is None)
        if table.rows is None:
            unknown.add(count)
        counts[count] = counts.get(count, 0) + (table.rows or 0)
    return {count: rows for count, rows in counts.items() if count not in unknown}
