# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An HTTP server that gives prepared answers one after the other, and keeps what it was asked.

For what a real API server does only in bad moments: to be overloaded, to forget a list, to go away
in the middle of an answer.
"""

from __future__ import annotations

import dataclasses
import http.server
import json
import threading
import typing as t
import urllib.parse

if t.TYPE_CHECKING:
    from collections.abc import Iterator

HANG_UP = object()
"""An answer: the connection is closed without one."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """What was asked."""

    method: str
    path: str
    query: dict[str, str]
    content_type: str
    body: t.Any


class ScriptedServer:
    """Answers as long as the context lasts; an answer is a status and a body, or ``HANG_UP``."""

    def __init__(self, *answers: t.Any) -> None:
        self._answers: Iterator[t.Any] = iter(answers)
        self.requests: list[Request] = []
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> ScriptedServer:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(self, *dummy: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        script = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                parts = urllib.parse.urlsplit(self.path)
                script.requests.append(
                    Request(
                        method=self.command,
                        path=parts.path,
                        query=dict(urllib.parse.parse_qsl(parts.query)),
                        content_type=self.headers.get("Content-Type") or "",
                        body=json.loads(self.rfile.read(length)) if length else None,
                    )
                )
                answer = next(script._answers)
                if answer is HANG_UP:
                    self.close_connection = True
                    return
                status, body = answer
                data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer

            def log_message(self, format: str, *args: t.Any) -> None:  # noqa: A002 - its name there
                """Say nothing."""

        return Handler
