# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Prunes of damaged repositories, prunes that are stopped, and what they leave alone."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import (
    LockLost,
    RepositoryDamaged,
    RepositoryLocked,
)
from ansible_collections.granary.postgres.plugins.module_utils._core.events import RecordedEvents
from ansible_collections.granary.postgres.plugins.module_utils._repository.abandoned import (
    make_room,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.deletion import (
    delete_objects,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.index_rewrite import (
    rewrite_index,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.lock_file import (
    list_lock_ids,
    lock_name,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.model import BlobKind
from ansible_collections.granary.postgres.plugins.module_utils._repository.pack import pack_name
from ansible_collections.granary.postgres.plugins.module_utils._repository.prune import (
    execute_prune,
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
from tests.fix_repository import Place, back_up, read_files

DAY = 24 * 3600
SMALL_PACK = 64 * 1024
_CHANCE = random.Random(11)
ONE = {f"/postgres/one/{n}": _CHANCE.randbytes(100_000) for n in range(4)}
TWO = {f"/postgres/two/{n}": _CHANCE.randbytes(100_000) for n in range(4)}
THREE = {f"/postgres/three/{n}": _CHANCE.randbytes(100_000) for n in range(4)}
Contents = Mapping[str, bytes]


@pytest.fixture
def repository(local_place: Place) -> Iterator[Repository]:
    """A repository with two snapshots that share nothing."""
    with local_place.create() as made:
        back_up(made, ONE, hostname="db1")
        back_up(made, TWO, hostname="db2")
        yield made


def _snapshots(repository: Repository) -> tuple[Snapshot, Snapshot]:
    one, two = sorted(list_snapshots(repository), key=lambda snapshot: snapshot.hostname)
    return one, two


def _forget(repository: Repository, snapshot: Snapshot) -> None:
    repository.backend.delete(f"{SNAPSHOTS}/{snapshot.id.hex()}")


def _pack_of(repository: Repository, content: bytes) -> Path:
    """The file of the pack that holds the beginning of this content."""
    reader_index = repository.load_index_for_reading()
    reader = repository.reader(reader_index)
    for pack in repository.list_packs():
        for record in reader_index.records():
            if reader_index.packs()[record.pack] != pack or record.kind != BlobKind.DATA:
                continue
            if content.startswith(reader.read(BlobKind.DATA, record.id)):
                return Path(repository.location, pack_name(pack))
    raise AssertionError("no pack holds that")


def _files(repository: Repository) -> dict[str, bytes]:
    folder = Path(repository.location)
    found = (path for path in folder.rglob("*") if path.is_file() and path.parent.name != "locks")
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def _prune(repository: Repository, **options: float) -> None:
    with repository.lock(exclusive=True) as lock:
        prune(repository, lock, **options)  # type: ignore[arg-type] # one of its own options


def _refused(repository: Repository) -> str:
    """Prune in vain; nothing is changed by that."""
    before = _files(repository)
    with pytest.raises(RepositoryDamaged) as caught:
        _prune(repository)
    assert _files(repository) == before
    return caught.value.message


class TestRefuses:
    """What a snapshot needs is not there."""

    def test_a_missing_pack(self, repository: Repository) -> None:
        one, two = _snapshots(repository)
        path = _pack_of(repository, TWO["/postgres/two/0"])
        path.unlink()
        said = _refused(repository)
        assert two.id.hex() in said
        assert one.id.hex() not in said
        assert "lacks something of /postgres/two/" in said
        assert path.name in said
        assert "repository_check" in said
        # Once that snapshot is gone nothing else stands in the way.
        assert plan_prune(repository, forgetting=[two.id]).choice.lost
        _forget(repository, two)
        _prune(repository)
        assert read_files(repository, one) == ONE
        assert repository.load_index()[1].missing_packs == ()

    def test_a_pack_of_another_size(self, repository: Repository) -> None:
        path = _pack_of(repository, ONE["/postgres/one/0"])
        path.chmod(0o600)
        with path.open("ab") as file:
            file.write(b"more")
        assert _snapshots(repository)[0].id.hex() in _refused(repository)

    def test_a_blob_that_no_index_names(self, repository: Repository) -> None:
        index, dummy_report = repository.load_index()
        numbers = {pack: number for number, pack in enumerate(index.packs())}
        lost = bytes.fromhex(_pack_of(repository, TWO["/postgres/two/0"]).name)
        assert lost in numbers
        with repository.lock(exclusive=True) as lock:
            rewrite_index(repository, lock, without={lost})
        said = _refused(repository)
        assert _snapshots(repository)[1].id.hex() in said

    def test_a_tree_that_is_damaged(self, repository: Repository) -> None:
        one, two = _snapshots(repository)
        location = repository.load_index()[0].find(BlobKind.TREE, one.tree)
        assert location is not None
        path = Path(repository.location, pack_name(location.pack))
        path.chmod(0o600)
        data = bytearray(path.read_bytes())
        data[location.offset + 20] ^= 1
        path.write_bytes(data)
        said = _refused(repository)
        assert one.id.hex() in said
        assert two.id.hex() not in said

    def test_a_snapshot_that_is_unreadable(self, repository: Repository) -> None:
        one, two = _snapshots(repository)
        path = Path(repository.location, SNAPSHOTS, one.id.hex())
        path.chmod(0o600)
        path.write_bytes(path.read_bytes()[:-1])
        assert one.id.hex() in _refused(repository)
        plan = plan_prune(repository, forgetting=[one.id])
        assert plan.choice.unneeded
        _forget(repository, one)
        _prune(repository)
        assert read_files(repository, two) == TWO


def _store_again(repository: Repository, files: Contents) -> None:
    """Store the same blobs in other packs, as two backups at once do."""
    index = Path(repository.location, "index")
    hidden = index.with_name("hidden")
    packs = Path(repository.location, "data")
    hidden_packs = packs.with_name("hidden data")
    index.rename(hidden)
    packs.rename(hidden_packs)
    index.mkdir()
    snapshot = back_up(repository, files, hostname="db3")
    for source, target in ((hidden, index), (hidden_packs, packs)):
        for path in source.rglob("*"):
            if path.is_file():
                place = target / path.relative_to(source)
                place.parent.mkdir(parents=True, exist_ok=True)
                path.rename(place)
    _forget(repository, snapshot)


def _data_packs(repository: Repository) -> list[Path]:
    """The packs of data: those of trees are small."""
    found = repository.list_packs().items()
    return [Path(repository.location, pack_name(pack)) for pack, size in found if size > SMALL_PACK]


def _damage(path: Path) -> None:
    """Change something in every blob, so that none is whole."""
    path.chmod(0o600)
    data = bytearray(path.read_bytes())
    for at in range(0, len(data) - 2000, 10_000):
        data[at] ^= 1
    path.write_bytes(data)


class TestCopies:
    """A blob that lies in two packs survives the loss of one."""

    def test_a_missing_copy_is_none(self, repository: Repository) -> None:
        _pack_of(repository, TWO["/postgres/two/0"]).unlink()
        _store_again(repository, TWO)
        dummy, two = _snapshots(repository)
        _prune(repository)
        assert read_files(repository, two) == TWO
        assert repository.load_index()[1].missing_packs == ()

    @pytest.mark.parametrize("damaged", [0, 1], ids=["first", "second"])
    def test_a_damaged_copy_is_replaced_by_the_other(
        self, local_place: Place, damaged: int
    ) -> None:
        with local_place.create() as repository:
            first = back_up(repository, ONE | TWO, hostname="db1")
            two = back_up(repository, TWO, hostname="db2")
            packs = [_pack_of(repository, TWO["/postgres/two/0"])]
            _store_again(repository, TWO | THREE)
            packs += [path for path in _data_packs(repository) if path not in packs]
            _forget(repository, first)
            _damage(packs[damaged])
            _prune(repository, max_unused_percent=0)
            assert read_files(repository, two) == TWO
            assert not any(path.exists() for path in packs)

    def test_where_no_copy_is_whole_nothing_goes(self, local_place: Place) -> None:
        with local_place.create() as repository:
            first = back_up(repository, ONE | TWO, hostname="db1")
            back_up(repository, TWO, hostname="db2")
            _forget(repository, first)
            _damage(_pack_of(repository, TWO["/postgres/two/0"]))
            before = _files(repository)
            with pytest.raises(RepositoryDamaged):
                _prune(repository, max_unused_percent=0)
            assert before.items() <= _files(repository).items()


class TestStops:
    """Whoever lost his lock deletes nothing more."""

    def test_where_its_lock_is_gone(self, repository: Repository) -> None:
        one, two = _snapshots(repository)
        _forget(repository, one)
        with repository.lock(exclusive=True) as lock:
            plan = plan_prune(repository)
            for lock_id in list_lock_ids(repository):
                repository.backend.delete(lock_name(lock_id))
            before = _files(repository)
            with pytest.raises(LockLost):
                execute_prune(repository, lock, plan)
            # What is new may be there; nothing is gone.
            assert before.items() <= _files(repository).items()
        assert read_files(repository, two) == TWO
        _prune(repository)
        assert read_files(repository, two) == TWO
        assert len(repository.list_packs()) < len([name for name in before if "data/" in name])


def test_what_cannot_be_deleted_is_said(repository: Repository) -> None:
    names = ["data/aa/one", "data/aa/two", "data/aa/three"]
    Path(repository.location, names[1], "inside").mkdir(parents=True)  # a folder in its place
    repository.backend.write(names[0], b"1")
    with repository.lock(exclusive=True) as lock:
        done = delete_objects(repository, lock, names)
    assert done.deleted == 2
    (left,) = done.undeleted
    assert left.name == names[1]
    assert "delete" in left.reason


def test_abandoned_files_go_and_young_and_foreign_ones_stay(repository: Repository) -> None:
    events = RecordedEvents()
    repository.events = events
    folder = Path(repository.location)
    pack = next(iter(repository.list_packs()))
    old = [folder / f"{pack_name(pack)}-tmp-17", folder / "config-tmp-5"]
    kept = [folder / f"{pack_name(pack)}-tmp-18", folder / "notes-tmp-1"]
    for path in (*old, *kept):
        path.write_bytes(b"half of it")
    for path in (*old, kept[1]):
        os.utime(path, (time.time() - DAY - 60, time.time() - DAY - 60))
    plan = plan_prune(repository)
    assert len(plan.abandoned) == plan.to_return()["abandoned_files"] == 2
    assert not plan.nothing_to_do
    _prune(repository)
    assert [path.exists() for path in (*old, *kept)] == [False, False, True, True]
    assert plan_prune(repository).nothing_to_do
    assert events.warnings == []


def test_room_is_made_only_where_nobody_else_is(repository: Repository) -> None:
    path = Path(repository.location, "config-tmp-5")
    path.write_bytes(b"1234567")
    os.utime(path, (time.time() - DAY - 60, time.time() - DAY - 60))
    with repository.lock(), pytest.raises(RepositoryLocked):
        make_room(repository)
    assert make_room(repository) == 7
    assert make_room(repository) == 0
