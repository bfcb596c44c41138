# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import errno
import os
import re
import stat
from pathlib import Path

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import (
    AccessDenied,
    ObjectMissing,
    StorageError,
    StorageFull,
)
from ansible_collections.granary.postgres.plugins.module_utils._storage.base import Backend
from ansible_collections.granary.postgres.plugins.module_utils._storage.model import (
    Entry,
    LocalSettings,
)
from ansible_collections.granary.postgres.plugins.module_utils._storage.registry import open_backend


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "new" / "place"


@pytest.fixture
def backend(place: Path) -> Backend:
    backend = open_backend(LocalSettings(path=str(place)))
    assert backend.prepare()
    return backend


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def _files(place: Path) -> list[str]:
    return sorted(str(p.relative_to(place)) for p in place.rglob("*") if p.is_file())


def test_everything_belongs_to_its_owner_alone(backend: Backend, place: Path) -> None:
    backend.write("config", b"x")
    backend.write("data/ab/x", b"x")
    assert [_mode(place), _mode(place / "data"), _mode(place / "data/ab")] == [0o700] * 3
    assert [_mode(place / "config"), _mode(place / "data/ab/x")] == [0o400] * 2


def test_a_config_that_the_group_may_read_opens_what_follows_to_the_group(
    backend: Backend, place: Path
) -> None:
    backend.write("config", b"x")
    (place / "config").chmod(0o440)
    place.chmod(0o2770)
    backend.write("data/ab/x", b"x")
    assert _mode(place / "data/ab/x") == 0o440
    # The set-group-id bit is inherited and stays.
    assert [_mode(place / "data"), _mode(place / "data/ab")] == [0o2770] * 2


def test_the_umask_takes_nothing_away(backend: Backend, place: Path) -> None:
    before = os.umask(0o077)
    try:
        backend.write("config", b"x")
        (place / "config").chmod(0o440)
        backend.write("data/x", b"x")
    finally:
        os.umask(before)
    assert (_mode(place / "data"), _mode(place / "data/x")) == (0o770, 0o440)


def test_what_others_left_there_is_not_listed(backend: Backend, place: Path) -> None:
    backend.write("data/ab/x", b"123")
    (place / "data/ab/x-tmp-99").write_bytes(b"unfinished")
    (place / "data/.hidden").write_bytes(b"")
    (place / "data/a b").write_bytes(b"")
    os.mkfifo(place / "data/pipe")
    (place / "data/dangling").symlink_to("nowhere")
    assert list(backend.entries("")) == [Entry(name="data/ab/x", size=3)]


def test_folders_may_be_links(backend: Backend, place: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (place / "data").symlink_to(tmp_path / "elsewhere")
    backend.write("data/x", b"1")
    (place / "data/loop").symlink_to(place)
    assert Entry(name="data/x", size=1) in list(backend.entries("data/"))
    assert backend.read("data/x") == b"1"


def test_a_file_that_is_read_while_it_is_replaced_is_one_or_the_other(
    backend: Backend, place: Path
) -> None:
    backend.write("config", b"old")
    with (place / "config").open("rb") as reader:
        backend.write("config", b"new and longer")
        assert reader.read() == b"old"
    assert backend.read("config") == b"new and longer"


def test_a_place_that_is_not_there_is_not_made_by_a_write(tmp_path: Path) -> None:
    backend = open_backend(LocalSettings(path=str(tmp_path / "unmounted")))
    for action in (
        lambda: backend.write("config", b"x"),
        lambda: backend.write_exclusive("config", b"x"),
        lambda: backend.size("config"),
        lambda: backend.age_seconds("config"),
        lambda: backend.delete("config"),
        lambda: list(backend.entries("")),
    ):
        with pytest.raises(ObjectMissing, match="is mounted"):
            action()
    assert not (tmp_path / "unmounted").exists()


def test_a_file_in_the_place_of_the_folder_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    backend = open_backend(LocalSettings(path=str(tmp_path / "file")))
    with pytest.raises(StorageError, match=re.escape(str(tmp_path / "file"))):
        backend.prepare()
    with pytest.raises(ObjectMissing):
        backend.write("config", b"x")


def test_a_folder_under_a_name_is_no_object(backend: Backend) -> None:
    backend.write("data/x", b"1")
    assert backend.size("data") is None
    with pytest.raises(StorageError):
        backend.read("data")
    with pytest.raises(StorageError):
        backend.delete("data")


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, StorageFull),
        (errno.EDQUOT, StorageFull),
        (errno.EROFS, AccessDenied),
        (errno.EIO, StorageError),
    ],
)
def test_a_failed_sync_fails_the_write_once_and_for_all(
    backend: Backend,
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    kind: type[StorageError],
) -> None:
    calls = 0

    def fail(descriptor: int) -> None:
        nonlocal calls
        calls += 1
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(StorageError, match=os.strerror(number)) as caught:
        backend.write("config", b"x")
    assert caught.value.code == kind.code
    assert not caught.value.retryable
    assert calls == 1
    assert _files(place) == []


def test_file_systems_without_links_are_told_apart_from_taken_names(
    backend: Backend, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(source: str, target: str) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    assert backend.write_exclusive("config", b"x") is None
    assert _files(place) == []


def test_a_link_whose_answer_was_lost_is_ours(
    backend: Backend, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = os.link

    def link_twice(source: str, target: str) -> None:
        link(source, target)
        link(source, target)

    monkeypatch.setattr(os, "link", link_twice)
    assert backend.write_exclusive("config", b"x") is True
    assert _files(place) == ["config"]


def test_ages_are_those_of_the_folders_own_clock(backend: Backend, place: Path) -> None:
    backend.write("locks/x", b"x")
    now = (place / "locks/x").stat().st_mtime
    os.utime(place / "locks/x", (now - 1800, now - 1800))
    age = backend.age_seconds("locks/x")
    assert age is not None
    assert 1800 <= age < 1860
    assert _files(place) == ["locks/x"]
