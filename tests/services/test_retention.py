# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Retention on real repositories: what goes, what a guard keeps, and that nothing else does."""

from __future__ import annotations

import dataclasses
import os
import random
import shutil
import time
import typing as t
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import (
    ConfigError,
    GranaryError,
    LockLost,
    RepositoryDamaged,
    RepositoryLocked,
    SnapshotAmbiguous,
    SnapshotMissing,
    StorageError,
    StorageFull,
)
from ansible_collections.granary.postgres.plugins.module_utils._core.events import RecordedEvents
from ansible_collections.granary.postgres.plugins.module_utils._repository.snapshot import (
    Snapshot,
    list_snapshots,
    write_snapshot,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.timestamp import (
    Timestamp,
)
from ansible_collections.granary.postgres.plugins.module_utils._storage.model import LocalSettings
from ansible_collections.granary.postgres.plugins.module_utils._storage.registry import open_backend
from ansible_collections.granary.postgres.plugins.module_utils._workflows.retention import (
    run_retention,
)
from ansible_collections.granary.postgres.plugins.module_utils._workflows.retention_request import (
    RetentionRequest,
    RetentionResult,
)
from tests.dated_snapshots import fill, some
from tests.fix_backup import HookedEvents, access, files_of
from tests.fix_quick_key import make_key_quick
from tests.fix_repository import Place, in_a_place, read_files
from tests.testbed.http_proxy import Fault, HttpProxy
from tests.testbed.process import run
from tests.testbed.restic import VERSIONS
from tests.testbed.s3 import Bucket


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a repository without snapshots that opens in milliseconds, to be copied."""
    folder = tmp_path_factory.mktemp("empty") / "repository"
    with Place(where=folder, cache_dir=folder).create() as repository:
        make_key_quick(repository)
    return folder


def copy(empty: Path, place: Place) -> Place:
    """The place, with the empty repository in it."""
    settings = LocalSettings(path=str(empty))
    with open_backend(settings) as source, open_backend(place.settings) as target:
        target.prepare()
        for entry in source.entries(""):
            target.write(entry.name, source.read(entry.name))
    return place


@pytest.fixture
def local(local_place: Place, empty: Path) -> Place:
    """A folder with an empty repository."""
    return copy(empty, local_place)


def retain(
    place: Place,
    *,
    check_mode: bool = False,
    events: RecordedEvents | None = None,
    **options: t.Any,
) -> RetentionResult:
    """Run retention at a place."""
    request = RetentionRequest(repository=access(place), **options)
    return run_retention(request, events=events or RecordedEvents(), check_mode=check_mode)


def ids(place: Place) -> list[str]:
    """The ids of all snapshots, the newest first."""
    with place.open() as repository:
        return [one.id.hex() for one in reversed(list_snapshots(repository))]


def of(result: RetentionResult, which: str) -> dict[str, list[str]]:
    """The reasons of the snapshots that are kept or removed, by id."""
    return {one["id"]: one["reasons"] for one in t.cast("t.Any", result.to_return()[which])}


@in_a_place
def test_keeps_what_restic_would_and_frees_the_rest(place: Place, empty: Path) -> None:
    copy(empty, place)
    wanted = [some(days, b"%f\n" % days * 100_000) for days in (0.1, 0.2, 1.2, 1.3, 2.5, 9, 40)]
    made = fill(place, *wanted)
    assert ids(place) == made
    before = files_of(place)
    predicted = retain(place, check_mode=True, keep_daily="2", keep_last="1")
    assert files_of(place) == before
    restic = place.restic(VERSIONS[-1])
    arguments = ("--keep-daily", "2", "--keep-last", "1")
    (said,) = restic.json("forget", "--dry-run", "--no-lock", *arguments)
    done = retain(place, keep_daily="2", keep_last="1")
    assert list(of(done, "kept")) == [one["id"] for one in said["keep"]] == ids(place)
    assert list(of(done, "removed")) == [one["id"] for one in said["remove"]]
    assert of(done, "kept") == {one["snapshot"]["id"]: one["matches"] for one in said["reasons"]}
    assert done.changed
    assert predicted.changed
    for which in ("kept", "removed", "diff"):
        assert predicted.to_return()[which] == done.to_return()[which]
    assert predicted.prune is not None
    assert done.prune is not None
    assert predicted.prune.keys() == done.prune.keys()
    assert sum(before.values()) - sum(files_of(place).values()) > 0
    for version in VERSIONS:
        assert "no errors were found" in place.restic(version).run("check", "--read-data")
    with place.open() as repository:
        for one in reversed(list_snapshots(repository)):
            content = wanted[made.index(one.id.hex())].content
            assert read_files(repository, one) == {"/postgres/it": content}
    again = retain(place, keep_daily="2", keep_last="1")
    assert not again.changed
    assert of(again, "removed") == {}
    assert of(again, "kept").keys() == of(done, "kept").keys()


def test_others_snapshots_are_left_alone_unless_they_are_chosen(local: Place) -> None:
    ours = fill(local, some(1), some(2), some(3))
    theirs: dict[str, t.Any] = {"paths": ("/dumpfile.sql",), "tags": (), "hostname": "host-0"}
    stash = fill(local, some(1, **theirs), some(2, **theirs))
    (tagged,) = fill(local, some(4, tags=("granary", "weekly")))
    done = retain(local, keep_last="1", prune=False)
    assert set(of(done, "removed")) == {*ours[1:], tagged}
    assert set(ids(local)) == {ours[0], *stash}
    assert done.to_return()["stats"] == {
        "snapshots_kept": 1,
        "snapshots_removed": 3,
        "prune": None,
        "duration_seconds": done.duration_seconds,
    }
    every = retain(local, check_mode=True, keep_last="1", paths=(), tags=())
    assert set(of(every, "removed")) == {stash[1]}
    plain = retain(local, check_mode=True, keep_last="1", paths=("/dumpfile.sql",), tags=())
    assert set(of(plain, "kept")) == {stash[0]}


class TestGuards:
    """Policies that restic would carry out, or that nobody can mean."""

    def test_a_policy_that_keeps_nothing_of_a_group_is_refused(self, local: Place) -> None:
        fill(local, some(1, tags=("granary", "x")), some(1, hostname="db2"))
        before = files_of(local)
        for check_mode in (True, False):
            with pytest.raises(ConfigError, match=r"nothing of host db2, paths /postgres \(1"):
                retain(local, check_mode=check_mode, keep_tags=["x"])
        assert files_of(local) == before
        done = retain(local, keep_tags=["x"], allow_remove_all=True)
        assert [one.host for one in done.removed] == ["db2"]

    def test_the_backup_that_was_just_made_is_kept(self, local: Place) -> None:
        marked, newest, dummy = fill(local, some(9, tags=("granary", "x")), some(0.1), some(5))
        done = retain(local, keep_tags=["x"], prune=False)
        assert of(done, "kept") == {
            newest: ["newest snapshot of its host and paths"],
            marked: ["has tags [x]"],
        }
        everything = retain(local, keep_tags=["x"], prune=False, allow_remove_all=True)
        assert list(of(everything, "removed")) == [newest]

    def test_a_snapshot_of_the_future_does_not_take_its_place(self, local: Place) -> None:
        newest, future = fill(local, some(0.1), some(-3))
        done = retain(local, keep_last="1", prune=False)
        assert of(done, "kept") == {
            future: ["last snapshot"],
            newest: ["newest snapshot of its host and paths"],
        }

    def test_without_a_rule_everything_that_is_chosen_goes(self, local: Place) -> None:
        dummy, other = fill(local, some(1), some(2, hostname="db2"))
        done = retain(local, host="db1", allow_remove_all=True)
        assert (len(done.removed), done.kept) == (1, ())
        assert ids(local) == [other]
        assert "no errors were found" in local.restic(VERSIONS[-1]).run("check", "--read-data")

    def test_what_a_failed_run_left_does_not_count(self, local: Place) -> None:
        made = fill(local, some(1), some(2), some(3))
        (failed,) = fill(local, some(0))
        with local.open() as repository:
            repository.backend.delete(f"snapshots/{failed}")
        done = retain(local, keep_last="2")
        assert list(of(done, "kept")) == made[:2] == ids(local)
        assert "no errors were found" in local.restic(VERSIONS[-1]).run("check", "--read-data")

    def test_others_locks_are_waited_for_but_by_check_mode(self, local: Place) -> None:
        dummy, old = fill(local, some(1), some(2))
        with local.open() as repository, repository.lock():
            before = files_of(local)
            assert list(of(retain(local, check_mode=True, keep_last="1"), "removed")) == [old]
            with pytest.raises(RepositoryLocked):
                retain(local, keep_last="1")
            assert files_of(local) == before


class TestIds:
    """Snapshots that are removed by name."""

    def test_each_goes_once_whatever_a_policy_would_say(self, local: Place) -> None:
        one, two, three = fill(local, some(1), some(2), some(3))
        events = RecordedEvents()
        gone = "ab" * 32
        wanted = (one, two[:8], two, gone)
        predicted = retain(local, check_mode=True, snapshots=wanted)
        done = retain(local, snapshots=wanted, events=events)
        assert of(done, "removed") == {one: ["named by its id"], two: ["named by its id"]}
        assert of(done, "kept") == {}
        assert predicted.removed == done.removed
        assert ids(local) == [three]
        assert any(gone in warning for warning in events.warnings)
        assert not retain(local, snapshots=(one, two)).changed

    def test_what_is_not_clear_removes_nothing(self, local: Place) -> None:
        with local.open() as repository:
            fields: dict[str, t.Any] = {"tree": bytes(32), "paths": (), "hostname": "db1"}
            for number in range(2):
                made = Snapshot(time=Timestamp(unix_ns=number), **fields)
                twin = write_snapshot(repository, made)
                data = repository.backend.read(f"snapshots/{twin.hex()}")
                repository.backend.delete(f"snapshots/{twin.hex()}")
                repository.backend.write(f"snapshots/{number:064x}", data)
        before = files_of(local)
        for wanted, error in (("0" * 8, SnapshotAmbiguous), ("f" * 8, SnapshotMissing)):
            with pytest.raises(error, match="nothing was removed"):
                retain(local, snapshots=(f"{1:064x}", wanted))
        assert files_of(local) == before

    def test_an_unreadable_one_goes_and_prune_waits_for_that(self, local: Place) -> None:
        *whole, broken = fill(local, some(1), some(2), some(3))
        with local.open() as repository:
            data = repository.backend.read(f"snapshots/{broken}")
            repository.backend.delete(f"snapshots/{broken}")
            repository.backend.write(f"snapshots/{broken}", data[:-1])
        before = files_of(local)
        for check_mode in (True, False):
            with pytest.raises(RepositoryDamaged, match=f"No snapshot was removed.*{broken}"):
                retain(local, keep_last="1", check_mode=check_mode)
        assert files_of(local) == before
        events = RecordedEvents()
        done = retain(local, keep_last="1", prune=False, events=events)
        assert list(of(done, "removed")) == [whole[1]]
        assert any(broken in warning for warning in events.warnings)
        last = retain(local, snapshots=(broken[:12],))
        assert [(one.id, one.time, one.host) for one in last.removed] == [(broken, None, None)]
        assert ids(local) == [whole[0]]
        assert "no errors were found" in local.restic(VERSIONS[-1]).run("check", "--read-data")

    def test_one_with_damaged_files_goes(self, local: Place) -> None:
        (whole,) = fill(local, some(1))
        before = set(files_of(local))
        (broken,) = fill(local, some(2))
        packs = [
            name for name in files_of(local) if name.startswith("data/") and name not in before
        ]
        with local.open() as repository:
            for name in packs:
                repository.backend.delete(name)
        with pytest.raises(RepositoryDamaged, match=broken):
            retain(local, keep_last="1", keep_within="30d")
        assert ids(local) == [whole, broken]
        retain(local, snapshots=(broken,))
        assert ids(local) == [whole]
        assert "no errors were found" in local.restic(VERSIONS[-1]).run("check", "--read-data")


def test_a_storage_that_refuses_deletions_is_named(
    s3_bucket: Bucket, s3_proxy: HttpProxy, tmp_path: Path, empty: Path
) -> None:
    behind = dataclasses.replace(s3_bucket, endpoint=s3_proxy.endpoint)
    place = copy(empty, Place(where=behind, cache_dir=tmp_path))
    made = fill(place, some(1), some(2), some(3))
    packs = {name for name in files_of(place) if name.startswith("data/")}
    s3_proxy.add(Fault(kind="answer", method="DELETE", path="/snapshots/", status=403))
    with pytest.raises(StorageError, match=r"2 snapshots of 2 could not be removed.*snapshots/"):
        retain(place, keep_last="1")
    assert ids(place) == made
    assert {name for name in files_of(place) if name.startswith("data/")} == packs
    s3_proxy.clear()
    retain(place, keep_last="1")
    assert ids(place) == made[:1]


def test_a_run_that_lost_its_lock_deletes_nothing_more(local: Place) -> None:
    made = fill(local, some(1), some(2), some(3))
    packs = set(files_of(local, "data"))

    def remove_locks() -> None:
        with local.open() as repository:
            for entry in list(repository.backend.entries("locks/")):
                repository.backend.delete(entry.name)

    with pytest.raises(LockLost):
        retain(local, keep_last="1", events=HookedEvents("snapshots_removed", remove_locks))
    assert ids(local) == made[:1]
    assert set(files_of(local, "data")) == packs
    assert retain(local, keep_last="1").changed
    assert set(files_of(local, "data")) < packs
    assert "no errors were found" in local.restic(VERSIONS[-1]).run("check", "--read-data")


@pytest.fixture
def full_disk(repository_dir: Path, empty: Path, tmp_path: Path) -> Iterator[Place]:
    """A repository of three snapshots on a disk without room for one more file."""
    repository_dir.mkdir()
    disk: list[str | Path] = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", repository_dir]
    run(disk, doing="mounting a tmpfs")
    try:
        place = copy(empty, Place(where=repository_dir, cache_dir=tmp_path))
        fill(place, *(some(days, random.Random(days).randbytes(1 << 20)) for days in (1, 2, 3)))
        (repository_dir / "data" / "ab").mkdir(exist_ok=True)
        (repository_dir / "filler").write_bytes(bytes(shutil.disk_usage(repository_dir).free))
        yield place
    finally:
        run(["umount", "--lazy", repository_dir], doing="unmounting a tmpfs")


def test_on_a_full_disk_what_was_abandoned_makes_room_for_the_lock(full_disk: Place) -> None:
    folder = t.cast("Path", full_disk.where)
    before = files_of(full_disk)
    with pytest.raises(StorageFull, match=r"no room for a lock.*make room, then run it again"):
        retain(full_disk, keep_last="1")
    assert files_of(full_disk) == before
    assert len(retain(full_disk, check_mode=True, keep_last="1").removed) == 2
    (folder / "filler").rename(folder / "data" / "ab" / f"{'ab' * 32}-tmp-1")
    with pytest.raises(StorageFull, match="no room for a lock"):
        retain(full_disk, keep_last="1")
    (left,) = (folder / "data" / "ab").glob("*-tmp-1")
    os.utime(left, (time.time() - 90_000,) * 2)
    done = retain(full_disk, keep_last="1")
    assert (len(done.kept), len(done.removed)) == (1, 2)
    assert not left.exists()
    assert shutil.disk_usage(folder).free > 4 << 20
    assert "no errors were found" in full_disk.restic(VERSIONS[-1]).run("check", "--read-data")


REFUSED: dict[str, tuple[dict[str, t.Any], str]] = {
    "no rule": ({}, "No rule says what to keep"),
    "rules that are off": ({"keep_last": "0", "keep_within": "0d"}, "No rule says what to keep"),
    "no tags": ({"keep_tags": []}, "No rule says what to keep"),
    "a negative count": ({"keep_daily": "-1"}, "keep_daily is '-1'"),
    "a word": ({"keep_daily": "forever"}, "keep_daily is 'forever'"),
    "a negative span": ({"keep_within": "-1d"}, "keep_within: '-1d'"),
    "an unknown unit": ({"keep_within_daily": "3w"}, "keep_within_daily: '3w'"),
    "an unknown group": ({"keep_last": "1", "group_by": ["size"]}, "group_by is size"),
    "a tag with a comma": ({"keep_last": "1", "tags": ["a,b"]}, "tag can be neither"),
    "everything of everybody": ({"allow_remove_all": True}, "give host, paths or tags"),
    "all of all": ({"allow_remove_all": True, "paths": [], "tags": []}, "give host, paths or tags"),
    "no ids": ({"snapshots": []}, "empty list"),
    "a short id": ({"snapshots": ["0123"]}, "first 8 or more"),
    "no id": ({"snapshots": ["latest"]}, "'latest' is no id"),
    "a long id": ({"snapshots": ["0" * 65]}, "64 lower-case hex digits"),
    "ids and rules": ({"snapshots": ["0" * 8], "keep_last": "1"}, "together with keep_last;"),
    "ids and a choice": (
        {"snapshots": ["0" * 8], "host": "x", "allow_remove_all": True},
        "together with host, allow_remove_all;",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_meant_is_refused_before_anything_is_opened(
    tmp_path: Path, case: str
) -> None:
    options, words = REFUSED[case]
    nowhere = Place(where=tmp_path / "nothing there", cache_dir=tmp_path)
    with pytest.raises(GranaryError) as caught:
        retain(nowhere, **options)
    assert isinstance(caught.value, ConfigError)
    assert words in caught.value.message
