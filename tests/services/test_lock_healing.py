# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What runs leave when they die, and how the next one goes on: by itself, at once on the same host,
elsewhere 31 minutes later.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import typing as t
from collections.abc import Callable
from pathlib import Path

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import RepositoryLocked
from ansible_collections.granary.postgres.plugins.module_utils._repository.lock_file import LOCKS
from ansible_collections.granary.postgres.plugins.module_utils._repository.repository import (
    Repository,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.snapshot import SNAPSHOTS
from ansible_collections.granary.postgres.plugins.module_utils._repository.stale_locks import (
    describe_locks,
)
from tests.faults.interposed import Listener, Operation, interpose
from tests.fix_backup import HookedEvents, files_of
from tests.fix_lock_loss import (
    Source,
    by,
    made,
    prune_place,
    restores,
    rewritten,
    worth_pruning,
)
from tests.fix_repository import Place, in_a_place
from tests.testbed.http_proxy import HttpProxy
from tests.testbed.restic import VERSIONS
from tests.waiting import wait_for

if t.TYPE_CHECKING:
    from ansible_collections.granary.postgres.plugins.module_utils._storage.base import Backend

SAME_HOST_SECONDS = 60.0


def killed(action: Callable[[], object]) -> int:
    """Run something that comes to `die` in a process of its own; give the pid."""
    child = os.fork()
    if child == 0:
        try:
            os.setpgid(0, 0)
            action()
        finally:
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    wait_for(lambda: not _group_is_there(child), "the end of its workers and of its lock keeper")
    return child


def die() -> None:
    """Kill this process and all that it has forked, at once."""
    os.killpg(0, signal.SIGKILL)


def _group_is_there(leader: int) -> bool:
    try:
        os.killpg(leader, 0)
    except ProcessLookupError:
        return False
    return True


class Deadly(Listener):
    """Kills the run when a pack is about to be deleted."""

    def before(self, backend: Backend, operation: Operation) -> None:
        """Look what it is."""
        if operation.verb == "delete" and operation.name.startswith("data/"):
            die()


@pytest.fixture
def aged(
    request: pytest.FixtureRequest, place: Place
) -> tuple[Place, Callable[[Repository, float], None]]:
    """The place, and how to let its lock files be so much older by the storage's own time."""
    if isinstance(place.where, Path):
        folder = place.where / LOCKS

        def grow_old(repository: Repository, seconds: float) -> None:
            then = time.time() - seconds
            for path in folder.iterdir():
                os.utime(path, (then, then))

        return place, grow_old
    proxy: HttpProxy = request.getfixturevalue("s3_proxy")
    return by(place, proxy), lambda repository, seconds: proxy.move_clock(seconds)


class TestKilled:
    @in_a_place
    def test_a_backup_and_the_next_run_starts_at_once(self, source: Source, place: Place) -> None:
        made(place)

        def die_with_a_pack_stored() -> None:
            wait_for(lambda: files_of(place, "data"), "a pack")
            die()

        events = HookedEvents("database_read", die_with_a_pack_stored)
        child = killed(lambda: source.back_up(place, events=events))
        assert files_of(place, SNAPSHOTS) == {}
        with place.open() as repository:
            (left,) = describe_locks(repository)
            assert (left["pid"], left["owner"]) == (child, "gone")
            assert left["reason"] == "its process is gone"
            began = time.monotonic()
            # The strictest of all next runs: one that must be alone.
            with repository.lock(exclusive=True):
                assert time.monotonic() - began < SAME_HOST_SECONDS
        source.back_up(place)
        place.restic("0.19").run("check", "--read-data")

    @in_a_place
    def test_on_another_host_the_next_one_starts_after_31_minutes(
        self, aged: tuple[Place, Callable[[Repository, float], None]]
    ) -> None:
        place, grow_old = aged
        made(place)

        def hold() -> None:
            with place.open() as repository, repository.lock(exclusive=True):
                die()

        killed(hold)
        with place.open() as repository:
            rewritten(repository, boot_id="another", machine_id="another")
            grow_old(repository, 29 * 60)
            with pytest.raises(RepositoryLocked, match=r"29 minutes|17\d\d seconds"):
                repository.lock().acquire()
            assert [lock["owner"] for lock in describe_locks(repository)] == ["unknown"]
            grow_old(repository, 31 * 60)
            assert [lock["owner"] for lock in describe_locks(repository)] == ["gone"]
            with repository.lock(exclusive=True):
                pass

    @in_a_place
    def test_a_prune_and_the_next_run_completes_it(self, place: Place) -> None:
        kept = worth_pruning(place)

        def prune() -> None:
            interpose(Deadly())
            prune_place(place)

        killed(prune)
        assert len(files_of(place, LOCKS)) == 1
        began = time.monotonic()
        assert prune_place(place) > 0
        assert time.monotonic() - began < SAME_HOST_SECONDS
        restores(place, kept)
        for version in VERSIONS:
            place.restic(version).run("check", "--read-data")


class TestRebooted:
    """Another boot of the same machine: a process that reads another boot id, and whose machine has
    been up for 100 seconds.
    """

    SCRIPT = """
import sys, time
sys.path[:] = {path!r}
real = time.clock_gettime
time.clock_gettime = lambda which: 100.0 if which == time.CLOCK_BOOTTIME else real(which)
from pathlib import Path
from tests.fix_repository import Place
from {errors} import RepositoryLocked
with Place(where=Path({folder!r}), cache_dir=Path("/nonexistent")).open() as repository:
    try:
        with repository.lock(exclusive=True):
            print("started", *repository.events.warnings)
    except RepositoryLocked as exc:
        print("refused", exc)
"""
    OTHER_BOOT = 'mount --bind "$0" /proc/sys/kernel/random/boot_id && exec "$@"'

    def _start(self, place: Place, boot_id: Path) -> str:
        script = self.SCRIPT.format(
            path=sys.path, folder=str(place.where), errors=RepositoryLocked.__module__
        )
        inside = ["unshare", "--mount", "sh", "-c", self.OTHER_BOOT, str(boot_id)]
        done = subprocess.run(
            [*inside, sys.executable, "-c", script], capture_output=True, text=True, check=True
        )
        return done.stdout

    @pytest.mark.parametrize(("lock_age", "start"), [(200, "started"), (50, "refused")])
    def test_a_lock_from_before_is_gone_and_a_clone_s_is_not(
        self, local_place: Place, tmp_path: Path, lock_age: int, start: str
    ) -> None:
        made(local_place)
        boot_id = tmp_path / "boot_id"
        boot_id.write_text("11111111-2222-3333-4444-555555555555\n")
        # Our own process holds it, and lives: seen from the other boot it cannot.
        with local_place.open() as repository, repository.lock(exclusive=True):
            assert isinstance(local_place.where, Path)
            (file,) = (local_place.where / LOCKS).iterdir()
            os.utime(file, (time.time() - lock_age, time.time() - lock_age))
            began = time.monotonic()
            said = self._start(local_place, boot_id)
            assert time.monotonic() - began < SAME_HOST_SECONDS
        if not Path("/etc/machine-id").exists():
            start = "refused"  # nothing tells this machine from a clone of it
        assert said.startswith(start), said
        assert ("started again since" in said) == (start == "started")
