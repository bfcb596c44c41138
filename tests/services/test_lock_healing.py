# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What runs leave when they die, sleep or lose their lock, and how the next one goes on: by itself,
at once on the same host, elsewhere 31 minutes later; and who loses his lock never says that all is
well.
"""

from __future__ import annotations

import dataclasses
import mmap
import os
import signal
import struct
import subprocess
import sys
import threading
import time
import typing as t
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import (
    LockLost,
    RepositoryLocked,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.lock_file import (
    LOCKS,
    list_locks,
    lock_name,
    seal_lock,
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
from ansible_collections.granary.postgres.plugins.module_utils._repository.repository import (
    Repository,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.snapshot import (
    SNAPSHOTS,
    list_snapshots,
)
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
from tests.faults.interposed import Listener, Operation, interpose
from tests.fix_backup import HookedEvents, back_up_server, backup_request, files_of, in_background
from tests.fix_postgres import DatabaseFactory, PostgresFactory
from tests.fix_quick_key import make_key_quick
from tests.fix_repository import PREFIX, Place, back_up, in_a_place, read_files
from tests.testbed.http_proxy import Fault, HttpProxy, Request
from tests.testbed.postgres import PostgresServer
from tests.testbed.restic import VERSIONS
from tests.testbed.s3 import Bucket

if t.TYPE_CHECKING:
    from ansible_collections.granary.postgres.plugins.module_utils._storage.base import Backend

PATIENCE = 60.0
SAME_HOST_SECONDS = 60.0
SLEEP = 31 * 60.0
PACK = 1 << 20
# Looks at the clocks all the time; all else is as it is.
WIDE_AWAKE = LockTiming(tick=0.1)
TABLE = """
CREATE TABLE big AS SELECT i AS id, md5(i::text) || md5((i + 1)::text) || md5((i + 2)::text) AS a
  FROM generate_series(1, 200000) i;
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A database to back up."""

    server: PostgresServer
    name: str

    def back_up(self, place: Place, **more: t.Any) -> str:
        """Back it up, and give the snapshot's id."""
        made = back_up_server(
            self.server, place, databases=[self.name], pack_size=PACK, jobs=2, **more
        )
        assert made.snapshot.id is not None
        return made.snapshot.id


@pytest.fixture
def source(postgres: PostgresFactory, fresh_database: DatabaseFactory) -> Source:
    server = postgres(17)
    name = fresh_database(server)
    server.execute(TABLE, database=name)
    return Source(server=server, name=name)


def made(place: Place) -> Place:
    """The place with an empty repository that opens in milliseconds."""
    with place.create() as repository:
        make_key_quick(repository)
    return place


def until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    tick = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain: {what}"
        tick.wait(0.02)


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
    until(lambda: not _group_is_there(child), "the end of its workers and of its lock keeper")
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


def rewritten(repository: Repository, **changes: t.Any) -> None:
    """Let the one lock that is there be of another origin."""
    (found,) = list_locks(repository)
    assert found.lock is not None
    assert found.lock.origin is not None
    origin = dataclasses.replace(found.lock.origin, **changes)
    lock_id, sealed = seal_lock(repository, replace(found.lock, origin=origin))
    repository.backend.delete(found.name)
    repository.backend.write(lock_name(lock_id), sealed)


def by(place: Place, proxy: HttpProxy) -> Place:
    assert isinstance(place.where, Bucket)
    return replace(place, where=replace(place.where, endpoint=proxy.endpoint))


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
        events = HookedEvents("database_read", die)
        child = killed(lambda: source.back_up(place, events=events))
        assert files_of(place, "data")
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
        kept = _worth_pruning(place)

        def prune() -> None:
            interpose(Deadly())
            _prune(place)

        killed(prune)
        assert len(files_of(place, LOCKS)) == 1
        began = time.monotonic()
        assert _prune(place) > 0
        assert time.monotonic() - began < SAME_HOST_SECONDS
        _restores(place, kept)
        for version in VERSIONS:
            place.restic(version).run("check", "--read-data")


def _worth_pruning(place: Place) -> dict[str, bytes]:
    """Snapshots of which one is forgotten; what is kept."""
    made(place)
    kept = {f"/postgres/{n}": os.urandom(900_000) for n in range(5)}
    with place.open() as repository:
        back_up(repository, kept | {f"/postgres/x{n}": os.urandom(900_000) for n in range(7)})
        (first,) = list_snapshots(repository)
        back_up(repository, kept)
        repository.backend.delete(f"{SNAPSHOTS}/{first.id.hex()}")
    return kept


def _prune(place: Place) -> int:
    with place.open() as repository, repository.lock(exclusive=True) as held:
        return execute_prune(repository, held, plan_prune(repository)).freed_bytes


def _restores(place: Place, files: dict[str, bytes]) -> None:
    with place.open() as repository:
        assert read_files(repository, list_snapshots(repository)[-1]) == files


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


class TestRobbed:
    """`restic unlock --remove-all` in the middle of a backup."""

    @pytest.mark.parametrize("version", VERSIONS)
    def test_and_pruned_before_the_index_was_written(
        self, source: Source, local_place: Place, version: str
    ) -> None:
        made(local_place)
        restic = local_place.restic(version)
        pruned = threading.Event()

        def rob() -> None:
            until(lambda: len(files_of(local_place, "data")) >= 3, "packs")
            restic.run("unlock", "--remove-all")
            restic.run("prune")
            pruned.set()

        events = HookedEvents("index_written", lambda: pruned.wait(PATIENCE))
        thread = in_background(rob)
        with pytest.raises(LockLost, match=r"The lock on .* is (gone|lost)"):
            source.back_up(local_place, events=events)
        thread.join(PATIENCE)
        assert files_of(local_place, SNAPSHOTS) == {}
        assert files_of(local_place, LOCKS) == {}
        source.back_up(local_place)
        restic.run("check", "--read-data")

    @pytest.mark.parametrize("whole", [True, False])
    def test_once_the_snapshot_was_written(
        self, source: Source, s3_bucket: Bucket, s3_proxy: HttpProxy, tmp_path: Path, whole: bool
    ) -> None:
        """All that it needs is looked for then: it is there, or the snapshot goes."""
        place = made(Place(where=s3_bucket, cache_dir=tmp_path / "cache"))
        restic = place.restic("0.19")
        robbed: list[str] = []

        def rob(request: Request) -> None:
            if robbed or not s3_bucket.list_keys(f"{PREFIX}/{SNAPSHOTS}/"):
                return
            robbed.append(request.path)
            restic.run("unlock", "--remove-all")
            if not whole:
                for key in s3_bucket.list_keys(f"{PREFIX}/data/"):
                    s3_bucket.client().delete_object(Bucket=s3_bucket.name, Key=key)

        # Until the first look at the lock after the snapshot's own write.
        s3_proxy.add(Fault(kind="run", method="GET", path="prefix=.*locks", action=rob))
        if whole:
            snapshot = source.back_up(by(place, s3_proxy))
            assert list(files_of(place, SNAPSHOTS)) == [f"{SNAPSHOTS}/{snapshot}"]
            restic.run("check", "--read-data")
        else:
            with pytest.raises(LockLost, match="the snapshot was removed"):
                source.back_up(by(place, s3_proxy))
            assert files_of(place, SNAPSHOTS) == {}
        assert robbed
        assert files_of(place, LOCKS) == {}


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
                    threads[0].join(PATIENCE)
                assert lock.id != first

    def test_in_a_backup_alone(self, source: Source, local_place: Place) -> None:
        made(local_place)
        clock = JumpingClock()

        def sleep() -> None:
            until(lambda: len(files_of(local_place, "data")) >= 3, "packs")
            clock.sleep(SLEEP)

        self._back_up(source, local_place, clock, sleep)
        assert len(files_of(local_place, SNAPSHOTS)) == 1
        local_place.restic("0.19").run("check", "--read-data")

    def test_in_a_backup_and_somebody_pruned(self, source: Source, local_place: Place) -> None:
        """Elsewhere the lock was seen to be 31 minutes old."""
        made(local_place)
        clock = JumpingClock()

        def sleep() -> None:
            until(lambda: len(files_of(local_place, "data")) >= 3, "packs")
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
        kept = _worth_pruning(place)
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
        _restores(place, kept)
        assert _prune(place) >= 0


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
        until(lambda: files_of(local_place, LOCKS), "the lock")
        with local_place.open() as repository:
            (shown,) = describe_locks(repository)
            assert shown["owner"] == "alive"
            assert 0 <= float(shown["age_seconds"] or 0) < PATIENCE
            with pytest.raises(RepositoryLocked):
                repository.lock().acquire()
            rewritten(repository, boot_id="another")  # as seen from another host
            with pytest.raises(RepositoryLocked):
                repository.lock().acquire()
            assert len(list_locks(repository)) == 1
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
                until(lambda: lock.id != first, "a refresh")
                lock.check()
            else:
                with pytest.raises(LockLost, match="somebody removed its file"):
                    until(lock.check, "the loss")

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
