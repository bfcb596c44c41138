# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Locks where nothing may be deleted, and where writes fail or get no answer."""

from __future__ import annotations

import os
import time
import typing as t

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import (
    AccessDenied,
    OutcomeUnknown,
    RepositoryLocked,
    StorageError,
    StorageFull,
)
from ansible_collections.granary.postgres.plugins.module_utils._core.events import RecordedEvents
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
from tests.fix_lock import QUICK, SETTLED, Other, leave_lock


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
        left = leave_lock(repository, exclusive=False)
        data = repository.backend.read(lock_name(left))
        leave_lock(repository, exclusive=False)  # takes the first one away
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
