# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What users get wrong: one sentence that says what it is and what to do, and nothing is written.

All cases that are drawn run as tasks of one playbook; each is a test of its own.
"""

from __future__ import annotations

import http.server
import re
import threading
import typing as t
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bad_input import HTML, NOBODY, NOT_HTTP, Case, Scene
from tests.bad_input_choices import CHECK, CLASHES, SNAPSHOT
from tests.bad_input_places import REPOSITORY, SERVER
from tests.fix_ansible import Result
from tests.fix_pooler import PoolerFactory
from tests.fix_postgres import PostgresFactory
from tests.fix_repository import Place, back_up
from tests.fix_stage import Stage, state_of, tree_of
from tests.testbed.ports import HOST, free_port
from tests.testbed.postgres import client_bin
from tests.testbed.s3 import S3Server

CASES = [*REPOSITORY, *SERVER, *SNAPSHOT, *CHECK, *CLASHES]


class WebServer(http.server.BaseHTTPRequestHandler):
    """A web server that knows nothing of S3 and answers everything with a page."""

    def do_GET(self) -> None:
        """Answer with the page."""
        page = b"<!doctype html><html><title>Welcome</title><p>It works.</html>"
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(page)

    do_HEAD = do_PUT = do_POST = do_DELETE = do_GET

    def log_message(self, *dummy: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def web_server() -> Iterator[str]:
    """The URL of a web server that is no S3 server."""
    with http.server.ThreadingHTTPServer((HOST, 0), WebServer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://{HOST}:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def pooled_port(postgres: PostgresFactory, pooler: PoolerFactory) -> int:
    """Where a pooler in transaction mode listens."""
    return pooler(postgres(17), "transaction").port


@pytest.fixture(scope="module")
def scene(
    stage: Stage, pooled_port: int, s3_server: S3Server, web_server: str, scratch: Path
) -> Iterator[Scene]:
    """The stage with a second host's backups in its repository, an empty bucket and a pooler."""
    empty = scratch / "empty"
    empty.mkdir()
    alone = scratch / "pg_dump alone"
    alone.mkdir()
    (alone / "pg_dump").write_text(f'#!/bin/sh\nexec {client_bin(17)}/pg_dump "$@"\n')
    (alone / "pg_dump").chmod(0o755)
    made = s3_server.make_bucket("bad-input")
    yield Scene(
        stage=stage,
        bucket=made,
        s3=s3_server,
        endpoints={
            HTML: web_server,
            NOBODY: f"http://{HOST}:{free_port()}",
            NOT_HTTP: f"http://{HOST}:{stage.source.port}",
        },
        pooled=pooled_port,
        nobody_there=free_port(),
        empty=empty,
        pg_dump_alone=alone,
        shared_digit=add_snapshots(stage),
    )
    s3_server.drop_bucket(made.name)


def add_snapshots(stage: Stage) -> str:
    """Add snapshots of another host until two ids begin with one digit; give that digit."""
    place = Place(where=stage.path, cache_dir=stage.path)
    digits = [stage.snapshot[0]]
    with place.open() as repository:
        while len(set(digits)) == len(digits):
            made = back_up(repository, {"/postgres/manifest.json": b"{}"}, hostname="other")
            digits.append(made.id.hex()[0])
    return digits[-1]


@pytest.fixture(scope="module")
def seen(scene: Scene, request: pytest.FixtureRequest) -> dict[str, Result]:
    """What became of each case that is to run; all of them together have written nothing."""
    tests: list[t.Any] = [item for item in request.session.items if item.path == request.path]
    cases: list[Case] = [test.callspec.params["case"] for test in tests]
    before = state(scene)
    run = scene.stage.ansible.tasks(*(case.task(scene) for case in cases))
    assert state(scene) == before
    assert run.status == 2, run.output
    return {case.name: result for case, result in zip(cases, run.results, strict=True)}


def state(scene: Scene) -> dict[str, object]:
    """All that bad input could change."""
    return {
        "repository": tree_of(scene.stage.path),
        "bucket": scene.bucket.list_keys(""),
        "buckets": [one["Name"] for one in scene.bucket.client().list_buckets()["Buckets"]],
        "folder": list(scene.empty.iterdir()),
        "source": state_of(scene.stage.source),
        "target": state_of(scene.stage.target),
    }


@pytest.mark.sampled("case", CASES, 18, ids=lambda case: case.name)
def test_bad_input_ends_in_a_sentence_that_helps(seen: dict[str, Result], case: Case) -> None:
    result = seen[case.name]
    assert result.failed, result.values
    assert result.code == case.code, result.message
    for words in case.says:
        assert words in result.message
    if case.code is not None:
        assert is_one_sentence(result.message), result.message


def is_one_sentence(message: str) -> bool:
    """Whether a message is one sentence on one line, and no traceback."""
    ends = re.findall(r"[.!?] +[A-Z]", message)
    return message.endswith(".") and not ends and "\n" not in message
