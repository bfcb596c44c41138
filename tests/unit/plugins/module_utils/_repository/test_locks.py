# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Locks and their keeper, with real processes in a local folder; minutes are short, nothing else
is.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import signal
import threading
import time
import typing as t

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import (
    AccessDenied,
    LockLost,
    OutcomeUnknown,
    RepositoryLocked,
    RepositoryMissing,
    StorageError,
    StorageFull,
)
from ansible_collections.granary.postgres.plugins.module_utils._core.events import RecordedEvents
from ansible_collections.granary.postgres.plugins.module_utils._repository.config import (
    CONFIG,
    encode_config,
    new_config,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.crypto import (
    new_master_key,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.lock_file import (
    Lock,
    list_lock_ids,
    list_locks,
    lock_name,
    seal_lock,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.lock_keeper import (
    LockKeeper,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.lock_state import (
    LockState,
    LockTiming,
    Moment,
    SystemClock,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.locks import (
    RepositoryLock,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.repository import (
    Repository,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.timestamp import (
    Timestamp,
)
from ansible_collections.granary.postgres.plugins.module_utils._storage.local import LocalBackend
from ansible_collections.granary.postgres.plugins.module_utils._storage.model import LocalSettings
from ansible_collections.granary.postgres.plugins.module_utils._storage.registry import (
    open_backend,
)

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

# Refreshed all the time, frozen after 0.8 s without; the rest as short as it can be.
QUICK = LockTiming(refresh=0.1, settle=0.02, freeze=0.8, retry=0.1, give_up=60, poll=0.1, tick=0.1)
SETTLED = dataclasses.replace(QUICK, refresh=600, freeze=600)
PATIENCE = 20.0


@pytest.fixture
def events() -> RecordedEvents:
    return RecordedEvents()


@pytest.fixture
def repository(tmp_path: Path, events: RecordedEvents) -> Iterator[Repository]:
    settings = LocalSettings(path=str(tmp_path / "repository"))
    backend = open_backend(settings)
    backend.prepare()
    config, key = new_config(2), new_master_key()
    backend.write(CONFIG, encode_config(key, config))
    with Repository(settings, backend=backend, config=config, key=key, events=events) as made:
        yield made


def until(condition: Callable[[], object], what: str) -> None:
    """Wait for a condition of another process, looking 50 times a second."""
    deadline = time.monotonic() + PATIENCE
    tick = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain: {what}"
        tick.wait(0.02)


class Other:
    """A process that acquires a lock of its own and holds it until told; forked, so without
    threads.
    """

    def __init__(self, repository: Repository, *, exclusive: bool, workers: int = 0) -> None:
        commands, self._tell = os.pipe()
        heard, said = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os.close(self._tell)
                self._live(repository, commands, said, exclusive=exclusive, workers=workers)
            finally:
                os._exit(1)
        os.close(commands)
        os.close(said)
        words = os.read(heard, 1000).decode().split()
        os.close(heard)
        self.held = words[:1] == ["held"]
        self.workers = [int(word) for word in words[1:]]

    @staticmethod
    def _live(
        repository: Repository, commands: int, said: int, *, exclusive: bool, workers: int
    ) -> None:
        with repository.reopen() as own:
            lock = RepositoryLock(own, exclusive=exclusive, timing=SETTLED)
            try:
                lock.acquire()
            except RepositoryLocked:
                os.write(said, b"refused")
                os._exit(0)
            pids = [_sleeping_worker() for dummy in range(workers)]
            os.write(said, " ".join(["held", *map(str, pids)]).encode())
            os.read(commands, 1)
            lock.release()
            os._exit(0)

    def end(self) -> None:
        """Let it release its lock and end."""
        os.close(self._tell)
        os.waitpid(self.pid, 0)

    def kill(self) -> None:
        """End it by SIGKILL."""
        os.kill(self.pid, signal.SIGKILL)
        os.close(self._tell)
        os.waitpid(self.pid, 0)


def _sleeping_worker() -> int:
    pid = os.fork()
    if pid == 0:
        signal.pause()
        os._exit(0)
    return pid


def keeper_pid(lock: RepositoryLock) -> int:
    """The keeper is the only child of this process that has not ended."""
    assert lock.held
    with open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as file:
        children = [int(pid) for pid in file.read().split()]
    assert len(children) == 1
    return children[0]


class TestAcquire:
    def test_writes_a_lock_that_names_this_process_and_removes_it(
        self, repository: Repository
    ) -> None:
        with repository.lock(exclusive=True) as lock:
            (found,) = list_locks(repository)
            assert found.id == lock.id
            assert found.lock is not None
            assert (found.lock.pid, found.lock.exclusive) == (os.getpid(), True)
            assert found.lock.origin is not None
            assert lock.still_there()
            lock.check()
        assert list_locks(repository) == []
        lock.release()

    def test_shared_ones_stand_beside_each_other(self, repository: Repository) -> None:
        other = Other(repository, exclusive=False)
        with RepositoryLock(repository):
            assert len(list_locks(repository)) == 2
        other.end()
        assert list_locks(repository) == []

    @pytest.mark.parametrize(("theirs", "mine"), [(True, False), (False, True), (True, True)])
    def test_an_exclusive_one_stands_alone(
        self, repository: Repository, theirs: bool, mine: bool
    ) -> None:
        other = Other(repository, exclusive=theirs)
        kind = "exclusively locked" if theirs else "is locked"
        with pytest.raises(RepositoryLocked, match=f"{kind} by .* process {other.pid}, last"):
            RepositoryLock(repository, exclusive=mine, timing=QUICK).acquire()
        assert len(list_locks(repository)) == 1
        other.end()

    def test_waits_for_others_to_end(self, repository: Repository) -> None:
        other = Other(repository, exclusive=True)
        ending = os.fork()
        if ending == 0:
            time.sleep(0.5)  # the other one works for so long
            os._exit(0)
        lock = RepositoryLock(repository, wait_seconds=PATIENCE, timing=SETTLED)
        started = time.monotonic()

        def end_with_it() -> None:
            os.waitpid(ending, 0)
            other.end()

        release = threading.Thread(target=end_with_it)
        release.start()
        found = lock._acquire_file()
        release.join()
        assert found.pid == os.getpid()
        assert 0.4 < time.monotonic() - started < PATIENCE

    def test_of_many_at_once_at_most_one_is_exclusive(self, repository: Repository) -> None:
        for dummy in range(5):
            others = [Other(repository, exclusive=True) for dummy in range(3)]
            assert [other.held for other in others].count(True) == 1
            for other in others:
                other.end()
        assert list_locks(repository) == []

    def test_the_locks_of_the_dead_are_removed(
        self, repository: Repository, events: RecordedEvents
    ) -> None:
        lock_id = _dead_lock(repository)
        with repository.lock(exclusive=True):
            assert lock_id not in list_lock_ids(repository)
        assert "its process is gone" in events.warnings[0]

    def test_a_repository_that_was_removed_while_we_waited_is_not_written_to(
        self, repository: Repository
    ) -> None:
        config = repository.backend.read(CONFIG)
        repository.backend.delete(CONFIG)
        with pytest.raises(RepositoryMissing, match="no repository"):
            repository.lock().acquire()
        for key in (new_master_key(), repository.key):
            repository.backend.write(CONFIG, encode_config(key, new_config(2)))
            with pytest.raises(RepositoryMissing, match="another one made in its place"):
                repository.lock().acquire()
        assert list_locks(repository) == []
        repository.backend.write(CONFIG, config)
        with repository.lock():
            pass

    def test_empty_and_foreign_files_are_nobody_s_locks(self, repository: Repository) -> None:
        folder = _folder(repository)
        (folder / ("0" * 64)).touch()
        (folder / "README").write_text("x")
        with repository.lock(exclusive=True):
            pass

    def test_an_unreadable_lock_is_in_the_way_until_it_is_old(
        self, repository: Repository, events: RecordedEvents
    ) -> None:
        file = _folder(repository) / ("0" * 64)
        file.write_bytes(b"torn")
        with pytest.raises(RepositoryLocked, match="by an unreadable lock file"):
            repository.lock().acquire()
        long_ago = time.time() - 31 * 60
        os.utime(file, (long_ago, long_ago))
        with repository.lock():
            assert not file.exists()
        assert "31 minutes old" in events.warnings[0]


def _folder(repository: Repository) -> Path:
    from pathlib import Path

    folder = Path(repository.location) / "locks"
    folder.mkdir(exist_ok=True)
    return folder


def _dead_lock(repository: Repository) -> bytes:
    """Leave a lock behind as a run does whose keeper was killed too."""
    return _leave(repository, exclusive=True)


def _leave(repository: Repository, *, exclusive: bool) -> bytes:
    before = list_lock_ids(repository)
    other = Other(repository, exclusive=exclusive)
    (lock_id,) = list_lock_ids(repository) - before
    data = repository.backend.read(lock_name(lock_id))
    other.kill()
    until(lambda: lock_id not in list_lock_ids(repository), "the keeper removes the lock")
    repository.backend.write(lock_name(lock_id), data)
    return lock_id


def _has_changed(lock: RepositoryLock, before: bytes | None) -> bool:
    return lock.id != before


class TestKeeper:
    def test_refreshes_under_new_names_and_leaves_one_file(self, repository: Repository) -> None:
        with RepositoryLock(repository, timing=QUICK) as lock:
            for dummy in range(3):
                until(functools.partial(_has_changed, lock, lock.id), "a refresh")
            assert lock.still_there()
            lock.check()
            until(lambda: list_lock_ids(repository) == {lock.id}, "one file")
        assert list_locks(repository) == []

    def test_goes_on_after_the_signals_of_a_terminal_and_of_restic(
        self, repository: Repository
    ) -> None:
        with RepositoryLock(repository, timing=QUICK) as lock:
            for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGQUIT):
                os.kill(keeper_pid(lock), number)
            before = lock.id
            until(lambda: lock.id != before, "a refresh")
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
                until(lock.check, "the loss")
            assert len(list_locks(repository)) >= 1
        assert list_locks(repository) == []

    def test_a_killed_coordinator_leaves_no_lock(self, repository: Repository) -> None:
        other = Other(repository, exclusive=True)
        assert len(list_locks(repository)) == 1
        other.kill()
        until(lambda: not list_locks(repository), "the keeper removes the lock")

    def test_the_lock_outlives_its_owner_until_the_last_worker_is_gone(
        self, repository: Repository
    ) -> None:
        other = Other(repository, exclusive=True, workers=2)
        other.kill()
        os.kill(other.workers[0], signal.SIGKILL)
        threading.Event().wait(0.3)  # nothing to wait for: the lock must not go
        assert len(list_locks(repository)) == 1
        os.kill(other.workers[1], signal.SIGKILL)
        until(lambda: not list_locks(repository), "the keeper removes the lock")

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
                until(lock.check, "the loss")
            assert not lock.still_there()
        assert list_locks(repository) == []


class TestFreeze:
    def test_writers_wait_while_there_is_no_refresh(self, repository: Repository) -> None:
        with RepositoryLock(repository, timing=QUICK) as lock:
            keeper = keeper_pid(lock)
            os.kill(keeper, signal.SIGSTOP)
            until(lambda: lock._state.age() > QUICK.freeze, "the freeze")
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
                until(lock.check, "the loss")
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


class NothingGoes(LocalBackend):
    """A folder in which nothing may be deleted."""

    def delete(self, name: str) -> None:
        raise AccessDenied(f"Could not delete {name}: Permission denied.")


class TestWhereNothingMayBeDeleted:
    @pytest.fixture
    def kept(self, repository: Repository, events: RecordedEvents) -> Repository:
        assert isinstance(repository.settings, LocalSettings)
        return Repository(
            repository.settings,
            backend=NothingGoes(repository.settings),
            config=repository.config,
            key=repository.key,
            events=events,
        )

    def test_a_lock_is_refreshed_for_as_long_as_it_takes(self, kept: Repository) -> None:
        state = LockState(SystemClock())
        lock = _placed(kept, state)
        commands = os.open(os.devnull, os.O_RDONLY)
        keeper = LockKeeper(kept, lock, state, timing=QUICK, commands=commands)
        for dummy in range(3):
            before = state.current()
            assert keeper.refresh()
            assert state.current() != before
        assert len(list_lock_ids(kept)) == 4
        os.close(commands)

    def test_left_over_locks_stop_only_what_must_be_alone(
        self, repository: Repository, kept: Repository, events: RecordedEvents
    ) -> None:
        left = _leave(repository, exclusive=False)
        data = repository.backend.read(lock_name(left))
        _leave(repository, exclusive=False)  # takes the first one away
        repository.backend.write(lock_name(left), data)
        lock = RepositoryLock(kept, timing=SETTLED)
        assert lock._rival(None) is None
        assert events.warnings == [
            f"2 locks in {kept.location} of owners that are gone could not be removed: Could not "
            f"delete {min(found.name for found in list_locks(kept))}: Permission denied."
        ]
        with pytest.raises(RepositoryLocked, match=r"left over.*Permission denied.*below locks/"):
            RepositoryLock(kept, exclusive=True, wait_seconds=600).acquire()
        with repository.lock(exclusive=True):
            assert len(list_locks(repository)) == 1


class FailingBackend(LocalBackend):
    """A folder whose writes fail, after having been done or not."""

    def __init__(self, settings: LocalSettings, error: StorageError, *, does_it: bool) -> None:
        super().__init__(settings)
        self.error: StorageError | None = error
        self._does_it = does_it

    def write(self, name: str, data: t.Any) -> None:
        if self._does_it or self.error is None:
            super().write(name, data)
        if self.error is not None:
            raise self.error


def failing(repository: Repository, error: StorageError, *, does_it: bool = False) -> Repository:
    assert isinstance(repository.settings, LocalSettings)
    return Repository(
        repository.settings,
        backend=FailingBackend(repository.settings, error, does_it=does_it),
        config=repository.config,
        key=repository.key,
        events=repository.events,
    )


class TestStorageThatFails:
    @pytest.mark.parametrize("error", [AccessDenied("no"), StorageFull("full")])
    def test_a_reader_goes_on_without_a_lock(
        self, repository: Repository, events: RecordedEvents, error: StorageError
    ) -> None:
        with RepositoryLock(failing(repository, error), optional=True) as lock:
            assert not lock.held
            lock.check()
            assert lock.still_there()
        assert "without a lock" in events.warnings[0]
        with pytest.raises(type(error)):
            RepositoryLock(failing(repository, error)).acquire()

    def test_a_reader_does_not_go_on_beside_an_exclusive_lock(self, repository: Repository) -> None:
        other = Other(repository, exclusive=True)
        with pytest.raises(RepositoryLocked):
            RepositoryLock(failing(repository, AccessDenied("no")), optional=True).acquire()
        other.end()

    def test_other_trouble_is_not_for_readers_to_ignore(self, repository: Repository) -> None:
        with pytest.raises(StorageError, match="broken"):
            RepositoryLock(failing(repository, StorageError("broken")), optional=True).acquire()

    def test_a_write_without_an_answer_is_settled_by_the_listing(
        self, repository: Repository
    ) -> None:
        unknown = OutcomeUnknown("no answer")
        with RepositoryLock(failing(repository, unknown, does_it=True), timing=SETTLED) as lock:
            assert list_lock_ids(repository) == {lock.id}
        with pytest.raises(StorageError, match="does not list a lock"):
            RepositoryLock(failing(repository, unknown), timing=SETTLED).acquire()
        assert list_locks(repository) == []

    def test_a_refresh_that_fails_leaves_the_lock_and_the_next_one_cleans_up(
        self, repository: Repository
    ) -> None:
        state = LockState(SystemClock())
        lock = _placed(repository, state)
        first = state.current()
        commands = os.open(os.devnull, os.O_RDONLY)
        broken = failing(repository, StorageError("broken"), does_it=True)
        keeper = LockKeeper(broken, lock, state, timing=QUICK, commands=commands)
        with pytest.raises(StorageError, match="broken"):
            keeper.refresh()
        assert state.current() == first
        assert len(list_lock_ids(repository)) == 2  # written, but that was not known
        t.cast("FailingBackend", broken.backend).error = None
        assert keeper.refresh()
        assert list_lock_ids(repository) == {state.current()} != {first}
        os.close(commands)


def _placed(repository: Repository, state: LockState) -> Lock:
    lock = Lock(
        time=Timestamp(unix_ns=time.time_ns()),
        exclusive=False,
        hostname="here",
        username="me",
        pid=os.getpid(),
        uid=0,
        gid=0,
        origin=None,
    )
    lock_id, sealed = seal_lock(repository, lock)
    state.announce(lock_id)
    repository.backend.write(lock_name(lock_id), sealed)
    state.renew(state.now())
    return lock


def test_the_keeper_holds_no_file_of_its_parent(repository: Repository) -> None:
    """Whoever reads our output to its end must not wait for the keeper."""
    ours, theirs = os.pipe()
    pipe = f"pipe:[{os.fstat(theirs).st_ino}]"
    with repository.lock() as lock:
        until(lambda: pipe not in _open_files(keeper_pid(lock)), "the keeper closes our pipe")
        os.close(theirs)
        assert os.read(ours, 1) == b""
    os.close(ours)


def _open_files(pid: int) -> set[str]:
    found = set()
    for name in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            found.add(os.readlink(f"/proc/{pid}/fd/{name}"))
    return found
