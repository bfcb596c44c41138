# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Google Cloud Storage and Azure behind a proxy that cuts, stalls, shortens and refuses."""

from __future__ import annotations

import dataclasses
import itertools
import random
from collections.abc import Iterator

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import (
    AccessDenied,
    ConfigError,
    GranaryError,
    OutcomeUnknown,
    StorageUnavailable,
)
from ansible_collections.granary.postgres.plugins.module_utils._core.redaction import Secret
from ansible_collections.granary.postgres.plugins.module_utils._storage import azure_client
from ansible_collections.granary.postgres.plugins.module_utils._storage.base import Backend
from ansible_collections.granary.postgres.plugins.module_utils._storage.http_session import Answers
from ansible_collections.granary.postgres.plugins.module_utils._storage.model import (
    AzureSettings,
    GcsSettings,
)
from ansible_collections.granary.postgres.plugins.module_utils._storage.registry import open_backend
from tests.fix_storage_faults import ACTIONS, PASSING, Action, Heard, web_server
from tests.testbed.emulators import AzureServer
from tests.testbed.http_proxy import Fault, FaultKind, HttpProxy

Settings = GcsSettings | AzureSettings


@pytest.fixture(params=["gcs", "azure"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def settings(kind: str, request: pytest.FixtureRequest) -> Settings:
    """A place that is there, without the proxy."""
    place = request.getfixturevalue(f"{kind}_place")
    made: Settings
    if kind == "gcs":
        made = GcsSettings(
            bucket=place.name, prefix="p", project="test", endpoint=place.endpoint, tries=3
        )
    else:
        made = AzureSettings(
            container=place.name,
            prefix="p",
            account_name=AzureServer.account,
            account_key=Secret(AzureServer.key),
            endpoint=place.endpoint,
            tries=3,
        )
    with open_backend(made) as backend:
        assert backend.prepare(create_bucket=True) is True
    return made


@pytest.fixture
def direct(settings: Settings) -> Iterator[Backend]:
    """The truth: the same place without the proxy."""
    with open_backend(settings) as backend:
        yield backend


@pytest.fixture
def proxy(kind: str, request: pytest.FixtureRequest) -> HttpProxy:
    found: HttpProxy = request.getfixturevalue(f"{kind}_proxy")
    return found


@pytest.fixture
def backend(settings: Settings, proxy: HttpProxy, heard: Heard) -> Iterator[Backend]:
    """By the proxy, with time-outs of a second."""
    path = f"/{AzureServer.account}" if isinstance(settings, AzureSettings) else ""
    changed = dataclasses.replace(
        settings, endpoint=f"{proxy.endpoint}{path}", connect_timeout_s=1, read_timeout_s=1
    )
    with open_backend(changed, heard) as backend:
        yield backend


@pytest.mark.sampled(
    "fault, action",
    list(itertools.product(PASSING, ACTIONS)),
    12,
    ids=lambda one: f"{one.kind}-{one.status}-{one.times}" if isinstance(one, Fault) else one,
)
def test_what_passes_is_survived(
    backend: Backend,
    direct: Backend,
    proxy: HttpProxy,
    heard: Heard,
    *,
    fault: Fault,
    action: str,
) -> None:
    direct.write("there", b"0123456789")
    proxy.add(Fault(kind=fault.kind, status=fault.status, times=fault.times))
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
@pytest.mark.parametrize("fault", ["short_body", "cut", "cut_after"])
def test_a_short_read_is_never_data(
    backend: Backend, direct: Backend, proxy: HttpProxy, *, fault: FaultKind, length: int | None
) -> None:
    data = random.Random(1).randbytes(1_000_000)
    direct.write("data/x", data)
    armed = proxy.add(Fault(kind=fault, method="GET"))
    with pytest.raises(StorageUnavailable, match="read data/x from"):
        backend.read("data/x", 0, length)
    assert armed.hits == 3
    proxy.clear()
    proxy.add(Fault(kind=fault, method="GET", times=1))
    assert backend.read("data/x", 0, length) == data[:length]


@pytest.mark.parametrize(
    ("fault", "status", "error", "lands"),
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
    proxy: HttpProxy,
    *,
    fault: FaultKind,
    status: int,
    error: type[GranaryError],
    lands: bool,
) -> None:
    armed = proxy.add(Fault(kind=fault, status=status))
    with pytest.raises(GranaryError, match="write data/x to") as caught:
        backend.write("data/x", b"new")
    assert caught.value.code == error.code
    assert armed.hits == 3
    assert (direct.size("data/x") is not None) is lands


def test_a_delete_without_an_answer_is_unknown(
    backend: Backend, direct: Backend, proxy: HttpProxy
) -> None:
    direct.write("locks/x", b"x")
    # The proxy takes every attempt: that a second one finds nothing is then not heard either.
    proxy.add(Fault(kind="cut_after", method="DELETE"))
    with pytest.raises(OutcomeUnknown, match="delete locks/x"):
        backend.delete("locks/x")
    assert direct.size("locks/x") is None


def test_a_refusal_is_not_asked_twice(backend: Backend, proxy: HttpProxy, heard: Heard) -> None:
    armed = proxy.add(Fault(kind="answer", status=403))
    with pytest.raises(AccessDenied, match=r"403|AccessDenied: told to"):
        backend.write("data/x", b"new")
    assert (armed.hits, heard.retries) == (1, 0)


def test_silence_ends_by_the_time_out(
    backend: Backend, direct: Backend, proxy: HttpProxy, heard: Heard
) -> None:
    direct.write("there", b"x")
    proxy.add(Fault(kind="stall"))
    with pytest.raises(OutcomeUnknown, match="may still happen"):
        backend.write("data/x", b"late")
    assert heard.retries == 2
    with pytest.raises(StorageUnavailable, match="fell silent"):
        backend.read("there")
    proxy.resume()
    while direct.size("data/x") is None:
        pass
    assert direct.read("data/x") == b"late"


def test_ages_are_by_the_store_s_clock(backend: Backend, direct: Backend, proxy: HttpProxy) -> None:
    direct.write("locks/x", b"x")
    proxy.move_clock(1800)
    age = backend.age_seconds("locks/x")
    assert age is not None
    assert 1799 <= age <= 1830


@pytest.mark.parametrize("kind", ["azure"], indirect=True)  # that of Google looks at no token
def test_a_wrong_key_is_named_and_not_shown(settings: AzureSettings, heard: Heard) -> None:
    wrong = Secret("UExBTlRFRC1rZXk=")
    with open_backend(dataclasses.replace(settings, account_key=wrong), heard) as backend:
        actions: tuple[Action, ...] = (
            lambda b: b.prepare(),
            lambda b: b.read("config"),
            lambda b: b.size("config"),
            lambda b: b.write("config", b"x"),
            lambda b: b.delete("config"),
        )
        for action in actions:
            with pytest.raises(AccessDenied, match="check the account") as caught:
                action(backend)
            assert wrong.reveal() not in str(caught.value)
    assert heard.retries == 0


@pytest.mark.parametrize("kind", ["azure"], indirect=True)
def test_folders_of_a_hierarchical_namespace_are_no_objects(
    settings: AzureSettings, direct: Backend
) -> None:
    client = azure_client.connect(settings, Answers())
    client.get_blob_client("p/data").upload_blob(b"", metadata={"hdi_isfolder": "true"})
    direct.write("data/x", b"x")
    assert [entry.name for entry in direct.entries("")] == ["data/x"]


@pytest.mark.parametrize("status", [200, 302, 400, 404, 405])
def test_a_web_page_is_no_storage(settings: Settings, heard: Heard, status: int) -> None:
    actions: list[Action] = [
        lambda b: b.prepare(),
        lambda b: b.prepare(create_bucket=True),
        lambda b: b.read("config"),
        lambda b: b.read("config", 1, 2),
        lambda b: b.write("config", b"x"),
        lambda b: b.write_exclusive("config", b"x"),
        lambda b: b.size("config"),
        lambda b: b.age_seconds("config"),
        lambda b: list(b.entries("")),
        lambda b: b.delete("config"),
    ]
    with web_server(status) as endpoint:
        wrong = dataclasses.replace(settings, endpoint=endpoint)
        with open_backend(wrong, heard) as backend:
            for action in actions:
                with pytest.raises(
                    ConfigError, match=r"does not answer as|redirects to https://elsewhere|ranges"
                ):
                    action(backend)
    assert heard.retries == 0
