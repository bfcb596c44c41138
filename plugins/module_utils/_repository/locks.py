# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""Locks of the repository: taken before the index is read, held until the snapshot is written.

The protocol is restic's, so that both respect each other: write a lock file, wait, look again. What
is added is that a lock that may not hold any more stops its run before it writes anything else.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import random
import signal
import threading
import time
import typing as t

from .._core.errors import (
    AccessDenied,
    LockLost,
    OutcomeUnknown,
    RepositoryDamaged,
    RepositoryLocked,
    RepositoryMissing,
    StorageError,
    StorageFull,
)
from .config import read_config
from .lock_file import FoundLock, Lock, list_lock_ids, list_locks, lock_name, seal_lock
from .lock_keeper import remove_lock_files, start_keeper
from .lock_state import LockState, LockTiming, SystemClock
from .stale_locks import STALE_SECONDS, age_of, own_hostname, this_origin, without_stale
from .timestamp import Timestamp

if t.TYPE_CHECKING:
    import types

    from .lock_keeper import KeeperProcess
    from .lock_state import Clock
    from .repository import Repository

_LISTING_TRIES = 5
_RELEASE_PATIENCE = 120.0  # the storage layer's own tries end before
_FROZEN_LOOK = 1.0


class RepositoryLock:
    """One lock and the process that keeps it; a context manager that acquires and releases.

    The lock names the process that acquires it, because that process alone writes index files and
    snapshots: while it lives the lock must hold, and once it is dead nothing that others could lose
    can be written. It is also the one that users look for. ``restic unlock`` sends SIGHUP to it, so
    an unhandled SIGHUP is handled while the lock is held.

    Acquire it in a process of one thread, before anything else is forked. Processes forked
    afterwards may ``check``; only the one that acquired can release, and the lock outlives it until
    the last of them has ended.

    ``optional`` is for readers: where no lock can be written (no right, no room) they go on
    without, with a warning.
    """

    def __init__(
        self,
        repository: Repository,
        *,
        exclusive: bool = False,
        wait_seconds: float = 0,
        optional: bool = False,
        timing: LockTiming | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._repository = repository
        self._exclusive = exclusive
        self._wait_seconds = wait_seconds
        self._optional = optional
        self._timing = timing or LockTiming()
        self._state = LockState(clock or SystemClock())
        self._keeper: KeeperProcess | None = None
        self._owner = 0
        self._trouble: str | None = None
        self._hangup: t.Any = None

    def __enter__(self) -> RepositoryLock:
        self.acquire()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.release()

    @property
    def held(self) -> bool:
        """Whether there is a lock at all; it may be lost meanwhile."""
        return self._keeper is not None

    @property
    def id(self) -> bytes | None:
        """The id of the lock file at this moment, or None; each refresh makes a new one."""
        return self._state.current() if self.held else None

    def acquire(self) -> None:
        """Take the lock, waiting up to ``wait_seconds`` for others that are in the way.

        Raises ``RepositoryLocked`` with the holder's name, or what the storage raises.
        """
        # Before the file is there: from then on `restic unlock` may send its SIGHUP.
        self._handle_hangup()
        try:
            lock = self._acquire_file()
            self._prove_repository()
            self._keeper = start_keeper(self._repository, lock, self._state, self._timing)
            self._owner = os.getpid()
        except (AccessDenied, StorageFull) as exc:
            self._give_up()
            if not self._optional:
                raise
            self._repository.events.warn(
                f"Reading {self._repository.location} without a lock, since none can be written "
                f"({exc.message}); do not prune it meanwhile."
            )
        except BaseException:
            self._give_up()
            raise

    def _give_up(self) -> None:
        """Leave nothing behind of a lock that could not be had."""
        remove_lock_files(self._repository, self._state)
        self._leave_hangup()

    def _acquire_file(self) -> Lock:
        deadline = time.monotonic() + self._wait_seconds
        told = False
        while True:
            rival = self._rival(None)
            if rival is None:
                lock = self._new_lock()
                rival = self._place(lock)
                if rival is None:
                    return lock
            if rival.refusal is not None:
                raise self._left_over(rival)
            left = deadline - time.monotonic()
            if left <= 0:
                raise self._locked(rival)
            if not told:
                told = True
                self._repository.events.progress("repository_lock_waiting", holder=rival.holder())
            # At random, so that two that have just backed off from each other do not do it for
            # ever.
            time.sleep(min(left, self._timing.poll * random.uniform(0.5, 1)))

    def _new_lock(self) -> Lock:
        uid = os.getuid()
        try:
            username = pwd.getpwuid(uid).pw_name
        except KeyError:  # a container's user without an entry
            username = str(uid)
        return Lock(
            time=Timestamp.of_unix_seconds(self._state.now().wall),
            exclusive=self._exclusive,
            hostname=own_hostname(),
            username=username,
            pid=os.getpid(),
            uid=uid,
            gid=os.getgid(),
            origin=this_origin(),
        )

    def _prove_repository(self) -> None:
        """Look whether what was opened is still there: it may have been removed while we waited,
        and what is written into its place now nobody could read.
        """
        try:
            found = read_config(self._repository.backend, self._repository.key)
        except RepositoryDamaged:
            found = None
        if found != self._repository.config:
            raise RepositoryMissing(
                f"The repository in {self._repository.location} was removed, and another one made "
                "in its place, since it was opened; run it again."
            )

    def _rival(self, own: bytes | None) -> FoundLock | None:
        """Return a lock that we cannot be beside, after those of the dead are removed; one of the
        living, if there is one.
        """
        others = [found for found in list_locks(self._repository) if found.id != own]
        rivals = [
            found
            for found in without_stale(self._repository, others)
            if self._exclusive or found.lock is None or found.lock.exclusive
        ]
        return min(rivals, key=lambda found: found.refusal is not None, default=None)

    def _place(self, lock: Lock) -> FoundLock | None:
        """Write our file; return the rival that was there after all, our file removed again, or
        None.
        """
        before = self._state.now()
        lock_id, sealed = seal_lock(self._repository, lock)
        self._state.announce(lock_id)
        with contextlib.suppress(OutcomeUnknown):  # settled by the listing
            self._repository.backend.write(lock_name(lock_id), sealed)
        self._wait_until_listed(lock_id)
        rival = self._rival(lock_id)
        if rival is not None:
            remove_lock_files(self._repository, self._state)
            return rival
        self._state.renew(before)
        return None

    def _wait_until_listed(self, lock_id: bytes) -> None:
        for dummy in range(_LISTING_TRIES):
            time.sleep(self._timing.settle)
            if lock_id in list_lock_ids(self._repository):
                return
        raise StorageError(
            f"{self._repository.location} does not list a lock that was just written; a storage "
            "whose listings lag cannot hold a repository."
        )

    def _locked(self, rival: FoundLock) -> RepositoryLocked:
        age = age_of(self._repository, rival)
        kind = "exclusively " if rival.lock is not None and rival.lock.exclusive else ""
        since = "" if age is None else f", last refreshed {age:.0f} seconds ago"
        return RepositoryLocked(
            f"The repository at {self._repository.location} is {kind}locked by "
            f"{rival.holder()}{since}: wait for its end, or raise repository_lock_wait (now "
            f"{self._wait_seconds:g} seconds); should that process be gone, the next run removes "
            f"the lock by itself, {STALE_SECONDS / 60:.0f} minutes after its last refresh at the "
            "latest.",
            lock=rival.id.hex(),
        )

    def _left_over(self, rival: FoundLock) -> RepositoryLocked:
        return RepositoryLocked(
            f"A lock of {rival.holder()} in {self._repository.location} is left over, but the "
            f"storage does not let it be removed ({(rival.refusal or '').rstrip('.')}); give this "
            "login the right to delete what is below locks/.",
            lock=rival.id.hex(),
        )

    def _handle_hangup(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        if signal.getsignal(signal.SIGHUP) == signal.SIG_DFL:
            # A handler, not SIG_IGN: programs that we start get their default back.
            self._hangup = signal.signal(signal.SIGHUP, _carry_on)

    def _leave_hangup(self) -> None:
        if self._hangup is not None:
            signal.signal(signal.SIGHUP, self._hangup)
            self._hangup = None

    @property
    def trouble(self) -> str | None:
        """Why the storage did not let the lock be removed when it was released, or None."""
        return self._trouble

    def check(self) -> None:
        """Return if this run may still write; wait while that is open.

        It is open when the last refresh is older than 22.5 minutes, until one succeeds. Cheap: two
        clocks, shared memory and one system call. May be called from any thread of any process
        forked since.

        Raises ``LockLost``. A lock that was never taken (``optional``) is always fine.
        """
        if self._keeper is None:
            return
        while True:
            if self._state.lost:
                raise self._lost(self._state.reason())
            if not self._keeper.alive():
                raise self._lost("the process that keeps it has ended")
            age = self._state.age()
            if age < self._timing.freeze:
                return
            if age > self._timing.give_up:
                raise self._lost(
                    f"it could not be refreshed for {age / 60:.0f} minutes: {self._state.reason()}"
                )
            self._keeper.ended_within(_FROZEN_LOOK)

    def _lost(self, reason: str) -> LockLost:
        return LockLost(
            f"The lock on {self._repository.location} is lost: {reason}. Nothing more was "
            "written; run it again."
        )

    def still_there(self) -> bool:
        """Look whether the lock is in the storage and young enough at this moment; True where none
        was taken.

        For the moment after a snapshot was written. Raises what the storage raises.
        """
        if self._keeper is None:
            return True
        while True:
            if self._state.lost or self._state.age() >= self._timing.freeze:
                return False
            current = self._state.current()
            if current in list_lock_ids(self._repository):
                return True
            if current == self._state.current():  # not refreshed between the two looks
                return False

    def release(self) -> None:
        """Remove the lock, if this process took it; may be repeated. Trouble is a warning."""
        keeper = self._keeper
        if keeper is None or self._owner != os.getpid():
            return
        self._keeper = None
        if not keeper.stop(_RELEASE_PATIENCE):
            self._trouble = remove_lock_files(self._repository, self._state)
            if self._trouble is not None:
                self._repository.events.warn(
                    f"The lock on {self._repository.location} could not be removed "
                    f"({self._trouble.rstrip('.')}); it may be in the way of others until it is "
                    f"{STALE_SECONDS / 60:.0f} minutes old."
                )
        self._leave_hangup()


def _carry_on(number: int, frame: types.FrameType | None) -> None:
    """Take SIGHUP and go on: `restic unlock` sends it to see whether we live."""
