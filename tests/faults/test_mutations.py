# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Spoilt repositories: a check finds every kind of damage and names what it hits, repair loses
nothing that can be read, and a backup fills what it can.
"""

from __future__ import annotations

import shutil
import typing as t
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import (
    GranaryError,
    RepositoryDamaged,
)
from ansible_collections.granary.postgres.plugins.module_utils._core.events import RecordedEvents
from ansible_collections.granary.postgres.plugins.module_utils._repository.index_load import (
    load_index,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.model import BlobKind
from ansible_collections.granary.postgres.plugins.module_utils._repository.repository import (
    Repository,
)
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
from tests.faults.mutations import STORED, WRITTEN, Mutation, Scene
from tests.fix_backup import access, files_of
from tests.fix_quick_key import make_key_quick
from tests.fix_repository import Place
from tests.made_snapshots import SHOP, SnapshotMaker, made_rows
from tests.testbed.errors import TestBedError
from tests.testbed.restic import VERSIONS
from tests.testbed.s3 import Bucket

ALL = (*STORED, *WRITTEN)
# Another table is larger, the others are the same: both snapshots share most of what they hold.
EARLIER = {**SHOP, "shop": {**SHOP["shop"], "public.visits": made_rows("visits", 600)}}


@pytest.fixture
def s3_place(s3_bucket: Bucket, tmp_path: Path) -> Place:
    """A bucket."""
    return Place(where=s3_bucket, cache_dir=tmp_path / "restic-cache")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with such a repository, to be copied."""
    path = tmp_path_factory.mktemp("spoilt") / "repository"
    for dummy in made_scene(Place(where=path, cache_dir=path.parent)):
        return path
    raise AssertionError


@pytest.fixture
def local_scene(template: Path, tmp_path: Path) -> Iterator[tuple[Place, Scene]]:
    """A folder with two snapshots, and an index file for each."""
    path = tmp_path / "repository"
    shutil.copytree(template, path)
    place = Place(where=path, cache_dir=tmp_path / "restic-cache")
    with place.open() as repository:
        yield place, Scene(repository=repository, snapshot=list_snapshots(repository)[-1])


def made_scene(place: Place) -> Iterator[tuple[Place, Scene]]:
    """The same, made at a place."""
    with place.create() as repository:
        make_key_quick(repository)
        SnapshotMaker(repository).make(EARLIER)
        snapshot = SnapshotMaker(repository).make()
        yield place, Scene(repository=repository, snapshot=snapshot)


def check(place: Place, *, check_mode: bool = False, **options: t.Any) -> CheckResult:
    """Check as the module does."""
    request = CheckRequest(repository=access(place), **options)
    return check_repository(request, events=RecordedEvents(), check_mode=check_mode)


def says_restic(place: Place, version: str) -> str | None:
    """What `restic check --read-data` complains of, None if of nothing."""
    try:
        place.restic(version).run("check", "--read-data", "--no-lock", "--no-cache")
    except TestBedError as exc:
        return str(exc)
    return None


def tables_of(result: CheckResult, snapshot_id: str) -> dict[str, list[str]]:
    """The tables of one snapshot that are said to have lost rows, by database."""
    for one in result.damaged_snapshots:
        if one.snapshot.id == snapshot_id:
            return {database.name: list(database.tables) for database in one.databases}
    return {}


def readable(repository: Repository) -> set[tuple[BlobKind, bytes]]:
    """All blobs that a reader can read, in the worst of ways."""
    index, dummy = load_index(
        repository.backend, repository.key, known_packs=repository.list_packs(), tolerant=True
    )
    reader = repository.reader(index)
    found = set()
    for blob_id, kind, *dummy_place in index.records():
        try:
            reader.read(BlobKind(kind), blob_id)
        except RepositoryDamaged:
            continue
        found.add((BlobKind(kind), blob_id))
    return found


def assert_found(place: Place, scene: Scene, mutation: Mutation, spoilt: str | None) -> None:
    """See that checks find it, from the least on that can, and name what it hits."""
    if mutation.found_by == "opening":
        with pytest.raises(GranaryError) as refused:
            check(place)
        assert spoilt is not None
        assert spoilt in refused.value.sentence
        return
    quick, thorough = check(place), check(place, read_data=True)
    assert quick.ok is (mutation.found_by == "data"), quick.summary()
    found = thorough.failure()
    assert found is not None
    if spoilt is None:
        assert not thorough.damage
    else:
        named = [one.name for one in thorough.damage]
        assert any(spoilt in (one.name, *one.reason.split()) for one in thorough.damage), named
        assert spoilt in found.sentence or len(named) > 3
    newest = max(
        (one.snapshot for one in thorough.damaged_snapshots),
        key=lambda one: one.time or "",
        default=None,
    )
    if mutation.tables is not None:
        assert newest is not None
        assert tables_of(thorough, newest.id or "") == mutation.tables
        for tables in mutation.tables.values():
            assert all(table in found.sentence for table in tables)


@pytest.mark.parametrize("mutation", ALL, ids=str)
def test_every_kind_of_damage_is_found_and_named(
    local_scene: tuple[Place, Scene], mutation: Mutation
) -> None:
    place, scene = local_scene
    assert check(place, read_data=True).ok
    assert_found(place, scene, mutation, mutation.spoil(scene))


@pytest.mark.sampled("mutation", ALL, 2)
def test_so_it_is_in_a_bucket(s3_place: Place, mutation: Mutation) -> None:
    for place, scene in made_scene(s3_place):
        assert_found(place, scene, mutation, mutation.spoil(scene))


@pytest.mark.sampled("mutation", ALL, 3)
@pytest.mark.parametrize("version", VERSIONS)
def test_restic_finds_what_it_can_know_of(
    local_scene: tuple[Place, Scene], mutation: Mutation, version: str
) -> None:
    place, scene = local_scene
    mutation.spoil(scene)
    assert (says_restic(place, version) is not None) is mutation.restic


REPAIRABLE = [one for one in ALL if one.found_by != "opening"]


@pytest.mark.sampled("mutation", REPAIRABLE, 8)
def test_repair_loses_nothing_and_a_backup_fills_the_rest(
    local_scene: tuple[Place, Scene], mutation: Mutation
) -> None:
    place, scene = local_scene
    mutation.spoil(scene)
    before, files = readable(scene.repository), files_of(place)
    predicted = check(place, repair=True, check_mode=True)
    assert files_of(place) == files
    done = check(place, repair=True)
    assert done.repair == predicted.repair
    assert ids_of(done) == ids_of(predicted)
    assert readable(scene.repository) >= before
    assert_whole_but_for(place, done)
    assert not check(place, repair=True).changed
    SnapshotMaker(scene.repository).make(EARLIER)
    SnapshotMaker(scene.repository).make()
    assert check(place, read_data=True).ok is mutation.heals


def ids_of(result: CheckResult) -> list[str | None]:
    return [one.snapshot.id for one in result.damaged_snapshots]


def assert_whole_but_for(place: Place, repaired: CheckResult) -> None:
    """A check after a repair finds what the repair said to be left, and nothing else."""
    after = check(place, read_data=True)
    assert after.damage == repaired.remaining
    assert ids_of(after) == ids_of(repaired)


@pytest.mark.sampled("mutation", [one for one in STORED if one in REPAIRABLE], 3)
@pytest.mark.parametrize("version", VERSIONS)
def test_restic_is_content_with_what_was_repaired(
    local_scene: tuple[Place, Scene], mutation: Mutation, version: str
) -> None:
    place, scene = local_scene
    mutation.spoil(scene)
    left = check(place, repair=True)
    assert (says_restic(place, version) is None) is left.ok
    SnapshotMaker(scene.repository).make(EARLIER)
    SnapshotMaker(scene.repository).make()
    assert (says_restic(place, version) is None) is mutation.heals
    place.restic(version).run("unlock")


def test_what_is_no_damage_is_noted(local_scene: tuple[Place, Scene]) -> None:
    place, scene = local_scene
    scene.write("data/00/notes.txt", b"x")
    scene.write("README", b"x")
    twice = scene.replace_index(lambda packs: [*packs, packs[0]])
    whole = scene.read(scene.largest("data"))
    scene.write(f"data/ff/{'ff' * 32}", whole)
    found = check(place, read_data=True)
    assert found.ok, found.summary()
    assert [note for note in found.notes if f"{twice} names data/" in note]
    assert [note for note in found.notes if "README" in note and "notes.txt" in note]
    assert [note for note in found.notes if f"data/ff/{'ff' * 32}" in note]
