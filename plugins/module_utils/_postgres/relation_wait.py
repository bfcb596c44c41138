# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""What is in the way of a backup's locks: found, waited for with empty hands, named.

Whoever waits for a lock while holding others can hang with an application for ever, or make it the
victim of a deadlock. So nothing here waits inside a transaction that holds a lock.
"""

from __future__ import annotations

import dataclasses
import time
import typing as t

from .._core.errors import PostgresError, TableLocksRefused
from . import queries
from .connection import PROGRAM_SUFFIX
from .session import execute, fetch, rollback, session_text

if t.TYPE_CHECKING:
    from collections.abc import Iterable

    from .connection import Connection
    from .model import TableFile
    from .session import Row

LOCK_NOT_AVAILABLE = "55P03"
_SHOWN_SESSIONS = 5
_END_SECONDS, _LOOK_SECONDS = 5.0, 0.01


@dataclasses.dataclass(frozen=True, slots=True)
class Obstacle:
    """A relation that somebody locks against us; ``name`` is for people, with its kind."""

    oid: int
    name: str


def find_obstacle(conn: Connection, tables: Iterable[TableFile]) -> Obstacle | None:
    """Find which table it was, or what of a table; ``None`` when that lock was given up already.

    ``conn`` is in no transaction.
    """
    by_oid = {table.oid: table for table in tables}
    for oid, owner in fetch(conn, queries.EXCLUSIVELY_LOCKED, "Could not look at the table locks"):
        if owner in by_oid:
            part = "" if oid == owner else "an index or the TOAST of "
            return Obstacle(oid, f"{part}table {by_oid[owner]}")
    return None


def await_relation(conn: Connection, obstacle: Obstacle, *, lock_timeout_seconds: float) -> None:
    """Wait until nobody locks the relation against us, holding nothing; ``conn`` is in no
    transaction.

    Raises ``TableLocksRefused`` when that takes more than ``lock_timeout_seconds``; it names the
    sessions in the way.
    """
    execute(conn, "BEGIN")
    try:
        execute(conn, f"SET LOCAL lock_timeout = '{max(1, round(lock_timeout_seconds * 1000))}ms'")
        # Locks a relation of any kind to open it, and lets go of it; one that is gone is NULL.
        sql = f"SELECT pg_catalog.pg_relation_size({obstacle.oid}::pg_catalog.oid)"
        execute(conn, sql, f"Could not lock {obstacle.name}")
    except PostgresError as exc:
        if exc.details.get("sqlstate") != LOCK_NOT_AVAILABLE:
            raise
        rollback(conn)
        name = obstacle.name[0].upper() + obstacle.name[1:]
        raise TableLocksRefused(
            f"{name} stayed locked for {lock_timeout_seconds:g} s {_holders(conn, obstacle)}; wait "
            "for that session or end it, or raise lock_timeout.",
            relation=obstacle.name,
        ) from exc
    finally:
        rollback(conn)


def _holders(conn: Connection, obstacle: Obstacle) -> str:
    sql = queries.LOCK_HOLDERS.format(oid=obstacle.oid)
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


def end_waiting_programs(conn: Connection, application_name: str) -> Obstacle | None:
    """End the sessions of our client programs that wait for a lock; return what one waited for.

    A program that waits holds other locks already. Its session must be ended, not just the program:
    a session that waits for a lock does not notice that its client is gone.
    """
    rows = _programs(conn, application_name, queries.WAITING_PROGRAMS)
    for pid, dummy_oid, dummy_name in rows:
        execute(conn, f"SELECT pg_catalog.pg_terminate_backend({pid})")
    return next((Obstacle(oid or 0, f"relation {name}") for dummy_pid, oid, name in rows), None)


def end_programs(conn: Connection, application_name: str) -> None:
    """End the sessions of our client programs, which were killed, and see them gone.

    For a run that is given up while they may still be taking locks: what ``conn`` locks keeps them
    and an application from waiting for each other, so it must be let go of after them.
    """
    deadline = time.monotonic() + _END_SECONDS
    while rows := _programs(conn, application_name, queries.PROGRAMS):
        if time.monotonic() > deadline:
            return
        for (pid,) in rows:
            execute(conn, f"SELECT pg_catalog.pg_terminate_backend({pid})")
        # Older servers than 14 cannot be asked to wait for it.
        execute(conn, f"SELECT pg_catalog.pg_sleep({_LOOK_SECONDS})")


def _programs(conn: Connection, application_name: str, query: str) -> list[Row]:
    # Inside a transaction the statistics views show what they showed first.
    execute(conn, "SELECT pg_stat_clear_snapshot()")
    literal = session_text(conn).literal(f"{application_name}{PROGRAM_SUFFIX}")
    return fetch(
        conn,
        query.encode() % {b"application_name": literal},
        "Could not look at the sessions of client programs",
    )
