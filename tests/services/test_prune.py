# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Prunes of repositories with a past: stock restic finds nothing wrong, every snapshot restores."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import (
    StorageError,
    StorageFull,
)
from ansible_collections.granary.postgres.plugins.module_utils._core.events import RecordedEvents
from ansible_collections.granary.postgres.plugins.module_utils._core.redaction import Secret
from ansible_collections.granary.postgres.plugins.module_utils._repository.index_file import (
    IndexWriter,
    decode_index,
    to_record,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.index_rewrite import (
    MANY_FILES,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.prune import (
    PruneResult,
    plan_prune,
    prune,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.repository import (
    Repository,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.snapshot import (
    SNAPSHOTS,
    Snapshot,
    list_snapshots,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.unpacked import (
    list_ids,
    read_unpacked,
)
from ansible_collections.granary.postgres.plugins.module_utils._storage.model import S3Settings
from tests.fix_quick_key import make_key_quick
from tests.fix_repository import PASSWORD, Place, back_up, in_a_place, read_files
from tests.histories import History, restored
from tests.testbed.http_proxy import Fault, HttpProxy
from tests.testbed.process import run
from tests.testbed.restic import VERSIONS

_SEEDS = range(60)
_ROUNDS = 2


@pytest.mark.sampled("seed_of_history", _SEEDS, 4)
def test_every_kept_snapshot_restores(
    local_place: Place, seed_of_history: int, tmp_path: Path
) -> None:
    with local_place.create(version=1 if seed_of_history % 7 == 0 else 2) as repository:
        make_key_quick(repository)
        history = History(local_place, repository, seed_of_history)
        for number in range(_ROUNDS):
            history.grow(4)
            history.forget_and_prune()
            restic = local_place.restic(VERSIONS[number % len(VERSIONS)])
            said = restic.run("check", "--read-data")
            assert "no errors were found" in said
            assert "not referenced in any index" not in said
        assert {one.id for one in list_snapshots(repository)} == set(history.expected)
        for snapshot in list_snapshots(repository):
            assert read_files(repository, snapshot) == history.expected[snapshot.id]
            target = tmp_path / snapshot.id.hex()
            restic.run("restore", snapshot.id.hex(), "--target", target)
            assert restored(target) == history.expected[snapshot.id]
        again = plan_prune(repository, max_unused_percent=90)
        assert (again.choice.unneeded, again.choice.unreferenced) == ((), ())


def _prune(repository: Repository) -> PruneResult:
    with repository.lock(exclusive=True) as lock:
        return prune(repository, lock, max_unused_percent=0)


def _scatter_index(repository: Repository, files: int) -> None:
    """Name the packs by so many index files, some of which name the same pack."""
    old = list(list_ids(repository.backend, "index"))
    data = [read_unpacked(repository.backend, repository.key, "index", one) for one in old]
    packs = [to_record(pack) for one in data for pack in decode_index(one, name="index")]
    for number in range(files):
        writer = IndexWriter(
            key=repository.key,
            version=repository.version,
            backend=repository.backend,
            guard=lambda: None,
        )
        writer.add(packs[number % len(packs)])
        writer.flush()
    for one in old:
        repository.backend.delete(f"index/{one.hex()}")


@in_a_place
def test_many_small_index_files_become_one(place: Place) -> None:
    chance = random.Random(5)
    with place.create() as repository:
        make_key_quick(repository)
        made = {
            host: {f"/postgres/{n}": chance.randbytes(20_000) for n in range(3)}
            for host in ("db1", "db2", "db3")
        }
        for host, files in made.items():
            back_up(repository, files, hostname=host)
        _scatter_index(repository, MANY_FILES)
        assert plan_prune(repository).nothing_to_do
        _scatter_index(repository, MANY_FILES + 1)
        restic = place.restic(VERSIONS[-1])
        before = repository.load_index()[0]
        plan = plan_prune(repository)
        assert plan.merges_index
        assert not plan.nothing_to_do
        _prune(repository)
        assert len(list(list_ids(repository.backend, "index"))) == 1
        after = repository.load_index()[0]
        assert [r[:2] for r in after.records()] == [r[:2] for r in before.records()]
        assert "no errors were found" in restic.run("check", "--read-data")
        for snapshot in list_snapshots(repository):
            assert read_files(repository, snapshot) == made[snapshot.hostname]


def _forget(repository: Repository, snapshot: Snapshot) -> None:
    repository.backend.delete(f"{SNAPSHOTS}/{snapshot.id.hex()}")


@pytest.mark.parametrize("place", ["s3"], indirect=True)
def test_where_no_index_can_be_deleted_no_pack_is(place: Place, s3_proxy: HttpProxy) -> None:
    settings = place.settings
    assert isinstance(settings, S3Settings)
    with place.create() as repository:
        make_key_quick(repository)
        snapshot = back_up(repository, {"/postgres/1": b"to go"}, hostname="db1")
        back_up(repository, {"/postgres/2": b"to stay"}, hostname="db2")
        _forget(repository, snapshot)
        packs = repository.list_packs()
    s3_proxy.add(Fault(kind="answer", status=403, method="DELETE", path="/index/"))
    by_proxy = Repository.open(
        replace(settings, endpoint=s3_proxy.endpoint, tries=1), [Secret(PASSWORD)]
    )
    with by_proxy as repository:
        with pytest.raises(StorageError, match=r"index file.* could not be deleted"):
            _prune(repository)
        assert repository.list_packs() == packs
        s3_proxy.clear()
        _prune(repository)
        assert len(repository.list_packs()) < len(packs)
    assert "no errors were found" in place.restic(VERSIONS[-1]).run("check", "--read-data")


@pytest.fixture
def small_disk(repository_dir: Path) -> Iterator[Path]:
    """A folder that holds 8 MiB."""
    repository_dir.mkdir()
    disk: list[str | Path] = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", repository_dir]
    run(disk, doing="mounting a tmpfs")
    yield repository_dir
    run(["umount", "--lazy", repository_dir], doing="unmounting a tmpfs")


def test_on_a_full_disk_unused_packs_go_first(small_disk: Path, tmp_path: Path) -> None:
    chance = random.Random(6)
    one, kept, gone, whole = (chance.randbytes(1 << 20) for _n in range(4))
    place = Place(where=small_disk, cache_dir=tmp_path)
    with place.create() as repository:
        events = RecordedEvents()
        repository.events = events
        make_key_quick(repository)
        shared = back_up(repository, {"/postgres/kept": kept, "/postgres/gone": gone})
        left = back_up(repository, {"/postgres/kept": kept}, hostname="db2")
        unused = back_up(repository, {"/postgres/one": one, "/postgres/whole": whole})
        for snapshot in (shared, unused):
            _forget(repository, snapshot)
        filler = small_disk / "filler"
        filler.write_bytes(bytes(shutil.disk_usage(small_disk).free - (200 << 10)))

        first = _prune(repository)
        assert (first.choice.repacked, len(first.choice.unneeded)) == ((), 3)
        assert first.freed_bytes > 2 << 20
        assert "no room to copy" in events.warnings[0]
        filler.write_bytes(bytes(filler.stat().st_size + (2 << 20)))
        before = repository.list_packs()
        with pytest.raises(StorageFull, match=r"takes up to 3 MiB .*make that room"):
            _prune(repository)
        assert repository.list_packs() == before
        filler.unlink()
        second = _prune(repository)
        assert len(second.choice.repacked) >= 1
        assert read_files(repository, left) == {"/postgres/kept": kept}
    assert "no errors were found" in place.restic(VERSIONS[-1]).run("check", "--read-data")
