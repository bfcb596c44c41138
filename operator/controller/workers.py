# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The threads that take keys from the queue and let their reconcilers move the objects a step."""

from __future__ import annotations

import concurrent.futures
import functools
import logging
import threading
import typing as t

from ansible_collections.granary.postgres.operator.controller.keys import Key
from ansible_collections.granary.postgres.plugins.module_utils._core.errors import GranaryError

if t.TYPE_CHECKING:
    from collections.abc import Callable

    from ansible_collections.granary.postgres.operator.controller.queue import KeyedQueue

_log = logging.getLogger("granary.workers")
Reconcile: t.TypeAlias = "Callable[[Key], float | None]"
Step: t.TypeAlias = "concurrent.futures.Future[float | None]"


class Workers:
    """So many threads on one queue.

    ``reconcile`` moves one object on and returns after how many seconds it wants to look at it
    again, None for not before something happens.
    """

    def __init__(self, queue: KeyedQueue[Key], reconcile: Reconcile, *, count: int) -> None:
        self._queue = queue
        self._reconcile = reconcile
        self._free = threading.Semaphore(count)
        self._pool = concurrent.futures.ThreadPoolExecutor(count, thread_name_prefix="worker")
        self._giver = threading.Thread(target=self._hand_out, name="queue", daemon=True)
        self._counting = threading.Lock()
        self.steps = 0
        self.failures = 0

    def start(self) -> None:
        """Begin to work."""
        self._giver.start()

    def stop(self) -> None:
        """Take no more keys and wait for the steps under way, which are short."""
        self._queue.close()
        self._giver.join()
        self._pool.shutdown(wait=True)

    def is_alive(self) -> bool:
        """Whether keys are still handed out."""
        return self._giver.is_alive()

    def _hand_out(self) -> None:
        while True:
            self._free.acquire()  # before the key: what waits in the queue may still be put off
            key = self._queue.take()
            if key is None:
                return
            step = self._pool.submit(self._reconcile, key)
            step.add_done_callback(functools.partial(self._finish, key))

    def _finish(self, key: Key, step: Step) -> None:
        """Put the key in again as its step wants it; one object that nobody foresaw must not end
        the work on all others.
        """
        error = step.exception()
        with self._counting:
            self.steps += 1
            self.failures += error is not None
        if error is not None:
            self._put_off(key, error)
        else:
            self._queue.forget(key)
            again = step.result()
            if again is not None:
                self._queue.add(key, again)
        self._queue.done(key)
        self._free.release()

    def _put_off(self, key: Key, error: BaseException) -> None:
        delay = self._queue.add_failed(key)
        if isinstance(error, GranaryError):
            _log.warning(
                'event=step_failed object="%s" again_in=%.1f error="%s"', key, delay, error.sentence
            )
        else:
            _log.error('event=step_broken object="%s" again_in=%.1f', key, delay, exc_info=error)
