# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who gets a lock and who has to wait, with real processes in a local folder; minutes are short,
nothing else is.
"""

from __future__ import annotations

import os
import threading
import time
import typing as t

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import (
    RepositoryLocked,
    RepositoryMissing,
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
    list_lock_ids,
    list_locks,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.locks import (
    RepositoryLock,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.repository import (
    Repository,
)
from tests.fix_lock import PATIENCE, QUICK, SETTLED, Other, leave_lock

if t.TYPE_CHECKING:
    from pathlib import Path


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
    return leave_lock(repository, exclusive=True)
