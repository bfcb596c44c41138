# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""The one place where a backup's coordinator waits: for its workers, its programs, and the clock.

While it waits it keeps the index of what workers stored, and looks after everything that may end
the run.
"""

from __future__ import annotations

import time
import typing as t

from .work_units import PackStored

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from .._repository.index_file import IndexWriter
    from .._repository.locks import RepositoryLock
    from .worker_pool import WorkerPool

LOOK_SECONDS = 1.0


class Coordinator:
    """Workers, index and the chores between two messages."""

    def __init__(self, pool: WorkerPool, index: IndexWriter, lock: RepositoryLock) -> None:
        self.pool = pool
        self._index = index
        self._lock = lock
        self._chores: list[Callable[[], None]] = [lock.check]
        self._next_chores = 0.0

    def add_chore(self, chore: Callable[[], None]) -> None:
        """Call ``chore`` about once a second from now on; what it raises ends the wait."""
        self._chores.append(chore)

    def remove_chore(self, chore: Callable[[], None]) -> None:
        """Call ``chore`` no more."""
        self._chores.remove(chore)

    def receive(
        self, descriptors: Iterable[int] = (), seconds: float = LOOK_SECONDS
    ) -> tuple[list[tuple[int, object]], set[int]]:
        """Return what came within about ``seconds``: messages as (worker, message), readable
        descriptors.

        Packs that workers report go into the index and are not returned. Raises what a worker or a
        chore raises.
        """
        messages, ready = self.pool.receive(seconds, descriptors)
        rest = []
        for number, message in messages:
            if isinstance(message, PackStored):
                self._index.add(message.record)
            else:
                rest.append((number, message))
        self._do_chores()
        return rest, ready

    def _do_chores(self) -> None:
        now = time.monotonic()
        if now < self._next_chores:
            return
        self._next_chores = now + LOOK_SECONDS
        for chore in self._chores:
            chore()

    def ask_all(self, question: object, answer: type[object]) -> None:
        """Send ``question`` to every worker and wait for each one's ``answer``; other messages are
        dropped.
        """
        for number in range(len(self.pool)):
            self.pool.send(number, question)
        waiting = set(range(len(self.pool)))
        while waiting:
            messages, dummy_ready = self.receive()
            waiting -= {number for number, message in messages if isinstance(message, answer)}
