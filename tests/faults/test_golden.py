# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What every released version has written can be read, restored, pruned and added to."""

from __future__ import annotations

import json
import subprocess
import typing as t
from pathlib import Path

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._core.events import RecordedEvents
from ansible_collections.granary.postgres.plugins.module_utils._workflows.check_result import (
    CheckRequest,
)
from ansible_collections.granary.postgres.plugins.module_utils._workflows.repository_check import (
    check_repository,
)
from ansible_collections.granary.postgres.plugins.module_utils._workflows.retention import (
    run_retention,
)
from ansible_collections.granary.postgres.plugins.module_utils._workflows.retention_request import (
    RetentionRequest,
)
from tests.faults.golden.contents import DATABASE, SECOND_PASSWORD, facts_of, rows_of
from tests.fix_backup import access, back_up_server
from tests.fix_postgres import PostgresFactory, quoted
from tests.fix_repository import PASSWORD, Place
from tests.fix_restore import restore_server
from tests.testbed.restic import VERSIONS

FOLDER = Path(__file__).parent / "golden"
ARCHIVES = sorted(FOLDER.glob("*/v*.tar"))
MAJOR = 17


class Golden(t.NamedTuple):
    """One of them, unpacked, and what was put into it."""

    place: Place
    expected: dict[str, t.Any]


@pytest.fixture(params=ARCHIVES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def golden(request: pytest.FixtureRequest, fault_scratch: Path) -> Golden:
    archive: Path = request.param
    folder = fault_scratch / "repository"
    folder.mkdir()
    subprocess.run(["tar", "--extract", f"--file={archive}", f"--directory={folder}"], check=True)
    place = Place(where=folder, cache_dir=fault_scratch / "cache")
    return Golden(place, json.loads(archive.with_suffix(".json").read_bytes()))


def test_there_are_some_of_both_formats() -> None:
    assert {path.stem for path in ARCHIVES} == {"v1", "v2"}


@pytest.mark.parametrize("password", [PASSWORD, SECOND_PASSWORD])
def test_it_is_read_as_it_was_written(golden: Golden, password: str) -> None:
    with golden.place.open(password) as repository:
        assert repository.config.id == golden.expected["id"]
        assert facts_of(repository) == golden.expected["snapshots"]


def test_it_is_checked_added_to_and_pruned(golden: Golden, postgres: PostgresFactory) -> None:
    checked = check_repository(
        CheckRequest(repository=access(golden.place), read_data=True), events=RecordedEvents()
    )
    assert checked.ok, checked.to_return()
    server = postgres(MAJOR)
    made = back_up_server(server, golden.place, databases=["postgres"], new_system=True)
    run_retention(
        RetentionRequest(repository=access(golden.place), keep_last="1"), events=RecordedEvents()
    )
    for version in VERSIONS:
        golden.place.restic(version).run("check", "--read-data")
    with golden.place.open() as repository:
        kept = {facts["id"] for facts in facts_of(repository)}
    assert kept >= {made.snapshot.id}


def test_it_is_restored(golden: Golden, private_postgres: PostgresFactory) -> None:
    server = private_postgres(MAJOR)
    for snapshot in golden.expected["snapshots"]:
        plain = snapshot["paths"] == ["/dumpfile.sql"]
        server.execute(f"CREATE DATABASE {quoted(DATABASE)}")
        options: dict[str, t.Any] = {"into": DATABASE} if plain else {"databases": (DATABASE,)}
        result = restore_server(server, golden.place, snapshot=snapshot["id"], **options)
        assert result.verified is not plain
        assert rows_of(server, DATABASE) == golden.expected["rows"][snapshot["id"]]
        server.execute(f"DROP DATABASE {quoted(DATABASE)}")
