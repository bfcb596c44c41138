# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Backups whose storage fails, or whose lock is lost: each ends with its cause and without a
snapshot, or says that it does not know; the next one succeeds.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import os
import signal
import subprocess
import time
import typing as t
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import (
    LockLost,
    OutcomeUnknown,
    StorageFull,
    StorageUnavailable,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository import locks
from ansible_collections.granary.postgres.plugins.module_utils._repository.lock_state import (
    LockTiming,
)
from ansible_collections.granary.postgres.plugins.module_utils._storage.model import S3Settings
from ansible_collections.granary.postgres.plugins.module_utils._workflows import snapshot_writer
from tests.fix_backup import HookedEvents, access, back_up_server, files_of, tables_of
from tests.fix_backup import read_manifest as manifest_of
from tests.fix_postgres import PostgresFactory
from tests.fix_repository import PREFIX, Place
from tests.process_tree import children_of, our_processes
from tests.testbed import folders
from tests.testbed.http_proxy import Fault, HttpProxy, Request
from tests.testbed.postgres import PostgresServer
from tests.testbed.s3 import Bucket

ROWS = 60_000
SOURCE = f"""
CREATE TABLE big AS SELECT i AS id, md5('a' || i) || md5('b' || i) || md5('c' || i) AS a
  FROM generate_series(1, {ROWS}) i;
CREATE TABLE small AS SELECT 1 AS a;
"""
# About 6 packs.
SMALL: dict[str, t.Any] = {"segment_threshold": 1 << 20, "pack_size": 1 << 19}


@pytest.fixture(scope="module")
def server(postgres: PostgresFactory) -> PostgresServer:
    server = postgres(15, settings={"cluster_name": "backup storage faults"})
    server.execute("CREATE DATABASE shop")
    server.execute(SOURCE, database="shop")
    return server


@pytest.fixture
def remote(s3_bucket: Bucket, tmp_path: Path) -> Place:
    place = Place(where=s3_bucket, cache_dir=tmp_path / "restic-cache")
    place.create().close()
    return place


def _back_up(
    server: PostgresServer, place: Place, proxy: HttpProxy | None = None, **more: t.Any
) -> t.Any:
    """Back up, through a proxy if one is given, and with little patience then."""
    repository = access(place)
    if proxy is not None:
        settings = repository.settings
        assert isinstance(settings, S3Settings)
        through = dataclasses.replace(
            settings, endpoint=proxy.endpoint, read_timeout_s=1.0, tries=2
        )
        repository = dataclasses.replace(repository, settings=through)
    options = {"databases": ["shop"], "repository": repository, **SMALL, **more}
    return back_up_server(server, place, **options)


def _nothing_left(place: Place) -> None:
    assert files_of(place, "snapshots") == {}
    assert files_of(place, "locks") == {}
    assert our_processes() == []


def _succeeds(server: PostgresServer, place: Place) -> None:
    assert _back_up(server, place).snapshot.id
    tables = tables_of(manifest_of(place), "shop")
    assert {name: table["rows"] for name, table in tables.items()} == {
        "public.big": ROWS,
        "public.small": 1,
    }
    place.restic("0.19").run("check", "--read-data")


ANSWERS = [
    Fault(kind="answer", status=500),
    Fault(kind="answer", status=503),
    Fault(kind="cut"),
    Fault(kind="cut_after"),
    Fault(kind="stall"),
]
MOMENTS = {"first pack": ("/data/", 0), "half of the packs": ("/data/", 3), "index": ("/index/", 0)}


@pytest.mark.sampled(
    "trouble",
    list(itertools.product(ANSWERS, MOMENTS)),
    2,
    ids=lambda row: f"{row[0].kind}-{row[0].status}-{row[1]}",
)
def test_a_store_that_fails_leaves_nothing(
    server: PostgresServer, remote: Place, s3_proxy: HttpProxy, trouble: tuple[Fault, str]
) -> None:
    fault, moment = trouble
    path, skip = MOMENTS[moment]
    s3_proxy.add(dataclasses.replace(fault, method="PUT", path=path, skip=skip))
    with pytest.raises(StorageUnavailable, match=path.strip("/")):
        _back_up(server, remote, s3_proxy)
    s3_proxy.clear()
    _nothing_left(remote)
    _succeeds(server, remote)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask for the fate of a snapshot for 3 seconds, not for 2 minutes."""
    monkeypatch.setattr(snapshot_writer, "_SETTLE_SECONDS", 3.0)
    monkeypatch.setattr(snapshot_writer, "_SETTLE_PAUSE_SECONDS", 0.2)


@pytest.mark.usefixtures("impatient")
def test_a_snapshot_whose_answer_is_lost_is_found(
    server: PostgresServer, remote: Place, s3_proxy: HttpProxy
) -> None:
    s3_proxy.add(Fault(kind="cut_after", method="PUT", path="/snapshots/"))
    result = _back_up(server, remote, s3_proxy)
    assert list(files_of(remote, "snapshots")) == [f"snapshots/{result.snapshot.id}"]
    assert files_of(remote, "locks") == {}


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("arrives", [False, True])
def test_a_snapshot_of_which_nothing_is_heard_is_unknown(
    server: PostgresServer, remote: Place, s3_proxy: HttpProxy, *, arrives: bool
) -> None:
    kind: t.Literal["cut", "cut_after"] = "cut_after" if arrives else "cut"
    s3_proxy.add(Fault(kind=kind, method="PUT", path="/snapshots/"))
    # Neither look tells: HEAD, and the GET that asks again.
    for method in ("HEAD", "GET"):
        s3_proxy.add(Fault(kind="answer", status=503, method=method, path=r"/snapshots/[0-9a-f]"))
    with pytest.raises(OutcomeUnknown, match="is unknown, since the storage") as caught:
        _back_up(server, remote, s3_proxy)
    s3_proxy.clear()
    snapshot = caught.value.details["snapshot"]
    there = {f"snapshots/{snapshot}"} if arrives else set()
    assert files_of(remote, "snapshots").keys() == there
    assert str(snapshot) in caught.value.message
    assert files_of(remote, "locks") == {}
    assert our_processes() == []
    if arrives:
        tables = tables_of(manifest_of(remote, str(snapshot)), "shop")
        assert tables["public.big"]["rows"] == ROWS
    _succeeds(server, remote)


def _keeper() -> int:
    """The process that keeps the lock: the first that a run forks."""
    return min(set(children_of(os.getpid())) & set(our_processes()))


def test_without_its_keeper_a_lock_is_lost(server: PostgresServer, local_place: Place) -> None:
    local_place.create().close()
    events = HookedEvents("database_begun", lambda: os.kill(_keeper(), signal.SIGKILL))
    with pytest.raises(LockLost, match=r"the process that keeps it has ended.*run it again"):
        _back_up(server, local_place, events=events)
    _nothing_left(local_place)
    _succeeds(server, local_place)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refresh locks every 0.3 seconds, not every 5 minutes."""
    timing = functools.partial(LockTiming, refresh=0.3, settle=0.05)
    monkeypatch.setattr(locks, "LockTiming", timing)


@pytest.mark.usefixtures("hasty")
def test_a_lock_that_somebody_removed_is_lost(server: PostgresServer, local_place: Place) -> None:
    local_place.create().close()

    def remove() -> None:
        """As `restic unlock --remove-all` does; the keeper finds out at its next refresh."""
        while (there := set(files_of(local_place, "locks"))) or _lives(keeper):
            for name in there:
                assert isinstance(local_place.where, Path)
                (local_place.where / name).unlink(missing_ok=True)
            time.sleep(0.01)

    keeper = 0

    def begin() -> None:
        nonlocal keeper
        keeper = _keeper()
        remove()

    with pytest.raises(LockLost, match="somebody removed its file"):
        _back_up(server, local_place, events=HookedEvents("database_begun", begin))
    _nothing_left(local_place)
    _succeeds(server, local_place)


def _lives(process: int) -> bool:
    """Whether a process has not ended; one that nobody waited for yet has."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("prune", [False, True])
def test_a_lock_that_goes_as_the_snapshot_comes_leaves_a_whole_one_or_none(
    server: PostgresServer, remote: Place, s3_proxy: HttpProxy, *, prune: bool
) -> None:
    bucket = remote.where
    assert isinstance(bucket, Bucket)

    def unlock(request: Request) -> None:
        keys = bucket.list_keys(f"{PREFIX}/locks/")
        if prune:
            keys += bucket.list_keys(f"{PREFIX}/data/")[:1]
        for key in keys:
            bucket.client().delete_object(Bucket=bucket.name, Key=key)

    s3_proxy.add(Fault(kind="run", method="PUT", path="/snapshots/", action=unlock, times=1))
    if prune:
        with pytest.raises(LockLost, match="something that it needs is not there"):
            _back_up(server, remote, s3_proxy)
        _nothing_left(remote)
    else:
        assert _back_up(server, remote, s3_proxy).snapshot.id
        assert len(files_of(remote, "snapshots")) == 1
    remote.restic("0.19").run("repair", "index")
    _succeeds(server, remote)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Place]]:
    """Gives a function that makes a repository on a disk of so many KiB."""
    folder = folders.make_scratch()

    def make(kibibytes: int) -> Place:
        options = f"size={kibibytes}k"
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=True)
        place = Place(where=folder / "repository", cache_dir=tmp_path / "restic-cache")
        place.create().close()
        return place

    yield make
    subprocess.run(["umount", folder], check=False)
    folders.remove(folder)


@pytest.mark.parametrize("kibibytes", [pytest.param(400, marks=pytest.mark.slow), 2000])
def test_a_full_disk_is_named(
    server: PostgresServer, small_disk: Callable[[int], Place], kibibytes: int
) -> None:
    place = small_disk(kibibytes)
    with pytest.raises(StorageFull, match=r"No space left on device; make room there"):
        _back_up(server, place)
    _nothing_left(place)
    assert (len(files_of(place, "data")) > 0) is (kibibytes == 2000)
    assert isinstance(place.where, Path)
    subprocess.run(["mount", "-o", "remount,size=64m", place.where.parent], check=True)
    _succeeds(server, place)
