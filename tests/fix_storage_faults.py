# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What goes wrong on the way to a store, and who counts what is tried again."""

from __future__ import annotations

import contextlib
import http.server
import threading
import typing as t
from collections.abc import Callable, Iterator

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._core.events import Field
from ansible_collections.granary.postgres.plugins.module_utils._core.redaction import Secret
from ansible_collections.granary.postgres.plugins.module_utils._storage.base import Backend
from ansible_collections.granary.postgres.plugins.module_utils._storage.model import S3Settings
from tests.testbed.http_proxy import Fault
from tests.testbed.ports import HOST
from tests.testbed.s3 import Bucket

Action = Callable[[Backend], object]


class Heard:
    """Counts what is tried again; `then` is called each time."""

    def __init__(self, then: Callable[[], object] = lambda: None) -> None:
        self.retries = 0
        self._then = then

    def progress(self, event: str, **fields: Field) -> None:
        """Count it."""
        assert event == "storage_retry"
        self.retries += 1
        self._then()

    def warn(self, message: str) -> None:
        """Nothing is to be warned of."""
        raise AssertionError(message)


def settings_of(bucket: Bucket, **changes: t.Any) -> S3Settings:
    """A bucket as the engine is told, with three tries."""
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
def heard() -> Heard:
    """Counts for this test."""
    return Heard()


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


class _WebPage(http.server.BaseHTTPRequestHandler):
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

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _answer

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing."""


@contextlib.contextmanager
def web_server(status: int) -> Iterator[str]:
    """Answer every request with this status and a web page; gives the endpoint."""
    handler = type("Handler", (_WebPage,), {"status": status})
    with http.server.ThreadingHTTPServer((HOST, 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://{HOST}:{server.server_address[1]}"
        server.shutdown()
