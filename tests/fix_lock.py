# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A repository without a key file to lock, and processes that hold locks on it."""

from __future__ import annotations

import dataclasses
import os
import signal
import typing as t

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import RepositoryLocked
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
    lock_name,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.lock_state import (
    LockTiming,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.locks import (
    RepositoryLock,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.repository import (
    Repository,
)
from ansible_collections.granary.postgres.plugins.module_utils._storage.model import LocalSettings
from ansible_collections.granary.postgres.plugins.module_utils._storage.registry import open_backend
from tests.waiting import wait_for

if t.TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Refreshed all the time, frozen after 0.8 s without; the rest as short as it can be.
QUICK = LockTiming(refresh=0.1, settle=0.02, freeze=0.8, retry=0.1, give_up=60, poll=0.1, tick=0.1)
SETTLED = dataclasses.replace(QUICK, refresh=600, freeze=600)
PATIENCE = 20.0


@pytest.fixture
def events() -> RecordedEvents:
    """What the repository reports."""
    return RecordedEvents()


@pytest.fixture
def repository(tmp_path: Path, events: RecordedEvents) -> Iterator[Repository]:
    """A repository in a folder, with a master key and no key file."""
    settings = LocalSettings(path=str(tmp_path / "repository"))
    backend = open_backend(settings)
    backend.prepare()
    config, key = new_config(2), new_master_key()
    backend.write(CONFIG, encode_config(key, config))
    with Repository(settings, backend=backend, config=config, key=key, events=events) as made:
        yield made


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


def leave_lock(repository: Repository, *, exclusive: bool) -> bytes:
    """Leave a lock behind as a run does whose keeper was killed too."""
    before = list_lock_ids(repository)
    other = Other(repository, exclusive=exclusive)
    (lock_id,) = list_lock_ids(repository) - before
    data = repository.backend.read(lock_name(lock_id))
    other.kill()
    wait_for(lambda: lock_id not in list_lock_ids(repository), "the keeper removes the lock")
    repository.backend.write(lock_name(lock_id), data)
    return lock_id
