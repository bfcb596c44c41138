# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How metrics reach a Pushgateway. tests/cluster/test_operator_metrics.py asks a real one."""

from __future__ import annotations

import dataclasses
import threading
import typing as t
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import (
    PushgatewayUnavailable,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes import (
    metrics,
    pushgateway,
)
from tests.testbed.ports import HOST, free_port

LABELS = metrics.session_labels(
    kind="BackupConfiguration", name="pg", namespace="demo", repository="repo"
)
SAMPLES = metrics.backup_session_metrics(
    LABELS, succeeded=True, duration_seconds=1000, targets=1, at=7
)


def test_the_group_of_an_invoker() -> None:
    assert pushgateway.job_key("BackupConfiguration", "demo", "pg") == "backupconfiguration-demo-pg"


@dataclasses.dataclass
class Gateway:
    """A web server that keeps what it is sent and answers with `status`."""

    url: str = ""
    status: int = 200
    received: list[tuple[str, str, str]] = dataclasses.field(default_factory=list)


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    made = Gateway()

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
            made.received.append((self.command, self.path, body))
            self.send_response(made.status)
            self.end_headers()

        do_POST = do_DELETE = do_PUT = _answer  # http.server's names

        def log_message(self, format: str, *args: t.Any) -> None:  # noqa: A002 # its name there
            """Say nothing."""

    with HTTPServer((HOST, 0), Handler) as server:
        made.url = f"http://{HOST}:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield made
        server.shutdown()


def test_a_push_adds_to_the_invokers_group(gateway: Gateway) -> None:
    pushgateway.push(gateway.url, "a-demo-pg", SAMPLES)
    ((method, path, body),) = gateway.received
    assert (method, path) == ("POST", "/metrics/job/a-demo-pg")
    assert "# TYPE stash_backup_session_success gauge\n" in body
    name = "stash_backup_session_duration_seconds{"
    (line,) = [line for line in body.splitlines() if line.startswith(name)]
    assert line.endswith(" 1000.0")
    for label in ('invoker_name="pg"', 'namespace="demo"', 'driver="Restic"'):
        assert label in line


def test_nothing_to_say_is_no_push(gateway: Gateway) -> None:
    pushgateway.push(gateway.url, "a", [])
    assert gateway.received == []


def test_a_group_is_deleted(gateway: Gateway) -> None:
    pushgateway.delete_group(gateway.url, "a-demo-pg")
    assert gateway.received == [("DELETE", "/metrics/job/a-demo-pg", "")]


@pytest.mark.parametrize("place", [f"http://{HOST}:%d", "http://nowhere.invalid", "x://y"])
def test_a_gateway_that_is_not_there_is_our_own_error(place: str) -> None:
    url = place.replace("%d", str(free_port()))
    with pytest.raises(PushgatewayUnavailable, match=f"The Pushgateway at {url} cannot be used"):
        pushgateway.push(url, "a", SAMPLES)


def test_a_gateway_that_refuses_is_our_own_error(gateway: Gateway) -> None:
    gateway.status = 400
    with pytest.raises(PushgatewayUnavailable, match="400"):
        pushgateway.push(gateway.url, "a", SAMPLES)
