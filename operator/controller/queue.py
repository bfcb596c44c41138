# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The one queue of the operator: keys, each at most once, each with at most one worker at a time.

A key that is added while it is worked on is worked on again afterwards. Nothing about objects is
kept here, so that losing the queue loses nothing but time.
"""

from __future__ import annotations

import heapq
import threading
import time
import typing as t

if t.TYPE_CHECKING:
    from collections.abc import Hashable

K = t.TypeVar("K", bound="Hashable")

FIRST_BACKOFF_S = 0.5
LONGEST_BACKOFF_S = 300.0


class KeyedQueue(t.Generic[K]):
    """A queue of keys with due times. Safe for several threads."""

    def __init__(self, *, first_backoff_s: float = FIRST_BACKOFF_S) -> None:
        self._changed = threading.Condition()
        self._due: dict[K, float] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._order = 0
        self._busy: dict[K, float] = {}
        self._failures: dict[K, int] = {}
        self._first_backoff_s = first_backoff_s
        self._closed = False

    def add(self, key: K, delay: float = 0.0) -> None:
        """See that ``key`` is worked on in ``delay`` seconds, or earlier if it is due earlier."""
        with self._changed:
            due = time.monotonic() + max(0.0, delay)
            if key in self._due and self._due[key] <= due:
                return
            self._due[key] = due
            self._order += 1
            heapq.heappush(self._heap, (due, self._order, key))
            self._changed.notify()

    def add_failed(self, key: K) -> float:
        """See that ``key`` is worked on again, later with each failure; returns the delay.

        A later ``add`` without delay comes first: whoever changed the object may have mended it.
        """
        with self._changed:
            failures = self._failures[key] = self._failures.get(key, 0) + 1
        delay = min(self._first_backoff_s * 2.0 ** min(failures - 1, 32), LONGEST_BACKOFF_S)
        self.add(key, delay)
        return delay

    def forget(self, key: K) -> None:
        """Take back what ``add_failed`` noted: the next failure is a first one again."""
        with self._changed:
            self._failures.pop(key, None)

    def take(self) -> K | None:
        """Wait for a key that is due and that nobody works on; None once the queue is closed.

        The caller works on it alone until it calls ``done``.
        """
        with self._changed:
            while not self._closed:
                key, wait = self._first()
                if key is not None:
                    del self._due[key]
                    self._busy[key] = time.monotonic()
                    return key
                self._changed.wait(wait)
            return None

    def done(self, key: K) -> None:
        """Say that ``key`` is not worked on any more."""
        with self._changed:
            del self._busy[key]
            if key in self._due:
                # Its entry was dropped from the heap when it came up while it was worked on.
                self._order += 1
                heapq.heappush(self._heap, (self._due[key], self._order, key))
            self._changed.notify_all()

    def close(self) -> None:
        """Give no keys any more; those who wait are let go."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def longest_work_s(self) -> float:
        """Return for how many seconds the oldest work of now has been going on; 0 if none is."""
        with self._changed:
            return time.monotonic() - min(self._busy.values()) if self._busy else 0.0

    def is_idle(self) -> bool:
        """Whether nothing is worked on and nothing is due now."""
        with self._changed:
            now = time.monotonic()
            return not self._busy and not any(due <= now for due in self._due.values())

    def _first(self) -> tuple[K | None, float | None]:
        """Return the first key that may be worked on, or how long nothing can be."""
        now = time.monotonic()
        while self._heap:
            due, dummy, key = self._heap[0]
            if self._due.get(key) != due or key in self._busy:
                heapq.heappop(self._heap)  # moved to another time, or put in again by done()
            elif due > now:
                return None, due - now
            else:
                heapq.heappop(self._heap)
                return key, None
        return None, None
