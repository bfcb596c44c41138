# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A local folder that is full, read-only, closed to us, or whose writer is killed."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import signal
import stat
import typing as t
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import (
    AccessDenied,
    StorageError,
    StorageFull,
)
from ansible_collections.granary.postgres.plugins.module_utils._storage.base import Backend
from ansible_collections.granary.postgres.plugins.module_utils._storage.model import LocalSettings
from ansible_collections.granary.postgres.plugins.module_utils._storage.registry import open_backend
from tests.testbed.process import run

_FORK = multiprocessing.get_context("fork")
_NOBODY = 65534


@pytest.fixture(params=["size=1m", "size=64m,nr_inodes=40"])
def small_disk(request: pytest.FixtureRequest, repository_dir: Path) -> Iterator[Path]:
    """A file system that is soon full: of bytes, or of files."""
    yield from _mounted(repository_dir, request.param)


@pytest.fixture
def disk(repository_dir: Path) -> Iterator[Path]:
    """A file system of its own, that everybody may reach."""
    yield from _mounted(repository_dir, "size=64m,mode=0755")


def _mounted(folder: Path, options: str) -> Iterator[Path]:
    folder.mkdir()
    run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], doing="mounting a tmpfs")
    yield folder
    run(["umount", "--lazy", folder], doing="unmounting a tmpfs")


def _open(folder: Path) -> Backend:
    return open_backend(LocalSettings(path=str(folder)))


def _fill(write: Callable[[int], object]) -> None:
    for number in range(100):
        write(number)


def _files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_full_disk_keeps_what_is_whole_and_nothing_else(small_disk: Path) -> None:
    backend = _open(small_disk)
    with pytest.raises(StorageFull, match=r"No space left on device; make room"):
        _fill(lambda n: backend.write(f"data/{n % 10}/{n}", bytes(50_000)))
    stored = [entry.name for entry in backend.entries("")]
    assert 1 <= len(stored) < 100
    assert _files(small_disk) == sorted(stored)
    assert all(backend.read(name) == bytes(50_000) for name in stored)
    for name in stored[:2]:
        backend.delete(name)
    backend.write("data/0/last", b"x")
    assert backend.read("data/0/last") == b"x"


def test_an_exclusive_write_on_a_full_disk_leaves_the_name_free(small_disk: Path) -> None:
    backend = _open(small_disk)
    with pytest.raises(StorageFull):
        _fill(lambda n: backend.write_exclusive(f"config-{n}", bytes(50_000)))
    stored = [entry.name for entry in backend.entries("")]
    assert _files(small_disk) == sorted(stored)
    backend.delete(stored[0])
    assert backend.write_exclusive(stored[0], b"x") is True
    assert backend.write_exclusive(stored[0], b"x") is False


def test_a_read_only_disk_is_read_and_not_written(disk: Path) -> None:
    backend = _open(disk)
    backend.write("config", b"x")
    run(["mount", "-o", "remount,ro", disk], doing="making the tmpfs read-only")
    assert backend.read("config") == b"x"
    assert [entry.name for entry in backend.entries("")] == ["config"]
    assert backend.prepare() is False
    for refused in (
        lambda: backend.write("data/x", b"x"),
        lambda: backend.write_exclusive("keys/x", b"x"),
        lambda: backend.delete("config"),
        lambda: backend.age_seconds("config"),
        lambda: _open(disk / "new").prepare(),
    ):
        with pytest.raises(AccessDenied, match="Read-only file system"):
            refused()


def _as_nobody(action: Callable[[], object]) -> str:
    """Run `action` as a user without rights and return what came of it, by its type and text."""

    def body(told: t.Any) -> None:
        os.setgroups([])
        os.setgid(_NOBODY)
        os.setuid(_NOBODY)
        try:
            told.put(repr(action()))
        except StorageError as exc:
            told.put(repr(exc))

    told = _FORK.SimpleQueue()
    child = _FORK.Process(target=body, args=(told,))
    child.start()
    child.join()
    return str(told.get())


def test_a_folder_of_somebody_else_is_refused(disk: Path) -> None:
    place = disk / "repository"
    backend = _open(place)
    backend.prepare()
    backend.write("config", b"x")
    refusals: list[Callable[[], object]] = [
        lambda: backend.read("config"),
        lambda: backend.write("data/x", b"x"),
        lambda: list(backend.entries("")),
        lambda: backend.size("config"),
        lambda: backend.delete("config"),
        lambda: backend.age_seconds("config"),
        lambda: _open(disk / "new").prepare(),
    ]
    for refused in refusals:
        said = _as_nobody(refused)
        assert said.startswith("AccessDenied(")
        assert "Permission denied; check the owner and mode" in said


def test_the_groups_repository_is_the_groups(disk: Path) -> None:
    place = disk / "repository"
    backend = _open(place)
    backend.prepare()
    backend.write("config", b"x")
    os.chown(place, 0, _NOBODY)
    place.chmod(stat.S_ISGID | 0o770)
    os.chown(place / "config", 0, _NOBODY)
    (place / "config").chmod(0o440)
    backend.write("data/ab/root", b"by root")
    assert _as_nobody(lambda: backend.read("data/ab/root")) == "b'by root'"
    assert _as_nobody(lambda: backend.write("data/ab/nobody", b"x")) == "None"
    assert (place / "data/ab/nobody").stat().st_gid == _NOBODY


def _write_for_ever(settings: LocalSettings) -> None:
    backend = open_backend(settings)
    number = 0
    while True:
        content = number.to_bytes(8, "big") * 500_000
        backend.write(f"data/{hashlib.sha256(content).hexdigest()}", content)
        number += 1


def test_a_killed_writer_leaves_whole_objects_only(repository_dir: Path) -> None:
    settings = LocalSettings(path=str(repository_dir))
    backend = open_backend(settings)
    backend.prepare()
    for dummy in range(5):
        writer = _FORK.Process(target=_write_for_ever, args=(settings,))
        writer.start()
        before = {path.name for path in repository_dir.rglob("*-tmp-*")}
        while {path.name for path in repository_dir.rglob("*-tmp-*")} <= before:
            assert writer.is_alive()
        os.kill(t.cast("int", writer.pid), signal.SIGKILL)
        writer.join()
    for entry in backend.entries("data/"):
        assert f"data/{hashlib.sha256(backend.read(entry.name)).hexdigest()}" == entry.name
