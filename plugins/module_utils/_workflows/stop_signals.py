# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""SIGTERM and SIGINT as an ordinary error, so that a run that is told to stop undoes what it began.

Without this a module that is killed politely would leave its lock, its workers and its client
programs to be found out.
"""

from __future__ import annotations

import contextlib
import signal
import threading
import typing as t

from .._core.errors import Cancelled, GranaryError

if t.TYPE_CHECKING:
    import types
    from collections.abc import Callable, Iterator

_T = t.TypeVar("_T")

_STOPPING = (signal.SIGTERM, signal.SIGINT)


class StopSignals:
    """While entered, the first SIGTERM or SIGINT raises ``Cancelled`` in the main thread; later
    ones do nothing.

    SIGHUP, which ``restic unlock`` sends to owners of locks, is ignored. The handlers that were
    there come back on exit. Outside the main thread, where Python allows no handlers, it does
    nothing.
    """

    def __init__(self) -> None:
        self._before: dict[signal.Signals, t.Any] = {}
        self._received: str | None = None
        self._held = False

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():
            for number in _STOPPING:
                self._before[number] = signal.signal(number, self._handle)
            # Not SIG_IGN, which client programs would inherit.
            self._before[signal.SIGHUP] = signal.signal(signal.SIGHUP, _carry_on)
        return self

    def __exit__(self, *exc_info: object) -> None:
        for number, handler in self._before.items():
            # None stands for a handler that was not installed from Python and cannot be put back.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def _handle(self, number: int, frame: types.FrameType | None) -> None:
        if self._received is not None:
            return
        self._received = signal.Signals(number).name
        if not self._held:
            raise self._cancelled()

    def _cancelled(self) -> Cancelled:
        return Cancelled(
            f"The run was asked to stop by {self._received} and did; run it again when it suits."
        )

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Let nothing interrupt the block: for the last write, whose outcome must be known.

        A signal that comes meanwhile is dropped, since what it would stop is done.
        """
        if self._received is not None:
            raise self._cancelled()
        self._held = True
        yield


def _carry_on(number: int, frame: types.FrameType | None) -> None:
    """Take SIGHUP and go on."""


def interruptible(action: Callable[[], _T]) -> _T:
    """Run ``action`` in a thread and return what it returns, or raise what it raises.

    A wait inside a library of C is deaf to signals; a wait for a thread is not. After a signal the
    thread is left alone: what it holds goes when the process ends.
    """
    results: list[_T] = []
    errors: list[GranaryError] = []

    def run() -> None:
        try:
            results.append(action())
        except GranaryError as exc:
            errors.append(exc)

    thread = threading.Thread(target=run, name="interruptible", daemon=True)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


def reset_in_worker() -> None:
    """Give a forked worker its own rules: the coordinator alone decides what a terminal's ^C or a
    SIGHUP means.
    """
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
