# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Locks on a machine that sleeps for longer than they live, and where clocks are an hour apart; who
loses his lock by that never says that all is well.
"""

from __future__ import annotations

import mmap
import os
import signal
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import (
    LockLost,
    RepositoryLocked,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.lock_file import (
    LOCKS,
    list_locks,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.lock_state import (
    LockTiming,
    Moment,
    SystemClock,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.locks import (
    RepositoryLock,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.prune import (
    execute_prune,
    plan_prune,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.snapshot import SNAPSHOTS
from ansible_collections.granary.postgres.plugins.module_utils._repository.stale_locks import (
    describe_locks,
)
from ansible_collections.granary.postgres.plugins.module_utils._workflows.backup_plan import (
    survey_server,
)
from ansible_collections.granary.postgres.plugins.module_utils._workflows.backup_run import (
    BackupRun,
)
from ansible_collections.granary.postgres.plugins.module_utils._workflows.parallel_backup import (
    ParallelBackup,
)
from ansible_collections.granary.postgres.plugins.module_utils._workflows.stop_signals import (
    StopSignals,
)
from tests.fix_backup import HookedEvents, backup_request, files_of, in_background
from tests.fix_lock_loss import (
    PACK,
    Source,
    by,
    made,
    prune_place,
    restores,
    rewritten,
    worth_pruning,
)
from tests.fix_repository import PREFIX, Place
from tests.testbed.http_proxy import Fault, HttpProxy, Request
from tests.testbed.s3 import Bucket
from tests.waiting import PATIENCE_S, wait_for

SLEEP = 31 * 60.0
# Looks at the clocks all the time; all else is as it is.
WIDE_AWAKE = LockTiming(tick=0.1)


class JumpingClock:
    """The clocks of this machine until it seems to sleep; the same in all processes of a run."""

    def __init__(self) -> None:
        self._slept = mmap.mmap(-1, 8)

    def sleep(self, seconds: float) -> None:
        """Let all clocks be so much later at once."""
        self._slept[:] = struct.pack("d", seconds)

    def now(self) -> Moment:
        """What the clocks show."""
        (slept,) = struct.unpack("d", self._slept)
        now = SystemClock().now()
        return Moment(now.boot + slept, now.wall + slept)


class TestSlept:
    """The machine sleeps for 31 minutes, longer than a lock lives; nobody comes by, or somebody."""

    def _back_up(
        self, source: Source, place: Place, clock: JumpingClock, at: Callable[[], None]
    ) -> None:
        request = backup_request(
            source.server, place, databases=[source.name], pack_size=PACK, jobs=2
        )
        threads: list[threading.Thread] = []
        events = HookedEvents("database_begun", lambda: threads.append(in_background(at)))
        with StopSignals() as signals, place.open() as repository:
            survey = survey_server(request, events=events)
            with RepositoryLock(repository, timing=WIDE_AWAKE, clock=clock) as lock:
                run = BackupRun(
                    request, repository=repository, lock=lock, signals=signals, events=events
                )
                first = lock.id
                try:
                    ParallelBackup(run, survey).back_up()
                finally:
                    threads[0].join(PATIENCE_S)
                assert lock.id != first

    def test_in_a_backup_alone(self, source: Source, local_place: Place) -> None:
        made(local_place)
        clock = JumpingClock()

        def sleep() -> None:
            wait_for(lambda: len(files_of(local_place, "data")) >= 3, "packs")
            clock.sleep(SLEEP)

        self._back_up(source, local_place, clock, sleep)
        assert len(files_of(local_place, SNAPSHOTS)) == 1
        local_place.restic("0.19").run("check", "--read-data")

    def test_in_a_backup_and_somebody_pruned(self, source: Source, local_place: Place) -> None:
        """Elsewhere the lock was seen to be 31 minutes old."""
        made(local_place)
        clock = JumpingClock()

        def sleep() -> None:
            wait_for(lambda: len(files_of(local_place, "data")) >= 3, "packs")
            assert isinstance(local_place.where, Path)
            for lock in (local_place.where / LOCKS).iterdir():
                lock.unlink(missing_ok=True)
            local_place.restic("0.19").run("prune")
            clock.sleep(SLEEP)

        with pytest.raises(LockLost):
            self._back_up(source, local_place, clock, sleep)
        assert files_of(local_place, SNAPSHOTS) == {}
        assert files_of(local_place, LOCKS) == {}
        source.back_up(local_place)
        local_place.restic("0.19").run("check", "--read-data")

    @pytest.mark.parametrize("robbed", [False, True])
    def test_in_a_prune(
        self, s3_bucket: Bucket, s3_proxy: HttpProxy, tmp_path: Path, robbed: bool
    ) -> None:
        place = Place(where=s3_bucket, cache_dir=tmp_path / "cache")
        kept = worth_pruning(place)
        packs, index = files_of(place, "data"), files_of(place, "index")
        clock = JumpingClock()

        def sleep(request: Request) -> None:
            if robbed:
                for key in s3_bucket.list_keys(f"{PREFIX}/{LOCKS}/"):
                    s3_bucket.client().delete_object(Bucket=s3_bucket.name, Key=key)
            clock.sleep(SLEEP)

        # The new index file: old ones and packs are deleted after it.
        s3_proxy.add(Fault(kind="run", method="PUT", path="/index/", action=sleep, times=1))
        with by(place, s3_proxy).open() as repository:
            lock = RepositoryLock(repository, exclusive=True, timing=WIDE_AWAKE, clock=clock)
            with lock:
                plan = plan_prune(repository)
                if robbed:
                    with pytest.raises(LockLost):
                        execute_prune(repository, lock, plan)
                else:
                    assert execute_prune(repository, lock, plan).freed_bytes > 0
        gone = [name for name in (packs | index) if name not in files_of(place)]
        assert (gone == []) == robbed
        assert files_of(place, LOCKS) == {}
        place.restic("0.19").run("check", "--read-data")
        restores(place, kept)
        assert prune_place(place) >= 0


@pytest.mark.parametrize("hours", [1, -1])
class TestClocksAnHourApart:
    """The owner's wall clock is another one than that of the storage and of those who look."""

    def test_its_lock_is_nobody_s_to_remove(self, local_place: Place, hours: int) -> None:
        made(local_place)
        child = os.fork()
        if child == 0:
            try:
                self._hold(local_place, hours)
            finally:
                os._exit(1)
        try:
            with local_place.open() as repository:
                (shown,) = wait_for(lambda: describe_locks(repository), "the lock")
                assert shown["owner"] == "alive"
                assert 0 <= float(shown["age_seconds"] or 0) < PATIENCE_S
                with pytest.raises(RepositoryLocked):
                    repository.lock().acquire()
                rewritten(repository, boot_id="another")  # as seen from another host
                with pytest.raises(RepositoryLocked):
                    repository.lock().acquire()
                assert len(list_locks(repository)) == 1
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)

    def test_restic_may_take_it_for_old_and_then_its_run_is_lost(
        self, local_place: Place, hours: int
    ) -> None:
        """restic compares clocks: an hour behind, `restic unlock` removes a lock that lives."""
        made(local_place)
        timing = LockTiming(refresh=0.2, settle=0.05, tick=0.1)
        with (
            local_place.open() as repository,
            RepositoryLock(repository, timing=timing, clock=Apart(hours)) as lock,
        ):
            local_place.restic("0.19").run("unlock")
            if hours > 0:
                first = lock.id
                wait_for(lambda: lock.id != first, "a refresh")
                lock.check()
            else:
                with pytest.raises(LockLost, match="somebody removed its file"):
                    wait_for(lock.check, "the loss")

    @staticmethod
    def _hold(place: Place, hours: int) -> None:
        with (
            place.open() as repository,
            RepositoryLock(repository, exclusive=True, clock=Apart(hours)),
        ):
            signal.pause()


@dataclass(frozen=True, slots=True)
class Apart:
    """A wall clock that is some hours ahead, or behind."""

    hours: int

    def now(self) -> Moment:
        """What the clocks show."""
        now = SystemClock().now()
        return Moment(now.boot, now.wall + self.hours * 3600)
