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
import itertools
import time
import typing as t

from .._core.errors import PostgresError, TableLocksRefused
from .._core.events import SilentEvents
from .._core.units import plural
from . import queries
from .catalog import list_table_files, list_tables
from .connection import APPLICATION_NAME, connect
from .server import read_lsn
from .session import execute, fetch, prepare_dump_session, rollback, session_text

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from psycopg2.extensions import connection as Connection

    from .._core.events import Events
    from .model import ConnectionSettings, Table, TableFile

LOCK_TIMEOUT_SECONDS = 60
LOCK_ATTEMPTS = 10
_NAMES_PER_STATEMENT = 500
_LOCK_NOT_AVAILABLE = "55P03"
# A listed table that is gone, or whose schema is, by the time of its LOCK.
_GONE = frozenset({"42P01", "3F000", "42704", "42809", "XX000"})
_SHOWN_SESSIONS = 5
# A size is read of a table that we hold; only its TOAST's index can be locked by others, for the
# time of a REINDEX.
_LISTING_TIMEOUT = "10s"


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
    """Why an attempt is over; ``blocked`` is the table to wait for, if its lock was not free."""

    reason: str
    blocked: TableFile | None = None


def acquire_table_locks(
    settings: ConnectionSettings,
    dbname: str,
    *,
    application_name: str = APPLICATION_NAME,
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
        if outcome.blocked is not None:
            _wait_for(conn, outcome.blocked, lock_timeout_seconds)


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
    tables = _list_within(conn)
    if tables is None:
        return _StartAgain("the size of a table could not be read for a lock on its TOAST")
    return LockedDatabase(
        connection=conn, snapshot_id=snapshot_id, lsn=read_lsn(conn), tables=tuple(tables)
    )


def _list_within(conn: Connection) -> list[Table] | None:
    execute(conn, f"SET LOCAL lock_timeout = '{_LISTING_TIMEOUT}'")
    try:
        tables = list_tables(conn)
    except TableLocksRefused:
        return None
    execute(conn, "SET LOCAL lock_timeout = 0")
    return tables


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
    for start in range(0, len(tables), _NAMES_PER_STATEMENT):
        chunk = tables[start : start + _NAMES_PER_STATEMENT]
        try:
            execute(conn, _lock_statement(conn, chunk, nowait=True), "Could not lock tables")
        except PostgresError as exc:
            sqlstate = exc.details.get("sqlstate")
            if sqlstate in _GONE:
                return _StartAgain("a table was dropped or renamed meanwhile")
            if sqlstate != _LOCK_NOT_AVAILABLE:
                raise
            rollback(conn)
            blocked = _blocked_among(conn, chunk)
            return _StartAgain(f"{blocked or 'a table'} was locked by others", blocked)
    return None


def _lock_statement(
    conn: Connection, tables: Iterable[TableFile | Table], *, nowait: bool
) -> bytes:
    # ONLY: children and partitions are in the list by themselves.
    text = session_text(conn)
    names = b", ".join(b"ONLY " + text.qualified(table.schema, table.name) for table in tables)
    return b"LOCK TABLE " + names + b" IN ACCESS SHARE MODE" + (b" NOWAIT" if nowait else b"")


def _blocked_among(conn: Connection, tables: Sequence[TableFile]) -> TableFile | None:
    """Find which table it was; ``None`` when its lock has been given up already."""
    by_oid = {table.oid: table for table in tables}
    rows = fetch(conn, queries.EXCLUSIVELY_LOCKED, "Could not look at the table locks")
    return next((by_oid[oid] for (oid,) in rows if oid in by_oid), None)


def _wait_for(conn: Connection, table: TableFile, lock_timeout_seconds: float) -> None:
    """Wait until nobody locks ``table`` against us, in a transaction that holds nothing else."""
    execute(conn, "BEGIN")
    try:
        execute(conn, f"SET LOCAL lock_timeout = '{max(1, round(lock_timeout_seconds * 1000))}ms'")
        execute(conn, _lock_statement(conn, [table], nowait=False), f"Could not lock table {table}")
    except PostgresError as exc:
        sqlstate = exc.details.get("sqlstate")
        if sqlstate in _GONE:
            return
        if sqlstate == _LOCK_NOT_AVAILABLE:
            rollback(conn)
            raise TableLocksRefused(
                f"Table {table} stayed locked for {lock_timeout_seconds:g} s "
                f"{_holders(conn, table)}; wait for that session or end it, or raise lock_timeout.",
                table=str(table),
            ) from exc
        raise
    finally:
        rollback(conn)


def _holders(conn: Connection, table: TableFile) -> str:
    sql = queries.LOCK_HOLDERS.format(oid=table.oid)
    rows = fetch(conn, sql, "Could not look at the table locks")
    if not rows:
        return "by a session that has gone meanwhile"
    return "by " + "; ".join(_session_shown(*row) for row in rows[:_SHOWN_SESSIONS])


def _session_shown(pid: int | None, waits: bool, *facts: str | None) -> str:
    if pid is None:
        return "a prepared transaction"
    application, role, state, query = (" ".join((fact or "unknown").split()) for fact in facts)
    waiting = ", waiting itself" if waits else ""
    return f"pid {pid} (application {application}, role {role}, {state}{waiting}: {query})"


def join_snapshot(conn: Connection, snapshot_id: str) -> None:
    """Begin a worker's transaction on the exported snapshot, while the coordinator's is open."""
    execute(conn, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    text = session_text(conn)
    execute(
        conn,
        b"SET TRANSACTION SNAPSHOT " + text.literal(snapshot_id),
        "Could not take up the exported snapshot",
    )


def lock_tables(conn: Connection, tables: Iterable[Table]) -> None:
    """Lock a worker's tables inside its transaction, all before it reads a row; wait for nobody.

    Raises ``TableLocksRefused`` when one is not free (somebody's DDL queues behind the
    coordinator): the whole attempt, the coordinator's included, must then be given up and begun
    again.
    """
    rest = iter(tables)
    while chunk := tuple(itertools.islice(rest, _NAMES_PER_STATEMENT)):
        execute(
            conn, _lock_statement(conn, chunk, nowait=True), "Could not lock tables in a worker"
        )
