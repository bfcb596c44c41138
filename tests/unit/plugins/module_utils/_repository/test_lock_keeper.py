# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The process that keeps a lock and the writers that wait for it, with real processes in a local
folder; minutes are short, nothing else is.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import signal
import threading

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import LockLost
from ansible_collections.granary.postgres.plugins.module_utils._repository.lock_file import (
    list_lock_ids,
    list_locks,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.lock_state import (
    LockState,
    LockTiming,
    Moment,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.locks import (
    RepositoryLock,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.repository import (
    Repository,
)
from tests.fix_lock import PATIENCE, QUICK, Other
from tests.waiting import wait_for


def keeper_pid(lock: RepositoryLock) -> int:
    """The keeper is the only child of this process that has not ended."""
    assert lock.held
    with open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as file:
        children = [int(pid) for pid in file.read().split()]
    assert len(children) == 1
    return children[0]


def _has_changed(lock: RepositoryLock, before: bytes | None) -> bool:
    return lock.id != before


class TestKeeper:
    def test_refreshes_under_new_names_and_leaves_one_file(self, repository: Repository) -> None:
        with RepositoryLock(repository, timing=QUICK) as lock:
            for dummy in range(3):
                wait_for(functools.partial(_has_changed, lock, lock.id), "a refresh")
            assert lock.still_there()
            lock.check()
            wait_for(lambda: list_lock_ids(repository) == {lock.id}, "one file")
        assert list_locks(repository) == []

    def test_goes_on_after_the_signals_of_a_terminal_and_of_restic(
        self, repository: Repository
    ) -> None:
        with RepositoryLock(repository, timing=QUICK) as lock:
            for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGQUIT):
                os.kill(keeper_pid(lock), number)
            before = lock.id
            wait_for(lambda: lock.id != before, "a refresh")
            lock.check()

    def test_this_process_survives_sighup_while_the_lock_is_held(
        self, repository: Repository
    ) -> None:
        inherited = signal.signal(signal.SIGHUP, signal.SIG_DFL)
        with repository.lock():
            os.kill(os.getpid(), signal.SIGHUP)
        assert signal.signal(signal.SIGHUP, inherited) == signal.SIG_DFL

    def test_killed_the_lock_is_lost_and_still_removed(self, repository: Repository) -> None:
        with RepositoryLock(repository, timing=QUICK) as lock:
            os.kill(keeper_pid(lock), signal.SIGKILL)
            with pytest.raises(LockLost, match="process that keeps it has ended"):
                wait_for(lock.check, "the loss")
            assert len(list_locks(repository)) >= 1
        assert list_locks(repository) == []

    def test_a_killed_coordinator_leaves_no_lock(self, repository: Repository) -> None:
        other = Other(repository, exclusive=True)
        assert len(list_locks(repository)) == 1
        other.kill()
        wait_for(lambda: not list_locks(repository), "the keeper removes the lock")

    def test_the_lock_outlives_its_owner_until_the_last_worker_is_gone(
        self, repository: Repository
    ) -> None:
        other = Other(repository, exclusive=True, workers=2)
        other.kill()
        os.kill(other.workers[0], signal.SIGKILL)
        threading.Event().wait(0.3)  # nothing to wait for: the lock must not go
        assert len(list_locks(repository)) == 1
        os.kill(other.workers[1], signal.SIGKILL)
        wait_for(lambda: not list_locks(repository), "the keeper removes the lock")

    def test_a_worker_cannot_release(self, repository: Repository) -> None:
        with repository.lock() as lock:
            worker = os.fork()
            if worker == 0:
                try:
                    lock.check()
                    lock.release()
                    os._exit(0)
                finally:
                    os._exit(1)
            assert os.waitpid(worker, 0)[1] == 0
            assert lock.still_there()

    def test_a_lock_that_somebody_removed_is_lost_for_good(self, repository: Repository) -> None:
        with RepositoryLock(repository, timing=QUICK) as lock:
            os.kill(keeper_pid(lock), signal.SIGSTOP)
            for found in list_locks(repository):
                repository.backend.delete(found.name)
            assert not lock.still_there()
            os.kill(keeper_pid(lock), signal.SIGCONT)
            with pytest.raises(LockLost, match="somebody removed its file"):
                wait_for(lock.check, "the loss")
            assert not lock.still_there()
        assert list_locks(repository) == []


class TestFreeze:
    def test_writers_wait_while_there_is_no_refresh(self, repository: Repository) -> None:
        with RepositoryLock(repository, timing=QUICK) as lock:
            keeper = keeper_pid(lock)
            os.kill(keeper, signal.SIGSTOP)
            wait_for(lambda: lock._state.age() > QUICK.freeze, "the freeze")
            assert not lock.still_there()
            writer = threading.Thread(target=lock.check)
            writer.start()
            writer.join(0.5)
            assert writer.is_alive()
            os.kill(keeper, signal.SIGCONT)
            writer.join(PATIENCE)
            assert not writer.is_alive()
            lock.check()

    def test_one_that_lasts_is_a_loss(self, repository: Repository) -> None:
        timing = dataclasses.replace(QUICK, give_up=1.0)
        with RepositoryLock(repository, timing=timing) as lock:
            keeper = keeper_pid(lock)
            os.kill(keeper, signal.SIGSTOP)
            with pytest.raises(LockLost, match="could not be refreshed"):
                wait_for(lock.check, "the loss")
            os.kill(keeper, signal.SIGCONT)

    @pytest.mark.parametrize("clock", ["boot", "wall"])
    def test_either_clock_is_enough(self, clock: str) -> None:
        """A sleeping machine moves one of them, somebody who sets the time the other."""
        hands = SetClock(Moment(boot=1000.0, wall=1e9))
        state = LockState(hands)
        state.announce(bytes([1] * 32))
        state.renew(hands.now())
        assert state.age() == 0
        hands.moment = dataclasses.replace(
            hands.moment, **{clock: getattr(hands.moment, clock) + 1400}
        )
        assert state.age() == 1400 > LockTiming().freeze
        hands.moment = Moment(boot=1010.0, wall=1e9 - 7200)
        assert state.age() == 10


@dataclasses.dataclass
class SetClock:
    """Clocks whose hands are set by the test."""

    moment: Moment

    def now(self) -> Moment:
        return self.moment


def test_the_keeper_holds_no_file_of_its_parent(repository: Repository) -> None:
    """Whoever reads our output to its end must not wait for the keeper."""
    ours, theirs = os.pipe()
    pipe = f"pipe:[{os.fstat(theirs).st_ino}]"
    with repository.lock() as lock:
        wait_for(lambda: pipe not in _open_files(keeper_pid(lock)), "the keeper closes our pipe")
        os.close(theirs)
        assert os.read(ours, 1) == b""
    os.close(ours)


def _open_files(pid: int) -> set[str]:
    found = set()
    for name in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            found.add(os.readlink(f"/proc/{pid}/fd/{name}"))
    return found
