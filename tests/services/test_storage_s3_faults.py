# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""S3 behind a proxy that cuts, stalls, shortens and refuses: what the backend makes of it."""

from __future__ import annotations

import contextlib
import http.server
import itertools
import json
import random
import threading
import typing as t
from collections.abc import Callable, Iterator

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import (
    AccessDenied,
    ConfigError,
    GranaryError,
    ObjectMissing,
    OutcomeUnknown,
    StorageFull,
    StorageUnavailable,
)
from ansible_collections.granary.postgres.plugins.module_utils._core.events import Field
from ansible_collections.granary.postgres.plugins.module_utils._core.redaction import Secret
from ansible_collections.granary.postgres.plugins.module_utils._storage.base import Backend
from ansible_collections.granary.postgres.plugins.module_utils._storage.model import S3Settings
from ansible_collections.granary.postgres.plugins.module_utils._storage.registry import open_backend
from tests.fix_proxy import TcpProxyFactory
from tests.testbed.components import ensure
from tests.testbed.http_proxy import Fault, FaultKind, HttpProxy
from tests.testbed.ports import HOST
from tests.testbed.process import run
from tests.testbed.s3 import Bucket, S3Server

Action = Callable[[Backend], object]


class Heard:
    """Counts what is tried again; `then` is called each time."""

    def __init__(self, then: Callable[[], object] = lambda: None) -> None:
        self.retries = 0
        self._then = then

    def progress(self, event: str, **fields: Field) -> None:
        assert event == "storage_retry"
        self.retries += 1
        self._then()

    def warn(self, message: str) -> None:
        raise AssertionError(message)


def settings_of(bucket: Bucket, **changes: t.Any) -> S3Settings:
    options: dict[str, t.Any] = {
        "bucket": bucket.name,
        "prefix": "p",
        "endpoint": bucket.endpoint,
        "region": bucket.region,
        "access_key": Secret(bucket.access_key),
        "secret_key": Secret(bucket.secret_key),
        "tries": 3,
    }
    return S3Settings(**(options | changes))


@pytest.fixture
def direct(s3_bucket: Bucket) -> Iterator[Backend]:
    """The truth: the same place without the proxy."""
    with open_backend(settings_of(s3_bucket)) as backend:
        yield backend


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def backend(s3_bucket: Bucket, s3_proxy: HttpProxy, heard: Heard) -> Iterator[Backend]:
    """By the proxy, with time-outs of a second."""
    changed = settings_of(
        s3_bucket, endpoint=s3_proxy.endpoint, connect_timeout_s=1, read_timeout_s=1
    )
    with open_backend(changed, heard) as backend:
        yield backend


PASSING = [
    Fault(kind="cut", times=1),
    Fault(kind="cut_after", times=1),
    Fault(kind="answer", status=500, times=1),
    Fault(kind="answer", status=503, times=1),
    Fault(kind="answer", status=504, times=1),
    Fault(kind="answer", status=500, times=2),
]
ACTIONS: dict[str, tuple[Action, object]] = {
    "write": (lambda b: b.write("data/x", b"new"), None),
    "read": (lambda b: b.read("there"), b"0123456789"),
    "range": (lambda b: b.read("there", 2, 3), b"234"),
    "size": (lambda b: b.size("there"), 10),
    "no size": (lambda b: b.size("nowhere"), None),
    "list": (lambda b: [entry.name for entry in b.entries("")], ["there"]),
    "delete": (lambda b: b.delete("there"), None),
    "exclusive": (lambda b: b.write_exclusive("config", b"x"), True),
    "taken": (lambda b: b.write_exclusive("there", b"x"), False),
    "prepare": (lambda b: b.prepare(), False),
}


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


def test_a_key_that_may_only_read(s3_server: S3Server, s3_bucket: Bucket) -> None:
    reader = ("reader-access", "reader-secret-PLANTED")
    run(
        [
            *(ensure("versitygw") / "bin" / "versitygw", "admin"),
            *("--access", s3_bucket.access_key, "--secret", s3_bucket.secret_key),
            *("--endpoint-url", s3_server.endpoint, "create-user"),
            *("--access", reader[0], "--secret", reader[1], "--role", "user"),
        ],
        doing="making a user",
    )
    arn = f"arn:aws:s3:::{s3_bucket.name}"
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": [reader[0]]},
        "Action": ["s3:GetObject", "s3:ListBucket"],
        "Resource": [arn, f"{arn}/*"],
    }
    s3_bucket.client().put_bucket_policy(
        Bucket=s3_bucket.name,
        Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
    )
    with open_backend(settings_of(s3_bucket)) as owner:
        owner.write("config", b"x")
    keys = {"access_key": Secret(reader[0]), "secret_key": Secret(reader[1])}
    with open_backend(settings_of(s3_bucket, **keys), Heard()) as backend:
        assert backend.read("config") == b"x"
        assert backend.size("config") == 1
        assert backend.prepare() is False
        refusals: list[Action] = [
            lambda b: b.write("data/x", b"x"),
            lambda b: b.write_exclusive("config", b"x"),
            lambda b: b.delete("config"),
        ]
        for refused in refusals:
            with pytest.raises(AccessDenied, match=r"AccessDenied: .* their rights") as caught:
                refused(backend)
            assert "PLANTED" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"secret_key": Secret("PLANTED-secret")}, "SignatureDoesNotMatch"),
        ({"access_key": Secret("PLANTED-access")}, "InvalidAccessKeyId"),
    ],
)
def test_wrong_credentials_are_named_by_the_servers_code(
    s3_bucket: Bucket, heard: Heard, changes: dict[str, Secret], code: str
) -> None:
    with open_backend(settings_of(s3_bucket, **changes), heard) as backend:
        actions: list[Action] = [
            lambda b: b.prepare(),
            lambda b: b.read("config"),
            lambda b: b.size("config"),
            lambda b: b.write("config", b"x"),
            lambda b: b.delete("config"),
        ]
        for action in actions:
            with pytest.raises(AccessDenied, match=code) as caught:
                action(backend)
            assert "PLANTED" not in str(caught.value)
    assert heard.retries == 0


def test_no_credentials_at_all(
    s3_bucket: Bucket, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    none = settings_of(s3_bucket, access_key=None, secret_key=None)
    with open_backend(none, heard) as backend, pytest.raises(ConfigError, match="no S3 cred"):
        backend.read("config")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3_bucket.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3_bucket.secret_key)
    with open_backend(none, heard) as backend, pytest.raises(ObjectMissing):
        backend.read("config")
    assert heard.retries == 0


def test_a_profile_is_boto3s_own(
    s3_bucket: Bucket, tmp_path: t.Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    credentials = tmp_path / "credentials"
    credentials.write_text(
        f"[granary]\naws_access_key_id = {s3_bucket.access_key}\n"
        f"aws_secret_access_key = {s3_bucket.secret_key}\n"
    )
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(credentials))
    options = {"access_key": None, "secret_key": None}
    with open_backend(settings_of(s3_bucket, profile="granary", **options)) as backend:
        assert backend.prepare() is False
    with (
        open_backend(settings_of(s3_bucket, profile="other", **options)) as backend,
        pytest.raises(ConfigError, match="other"),
    ):
        backend.prepare()


def test_a_certificate_that_nobody_vouches_for(s3_tls_bucket: Bucket, heard: Heard) -> None:
    with (
        open_backend(settings_of(s3_tls_bucket), heard) as backend,
        pytest.raises(ConfigError, match=r"certificate verify failed.*ca_bundle"),
    ):
        backend.read("config")
    assert heard.retries == 0


def test_a_certificate_need_not_be_vouched_for_where_that_is_asked_for(
    s3_tls_bucket: Bucket,
) -> None:
    with open_backend(settings_of(s3_tls_bucket, verify_tls=False)) as backend:
        backend.write("config", b"x")
        assert backend.read("config") == b"x"


def test_https_where_http_is_spoken(s3_bucket: Bucket, heard: Heard) -> None:
    endpoint = s3_bucket.endpoint.replace("http://", "https://")
    with (
        open_backend(settings_of(s3_bucket, endpoint=endpoint), heard) as backend,
        pytest.raises(ConfigError, match=r"no TLS with that server .* check the endpoint"),
    ):
        backend.read("config")
    assert heard.retries == 0


def test_http_where_https_is_spoken(s3_tls_bucket: Bucket) -> None:
    endpoint = s3_tls_bucket.endpoint.replace("https://", "http://")
    with (
        open_backend(settings_of(s3_tls_bucket, endpoint=endpoint)) as backend,
        pytest.raises(StorageUnavailable, match="whether it wants http or https"),
    ):
        backend.read("config")


class _Page(http.server.BaseHTTPRequestHandler):
    """A web page, whatever was asked."""

    protocol_version = "HTTP/1.1"
    status = 200

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        page = b"<html><body>Welcome</body></html>"
        self.send_response(self.status)
        if self.status in {301, 302}:
            self.send_header("Location", f"https://elsewhere.example{self.path}")
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(page)

    do_GET = do_HEAD = do_PUT = do_DELETE = _answer

    def handle_expect_100(self) -> bool:
        self.send_response_only(100)
        self.end_headers()
        return True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing."""


@contextlib.contextmanager
def _web_server(status: int) -> Iterator[str]:
    handler = type("Handler", (_Page,), {"status": status})
    with http.server.ThreadingHTTPServer((HOST, 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://{HOST}:{server.server_address[1]}"
        server.shutdown()


@pytest.mark.parametrize("status", [200, 301, 302, 400, 404, 405])
def test_a_web_page_is_no_storage(s3_bucket: Bucket, heard: Heard, status: int) -> None:
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
    with (
        _web_server(status) as endpoint,
        open_backend(settings_of(s3_bucket, endpoint=endpoint), heard) as backend,
    ):
        for action in actions:
            with pytest.raises(
                ConfigError, match=r"as an S3 server|redirects to https://elsewhere|ranges"
            ):
                action(backend)
    assert heard.retries == 0


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
