# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checks beside backups and prunes, of what stock restic made, and the record of their results."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import GranaryError
from ansible_collections.granary.postgres.plugins.module_utils._core.events import RecordedEvents
from ansible_collections.granary.postgres.plugins.module_utils._repository.check_record import (
    CHECK_RECORD,
    read_check_record,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.deletion import (
    delete_objects,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.prune import prune
from ansible_collections.granary.postgres.plugins.module_utils._repository.snapshot import (
    list_snapshots,
)
from ansible_collections.granary.postgres.plugins.module_utils._workflows.check_result import (
    CheckRequest,
    CheckResult,
)
from ansible_collections.granary.postgres.plugins.module_utils._workflows.repository_check import (
    check_repository,
)
from tests.faults.site import Child
from tests.fix_backup import HookedEvents, access
from tests.fix_quick_key import make_key_quick
from tests.fix_repository import PASSWORD, Place, in_a_place
from tests.fix_sample import Sampler
from tests.made_snapshots import SnapshotMaker, made_rows
from tests.testbed.restic import VERSIONS

_CHECKS = 10
_SNAPSHOTS = 5  # that must have been made and seen meanwhile: each is forgotten and pruned soon


def check(
    place: Place,
    *,
    events: RecordedEvents | None = None,
    check_mode: bool = False,
    **options: t.Any,
) -> CheckResult:
    """Check as the module does."""
    request = CheckRequest(repository=access(place), **options)
    return check_repository(request, events=events or RecordedEvents(), check_mode=check_mode)


def made(place: Place) -> None:
    """Make a repository with a snapshot."""
    with place.create() as repository:
        make_key_quick(repository)
        SnapshotMaker(repository).make()


def flip_largest_pack(place: Place) -> str:
    """Change a bit in the middle of the largest pack; its name."""
    with place.open() as repository:
        name = max(repository.backend.entries("data/"), key=lambda entry: entry.size).name
        data = bytearray(repository.backend.read(name))
        data[len(data) // 2] ^= 1
        repository.backend.write(name, data)
    return name


def churn(place: Place, stop: Path) -> None:
    """Back up, forget and prune until told to stop: every snapshot is of other rows."""
    number = 0
    with place.open() as repository:
        while not stop.exists():
            number += 1
            rows = {"public.churned": made_rows(f"churn {number}", 1200)}
            SnapshotMaker(repository, pack_size=16 * 1024).make({"shop": rows}, host="churn")
            with repository.lock(exclusive=True) as lock:
                old = [one for one in list_snapshots(repository) if one.hostname == "churn"][:-1]
                delete_objects(repository, lock, [f"snapshots/{one.id.hex()}" for one in old])
                prune(repository, lock, max_unused_percent=0, pack_size=16 * 1024)


@in_a_place
def test_checks_beside_backups_and_prunes_find_nothing(
    place: Place, tmp_path: Path, sampler: Sampler
) -> None:
    made(place)
    stop = tmp_path / "stop"
    child = Child(lambda: churn(place, stop))
    seen: set[bytes] = set()
    checks, wanted = 0, len(sampler(range(_CHECKS), 5))
    try:
        while checks < wanted or len(seen) < _SNAPSHOTS:
            checks += 1
            found = check(place, read_data=bool(checks % 2))
            assert found.ok, found.summary()
            assert found.snapshots
            with place.open() as repository:
                seen |= {one.id for one in list_snapshots(repository)}
    finally:
        stop.touch()
        assert child.wait() == 0


def test_what_went_away_after_the_first_look_is_no_damage(local_place: Place) -> None:
    made(local_place)
    with local_place.open() as other:
        SnapshotMaker(other).make({"shop": {"public.gone": made_rows("gone", 900)}}, host="churn")

        def forget_and_prune() -> None:
            with other.lock(exclusive=True) as lock:
                old = [one for one in list_snapshots(other) if one.hostname == "churn"]
                delete_objects(other, lock, [f"snapshots/{one.id.hex()}" for one in old])
                prune(other, lock, max_unused_percent=0)

        events = HookedEvents("check_surveyed", forget_and_prune)
        found = check(local_place, events=events)
    assert found.ok, found.summary()
    assert found.snapshots == 1


@pytest.mark.parametrize(("version", "format_version"), [("0.18", 1), ("0.19", 2)])
def test_what_restic_made_is_checked_and_repaired(
    local_place: Place, tmp_path: Path, version: str, format_version: int
) -> None:
    restic = local_place.restic(version)
    restic.run("init", "--repository-version", str(format_version))
    folder = tmp_path / "home"
    folder.mkdir()
    for number in range(20):
        (folder / f"file {number}").write_bytes(bytes([number]) * 100_000 + b"x\n" * number)
    restic.run("backup", folder)
    (folder / "file 3").unlink()
    restic.run("backup", folder)
    assert check(local_place, read_data=True).ok
    assert not check(local_place, repair=True).changed
    name = flip_largest_pack(local_place)
    found = check(local_place, read_data=True)
    assert name in [one.name for one in found.damage]
    assert found.damaged_snapshots
    assert "file " in found.summary()
    repaired = check(local_place, repair=True)
    assert repaired.changed
    restic.run("backup", "--force", folder)
    assert {one.name for one in check(local_place, read_data=True).damage} == set()


def test_a_plain_script_that_was_cut_is_named(local_place: Place) -> None:
    restic = local_place.restic(VERSIONS[-1])
    restic.run("init")
    script = b"SELECT 1;\n" * 300_000
    restic.raw("backup", "--stdin", "--stdin-filename", "dumpfile.sql", stdin=script)
    assert check(local_place, read_data=True).ok
    with local_place.open() as repository:
        name = max(repository.backend.entries("data/"), key=lambda entry: entry.size).name
        repository.backend.delete(name)
    assert "/dumpfile.sql" in check(local_place).summary()
    check(local_place, repair=True)
    restic.run("repair", "snapshots", "--forget")
    (damaged,) = check(local_place, read_data=True).damaged_snapshots
    assert [one.reason for one in damaged.lost] == ["it has 0 of the 3,000,000 bytes dumped"]


def test_a_quick_check_does_not_hide_what_a_long_one_found(local_place: Place) -> None:
    made(local_place)
    check(local_place)
    with local_place.open() as repository:
        assert read_check_record(repository).data is None
    name = flip_largest_pack(local_place)
    assert not check(local_place, read_data=True).ok
    assert check(local_place).ok
    check(local_place, read_data=True, check_mode=True)
    with local_place.open() as repository:
        record = read_check_record(repository)
    assert record.last is not None
    assert record.data is not None
    assert record.last["ok"]
    assert not record.data["ok"]
    assert name in record.data["summary"]


def test_where_nothing_can_be_written_the_check_goes_on(local_place: Place) -> None:
    made(local_place)
    assert isinstance(local_place.where, Path)
    (local_place.where / "granary").write_text("in the way")
    events = RecordedEvents()
    assert check(local_place, events=events).ok
    assert [text for text in events.warnings if "could not be kept" in text]


def test_a_record_that_cannot_be_read_is_none(local_place: Place) -> None:
    made(local_place)
    check(local_place)
    events = RecordedEvents()
    with local_place.open() as repository:
        repository.backend.write(CHECK_RECORD, b"x" * 100)
        repository.events = events
        record = read_check_record(repository)
        assert (record.last, record.data) == (None, None)
    assert [text for text in events.warnings if "check again" in text]
    assert check(local_place).ok


def test_repair_waits_for_others_and_check_does_not(local_place: Place) -> None:
    made(local_place)
    with local_place.open() as repository, repository.lock():
        assert check(local_place, read_data=True).ok
        with pytest.raises(GranaryError, match="locked by"):
            check(local_place, repair=True)


def test_everything_that_was_lost_is_said(local_place: Place) -> None:
    """No pack at all is left: nothing crashes, and each snapshot is named."""
    made(local_place)
    with local_place.open() as repository:
        for entry in list(repository.backend.entries("data/")):
            repository.backend.delete(entry.name)
    found = check(local_place)
    assert "all of it is lost" in found.summary()
    assert not check(local_place, repair=True).ok
    assert check(local_place, repair=True).damage == ()
    local_place.restic(VERSIONS[-1]).run("unlock")
    with local_place.open() as repository:
        SnapshotMaker(repository).make()
    assert check(local_place, read_data=True).ok
    assert PASSWORD not in str(found.to_return())
