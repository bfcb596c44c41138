# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who waits for whose lock, looked at all the time while backups run."""

from __future__ import annotations

import threading
import time
import typing as t
from dataclasses import dataclass, field

if t.TYPE_CHECKING:
    import psycopg2.extensions

_LOOK_SECONDS = 0.04

# Every session that waits for a lock: is it ours, does it hold a table lock, and is one of ours
# that holds one in its way? pg_locks is read once, or a lock could be given between two readings.
_WAITS = """
WITH locks AS MATERIALIZED (SELECT * FROM pg_locks),
     ours AS MATERIALIZED (SELECT pid FROM pg_stat_activity WHERE application_name LIKE %(ours)s),
     holders AS (SELECT DISTINCT l.pid FROM locks l JOIN ours USING (pid)
                  WHERE l.granted AND l.locktype = 'relation' AND l.relation >= 16384)
SELECT DISTINCT w.pid, w.pid IN (SELECT pid FROM ours), w.pid IN (SELECT pid FROM holders),
       pg_blocking_pids(w.pid) && ARRAY(SELECT pid FROM holders),
       coalesce(w.relation::regclass::text, w.locktype)
  FROM locks w WHERE NOT w.granted"""


@dataclass(slots=True)
class WaitReport:
    """Longest times in seconds.

    `behind_us`: somebody waited for a table lock of ours. `holding`: we waited for a lock, with
    table locks in our hands. `both`: both at once. `wanted`: what we waited for, with locks in
    our hands.
    """

    looks: int = 0
    behind_us: float = 0.0
    holding: float = 0.0
    both: float = 0.0
    wanted: set[str] = field(default_factory=set)


class LockWatch(threading.Thread):
    """Looks at the locks 25 times a second; owns `conn`."""

    def __init__(self, conn: psycopg2.extensions.connection, ours: str) -> None:
        """Take as ours the sessions whose application_name is LIKE `ours`."""
        super().__init__(name="lock-watch", daemon=True)
        self._conn = conn
        self._ours = ours
        self._done = threading.Event()
        self._report = WaitReport()

    def run(self) -> None:
        """Look until `finish` is called."""
        since: dict[object, float] = {}
        with self._conn.cursor() as cursor:
            while not self._done.wait(_LOOK_SECONDS):
                cursor.execute(_WAITS, {"ours": self._ours})
                since = self._note(cursor.fetchall(), since)

    def _note(
        self, rows: list[tuple[t.Any, ...]], since: dict[object, float]
    ) -> dict[object, float]:
        now = time.monotonic()
        behind = {
            ("behind", pid) for pid, ours, holds, blocked, what in rows if blocked and not ours
        }
        holding = {("holding", pid, what) for pid, ours, holds, blocked, what in rows if holds}
        both = {"both"} if behind and holding else set()
        since = {key: since.get(key, now) for key in (*behind, *holding, *both)}
        longest = self._report
        longest.looks += 1
        longest.behind_us = max([longest.behind_us, *(now - since[key] for key in behind)])
        longest.holding = max([longest.holding, *(now - since[key] for key in holding)])
        longest.both = max([longest.both, *(now - since[key] for key in both)])
        longest.wanted |= {what for dummy, dummy_pid, what in holding}
        return since

    def finish(self) -> WaitReport:
        """Stop, and say what was seen."""
        self._done.set()
        self.join()
        self._conn.close()
        return self._report
