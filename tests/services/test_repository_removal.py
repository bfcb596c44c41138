# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A repository is removed whole, alone, and only when that is meant; what was interrupted is
completed.
"""

from __future__ import annotations

import os
import shutil
import signal
import time
import typing as t
from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import (
    GranaryError,
    RepositoryDamaged,
    RepositoryLocked,
    RepositoryNotEmpty,
    StorageError,
    WrongPassword,
)
from ansible_collections.granary.postgres.plugins.module_utils._core.events import RecordedEvents
from ansible_collections.granary.postgres.plugins.module_utils._storage.registry import (
    open_backend,
)
from ansible_collections.granary.postgres.plugins.module_utils._workflows.removal import (
    RemovalResult,
    remove_repository,
)
from tests.fix_backup import access
from tests.fix_quick_key import add_quick_key, make_key_quick
from tests.fix_repository import PASSWORD, PREFIX, Place, back_up, in_a_place
from tests.fix_stage import tree_of
from tests.testbed.http_proxy import Fault, HttpProxy
from tests.testbed.restic import VERSIONS
from tests.testbed.s3 import Bucket

FILES = {"/postgres/f": b"text" * 1000, "/postgres/g": b""}


def make(place: Place, *, snapshots: bool = True) -> None:
    """A repository with a snapshot of ours, and everything else that can be in one."""
    with place.create() as repository:
        if snapshots:
            back_up(repository, FILES)
        repository.backend.write("granary/check", b"sealed")
        make_key_quick(repository)
        add_quick_key(repository, "somebody else's")


def remove(
    place: Place, *, force: bool = True, check: bool = False, password: str = PASSWORD
) -> RemovalResult:
    return remove_repository(
        access(place, password), force=force, check_mode=check, events=RecordedEvents()
    )


def plant(place: Place, name: str, data: bytes = b"x") -> None:
    """Store as no backend would."""
    if isinstance(place.where, Path):
        path = place.where / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_bytes(data)
    else:
        client = place.where.client()
        client.put_object(Bucket=place.where.name, Key=f"{PREFIX}/{name}", Body=data)


def all_of(place: Place) -> object:
    """All that is in the place, with the contents of a folder."""
    if isinstance(place.where, Path):
        return tree_of(place.where)
    return place.where.list_keys("")


def nothing(place: Place) -> bool:
    return not all_of(place)


@in_a_place
def test_all_of_it_goes_and_nothing_else(place: Place) -> None:
    make(place)
    beside = "some/whereelse/config"
    if isinstance(place.where, Bucket):
        place.where.client().put_object(Bucket=place.where.name, Key=beside, Body=b"not ours")
    for version in VERSIONS:
        place.restic(version).run("backup", "/etc/hostname")
    for name in (f"data/ab/{'ab' * 32}-tmp-123", "config-tmp-1", f"locks/{'0' * 64}-tmp-5"):
        plant(place, name, b"half")
    plant(place, f"locks/{'0' * 64}", b"")
    before = all_of(place)
    with pytest.raises(RepositoryNotEmpty, match=r"holds 3 snapshots.*set force"):
        remove(place, force=False)
    with pytest.raises(RepositoryNotEmpty, match=r"holds 3 snapshots.*set force"):
        remove(place, force=False, check=True)
    with pytest.raises(WrongPassword):
        remove(place, password="not it")
    predicted = remove(place, check=True)
    assert all_of(place) == before
    removed = remove(place)
    assert predicted == removed
    assert removed.changed
    assert (removed.snapshots, removed.version) == (3, 2)
    if isinstance(place.where, Bucket):
        assert all_of(place) == [beside]
    else:
        assert nothing(place)
        assert place.where.is_dir()
    for check in (True, False):
        again = remove(place, check=check)
        assert not again.changed
        assert (again.id, again.objects) == (None, 0)
    make(place)
    place.restic("0.19").run("check", "--read-data")


def test_a_place_that_is_not_there_is_fine(local_place: Place, s3_bucket: Bucket) -> None:
    assert isinstance(local_place.where, Path)
    shutil.rmtree(local_place.where, ignore_errors=True)
    assert not remove(local_place).changed
    assert not remove(replace(local_place, where=replace(s3_bucket, name="not-there"))).changed


@pytest.mark.parametrize(
    "name",
    ["README", "keys/old key", "data/ab/README", f"data/00/{'ab' * 32}", "my files/x", "x-tmp-3"],
)
def test_not_beside_anything_else(local_place: Place, name: str) -> None:
    make(local_place, snapshots=False)
    plant(local_place, name)
    assert isinstance(local_place.where, Path)
    (local_place.where / "lost+found").mkdir()
    before = all_of(local_place)
    shown = "my files/" if name == "my files/x" else name
    for check in (True, False):
        with pytest.raises(RepositoryNotEmpty, match=rf"1 object not of the repository \({shown}"):
            remove(local_place, check=check)
    assert all_of(local_place) == before
    (local_place.where / name).unlink()
    shutil.rmtree(local_place.where / "my files", ignore_errors=True)
    assert remove(local_place, force=False).changed
    assert [path.name for path in local_place.where.iterdir()] == ["lost+found"]


def test_not_while_somebody_works_on_it(local_place: Place) -> None:
    make(local_place)
    with local_place.open() as repository, repository.lock():
        before = all_of(local_place)
        with pytest.raises(RepositoryLocked):
            remove(local_place)
        assert all_of(local_place) == before
    assert remove(local_place).changed


REMAINS: dict[str, set[str]] = {
    "config": {"config"},
    "config and a lock": {"config", "locks"},
    "a lock": {"locks"},
    "the last check": {"granary"},
    "a temporary file": {"config-tmp-7"},
}


@pytest.mark.parametrize("left", REMAINS)
def test_what_an_interrupted_removal_can_leave_goes_without_a_password(
    local_place: Place, left: str
) -> None:
    make(local_place)
    plant(local_place, f"locks/{'5' * 64}")
    plant(local_place, "config-tmp-7")
    assert isinstance(local_place.where, Path)
    for path in local_place.where.iterdir():
        if path.name not in REMAINS[left]:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert remove(local_place, check=True, password="any").changed
    assert not nothing(local_place)
    assert remove(local_place, force=False, password="any").changed
    assert nothing(local_place)
    assert not remove(local_place, password="any").changed


@pytest.mark.parametrize(
    ("lost", "words"), [("config", "no config, so nobody"), ("keys", "no key, so nobody")]
)
def test_what_may_be_mended_is_not_removed(local_place: Place, lost: str, words: str) -> None:
    make(local_place)
    assert isinstance(local_place.where, Path)
    path = local_place.where / lost
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    before = all_of(local_place)
    with pytest.raises(RepositoryDamaged, match=words) as caught:
        remove(local_place)
    assert caught.value.sentence.endswith("or remove it by hand.")
    assert all_of(local_place) == before


def test_an_interrupted_creation_goes_once_it_is_old(local_place: Place) -> None:
    make(local_place, snapshots=False)
    assert isinstance(local_place.where, Path)
    (local_place.where / "config").unlink()
    with pytest.raises(RepositoryLocked, match="at this moment"):
        remove(local_place)
    for key in (local_place.where / "keys").iterdir():
        os.utime(key, (time.time() - 400, time.time() - 400))
    assert remove(local_place).changed
    assert nothing(local_place)


def by(place: Place, proxy: HttpProxy) -> Place:
    assert isinstance(place.where, Bucket)
    return replace(place, where=replace(place.where, endpoint=proxy.endpoint))


@pytest.mark.sampled(
    "at",
    [
        ("/snapshots/", 0),
        ("/index/", 0),
        ("/data/", 0),
        ("/data/", 2),
        ("/granary/", 0),
        ("/keys/", 0),
        ("/keys/", 1),
        ("/config", 0),
        ("/locks/", 0),
    ],
    3,
)
@pytest.mark.parametrize("kind", ["before", "after"])
def test_killed_at_any_deletion_the_next_run_completes_it(
    s3_bucket: Bucket, s3_proxy: HttpProxy, tmp_path: Path, at: tuple[str, int], kind: str
) -> None:
    place = Place(where=s3_bucket, cache_dir=tmp_path)
    make(place)
    before = all_of(place)
    child: list[int] = []

    def kill(request: object) -> None:
        # The keeper too: nobody is left to remove the lock.
        os.killpg(child[0], signal.SIGKILL)

    path, skip = at
    if kind == "after":
        s3_proxy.add(Fault(kind="cut_after", method="DELETE", path=path, skip=skip, times=1))
    s3_proxy.add(Fault(kind="run", method="DELETE", path=path, skip=skip, action=kill))
    child.append(forked(lambda: remove(by(place, s3_proxy))))
    os.waitpid(child[0], 0)
    assert all_of(place) != before or (path, skip) == ("/snapshots/", 0)
    s3_proxy.clear()
    remove(place)
    assert nothing(place)


def forked(action: t.Callable[[], object]) -> int:
    """Run something in a process group of its own."""
    child = os.fork()
    if child == 0:
        try:
            os.setpgid(0, 0)
            action()
        finally:
            os._exit(0)
    return child


def test_a_storage_that_refuses_to_delete_is_named(
    s3_bucket: Bucket, s3_proxy: HttpProxy, tmp_path: Path
) -> None:
    place = Place(where=s3_bucket, cache_dir=tmp_path)
    make(place)
    s3_proxy.add(Fault(kind="answer", method="DELETE", path="/data/", status=403))
    with pytest.raises(
        StorageError, match=r"could not be removed, the first is data/.*run it again"
    ):
        remove(by(place, s3_proxy))
    with open_backend(place.settings) as backend:
        assert backend.size("config") is not None
    s3_proxy.clear()
    assert remove(by(place, s3_proxy)).changed
    assert nothing(place)


def test_a_lock_that_stays_is_no_success(
    s3_bucket: Bucket, s3_proxy: HttpProxy, tmp_path: Path
) -> None:
    place = Place(where=s3_bucket, cache_dir=tmp_path)
    make(place)
    s3_proxy.add(Fault(kind="answer", method="DELETE", path="/locks/", status=403))
    with pytest.raises(StorageError, match="is removed, but its lock could not be"):
        remove(by(place, s3_proxy))
    s3_proxy.clear()
    assert remove(by(place, s3_proxy)).changed
    assert nothing(place)


def test_a_backup_that_waited_for_the_removal_does_not_write_into_the_empty_place(
    local_place: Place,
) -> None:
    make(local_place)
    with local_place.open() as repository:
        remove(local_place)
        with pytest.raises(GranaryError) as caught:
            back_up(repository, FILES)
    assert caught.value.code == "repository_missing"
    assert nothing(local_place) or all_of(local_place) == {"locks": "folder"}
