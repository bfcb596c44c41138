# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An HTTP proxy before an S3 server that counts requests and fails the ones it is told to.

Faults are placed by event (the third PUT below data/, say), never by the clock.
"""

from __future__ import annotations

import contextlib
import datetime
import email.utils
import http.client
import http.server
import re
import socket
import struct
import threading
import time
import typing as t
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass, field

from .ports import HOST

_CHUNK_BYTES = 256 * 1024
_HOP_BY_HOP = {"connection", "expect", "keep-alive", "transfer-encoding"}

FaultKind = t.Literal["answer", "cut", "cut_after", "short_body", "stall", "run"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What came in: `number` counts all requests of the proxy from 1; `path` has its query."""

    number: int
    method: str
    path: str
    size_bytes: int


@dataclass(slots=True, kw_only=True)
class Fault:
    """What happens to requests that match, after `skip` of them and `times` times (None: always).

    answer      the status, without asking the server
    cut         reset before the request reaches the server
    cut_after   the server does it, the answer is lost: the outcome is unknown to the client
    short_body  half of the answer's body, then the connection ends
    stall       no answer until the proxy is told to `resume`; then it goes on as if nothing was
    run         calls `action` first, then goes on as if nothing was
    """

    kind: FaultKind
    method: str = "*"
    path: str = ""  # a regular expression, searched for
    status: int = 503
    skip: int = 0
    times: int | None = None
    action: Callable[[Request], None] | None = None
    seen: int = 0
    hits: int = 0

    def takes(self, request: Request) -> bool:
        """Whether it strikes; counts. Called with the proxy's lock held."""
        if self.method not in {"*", request.method} or not re.search(self.path, request.path):
            return False
        self.seen += 1
        if self.seen <= self.skip or (self.times is not None and self.hits >= self.times):
            return False
        self.hits += 1
        return True


@dataclass(slots=True)
class _State:
    target_port: int
    lock: threading.Lock = field(default_factory=threading.Lock)
    flowing: threading.Event = field(default_factory=threading.Event)
    ahead_seconds: float = 0.0
    hidden_seconds: float = 0.0
    stored: dict[str, float] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)


class HttpProxy:
    """Listens on a free port of 127.0.0.1. A context manager."""

    def __init__(self, target_port: int) -> None:
        """Start to listen."""
        self._state = _State(target_port)
        self._state.flowing.set()
        state = self._state

        class Handler(_Handler):
            proxy = state

        self._server = _Server((HOST, 0), Handler)
        self.port: int = self._server.server_address[1]
        self.endpoint = f"http://{HOST}:{self.port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def __enter__(self) -> HttpProxy:
        """It listens already."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Stop listening."""
        self.close()

    def close(self) -> None:
        """Stop listening; a stalled request is let go."""
        self.resume()
        self._server.shutdown()
        self._server.server_close()

    @property
    def requests(self) -> list[Request]:
        """All requests so far, in the order they came in."""
        with self._state.lock:
            return list(self._state.requests)

    def count(self, method: str, path: str = "") -> int:
        """How many requests of that method whose path has a match of a regular expression."""
        return sum(r.method == method and bool(re.search(path, r.path)) for r in self.requests)

    def add(self, fault: Fault) -> Fault:
        """Arm a fault; the first one that takes a request has it. `hits` counts its strikes."""
        with self._state.lock:
            if fault.kind == "stall":
                self._state.flowing.clear()
            self._state.faults.append(fault)
        return fault

    def move_clock(self, seconds: float) -> None:
        """Let the server seem to have so many seconds later than it has; what it stored it did by
        its own clock.
        """
        self._state.ahead_seconds = seconds

    def hide_from_listings(self, seconds: float) -> None:
        """Let listings lag: what was stored through the proxy is in none for so long."""
        self._state.hidden_seconds = seconds

    def clear(self) -> None:
        """Disarm all faults; a stalled request is let go."""
        with self._state.lock:
            self._state.faults.clear()
        self.resume()

    def resume(self) -> None:
        """Let stalled requests go, now and later."""
        self._state.flowing.set()


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: t.Any, client_address: t.Any) -> None:
        """A client that goes away is nothing to print."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    proxy: t.ClassVar[_State]

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - name of the base class
        """Nothing: `requests` holds what came in."""

    def handle_expect_100(self) -> bool:
        """The body is asked for in `_forward`, once it is known that nothing strikes before."""
        return True

    def _handle(self) -> None:
        size = int(self.headers.get("Content-Length") or 0)
        request, fault = self._note(size)
        kind = fault.kind if fault else None
        if fault and kind == "run" and fault.action:
            fault.action(request)
        if kind == "cut":
            self._reset()
        elif fault and kind == "answer":
            self._answer(fault.status, request)
        else:
            if kind == "stall":
                self.proxy.flowing.wait()
            self._forward(request, kind)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _handle

    def _note(self, size: int) -> tuple[Request, Fault | None]:
        with self.proxy.lock:
            request = Request(
                number=len(self.proxy.requests) + 1,
                method=self.command,
                path=self.path,
                size_bytes=size,
            )
            self.proxy.requests.append(request)
            return request, next((f for f in self.proxy.faults if f.takes(request)), None)

    def _answer(self, status: int, request: Request) -> None:
        self._read_body(request, lambda data: None)
        name = {500: "InternalError", 503: "SlowDown", 403: "AccessDenied"}.get(status, "Fault")
        body = f"<?xml version='1.0'?><Error><Code>{name}</Code><Message>told to</Message></Error>"
        self.send_response(status)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body.encode())

    def _forward(self, request: Request, kind: str | None) -> None:
        target = http.client.HTTPConnection(HOST, self.proxy.target_port, timeout=120)
        try:
            target.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in _HOP_BY_HOP:
                    target.putheader(name, value)
            target.putheader("Connection", "close")
            target.endheaders()
            self._read_body(request, target.send)
            answer = target.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException):
            self._reset()
            return
        finally:
            target.close()
        if self.command == "PUT":
            with self.proxy.lock:
                self.proxy.stored[urllib.parse.unquote(self.path)] = time.monotonic()
        if kind == "cut_after":
            self._reset()
        else:
            body = self._lag(body) if "list-type=2" in self.path else body
            self._give_back(answer, body, short=kind == "short_body")

    def _give_back(self, answer: http.client.HTTPResponse, body: bytes, *, short: bool) -> None:
        self.send_response_only(answer.status, answer.reason)
        for name, value in answer.getheaders():
            if name.lower() not in _HOP_BY_HOP | {"content-length"}:
                self.send_header(name, self._moved(value) if name.lower() == "date" else value)
        size = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(body))
        if size is not None and answer.status != http.HTTPStatus.NO_CONTENT:
            self.send_header("Content-Length", size)
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if short else body)
        if short:
            self.close_connection = True

    def _lag(self, listing: bytes) -> bytes:
        """A listing without what was stored a short time ago."""
        bucket = self.path.partition("?")[0].rstrip("/")
        with self.proxy.lock:
            since = time.monotonic() - self.proxy.hidden_seconds
            hidden = {path for path, stored in self.proxy.stored.items() if stored > since}

        def keep(found: re.Match[bytes]) -> bytes:
            key = urllib.parse.unquote(found[1].decode())
            return b"" if f"{bucket}/{key}" in hidden else found[0]

        return re.sub(rb"<Contents>.*?<Key>(.*?)</Key>.*?</Contents>", keep, listing, flags=re.S)

    def _moved(self, date: str) -> str:
        moment = email.utils.parsedate_to_datetime(date)
        ahead = datetime.timedelta(seconds=self.proxy.ahead_seconds)
        return email.utils.format_datetime(moment + ahead, usegmt=True)

    def _read_body(self, request: Request, take: Callable[[bytes], object]) -> None:
        """The request's body, which we ask for where the client waits to be asked."""
        if (self.headers.get("Expect") or "").lower() == "100-continue":
            self.send_response_only(http.HTTPStatus.CONTINUE)
            self.end_headers()
        left = request.size_bytes
        while left:
            data = self.rfile.read(min(left, _CHUNK_BYTES))
            if not data:
                raise ConnectionResetError("the client went away inside its request")
            take(data)
            left -= len(data)

    def _reset(self) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
