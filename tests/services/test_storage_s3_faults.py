# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""S3 behind a proxy that cuts, stalls, shortens and refuses, and a full one: what the backend makes
of it.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import (
    AccessDenied,
    GranaryError,
    OutcomeUnknown,
    StorageFull,
    StorageUnavailable,
)
from ansible_collections.granary.postgres.plugins.module_utils._storage.base import Backend
from ansible_collections.granary.postgres.plugins.module_utils._storage.registry import open_backend
from tests.fix_proxy import TcpProxyFactory
from tests.fix_storage_faults import ACTIONS, PASSING, Heard, settings_of
from tests.testbed.http_proxy import Fault, FaultKind, HttpProxy
from tests.testbed.ports import HOST
from tests.testbed.process import run
from tests.testbed.s3 import Bucket, S3Server


@pytest.fixture
def direct(s3_bucket: Bucket) -> Iterator[Backend]:
    """The truth: the same place without the proxy."""
    with open_backend(settings_of(s3_bucket)) as backend:
        yield backend


@pytest.fixture
def backend(s3_bucket: Bucket, s3_proxy: HttpProxy, heard: Heard) -> Iterator[Backend]:
    """By the proxy, with time-outs of a second."""
    changed = settings_of(
        s3_bucket, endpoint=s3_proxy.endpoint, connect_timeout_s=1, read_timeout_s=1
    )
    with open_backend(changed, heard) as backend:
        yield backend


@pytest.mark.sampled(
    "fault, action",
    list(itertools.product(PASSING, ACTIONS)),
    20,
    ids=lambda one: f"{one.kind}-{one.status}-{one.times}" if isinstance(one, Fault) else one,
)
def test_what_passes_is_survived(
    backend: Backend,
    direct: Backend,
    s3_proxy: HttpProxy,
    heard: Heard,
    *,
    fault: Fault,
    action: str,
) -> None:
    direct.write("there", b"0123456789")
    s3_proxy.add(Fault(kind=fault.kind, status=fault.status, times=fault.times))
    do, result = ACTIONS[action]
    assert do(backend) == result
    assert heard.retries == fault.times
    if action == "write":
        assert direct.read("data/x") == b"new"
    if action == "delete":
        assert direct.size("there") is None
    if action == "exclusive":
        assert direct.read("config") == b"x"
        assert direct.write_exclusive("config", b"x") is False


@pytest.mark.parametrize("length", [None, 300_000])
@pytest.mark.parametrize("kind", ["short_body", "cut", "cut_after"])
def test_a_short_read_is_never_data(
    backend: Backend, direct: Backend, s3_proxy: HttpProxy, *, kind: FaultKind, length: int | None
) -> None:
    data = random.Random(1).randbytes(1_000_000)
    direct.write("data/x", data)
    fault = s3_proxy.add(Fault(kind=kind, method="GET"))
    with pytest.raises(StorageUnavailable, match="read data/x from s3:"):
        backend.read("data/x", 0, length)
    assert fault.hits == 3
    s3_proxy.clear()
    s3_proxy.add(Fault(kind=kind, method="GET", times=1))
    assert backend.read("data/x", 0, length) == data[:length]


@pytest.mark.parametrize(
    ("kind", "status", "error", "lands"),
    [
        ("cut", 0, OutcomeUnknown, False),
        ("cut_after", 0, OutcomeUnknown, True),
        ("answer", 504, OutcomeUnknown, False),
        ("answer", 500, StorageUnavailable, False),
        ("answer", 503, StorageUnavailable, False),
    ],
)
def test_a_write_that_never_succeeds(
    backend: Backend,
    direct: Backend,
    s3_proxy: HttpProxy,
    *,
    kind: FaultKind,
    status: int,
    error: type[GranaryError],
    lands: bool,
) -> None:
    fault = s3_proxy.add(Fault(kind=kind, status=status, method="PUT"))
    with pytest.raises(GranaryError, match="write data/x to s3:") as caught:
        backend.write("data/x", b"new")
    assert caught.value.code == error.code
    assert fault.hits == 3
    assert (direct.size("data/x") is not None) is lands


def test_a_delete_without_an_answer_is_unknown(
    backend: Backend, direct: Backend, s3_proxy: HttpProxy
) -> None:
    direct.write("locks/x", b"x")
    s3_proxy.add(Fault(kind="cut_after", method="DELETE"))
    with pytest.raises(OutcomeUnknown, match="delete locks/x"):
        backend.delete("locks/x")
    assert direct.size("locks/x") is None


def test_a_refusal_after_silence_leaves_it_unknown(backend: Backend, s3_proxy: HttpProxy) -> None:
    s3_proxy.add(Fault(kind="cut_after", method="PUT", times=1))
    s3_proxy.add(Fault(kind="answer", status=403, method="PUT"))
    with pytest.raises(OutcomeUnknown, match="AccessDenied"):
        backend.write("data/x", b"new")


def test_a_refusal_is_not_asked_twice(backend: Backend, s3_proxy: HttpProxy, heard: Heard) -> None:
    fault = s3_proxy.add(Fault(kind="answer", status=403))
    with pytest.raises(AccessDenied, match="AccessDenied: told to"):
        backend.write("data/x", b"new")
    assert (fault.hits, heard.retries) == (1, 0)


def test_silence_ends_by_the_time_out_and_may_still_land(
    backend: Backend, direct: Backend, s3_proxy: HttpProxy, heard: Heard
) -> None:
    s3_proxy.add(Fault(kind="stall", method="PUT"))
    with pytest.raises(OutcomeUnknown, match="may still happen"):
        backend.write("data/x", b"late")
    assert heard.retries == 2
    assert direct.size("data/x") is None
    s3_proxy.resume()
    while direct.size("data/x") is None:
        pass
    assert direct.read("data/x") == b"late"


def test_a_silent_read_ends_by_the_time_out(
    backend: Backend, direct: Backend, s3_proxy: HttpProxy
) -> None:
    direct.write("data/x", b"1")
    s3_proxy.add(Fault(kind="stall", method="GET"))
    with pytest.raises(StorageUnavailable, match="fell silent"):
        backend.read("data/x")
    with pytest.raises(StorageUnavailable, match="fell silent"):
        list(backend.entries(""))


def test_bodies_that_are_cut_in_the_middle_are_sent_and_read_again(
    s3_server: S3Server, s3_bucket: Bucket, tcp_proxy: TcpProxyFactory, heard: Heard
) -> None:
    data = random.Random(2).randbytes(8 * 1024 * 1024)
    proxy = tcp_proxy(s3_server.port)
    settings = settings_of(s3_bucket, endpoint=f"http://{HOST}:{proxy.port}")
    with open_backend(settings, heard) as backend:
        proxy.cut_after(3 * 1024 * 1024)
        backend.write("data/x", data)
        assert heard.retries == 1
        proxy.cut_after(3 * 1024 * 1024)
        assert backend.read("data/x") == data
        assert heard.retries == 2


def test_a_server_that_comes_back_is_used_again(
    s3_server: S3Server, s3_bucket: Bucket, tcp_proxy: TcpProxyFactory
) -> None:
    proxy = tcp_proxy(s3_server.port)
    proxy.refuse()
    heard = Heard(lambda: proxy.refuse(False))
    settings = settings_of(s3_bucket, endpoint=f"http://{HOST}:{proxy.port}")
    with open_backend(settings, heard) as backend:
        backend.write("data/x", b"x")
        assert backend.read("data/x") == b"x"
    assert heard.retries == 1


def test_a_listing_is_whole_or_an_error(
    backend: Backend, s3_bucket: Bucket, s3_server: S3Server, s3_proxy: HttpProxy
) -> None:
    folder = s3_server.folder / "data" / s3_bucket.name / "p" / "data"
    folder.mkdir(parents=True)
    for number in range(2100):
        (folder / f"{number:04}").touch()
    second = s3_proxy.add(Fault(kind="cut", path="continuation-token", times=1))
    assert len({entry.name for entry in backend.entries("data/")}) == 2100
    assert second.hits == 1
    s3_proxy.add(Fault(kind="cut", path="continuation-token", skip=1))
    listing = backend.entries("data/")
    with pytest.raises(StorageUnavailable):
        list(listing)


def test_an_exclusive_write_that_is_lost_is_unknown_and_then_free(
    backend: Backend, direct: Backend, s3_proxy: HttpProxy
) -> None:
    assert backend.write_exclusive("first", b"x") is True
    s3_proxy.add(Fault(kind="cut", method="PUT", path="/config$"))
    with pytest.raises(OutcomeUnknown):
        backend.write_exclusive("config", b"x")
    assert [entry.name for entry in direct.entries("")] == ["first"]


def test_a_full_store_says_so(full_s3_bucket: Bucket, heard: Heard) -> None:
    with open_backend(settings_of(full_s3_bucket), heard) as backend:
        with pytest.raises(StorageFull, match="No space left"):
            _fill(backend)
        stored = list(backend.entries("data/"))
        assert 1 <= len(stored) < 100
        assert all(len(backend.read(entry.name)) == 100_000 for entry in stored)
        backend.delete(stored[0].name)
        backend.write("data/last", b"x" * 1000)
    assert heard.retries == 0


def _fill(backend: Backend) -> None:
    for number in range(100):
        backend.write(f"data/{number}", b"x" * 100_000)


@pytest.fixture
def full_s3_bucket() -> Iterator[Bucket]:
    """A bucket of about a megabyte."""
    server = S3Server()
    data = server.folder / "data"
    run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", data], doing="mounting a tmpfs")
    try:
        with server:
            yield server.make_bucket("small")
    finally:
        run(["umount", "--lazy", data], doing="unmounting a tmpfs")
        server.close()
