# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""The process that keeps a lock: it refreshes it, and removes it when nobody needs it any more.

It is forked before any other process of a run and holds the reading end of a pipe whose writing end
they all inherit: at its end all of them are gone, however they went, and the lock may go. It
ignores what a terminal or `restic unlock` sends, and it knows nothing of what the lock protects.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import select
import signal
import time
import typing as t

from .._core.errors import AccessDenied, OutcomeUnknown, StorageError
from .lock_file import list_lock_ids, lock_name, seal_lock
from .timestamp import Timestamp

if t.TYPE_CHECKING:
    from .lock_file import Lock
    from .lock_state import LockState, LockTiming
    from .repository import Repository

RELEASE = b"R"
_IGNORED = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGPIPE)


class LockKeeper:
    """Refreshes one lock of which ``state`` names the file, with a repository of its own process.

    ``commands`` is the reading end of the pipe: a byte, or its end, means that the lock is to be
    removed.
    """

    def __init__(
        self,
        repository: Repository,
        lock: Lock,
        state: LockState,
        *,
        timing: LockTiming,
        commands: int,
    ) -> None:
        self._repository = repository
        self._lock = lock
        self._state = state
        self._timing = timing
        self._commands = commands

    def run(self) -> bool:
        """Keep the lock until it is to be removed, or lost; tell whether nothing of it is left."""
        retry_at = 0.0
        while not self._told_to_end(self._wait(retry_at)):
            if self._wait(retry_at) > 0:  # only a look at the clocks was due
                continue
            if not self._try_to_refresh():
                retry_at = self._state.now().boot + self._timing.retry
            if self._state.lost:
                break
        return remove_lock_files(self._repository, self._state) is None

    def _wait(self, retry_at: float) -> float:
        due = max(self._timing.refresh - self._state.age(), retry_at - self._state.now().boot)
        return max(0.0, min(due, self._timing.tick))

    def _told_to_end(self, seconds: float) -> bool:
        poll = select.poll()
        poll.register(self._commands, select.POLLIN)
        return bool(poll.poll(math.ceil(seconds * 1000)))

    def _try_to_refresh(self) -> bool:
        try:
            return self.refresh()
        except StorageError as exc:
            self._state.note(exc.message)
            return False

    def refresh(self) -> bool:
        """Write the lock anew and remove the old file; return whether that counts.

        It counts only if the old file was there before and after: otherwise somebody has removed
        it, may have worked under a lock of their own since, and what this run relies on may be
        gone. Then the lock is lost.

        Raises ``StorageError``: nothing is known, the old lock stands.
        """
        old = self._state.current()
        self._drop_leftover()
        if old not in list_lock_ids(self._repository):
            return self._lose()
        before = self._state.now()
        new = self._write()
        time.sleep(self._timing.settle)
        there = list_lock_ids(self._repository)
        if old not in there:
            return self._lose()
        if new not in there:
            self._state.note("the storage does not list a lock that was just written")
            return False
        self._state.renew(before)
        self._drop_leftover()
        return True

    def _write(self) -> bytes:
        fresh = dataclasses.replace(
            self._lock, time=Timestamp.of_unix_seconds(self._state.now().wall)
        )
        new, sealed = seal_lock(self._repository, fresh)
        self._state.announce(new)
        # A write without an answer is settled by the listing that follows.
        with contextlib.suppress(OutcomeUnknown):
            self._repository.backend.write(lock_name(new), sealed)
        return new

    def _drop_leftover(self) -> None:
        """Remove the file that is not our current lock: the old one, or one whose refresh did not
        count.

        Where nothing may be deleted it stays: the refresh counts, and whoever needs the place
        finds a file that is older than 30 minutes.
        """
        leftover = self._state.other()
        if leftover is not None:
            with contextlib.suppress(AccessDenied):
                self._repository.backend.delete(lock_name(leftover))

    def _lose(self) -> bool:
        self._state.lose(
            "somebody removed its file (`restic unlock`, or another run that took it for dead)"
        )
        return False


def remove_lock_files(repository: Repository, state: LockState) -> str | None:
    """Remove every file that may be our lock; return why one could not be, or None."""
    trouble = None
    for lock_id in state.files():
        try:
            repository.backend.delete(lock_name(lock_id))
        except StorageError as exc:
            trouble = exc.message
    return trouble


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class KeeperProcess:
    """A running keeper, seen from the process that forked it.

    ``commands`` is the writing end of its pipe, ``life`` the reading end of one that ends with it;
    both are inherited by every process forked afterwards, and closed in programs that are started.
    """

    pid: int
    commands: int
    life: int

    def alive(self) -> bool:
        """Tell whether the keeper runs; true also for a stopped one."""
        return not self.ended_within(0)

    def ended_within(self, seconds: float) -> bool:
        """Wait at most ``seconds`` for the keeper's end; tell whether it has ended."""
        poll = select.poll()
        poll.register(self.life, select.POLLIN)
        return bool(poll.poll(math.ceil(seconds * 1000)))

    def stop(self, patience: float) -> bool:
        """Tell the keeper to remove the lock, wait for its end, and tell whether it did.

        One that has not ended after ``patience`` seconds is killed.
        """
        with contextlib.suppress(BrokenPipeError):
            os.write(self.commands, RELEASE)
        if not self.ended_within(patience):
            os.kill(self.pid, signal.SIGKILL)
        try:
            status = os.waitpid(self.pid, 0)[1]
        except ChildProcessError:  # somebody waited for all children of the process
            status = 1
        self.close()
        return status == 0

    def close(self) -> None:
        """Let go of both pipes."""
        os.close(self.commands)
        os.close(self.life)


def start_keeper(
    repository: Repository, lock: Lock, state: LockState, timing: LockTiming
) -> KeeperProcess:
    """Fork the keeper; to be called while the process has one thread and no other children that
    must not inherit.

    SIGHUP is blocked around the fork: `restic unlock` may send it at any time, and its default ends
    a process.
    """
    commands_read, commands_write = os.pipe()
    life_read, life_write = os.pipe()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _IGNORED)
    try:
        pid = os.fork()
        if pid == 0:
            _keep(repository, lock, state, timing, (commands_read, life_write))
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    os.close(commands_read)
    os.close(life_write)
    return KeeperProcess(pid=pid, commands=commands_write, life=life_read)


def _keep(
    repository: Repository,
    lock: Lock,
    state: LockState,
    timing: LockTiming,
    pipes: tuple[int, int],
) -> t.NoReturn:
    """The life of the keeper's process; it never returns to the code of its parent."""
    status = 1
    try:
        for number in _IGNORED:
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _IGNORED)
        _let_go_of_files(pipes)
        with repository.reopen() as own:
            keeper = LockKeeper(own, lock, state, timing=timing, commands=pipes[0])
            status = 0 if keeper.run() else 1
    finally:
        # Whatever happened, the parent's exit handlers and buffers are not ours to run.
        os._exit(status)


def _let_go_of_files(wanted: tuple[int, ...]) -> None:
    """Close all files but ``wanted``: whoever waits for the end of the parent's output must not
    wait for us.
    """
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in range(3):
        os.dup2(nowhere, standard)
    start = 3
    for number in (*sorted(wanted), os.sysconf("SC_OPEN_MAX")):
        os.closerange(start, number)
        start = number + 1
