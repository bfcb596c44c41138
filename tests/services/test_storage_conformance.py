# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One suite for every backend: what the contract in _storage/base.py promises, on real storage."""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import os
import random
import threading
import time
import typing as t
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import (
    ObjectMissing,
    ObjectTooShort,
    StorageError,
)
from ansible_collections.granary.postgres.plugins.module_utils._core.redaction import Secret
from ansible_collections.granary.postgres.plugins.module_utils._storage import (
    azure_client,
    gcs_client,
)
from ansible_collections.granary.postgres.plugins.module_utils._storage.base import Backend
from ansible_collections.granary.postgres.plugins.module_utils._storage.http_session import Answers
from ansible_collections.granary.postgres.plugins.module_utils._storage.model import (
    AzureSettings,
    Entry,
    GcsSettings,
    LocalSettings,
    S3Settings,
)
from ansible_collections.granary.postgres.plugins.module_utils._storage.registry import open_backend
from ansible_collections.granary.postgres.plugins.module_utils._storage.s3_client import connect
from tests.fix_sample import draw_for
from tests.testbed.emulators import AzureServer, Place
from tests.testbed.s3 import Bucket, S3Server

Settings = LocalSettings | S3Settings | GcsSettings | AzureSettings

_FORK = multiprocessing.get_context("fork")


def _s3(bucket: Bucket, **changes: t.Any) -> S3Settings:
    options: dict[str, t.Any] = {
        "bucket": bucket.name,
        "prefix": "some/where",
        "endpoint": bucket.endpoint,
        "region": bucket.region,
        "access_key": Secret(bucket.access_key),
        "secret_key": Secret(bucket.secret_key),
        "ca_bundle": str(bucket.ca_bundle) if bucket.ca_bundle else None,
    }
    return S3Settings(**(options | changes))


def _emulated(kind: str, place: Place) -> GcsSettings | AzureSettings:
    if kind == "gcs":
        return GcsSettings(
            bucket=place.name, prefix="some/where", project="test", endpoint=place.endpoint
        )
    return AzureSettings(
        container=place.name,
        prefix="some/where",
        account_name=AzureServer.account,
        account_key=Secret(AzureServer.key),
        endpoint=place.endpoint,
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test with every kind of place; in the short form one of the odd ones is drawn."""
    if "settings" in metafunc.fixturenames:
        kinds = [
            "local",
            "s3",
            "gcs",
            "azure",
            *draw_for(metafunc, ["s3_tls", "s3_root", "careless_s3"], 1),
        ]
        metafunc.parametrize("settings", kinds, indirect=True)


@pytest.fixture
def settings(request: pytest.FixtureRequest) -> Settings:
    """An empty place that is ready, of every kind."""
    match request.param:
        case "local":
            folder: Path = request.getfixturevalue("repository_dir")
            folder.mkdir(mode=0o700)
            return LocalSettings(path=str(folder))
        case "s3_root":
            return _s3(request.getfixturevalue("s3_bucket"), prefix="")
        case "gcs" | "azure" as kind:
            emulated = _emulated(kind, request.getfixturevalue(f"{kind}_place"))
            with open_backend(emulated) as backend:
                backend.prepare(create_bucket=True)
            return emulated
        case kind:
            return _s3(request.getfixturevalue(f"{kind}_bucket"))


@pytest.fixture
def backend(settings: Settings) -> Iterator[Backend]:
    with open_backend(settings) as opened:
        yield opened


@pytest.fixture
def exclusive(request: pytest.FixtureRequest) -> bool:
    """Whether this kind can write exclusively."""
    return "careless_s3" not in request.node.name


@pytest.fixture(params=["local", "s3", "gcs", "azure"])
def missing(request: pytest.FixtureRequest) -> Iterator[Settings]:
    """A place that does not exist."""
    if request.param == "local":
        yield LocalSettings(path=str(request.getfixturevalue("repository_dir")))
        return
    if request.param in {"gcs", "azure"}:
        yield _emulated(request.param, request.getfixturevalue(f"{request.param}_place"))
        return
    server: S3Server = request.getfixturevalue("s3_server")
    yield _s3(server.bucket("not-there"))
    server.drop_bucket("not-there")


def test_a_place_that_is_there_needs_no_preparation(backend: Backend) -> None:
    assert backend.prepare() is False
    assert backend.prepare(create_bucket=True) is False
    assert list(backend.entries("")) == []


def test_a_missing_place_is_made_once(missing: Settings) -> None:
    with open_backend(missing) as backend:
        assert backend.prepare(create_bucket=True) is True
        assert backend.prepare(create_bucket=True) is False
        backend.write("config", b"x")
        assert backend.read("config") == b"x"


def test_a_missing_place_is_never_an_empty_one(missing: Settings) -> None:
    actions: list[Callable[[Backend], object]] = [
        lambda b: b.read("config"),
        lambda b: b.write("config", b"x"),
        lambda b: b.write_exclusive("config", b"x"),
        lambda b: b.size("config"),
        lambda b: list(b.entries("")),
        lambda b: list(b.entries("data/")),
        lambda b: b.delete("config"),
        lambda b: b.age_seconds("config"),
    ]
    with open_backend(missing) as backend:
        for action in actions:
            with pytest.raises(ObjectMissing):
                action(backend)


@pytest.mark.parametrize("size", [0, 1, 4096, 17 * 1024 * 1024 + 3])
@pytest.mark.sampled("kind", [bytes, bytearray, memoryview], 1, ids=lambda kind: kind.__name__)
def test_what_is_written_is_read(
    backend: Backend, size: int, kind: Callable[[bytes], t.Any]
) -> None:
    data = random.Random(size).randbytes(size)
    backend.write("data/ab/x", kind(data))
    assert backend.read("data/ab/x") == data
    assert backend.size("data/ab/x") == size
    assert list(backend.entries("data/")) == [Entry(name="data/ab/x", size=size)]


def test_ranges_are_exact(backend: Backend) -> None:
    data = random.Random(1).randbytes(300_000)
    backend.write("data/ab/x", data)
    for offset, length in [(0, 1), (0, 300_000), (7, 65_536), (299_999, 1), (0, None), (5, None)]:
        end = None if length is None else offset + length
        assert backend.read("data/ab/x", offset, length) == data[offset:end]
    assert backend.read("data/ab/x", 12, 0) == b""


@pytest.mark.parametrize(
    ("offset", "length"), [(0, 11), (9, 2), (10, 1), (10, None), (11, None), (5000, 5000)]
)
def test_a_range_beyond_the_end_is_an_error(
    backend: Backend, offset: int, length: int | None
) -> None:
    backend.write("data/ab/x", b"0123456789")
    with pytest.raises(ObjectTooShort):
        backend.read("data/ab/x", offset, length)


def test_a_range_of_an_empty_object_is_an_error(backend: Backend) -> None:
    backend.write("data/ab/x", b"")
    with pytest.raises(ObjectTooShort):
        backend.read("data/ab/x", 0, 1)


def test_what_is_missing(backend: Backend) -> None:
    backend.write("config", b"x")
    with pytest.raises(ObjectMissing):
        backend.read("keys/x")
    with pytest.raises(ObjectMissing):
        backend.read("keys/x", 3, 4)
    assert backend.size("keys/x") is None
    assert backend.age_seconds("keys/x") is None
    backend.delete("keys/x")
    assert list(backend.entries("keys/")) == []


def test_a_second_write_replaces_the_first(backend: Backend) -> None:
    backend.write("config", b"long content")
    backend.write("config", b"short")
    assert backend.read("config") == b"short"
    assert list(backend.entries("")) == [Entry(name="config", size=5)]


def test_what_is_deleted_is_gone(backend: Backend) -> None:
    backend.write("locks/x", b"1")
    backend.write("locks/y", b"2")
    backend.delete("locks/x")
    assert backend.size("locks/x") is None
    assert [entry.name for entry in backend.entries("locks/")] == ["locks/y"]


def test_an_exclusive_write_never_replaces(backend: Backend, exclusive: bool) -> None:
    first = backend.write_exclusive("config", b"first")
    assert first is (True if exclusive else None)
    assert list(backend.entries("")) == ([Entry(name="config", size=5)] if exclusive else [])
    if exclusive:
        assert backend.write_exclusive("config", b"second") is False
        assert backend.write_exclusive("config", b"first") is False
        assert backend.read("config") == b"first"
        backend.delete("config")
        assert backend.write_exclusive("config", b"third") is True


def _race(settings: Settings, rounds: int, start: t.Any, won: t.Any) -> None:
    with open_backend(settings) as backend:
        for number in range(rounds):
            start.wait()
            content = f"{os.getpid()}".encode()
            won.put((number, backend.write_exclusive(f"config-{number}", content), content))


def test_of_eight_exclusive_writers_one_wins(settings: Settings, exclusive: bool) -> None:
    writers, rounds = 8, 5
    start, won = _FORK.Barrier(writers), _FORK.Queue()
    racers = [
        _FORK.Process(target=_race, args=(settings, rounds, start, won)) for dummy in range(writers)
    ]
    for racer in racers:
        racer.start()
    told = [won.get(timeout=60) for dummy in range(writers * rounds)]
    for racer in racers:
        racer.join()
    with open_backend(settings) as backend:
        for number in range(rounds):
            winners = [content for which, made, content in told if which == number and made]
            if exclusive:
                assert winners == [backend.read(f"config-{number}")]
            else:
                assert winners == []
        # Neither probes nor unfinished writes are left, even for those who list everything.
        assert len(list(backend.entries(""))) == (rounds if exclusive else 0)


def test_listings_are_complete_and_of_their_prefix(backend: Backend) -> None:
    # More than one page of S3 (1,000), names that sort around the slash included.
    names = [f"data/{n % 16:x}0/{n:064x}" for n in range(1100)]
    names += ["config", "data0/x", "dat/x", "keys/data", "index/a.b", "index/a-b"]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: backend.write(name, name.encode()), names))
    for prefix in ("", "data/", "data/00/", "index/", "dat/"):
        wanted = sorted(name for name in names if name.startswith(prefix))
        found = list(backend.entries(prefix))
        assert sorted(entry.name for entry in found) == wanted
        assert all(entry.size == len(entry.name) for entry in found)


def test_ages_grow_by_the_storages_own_clock(backend: Backend) -> None:
    backend.write("locks/x", b"x")
    age = backend.age_seconds("locks/x")
    assert age is not None
    assert 0 <= age <= 5
    deadline = time.monotonic() + 10
    while (age or 0) < 1 and time.monotonic() < deadline:
        age = backend.age_seconds("locks/x")
    assert age is not None
    assert 1 <= age <= 6
    assert [entry.name for entry in backend.entries("")] == ["locks/x"]


def test_threads_share_a_backend(backend: Backend) -> None:
    contents = {f"data/{n:02x}/x": random.Random(n).randbytes(50_000) for n in range(40)}
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda item: backend.write(*item), contents.items()))
        assert dict(zip(contents, pool.map(backend.read, contents), strict=True)) == contents


def test_a_reader_never_sees_half_a_write(backend: Backend) -> None:
    contents = [letter * 400_000 for letter in (b"a", b"b")]
    backend.write("config", contents[0])
    done = threading.Event()

    def write() -> None:
        for number in range(20):
            backend.write("config", contents[number % 2])
        done.set()

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        while not done.is_set() and not writing.done():
            assert backend.read("config") in contents
        writing.result()


def _write_from_fork(settings: Settings, inherited: Backend, told: t.Any) -> None:
    with open_backend(settings) as own:
        own.write("data/ab/child", b"child")
    try:
        inherited.read("data/ab/parent")
        told.put("read")
    except RuntimeError as exc:
        told.put(str(exc))


def test_a_forked_worker_opens_its_own(settings: Settings, backend: Backend) -> None:
    backend.write("data/ab/parent", b"parent")
    told = _FORK.Queue()
    child = _FORK.Process(target=_write_from_fork, args=(settings, backend, told))
    child.start()
    said = told.get(timeout=60)
    child.join()
    refusal = "backend was used after a fork; open one in each process."
    assert said == "read" if isinstance(settings, LocalSettings) else said.endswith(refusal)
    assert backend.read("data/ab/child") == b"child"
    assert backend.read("data/ab/parent") == b"parent"


def _plant(settings: Settings, name: str, data: bytes) -> None:
    """Store as neither backend would: under the name of an unfinished write, or a foreign one."""
    if isinstance(settings, LocalSettings):
        path = Path(settings.path, name)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
    elif isinstance(settings, S3Settings):
        connect(settings).put_object(
            Bucket=settings.bucket, Key=f"{settings.root}{name}", Body=data
        )
    else:
        key = f"{settings.root}{name}"
        if isinstance(settings, GcsSettings):
            bucket = gcs_client.connect(settings, Answers()).bucket(settings.bucket)
            bucket.blob(key).upload_from_string(data)
        else:
            azure_client.connect(settings, Answers()).get_blob_client(key).upload_blob(data)


def test_unfinished_writes_are_found_and_discarded(backend: Backend, settings: Settings) -> None:
    assert list(backend.unfinished()) == []
    left = {"config-tmp-12": b"", "data/aa/bb-tmp-3": b"half", "index/cc-tmp-4": b"some"}
    foreign = ["config-tmp-x", "-tmp-1", "a b-tmp-1", "config.tmp"]
    for name in foreign:
        _plant(settings, name, b"not ours")
    backend.write("data/aa/bb", b"whole")
    for name, data in left.items():
        _plant(settings, name, data)
    found = {one.name: one for one in backend.unfinished()}
    assert {name: one.size for name, one in found.items()} == {n: len(d) for n, d in left.items()}
    assert all(0 <= one.age_seconds < 60 for one in found.values())
    backend.discard_unfinished("data/aa/bb-tmp-3")
    backend.discard_unfinished("data/aa/bb-tmp-3")
    assert {one.name for one in backend.unfinished()} == set(left) - {"data/aa/bb-tmp-3"}
    assert backend.read("data/aa/bb") == b"whole"
    for name in ("data/aa/bb", "../x-tmp-1", *foreign):
        with pytest.raises(StorageError):
            backend.discard_unfinished(name)


def test_strangers_are_all_that_is_neither_ours_nor_unfinished(
    backend: Backend, settings: Settings
) -> None:
    assert list(backend.strangers()) == []
    for name in ("config", "data/aa/bb", "index/a.b"):
        backend.write(name, b"ours")
    _plant(settings, "config-tmp-12", b"")
    foreign = ["config-tmp-x", "a b", "data/.hidden", "data/aa/\u00e9"]
    for name in foreign:
        _plant(settings, name, b"not ours")
    assert sorted(backend.strangers()) == sorted(foreign)
    assert {entry.name for entry in backend.entries("")} == {"config", "data/aa/bb", "index/a.b"}


def test_folders_go_only_when_they_are_empty(backend: Backend, settings: Settings) -> None:
    for name in ("data/aa/bb", "data/cc/dd", "index/ee"):
        backend.write(name, b"x")
    backend.delete("data/aa/bb")
    backend.delete("index/ee")
    backend.remove_folders(["data/aa", "data/cc", "data", "index", "keys"])
    assert [entry.name for entry in backend.entries("")] == ["data/cc/dd"]
    if isinstance(settings, LocalSettings):
        folders = {path for path in Path(settings.path).rglob("*") if path.is_dir()}
        assert folders == {Path(settings.path, name) for name in ("data", "data/cc")}
    backend.write("data/aa/bb", b"again")


@pytest.mark.parametrize("name", ["", "../config", "/etc/passwd", "a//b", "config-tmp-1"])
def test_bad_names_are_refused_by_all(backend: Backend, name: str) -> None:
    for action in (
        lambda: backend.read(name),
        lambda: backend.write(name, b"x"),
        lambda: backend.write_exclusive(name, b"x"),
        lambda: backend.size(name),
        lambda: backend.delete(name),
        lambda: backend.age_seconds(name),
        lambda: list(backend.entries(name or "x")),
    ):
        with pytest.raises(StorageError, match="cannot be"):
            action()
    assert list(backend.entries("")) == []


def test_closing_may_be_repeated(settings: Settings) -> None:
    backend = open_backend(settings)
    backend.close()
    backend.write("config", b"x")
    backend.close()
    backend.close()
