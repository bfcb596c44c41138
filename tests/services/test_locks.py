# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Our locks beside stock restic, and across pid namespaces, where a live owner looks dead."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
import typing as t
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import (
    LockLost,
    RepositoryLocked,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.lock_file import (
    list_locks,
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
from tests.fix_repository import Place, back_up, in_a_place
from tests.testbed.restic import VERSIONS, Restic
from tests.waiting import PATIENCE_S, wait_for

ROOT = Path(__file__).parents[2]
# Where this process found the collection; the scripts below look there too.
(TREE, *_OTHERS) = [path for path in sys.path if Path(path, "ansible_collections").is_dir()]
LOCKED = 11  # restic's status for a repository that somebody else has locked
REFRESHED_OFTEN = LockTiming(refresh=0.2, settle=0.05, tick=0.1)

of_each_restic = pytest.mark.parametrize("version", VERSIONS)

SHARED = {
    "snapshots": ("snapshots",),
    "ls": ("ls", "latest"),
    "stats": ("stats",),
    "dump": ("dump", "latest", "/postgres/f"),
    "backup": ("backup", "/etc/hostname"),
    "rewrite": ("rewrite", "--exclude", "nothing"),
}
EXCLUSIVE = {
    "check": ("check",),
    "forget": ("forget", "--keep-last", "1"),
    "forget --dry-run": ("forget", "--keep-last", "1", "--dry-run"),
    "prune": ("prune",),
    "tag": ("tag", "--add", "x"),
    "repair index": ("repair", "index"),
    "repair snapshots": ("repair", "snapshots"),
    "rewrite --forget": ("rewrite", "--forget", "--exclude", "nothing"),
}
UNLOCKED = {
    "check --no-lock": ("check", "--no-lock"),
    "forget --no-lock": ("forget", "--keep-last", "1", "--dry-run", "--no-lock"),
    "list locks": ("list", "locks", "--no-lock"),
}


def status(restic: Restic, *arguments: str) -> int:
    """The status with which restic ends."""
    return subprocess.run(
        [restic.program, *arguments],
        env={**os.environ, **restic.env()},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    ).returncode


def statuses(restic: Restic, commands: dict[str, tuple[str, ...]]) -> dict[str, int]:
    return {name: status(restic, *arguments) for name, arguments in commands.items()}


@pytest.fixture
def repository(local_place: Place) -> Iterator[Repository]:
    """A repository in a folder with one snapshot."""
    with local_place.create() as made:
        back_up(made, {"/postgres/f": b"text"})
        yield made


@of_each_restic
class TestBesideRestic:
    def test_our_shared_lock(
        self, repository: Repository, local_place: Place, version: str
    ) -> None:
        restic = local_place.restic(version)
        with repository.lock() as lock:
            assert statuses(restic, SHARED) == dict.fromkeys(SHARED, 0)
            assert statuses(restic, EXCLUSIVE) == dict.fromkeys(EXCLUSIVE, LOCKED)
            assert statuses(restic, UNLOCKED) == dict.fromkeys(UNLOCKED, 0)
            lock.check()
            assert lock.still_there()
        assert statuses(restic, EXCLUSIVE) == dict.fromkeys(EXCLUSIVE, 0)

    def test_our_exclusive_lock(
        self, repository: Repository, local_place: Place, version: str
    ) -> None:
        restic = local_place.restic(version)
        with repository.lock(exclusive=True):
            assert statuses(restic, SHARED) == dict.fromkeys(SHARED, LOCKED)
            assert statuses(restic, EXCLUSIVE) == dict.fromkeys(EXCLUSIVE, LOCKED)
            assert statuses(restic, UNLOCKED) == dict.fromkeys(UNLOCKED, 0)

    def test_restic_reads_our_lock_and_unlock_leaves_it(
        self,
        repository: Repository,
        local_place: Place,
        version: str,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Of all that a lock of ours can hold beside its own fields it sees nothing."""
        for name in ("CLUSTER", "POD_NAMESPACE", "POD_UID"):
            monkeypatch.setenv(f"GRANARY_{name}", name)
        restic = local_place.restic(version)
        with RepositoryLock(repository, exclusive=True, timing=LockTiming()) as lock:
            assert lock.id is not None
            shown = restic.json("cat", "lock", lock.id.hex(), "--no-lock")
            shown = shown[0] if isinstance(shown, list) else shown
            assert (shown["pid"], shown["exclusive"]) == (os.getpid(), True)
            assert "granary" not in shown
            (found,) = list_locks(repository)
            assert found.lock is not None
            assert found.lock.origin is not None
            assert found.lock.origin.pod_uid == "POD_UID"
            for dummy in range(3):
                restic.run("unlock")  # sends SIGHUP to this process
            assert lock.still_there()
            lock.check()

    def test_remove_all_loses_our_lock(
        self, repository: Repository, local_place: Place, version: str
    ) -> None:
        restic = local_place.restic(version)
        with RepositoryLock(repository, timing=REFRESHED_OFTEN) as lock:
            restic.run("unlock", "--remove-all")
            with pytest.raises(LockLost, match="removed its file"):
                wait_for(lock.check, "the loss")
            assert not lock.still_there()
        assert list_locks(repository) == []

    def test_a_lock_of_restic_is_respected_dead_or_alive(
        self, repository: Repository, local_place: Place, version: str
    ) -> None:
        restic = local_place.restic(version)
        with subprocess.Popen(
            [restic.program, "backup", "--stdin"],
            env={**os.environ, **restic.env()},
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as running:
            wait_for(lambda: list_locks(repository), "restic's lock")
            with repository.lock():
                pass
            with pytest.raises(RepositoryLocked, match=f"process {running.pid}"):
                repository.lock(exclusive=True).acquire()
            running.kill()
        # It wrote nothing that proves its death: only time does.
        with pytest.raises(RepositoryLocked, match=f"process {running.pid}"):
            repository.lock(exclusive=True).acquire()
        (left,) = list_locks(repository)
        file = Path(repository.location) / left.name
        long_ago = time.time() - 31 * 60
        os.utime(file, (long_ago, long_ago))
        with repository.lock(exclusive=True):
            assert not file.exists()


SCRIPT = """
import sys
sys.path[:0] = [{root!r}, {tree!r}]
from pathlib import Path
from tests.fix_repository import Place, list_snapshots, read_files
from {package}._core.errors import RepositoryLocked
from {package}._repository.lock_state import Moment, SystemClock
from {package}._repository.locks import RepositoryLock
place = Place(where=Path({folder!r}), cache_dir=Path("/nonexistent"))
with place.open() as repository:
    {body}
"""

HOLD = """
    class Apart:
        def now(self):
            now = SystemClock().now()
            return Moment(now.boot, now.wall + {hours} * 3600)

    with RepositoryLock(repository, exclusive=True, clock=Apart()):
        print("held", flush=True)
        sys.stdin.read()
"""
TRY = """
    try:
        repository.lock(exclusive=True).acquire()
    except RepositoryLocked as exc:
        print("refused:", exc)
"""
READ = """
    with repository.lock_for_reading() as lock:
        print(read_files(repository, list_snapshots(repository)[-1]), lock.held)
    print(repository.events.warnings)
"""


@contextlib.contextmanager
def script(repository: Repository, body: str, *wrapper: str) -> Iterator[subprocess.Popen[str]]:
    """Run a piece of Python in other surroundings, such as another namespace."""
    text = SCRIPT.format(
        root=str(ROOT),
        tree=TREE,
        package=list_locks.__module__.removesuffix("._repository.lock_file"),
        folder=repository.location,
        body=body.strip(),
    )
    with subprocess.Popen(
        [*wrapper, sys.executable, "-c", text],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        yield running
        said, errors = running.communicate(timeout=PATIENCE_S)
        assert running.returncode == 0, errors
        running.stdout_rest = said  # type: ignore[attr-defined] # for the caller, after the block


def said_by(running: subprocess.Popen[str]) -> str:
    """What the script printed and nobody read, after its end."""
    return t.cast("str", t.cast("t.Any", running).stdout_rest)


@pytest.mark.parametrize("mounted", [(), ("--mount-proc",)], ids=["old /proc", "own /proc"])
class TestTwoPidNamespacesOfOneHostname:
    @pytest.mark.parametrize("hours", [0, 1, -1])
    def test_a_live_owner_in_the_other_one_is_never_dead(
        self, repository: Repository, mounted: tuple[str, ...], hours: int
    ) -> None:
        """Nor with a clock that is an hour apart."""
        inside = ("unshare", "--pid", "--fork", "--kill-child", *mounted)
        with script(repository, HOLD.format(hours=hours), *inside) as running:
            assert running.stdout is not None
            assert running.stdout.readline() == "held\n"
            (found,) = list_locks(repository)
            assert found.lock is not None
            assert found.lock.pid < 10  # its number there; here it is another process, or none
            ahead = found.lock.time.unix_ns / 1e9 - time.time()
            assert round(ahead / 3600) == hours
            with pytest.raises(RepositoryLocked):
                repository.lock(exclusive=True).acquire()
            assert list_locks(repository) == [found]
        assert list_locks(repository) == []

    def test_seen_from_the_other_one(
        self, repository: Repository, mounted: tuple[str, ...]
    ) -> None:
        inside = ("unshare", "--pid", "--fork", "--kill-child", *mounted)
        with repository.lock() as lock:
            with script(repository, TRY, *inside) as running:
                pass
            assert f"process {os.getpid()}," in said_by(running)
            assert lock.still_there()


def test_a_reader_of_a_read_only_mount_goes_on_without(repository: Repository) -> None:
    mount = (
        f"mount --bind {repository.location} {repository.location} && "
        f'mount -o remount,bind,ro {repository.location} && exec "$@"'
    )
    with script(repository, READ, "unshare", "--mount", "sh", "-c", mount, "sh") as running:
        pass
    assert "{'/postgres/f': b'text'} False" in said_by(running)
    assert "without a lock" in said_by(running)


@in_a_place
def test_on_a_bucket_it_is_refreshed_and_released(place: Place) -> None:
    with place.create() as repository:
        with RepositoryLock(repository, timing=REFRESHED_OFTEN) as lock:
            first = lock.id
            wait_for(lambda: lock.id != first, "a refresh")
            assert lock.still_there()
            with pytest.raises(RepositoryLocked):
                RepositoryLock(repository, exclusive=True).acquire()
            for version in VERSIONS:
                assert status(place.restic(version), "prune") == LOCKED
                assert status(place.restic(version), "unlock") == 0
            lock.check()
        assert list_locks(repository) == []
