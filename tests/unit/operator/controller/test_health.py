# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import http.client
from collections.abc import Iterator

import pytest

from ansible_collections.granary.postgres.operator.controller.health import HealthServer


class Told:
    """What the checks say."""

    def __init__(self) -> None:
        self.hangs: str | None = None
        self.missing: str | None = None


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def server(told: Told) -> Iterator[HealthServer]:
    made = HealthServer(
        "127.0.0.1",
        0,
        alive=lambda: told.hangs,
        ready=lambda: told.missing,
        figures=lambda: {"operator_up": 1, "operator_steps_total": 12},
    )
    made.start()
    yield made
    made.stop()


def ask(server: HealthServer, path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.request("GET", path)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text


def test_it_says_what_is_wrong(server: HealthServer, told: Told) -> None:
    assert ask(server, "/healthz") == (200, "ok\n")
    assert ask(server, "/readyz?verbose") == (200, "ok\n")
    told.missing = "nothing listed"
    assert ask(server, "/readyz") == (503, "nothing listed\n")
    assert ask(server, "/healthz")[0] == 200
    told.hangs = "a step takes long"
    assert ask(server, "/healthz") == (503, "a step takes long\n")
    assert ask(server, "/elsewhere")[0] == 404


def test_figures_are_as_prometheus_reads_them(server: HealthServer) -> None:
    status, text = ask(server, "/metrics")

    assert status == 200
    assert text == (
        "# TYPE granary_operator_up gauge\ngranary_operator_up 1\n"
        "# TYPE granary_operator_steps_total counter\ngranary_operator_steps_total 12\n"
    )
