# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the kubelet and Prometheus ask the operator: is it alive, is it ready, how much has it done.

kopf's own endpoint says that it is alive before it has seen any object, and without an API server.
"""

from __future__ import annotations

import http
import http.server
import threading
import typing as t

if t.TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Check: t.TypeAlias = "Callable[[], str | None]"
"""Returns what is wrong, or None."""


class HealthServer:
    """Answers ``/healthz``, ``/readyz`` and ``/metrics`` from a thread of its own.

    ``figures`` returns values by the names of metrics, without our prefix.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        alive: Check,
        ready: Check,
        figures: Callable[[], Mapping[str, float]],
    ) -> None:
        checks = {"/healthz": alive, "/readyz": ready}

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                if path == "/metrics":
                    self._answer(http.HTTPStatus.OK, _exposition(figures()))
                elif path in checks:
                    wrong = checks[path]()
                    status = http.HTTPStatus.SERVICE_UNAVAILABLE if wrong else http.HTTPStatus.OK
                    self._answer(status, f"{wrong or 'ok'}\n")
                else:
                    self._answer(http.HTTPStatus.NOT_FOUND, "not found\n")

            def _answer(self, status: http.HTTPStatus, text: str) -> None:
                body = text.encode()
                self.send_response(status)
                self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
                """Say nothing: the kubelet asks every few seconds."""

        self._server = http.server.ThreadingHTTPServer((host, port), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="health", daemon=True
        )

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """End it and free the port."""
        self._server.shutdown()
        self._server.server_close()


def _exposition(figures: Mapping[str, float]) -> str:
    lines = []
    for name, value in figures.items():
        kind = "counter" if name.endswith("_total") else "gauge"
        lines += [f"# TYPE granary_{name} {kind}", f"granary_{name} {value:g}"]
    return "\n".join(lines) + "\n"
