# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""Who waits behind a backup's table locks, and for how long."""

from __future__ import annotations

import time
import typing as t

from . import queries
from .connection import PROGRAM_SUFFIX
from .session import execute, fetch, session_text

if t.TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection

_WAIT_START_SINCE = 140000


class LockQueue:
    """Watches who waits behind the table locks of all sessions that have our application name, and
    of our client programs.

    It asks by a connection of its own or by the coordinator's idle one. Where the server does not
    say since when a session waits (before 14, and its query's start is not ours to see), it counts
    from when it was seen first.
    """

    def __init__(self, conn: Connection, application_name: str) -> None:
        self._conn = conn
        since = "l.waitstart" if conn.server_version >= _WAIT_START_SINCE else "a.query_start"
        text = session_text(conn)
        waited = f"extract(epoch FROM clock_timestamp() - min({since}))::float8"
        self._sql = queries.WAITERS.encode() % {
            b"waited": waited.encode(),
            b"names": b", ".join(
                text.literal(name)
                for name in (application_name, f"{application_name}{PROGRAM_SUFFIX}")
            ),
        }
        self._first_seen: dict[int, float] = {}

    def longest_wait_seconds(self) -> float:
        """Return how long somebody has waited for one of our sessions; 0 when nobody does."""
        # Inside a transaction the statistics views show what they showed first.
        execute(self._conn, "SELECT pg_stat_clear_snapshot()")
        now = time.monotonic()
        waits: dict[int, float | None] = dict(
            fetch(self._conn, self._sql, "Could not look at the table locks")
        )
        self._first_seen = {pid: self._first_seen.get(pid, now) for pid in waits}
        return max(
            (max(since or 0.0, now - self._first_seen[pid]) for pid, since in waits.items()),
            default=0.0,
        )
