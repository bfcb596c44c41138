# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""Table locks of a backup: taken before the snapshot, never waited for while one is held.

A snapshot taken before the locks would miss rows: after a rewrite or TRUNCATE in between, old
snapshots read an empty table without any error. And whoever waits for a lock while holding others
can hang with an application for ever. So locks are asked for with NOWAIT, and what cannot be had at
once is waited for with empty hands.
"""

from __future__ import annotations

import dataclasses
import time
import typing as t

from .._core.errors import PostgresError, TableLocksRefused
from .._core.events import SilentEvents
from .._core.units import plural
from .catalog import list_table_files, list_tables
from .connection import connect
from .relation_wait import LOCK_NOT_AVAILABLE, Obstacle, await_relation, find_obstacle
from .server import read_lsn
from .session import execute, fetch, prepare_dump_session, rollback, session_text

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from psycopg2.extensions import connection as Connection

    from .._core.events import Events
    from .model import ConnectionSettings, Table, TableFile

LOCK_TIMEOUT_SECONDS = 60
LOCK_ATTEMPTS = 10
_NAMES_PER_STATEMENT = 500
# A listed table that is gone, or whose schema is, by the time of its LOCK.
_GONE = frozenset({"42P01", "3F000", "42704", "42809", "XX000"})
# Statements that take locks by the way know no NOWAIT; this is the shortest wait there is.
_AT_ONCE = "SET LOCAL lock_timeout = '1ms'"
# While rows are read only what is not locked beforehand can be in the way: TOAST, a new index.
_NOT_FOR_EVER = "SET LOCAL lock_timeout = '60s'"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LockedDatabase:
    """A database whose tables are locked and whose snapshot is exported while ``connection`` lives.

    The connection is inside its transaction, which the caller ends; it must stay open until every
    worker and every pg_dump has taken the snapshot and its own table locks. ``tables`` is the
    catalog as the snapshot sees it.
    """

    connection: Connection
    snapshot_id: str
    lsn: str
    tables: tuple[Table, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class _StartAgain:
    """Why an attempt is over; ``obstacle`` is to be waited for, if a lock was not free."""

    reason: str
    obstacle: Obstacle | None = None


def acquire_table_locks(
    settings: ConnectionSettings,
    dbname: str,
    *,
    application_name: str | None = None,
    lock_timeout_seconds: float = LOCK_TIMEOUT_SECONDS,
    attempts: int = LOCK_ATTEMPTS,
    events: Events | None = None,
) -> LockedDatabase:
    """Lock every table of ``dbname`` in ACCESS SHARE mode, then take and export a snapshot.

    An attempt begins anew when a lock is not free (after waiting for that one table, holding
    nothing), or when a table appeared, vanished or got another file between the listing and the
    snapshot.

    Raises ``TableLocksRefused`` when one table stays locked for ``lock_timeout_seconds`` (it names
    the table and who holds it), or when both ``attempts`` attempts and that time were not enough.
    """
    conn = connect(settings, dbname, application_name=application_name)
    try:
        prepare_dump_session(conn)
        return _attempt_until_locked(
            conn, dbname, lock_timeout_seconds, attempts, events or SilentEvents()
        )
    except BaseException:
        conn.close()
        raise


def _attempt_until_locked(
    conn: Connection,
    dbname: str,
    lock_timeout_seconds: float,
    attempts: int,
    events: Events,
) -> LockedDatabase:
    deadline = time.monotonic() + lock_timeout_seconds
    attempt = 0
    while True:
        outcome = _attempt(conn)
        if isinstance(outcome, LockedDatabase):
            return outcome
        rollback(conn)
        attempt += 1
        events.progress("table_locks_retry", attempt=attempt, reason=outcome.reason)
        # An attempt that waits for nothing takes milliseconds: their number alone is no patience.
        if attempt >= attempts and time.monotonic() >= deadline:
            raise TableLocksRefused(
                f"Could not lock the tables of database {dbname!r} in "
                f"{plural(attempt, 'attempt')}, the last time because {outcome.reason}; run the "
                "backup when fewer tables are altered, created or dropped.",
                database=dbname,
            )
        if outcome.obstacle is not None:
            await_relation(conn, outcome.obstacle, lock_timeout_seconds=lock_timeout_seconds)


def _attempt(conn: Connection) -> LockedDatabase | _StartAgain:
    listed = list_table_files(conn)
    execute(conn, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    refused = _lock_all(conn, list(listed.values()))
    if refused is not None:
        return refused
    # The first query: from here on the snapshot stands, and every table that it shows is locked, or
    # it is not ours.
    snapshot_id = str(
        fetch(conn, "SELECT pg_export_snapshot()", "Could not export a snapshot")[0][0]
    )
    change = _first_change(listed, list_table_files(conn))
    if change is not None:
        return _StartAgain(change)
    try:
        tables = _list_at_once(conn)
    except TableLocksRefused:
        return _refused(conn, listed.values())
    return LockedDatabase(
        connection=conn, snapshot_id=snapshot_id, lsn=read_lsn(conn), tables=tuple(tables)
    )


def _list_at_once(conn: Connection) -> list[Table]:
    # A size is read of a table that we hold; the index of its TOAST can be locked by a REINDEX.
    execute(conn, _AT_ONCE)
    tables = list_tables(conn)
    execute(conn, _NOT_FOR_EVER)
    return tables


def _refused(conn: Connection, tables: Iterable[TableFile]) -> _StartAgain:
    rollback(conn)
    obstacle = find_obstacle(conn, tables)
    what = obstacle.name if obstacle else "a table"
    return _StartAgain(f"{what} was locked by others", obstacle)


def _first_change(before: Mapping[int, TableFile], now: Mapping[int, TableFile]) -> str | None:
    for oid, table in now.items():
        listed = before.get(oid)
        if listed is None:
            return f"table {table} was created meanwhile"
        if listed.file_node != table.file_node:
            return f"table {table} was rewritten meanwhile"
        if (listed.schema, listed.name) != (table.schema, table.name):
            return f"table {listed} was renamed meanwhile"
    for oid, table in before.items():
        if oid not in now:
            return f"table {table} was dropped meanwhile"
    return None


def _lock_all(conn: Connection, tables: Sequence[TableFile]) -> _StartAgain | None:
    for chunk in _chunks(tables):
        try:
            execute(conn, _lock_statement(conn, chunk), "Could not lock tables")
        except PostgresError as exc:
            sqlstate = exc.details.get("sqlstate")
            if sqlstate in _GONE:
                return _StartAgain("a table was dropped or renamed meanwhile")
            if sqlstate != LOCK_NOT_AVAILABLE:
                raise
            return _refused(conn, chunk)
    return None


def _lock_statement(conn: Connection, tables: Iterable[TableFile | Table]) -> bytes:
    # ONLY: children and partitions are in the list by themselves.
    text = session_text(conn)
    names = b", ".join(b"ONLY " + text.qualified(table.schema, table.name) for table in tables)
    return b"LOCK TABLE " + names + b" IN ACCESS SHARE MODE NOWAIT"


def join_snapshot(conn: Connection, snapshot_id: str) -> None:
    """Begin a worker's transaction on the exported snapshot, while the coordinator's is open."""
    execute(conn, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    text = session_text(conn)
    execute(
        conn,
        b"SET TRANSACTION SNAPSHOT " + text.literal(snapshot_id),
        "Could not take up the exported snapshot",
    )


def lock_tables(conn: Connection, tables: Sequence[Table]) -> None:
    """Lock a worker's tables inside its transaction, all before it reads a row; wait for nobody.

    Raises ``TableLocksRefused`` when one is not free (somebody's DDL queues behind the
    coordinator): the whole attempt, the coordinator's included, must then be given up and begun
    again.
    """
    for chunk in _chunks(tables):
        execute(conn, _lock_statement(conn, chunk), "Could not lock tables in a worker")
    lock_indexes(conn, tables)


def lock_indexes(conn: Connection, tables: Sequence[Table]) -> None:
    """Lock the indexes of tables whose rows the session will query; wait for nobody.

    A query locks every index of its table when it is planned (optimizer/util/plancat.c), and keeps
    the locks. A worker that planned its first query late would wait for a REINDEX that waits for
    another worker, for ever; so all plan one beforehand.

    Raises ``TableLocksRefused``, see ``lock_tables``.
    """
    text = session_text(conn)
    execute(conn, _AT_ONCE)
    for chunk in _chunks([table for table in tables if table.index_count]):
        plans = [
            b"EXPLAIN SELECT FROM ONLY " + text.qualified(table.schema, table.name)
            for table in chunk
        ]
        execute(conn, b"; ".join(plans), "Could not lock indexes")
    execute(conn, _NOT_FOR_EVER)


T = t.TypeVar("T")


def _chunks(tables: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(tables), _NAMES_PER_STATEMENT):
        yield tables[start : start + _NAMES_PER_STATEMENT]
