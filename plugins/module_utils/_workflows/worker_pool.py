# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""Forked workers, their pipes and their ends.

Processes, not threads: the database driver takes the interpreter's lock once a row, so threads
would fight over it. This file knows nothing of backups: it carries messages, passes file
descriptors, notices a dead worker at once and makes sure that no worker outlives its coordinator.

Fork the pool before the coordinator starts threads or opens database connections.
"""

from __future__ import annotations

import contextlib
import mmap
import multiprocessing
import multiprocessing.connection
import multiprocessing.reduction
import os
import signal
import threading
import time
import typing as t

from .._core.errors import Cancelled, GranaryError, ProgramError
from .._core.process import die_with_parent
from .stop_signals import reset_in_worker

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from multiprocessing.connection import Connection
    from multiprocessing.context import ForkProcess

STOP_GRACE_SECONDS = 5.0
_CAUGHT = (
    GranaryError, OSError, EOFError, MemoryError, RuntimeError, ValueError, TypeError,
    LookupError, ArithmeticError, AttributeError,
)  # fmt: skip


class WorkerLink:
    """A worker's end: messages from and to the coordinator. ``send`` may be called from any
    thread.
    """

    def __init__(self, connection: Connection, stop: mmap.mmap) -> None:
        self._connection = connection
        self._stop = stop
        self._sending = threading.Lock()

    def receive(self) -> object | None:
        """Wait for the next message; None means that the coordinator wants no more."""
        try:
            message: object = self._connection.recv()
        except EOFError:
            return None
        return message

    def receive_descriptor(self) -> int:
        """Take over the file descriptor that was sent after the last message; it is the caller's to
        close.
        """
        return multiprocessing.reduction.recv_handle(self._connection)

    def send(self, message: object) -> None:
        """Hand ``message`` to the coordinator."""
        with self._sending:
            self._connection.send(message)

    def check(self) -> None:
        """Raise ``Cancelled`` once the coordinator has begun to stop; call it every few MiB."""
        if self._stop[0]:
            raise Cancelled("The worker was stopped by its coordinator.")


class Failure:
    """How a worker says why it ends; the pool raises what it holds."""

    def __init__(self, error: GranaryError) -> None:
        self.error = error


class _Worker:
    """The coordinator's view of one worker."""

    def __init__(self, process: ForkProcess, connection: Connection) -> None:
        self.process = process
        self.connection = connection


class WorkerPool:
    """``count`` workers that each run ``main(link)`` until it returns or the coordinator closes the
    pool.

    Workers are named by their number from 0. Used by one thread, the one that made it.
    """

    def __init__(self, count: int, main: Callable[[WorkerLink], None]) -> None:
        self._stop = mmap.mmap(-1, 1)
        self._workers: list[_Worker] = []
        context = multiprocessing.get_context("fork")
        coordinator = os.getpid()
        for number in range(count):
            ours, theirs = context.Pipe(duplex=True)
            foreign = [ours, *(worker.connection for worker in self._workers)]
            process = context.Process(
                target=_run_worker,
                args=(main, WorkerLink(theirs, self._stop), foreign, coordinator),
                name=f"granary-worker-{number}",
                daemon=True,
            )
            process.start()
            theirs.close()
            self._workers.append(_Worker(process, ours))

    def __len__(self) -> int:
        return len(self._workers)

    def pids(self) -> list[int]:
        """The process ids of the workers, in order of their numbers."""
        return [worker.process.pid or 0 for worker in self._workers]

    def send(self, number: int, message: object, descriptor: int | None = None) -> None:
        """Send ``message`` to a worker, with a file descriptor of which it gets its own copy.

        Keep messages that are sent to a busy worker small (a few KiB): both ends may be sending.
        """
        worker = self._workers[number]
        try:
            worker.connection.send(message)
            if descriptor is not None:
                multiprocessing.reduction.send_handle(
                    worker.connection, descriptor, worker.process.pid or 0
                )
        except OSError as exc:
            self._raise_end(number, exc)

    def receive(
        self, timeout: float | None, descriptors: Iterable[int] = ()
    ) -> tuple[list[tuple[int, object]], set[int]]:
        """Wait for messages, or for one of ``descriptors`` to be readable, at most ``timeout``
        seconds.

        Returns what came, as (worker, message), and the readable descriptors. Raises what a worker
        failed with, and ``ProgramError`` when one ended without a word.
        """
        sources: dict[object, int] = {}
        for number, worker in enumerate(self._workers):
            sources[worker.connection] = number
            sources[worker.process.sentinel] = number
        ready = multiprocessing.connection.wait(
            [*t.cast("list[int]", list(sources)), *descriptors], timeout
        )
        # A dead worker's pipe stays readable until its last words are read, so the pipe is asked in
        # both cases.
        numbers = dict.fromkeys(sources[item] for item in ready if item in sources)
        messages = [(number, self._receive_one(number)) for number in numbers]
        return messages, {item for item in ready if isinstance(item, int) and item not in sources}

    def _receive_one(self, number: int) -> object:
        try:
            message = self._workers[number].connection.recv()
        except (EOFError, OSError) as exc:
            self._raise_end(number, exc)
        if isinstance(message, Failure):
            raise message.error
        return message

    def _raise_end(self, number: int, cause: Exception | None) -> t.NoReturn:
        worker = self._workers[number]
        while worker.connection.poll(0):
            try:
                message = worker.connection.recv()
            except (EOFError, OSError):
                break
            if isinstance(message, Failure):
                raise message.error from cause
        worker.process.join(STOP_GRACE_SECONDS)
        code = worker.process.exitcode
        raise ProgramError(
            f"A worker process (pid {worker.process.pid}) {_how_it_ended(code)}; what it was "
            "doing is lost, so the run was stopped."
        ) from cause

    def stop(self) -> None:
        """End every worker, whatever it does: politely, then after 5 seconds by SIGKILL; reap them
        all.
        """
        self._stop[0] = 1
        for worker in self._workers:
            worker.connection.close()
        deadline = time.monotonic() + STOP_GRACE_SECONDS
        for worker in self._workers:
            worker.process.join(max(0.0, deadline - time.monotonic()))
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
            worker.process.close()
        self._workers.clear()

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()


def _how_it_ended(code: int | None) -> str:
    if code is None:
        return "closed its pipe"
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"


def _run_worker(
    main: Callable[[WorkerLink], None],
    link: WorkerLink,
    foreign: Sequence[Connection],
    coordinator: int,
) -> None:
    die_with_parent()
    reset_in_worker()
    if os.getppid() != coordinator:
        # The coordinator died between the fork and the request to die with it.
        return
    for connection in foreign:
        connection.close()
    try:
        main(link)
    except _CAUGHT as exc:
        error = exc if isinstance(exc, GranaryError) else _unexpected(exc)
        # A coordinator that is gone, or stopping, has closed its end.
        with contextlib.suppress(OSError):
            link.send(Failure(error))


def _unexpected(exc: BaseException) -> GranaryError:
    if isinstance(exc, MemoryError):
        return GranaryError("A worker process ran out of memory; give it more, or use fewer jobs.")
    where = ""
    trace = exc.__traceback__
    while trace is not None:
        where = f"{os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno}"
        trace = trace.tb_next
    return GranaryError(
        f"A worker process failed with {type(exc).__name__} at {where}: {exc}; please report it."
    )
