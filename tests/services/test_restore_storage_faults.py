# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Restores whose repository spoils, goes or cannot be reached: what is named and left, and that the
same restore made again succeeds.
"""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import typing as t
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import (
    RepositoryDamaged,
    SnapshotMissing,
    StorageUnavailable,
)
from ansible_collections.granary.postgres.plugins.module_utils._storage.model import S3Settings
from tests.fix_backup import HookedEvents, access
from tests.fix_repository import Place
from tests.fix_restore import restore_server
from tests.fix_restore_trouble import RENAME, Trouble, fails, is_whole, nothing_left, store_origin
from tests.testbed.http_proxy import Fault, HttpProxy
from tests.testbed.postgres import PostgresServer
from tests.testbed.s3 import S3Server

pytestmark = pytest.mark.usefixtures("shop_dropped")


@pytest.fixture(scope="module")
def server(origin: PostgresServer) -> PostgresServer:
    return origin


@pytest.fixture(scope="module")
def local(origin_place: Place) -> Place:
    return origin_place


@pytest.fixture
def scratch(engine_scratch: Path) -> Path:
    return engine_scratch


@pytest.fixture(scope="module")
def remote(server: PostgresServer, s3_server: S3Server, tmp_path_factory: t.Any) -> Iterator[Place]:
    bucket = s3_server.make_bucket("restore-faults")
    place = Place(where=bucket, cache_dir=tmp_path_factory.mktemp("restic-cache"))
    store_origin(server, place)
    yield place
    s3_server.drop_bucket(bucket.name)


@contextlib.contextmanager
def _spoilt(place: Place, *, flip: bool) -> Iterator[Callable[[], None]]:
    """Gives a function that takes the packs away, or changes every byte; undone at the end."""
    assert isinstance(place.where, Path)
    data, kept = place.where / "data", place.where.parent / "kept"

    def spoil() -> None:
        data.rename(kept)
        if flip:
            shutil.copytree(kept, data)
            for pack in data.rglob("*"):
                if pack.is_file():
                    pack.chmod(0o600)
                    pack.write_bytes(bytes(255 - byte for byte in pack.read_bytes()))

    try:
        yield spoil
    finally:
        if kept.exists():
            shutil.rmtree(data, ignore_errors=True)
            kept.rename(data)


SPOILT = [(flip, phase) for flip in (False, True) for phase in ("early", "half of the rows")]


@pytest.mark.sampled("spoilt", SPOILT, 1, ids=lambda row: f"{row[0]}-{row[1]}")
def test_packs_that_spoil_meanwhile_are_named_and_marked(
    server: PostgresServer,
    local: Place,
    scratch: Path,
    spoilt: tuple[bool, str],
) -> None:
    flip, phase = spoilt
    with _spoilt(local, flip=flip) as spoil:
        if phase == "early":
            events = HookedEvents("database_begun", spoil)
            fails(server, local, RepositoryDamaged, r"data/[0-9a-f]{2}/[0-9a-f]{64}", events)
        else:
            trouble = Trouble(server, phase, lambda server: spoil(), release=True)
            fails(server, local, RepositoryDamaged, r"data/[0-9a-f]{2}/[0-9a-f]{64}", trouble)
    nothing_left(local, scratch)
    is_whole(server, local)


def test_packs_that_are_gone_before_are_found_before_anything_is_made(
    server: PostgresServer, local: Place
) -> None:
    assert isinstance(local.where, Path)
    largest = max((local.where / "data").rglob("*"), key=lambda path: path.stat().st_size)
    aside = local.where.parent / "aside"
    largest.rename(aside)
    events = HookedEvents()
    try:
        with pytest.raises(SnapshotMissing, match="None of 1 snapshot is whole"):
            restore_server(server, local, rename=RENAME, events=events)
    finally:
        aside.rename(largest)
    assert [said for said in events.warnings if "is not what was backed up: " in said]
    assert server.execute("SELECT datname FROM pg_database WHERE datname = 'shop'") == []


S3_FAULTS = [
    Fault(kind="answer", status=500),
    Fault(kind="answer", status=503),
    Fault(kind="cut"),
    Fault(kind="short_body"),
    Fault(kind="stall"),
]
UNREACHABLE = [(fault, phase) for fault in S3_FAULTS for phase in ("early", "late")]


@pytest.mark.sampled(
    "unreachable", UNREACHABLE, 2, ids=lambda row: f"{row[0].kind}-{row[0].status}-{row[1]}"
)
def test_an_unreachable_repository_is_named_and_marked(
    server: PostgresServer,
    remote: Place,
    scratch: Path,
    s3_proxy: HttpProxy,
    unreachable: tuple[Fault, str],
) -> None:
    fault, phase = unreachable
    settings = remote.settings
    assert isinstance(settings, S3Settings)
    through = dataclasses.replace(settings, endpoint=s3_proxy.endpoint, read_timeout_s=1.0, tries=2)
    repository = dataclasses.replace(access(remote), settings=through)

    def arm() -> None:
        s3_proxy.add(
            dataclasses.replace(
                fault, method="GET", path="/data/", skip=2 if phase == "late" else 0
            )
        )

    events = HookedEvents("database_begun" if phase == "early" else "definitions_loaded", arm)
    fails(server, remote, StorageUnavailable, r"data/", events, repository=repository)
    assert ("definitions_loaded" in events.names) is (phase == "late")
    s3_proxy.clear()
    nothing_left(remote, scratch)
    is_whole(server, remote, repository=repository)
