# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The way of a damaged backup through the modules: found, named, repaired, filled, restored."""

from __future__ import annotations

import typing as t
from dataclasses import replace

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._repository.model import BlobKind
from ansible_collections.granary.postgres.plugins.module_utils._repository.pack import pack_name
from ansible_collections.granary.postgres.plugins.module_utils._repository.snapshot import (
    list_snapshots,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.tree import find_node
from tests.fix_ansible import Result, Task, bucket_repository, login
from tests.fix_repository import PREFIX, Place
from tests.fix_stage import ROWS, Stage, counts_of, tree_of
from tests.testbed.s3 import Bucket

ORDERS = "/postgres/databases/shop/tables/sales/orders/000/000000.copy"


def check(stage: Stage, **options: t.Any) -> Task:
    """A check of the stage's repository."""
    mode = bool(options.pop("check", False))
    return Task(module="repository_check", options=stage.repository | options, check=mode)


def info(stage: Stage) -> Task:
    """A look at the stage's repository."""
    return Task(module="repository_info", options=stage.repository)


def run(stage: Stage, *tasks: Task) -> list[Result]:
    """Run tasks one after the other."""
    return list(stage.ansible.tasks(*tasks).results)


def flip(stage: Stage, path: str) -> str:
    """Change a bit of the first blob of a file of the first snapshot; the pack's name."""
    with Place(where=stage.path, cache_dir=stage.path).open() as repository:
        index = repository.load_index_for_reading()
        (tree,) = [one.tree for one in list_snapshots(repository) if one.id.hex() == stage.snapshot]
        node = find_node(repository.reader(index), tree, path)
        assert node is not None
        place = index.find(BlobKind.DATA, node.content[0])
        assert place is not None
        name = pack_name(place.pack)
        data = bytearray(repository.backend.read(name))
        data[place.offset + place.length // 2] ^= 1
        repository.backend.write(name, data)
    return name


@pytest.fixture(scope="module")
def large(stage: Stage) -> Stage:
    """The stage with a backup that takes over every table."""
    (made,) = run(stage, stage.backup(segment_threshold=0))
    return replace(stage, snapshot=made["snapshot"]["id"])


def assert_fine(stage: Stage) -> None:
    """Nothing is wrong yet, and the repository remembers that."""
    fine, all_read, told = run(stage, check(stage), check(stage, read_data=True), info(stage))
    assert not (fine.failed)
    assert not (all_read.failed)
    assert fine["check"]["ok"]
    assert not fine["changed"]
    assert fine["check"]["packs_read"] == 0
    assert all_read["check"]["packs_read"] == all_read["check"]["packs"]
    assert told["last_check"]["read_data"] == "all"
    assert told["last_check"]["ok"]


def assert_found(stage: Stage, pack: str) -> None:
    """The damage is named, and whom it hits."""
    found, shown = run(stage, check(stage, read_data=True), info(stage))
    assert found.failed
    assert found.code == "repository_damaged"
    assert [one["name"] for one in found["check"]["damage"]] == [pack]
    (damaged,) = [one for one in found["check"]["damaged_snapshots"] if one["id"] == stage.snapshot]
    (database,) = damaged["databases"]
    assert (database["name"], database["tables"]) == ("shop", ["sales.orders"])
    for words in (pack, stage.snapshot[:8], "host main", "sales.orders", "repair: true"):
        assert words in found.message
    assert shown["last_data_check"]["damage"] == [
        f"{one['name']}: {one['reason']}" for one in found["check"]["damage"]
    ]


def assert_repaired(stage: Stage, pack: str) -> None:
    """A repair does what check mode said, once, and says what is left to do."""
    files = tree_of(stage.path)
    (predicted,) = run(stage, check(stage, repair=True, check=True))
    assert tree_of(stage.path) == files
    repaired, again = run(stage, check(stage, repair=True), check(stage, repair=True))
    assert (predicted["changed"], repaired["changed"], again["changed"]) == (True, True, False)
    assert repaired["check"]["repair"] == predicted["check"]["repair"]
    assert repaired["check"]["repair"]["set_aside"] == [pack]
    assert repaired.failed, "the snapshot has lost rows until a backup brings them back"
    assert "run a backup" in repaired.message
    (refused,) = run(stage, stage.restore(snapshot=stage.snapshot, rename={"shop": "lossy"}))
    assert refused.code == "repository_damaged"
    assert "repository_check" in refused.message


def test_damage_is_found_named_repaired_and_filled(large: Stage) -> None:
    assert_fine(large)
    pack = flip(large, ORDERS)
    assert_found(large, pack)
    assert_repaired(large, pack)
    backup, whole, restored, final = run(
        large,
        large.backup(segment_threshold=0),
        check(large, read_data=True),
        large.restore(snapshot=large.snapshot, rename={"shop": "whole"}),
        info(large),
    )
    assert not backup.failed
    assert not whole.failed, whole.message
    assert restored["verified"]
    assert counts_of(large.target, "whole", *ROWS) == ROWS
    assert final["last_check"]["ok"]


def test_parts_of_the_data_are_all_of_it(large: Stage) -> None:
    parts = [check(large, read_data_subset=f"{part}/3") for part in (1, 2, 3)]
    *thirds, whole, share = run(
        large, *parts, check(large, read_data=True), check(large, read_data_subset="0.5%")
    )
    packs = whole["check"]["packs"]
    assert sum(one["check"]["packs_read"] for one in thirds) == packs
    assert share["check"]["packs_read"] == 1
    assert share["check"]["read_data"] == "0.5%"


def test_a_bucket_is_checked_beside_anybody(large: Stage, s3_bucket: Bucket) -> None:
    options = bucket_repository(s3_bucket, prefix=PREFIX)
    backup = Task(
        module="backup",
        options=options | login(large.source) | {"host": "main", "databases": ["shop"]},
    )
    make = Task(module="repository", options=options)
    thorough = Task(module="repository_check", options=options | {"read_data": True})
    made, stored, checked = run(large, make, backup, thorough)
    assert not (made.failed)
    assert not (stored.failed)
    assert not (checked.failed)
    place = Place(where=s3_bucket, cache_dir=large.path)
    with place.open() as repository:
        with repository.lock(exclusive=True):
            (beside,) = run(large, thorough)
        assert not beside.failed
        repository.backend.delete(next(repository.backend.entries("data/")).name)
    (found,) = run(large, Task(module="repository_check", options=options))
    assert found.failed
    assert "it is missing" in found.message
    assert found["check"]["damaged_snapshots"]
