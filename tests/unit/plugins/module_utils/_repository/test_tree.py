# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Trees, saved into a real repository in a local folder and read back."""

from __future__ import annotations

import hashlib
import typing as t

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import (
    RepositoryDamaged,
    RepositoryError,
)
from ansible_collections.granary.postgres.plugins.module_utils._core.events import SilentEvents
from ansible_collections.granary.postgres.plugins.module_utils._repository.config import new_config
from ansible_collections.granary.postgres.plugins.module_utils._repository.crypto import (
    new_master_key,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.model import BlobKind
from ansible_collections.granary.postgres.plugins.module_utils._repository.repository import (
    Repository,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.tree import (
    FileContent,
    Node,
    find_node,
    read_tree,
    save_tree,
    walk,
)
from ansible_collections.granary.postgres.plugins.module_utils._storage.model import LocalSettings
from ansible_collections.granary.postgres.plugins.module_utils._storage.registry import (
    open_backend,
)

if t.TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from ansible_collections.granary.postgres.plugins.module_utils._repository.reader import (
        BlobReader,
    )

BLOB = bytes(range(32))
EMPTY = FileContent(blobs=(), size=0)
ONE = FileContent(blobs=(BLOB,), size=5)


class Trees:
    """A repository that holds nothing but trees, and maybe blobs that are to be taken for trees."""

    def __init__(self, repository: Repository) -> None:
        self.repository = repository

    def save(self, files: Mapping[str, FileContent]) -> tuple[bytes, BlobReader]:
        """Save the trees and return the topmost one with a reader."""
        index, dummy = self.repository.load_index()
        saver = self.repository.saver(index, on_pack=lambda record: None, guard=lambda: None)
        root = save_tree(saver, files)
        saver.finish()
        return root, self.reader()

    def save_raw(self, data: bytes) -> tuple[bytes, BlobReader]:
        """Save bytes as if they were a tree."""
        index, dummy = self.repository.load_index()
        saver = self.repository.saver(index, on_pack=lambda record: None, guard=lambda: None)
        tree = saver.save(BlobKind.TREE, data)
        saver.finish()
        return tree, self.reader()

    def reader(self) -> BlobReader:
        """A reader of all that is there; packs without an index are adopted."""
        index, dummy = self.repository.load_index()
        return self.repository.reader(index)


@pytest.fixture
def trees(tmp_path: Path) -> Iterator[Trees]:
    settings = LocalSettings(path=str(tmp_path / "repository"))
    backend = open_backend(settings)
    backend.prepare()
    with Repository(
        settings,
        backend=backend,
        config=new_config(2),
        key=new_master_key(),
        events=SilentEvents(),
    ) as repository:
        yield Trees(repository)


def test_is_byte_for_byte_what_restic_encodes(trees: Trees) -> None:
    root, reader = trees.save({'/a/"b"': ONE, "/a/empty": EMPTY})
    times = ",".join(f'"{name}":"2000-01-01T00:00:00Z"' for name in ("mtime", "atime", "ctime"))
    folder = (
        '{"nodes":['
        f'{{"name":"\\\\\\"b\\\\\\"","type":"file","mode":384,{times},"uid":0,"gid":0,"size":5,'
        f'"content":["{BLOB.hex()}"]}},'
        f'{{"name":"empty","type":"file","mode":384,{times},"uid":0,"gid":0,"content":[]}}'
        "]}\n"
    ).encode()
    subtree = hashlib.sha256(folder).digest()
    assert reader.read(BlobKind.TREE, subtree) == folder
    assert reader.read(BlobKind.TREE, root).decode() == (
        f'{{"nodes":[{{"name":"a","type":"dir","mode":2147484096,{times},"uid":0,"gid":0,'
        f'"content":null,"subtree":"{subtree.hex()}"}}]}}\n'
    )


def test_names_are_sorted_by_their_bytes(trees: Trees) -> None:
    # U+FFFF sorts before U+10000 by bytes and by code points, after it in UTF-16; \xff is last.
    names = ["Z", "a", "a.b", "a0", "é", "\uffff", "\U00010000", "\udcff"]
    root, reader = trees.save({f"/{name}": EMPTY for name in reversed(names)})
    assert [node.name for node in read_tree(reader, root)] == names


def test_the_same_files_are_the_same_tree_in_any_order(trees: Trees) -> None:
    files = {"/x/1": ONE, "/x/2": EMPTY, "/y": ONE}
    first, dummy = trees.save(files)
    again, dummy2 = trees.save(dict(reversed(files.items())))
    assert first == again


def test_everything_is_found_again(trees: Trees) -> None:
    odd = "/d/é\udcff\n\\\"<&> \U0001f418'"
    root, reader = trees.save({odd: ONE, "/d/e/f": EMPTY, "/top": ONE})
    found = dict(walk(reader, root))
    assert list(found) == ["/d", "/top", "/d/e", odd, "/d/e/f"]
    assert found[odd] == Node(name=odd[3:], kind="file", size=5, content=(BLOB,), subtree=None)
    for path, node in found.items():
        assert find_node(reader, root, path) == node
    top = find_node(reader, root, "/")
    assert top is not None
    assert top.subtree == root
    for path in ("/nothing", "/d/e/f/g", "/top/x"):
        assert find_node(reader, root, path) is None


def test_no_files_are_an_empty_tree(trees: Trees) -> None:
    root, reader = trees.save({})
    assert read_tree(reader, root) == []


@pytest.mark.parametrize(
    "paths",
    [
        ["relative"],
        ["/"],
        ["/a/"],
        ["/a//b"],
        ["/a/../b"],
        ["/./a"],
        ["/a\0"],
        ["/a", "/a/b"],
        ["/a/b", "/a"],
    ],
)
def test_paths_that_cannot_be_are_refused(trees: Trees, paths: list[str]) -> None:
    with pytest.raises(RepositoryError, match="The path"):
        trees.save(dict.fromkeys(paths, EMPTY))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b'{"nodes":[{}]}',
        b'{"nodes":[{"name":"\\\\q","type":"file"}]}',
        b'{"nodes":[{"name":"x","type":"file","content":["zz"]}]}',
    ],
)
def test_what_is_no_tree_is_damage(trees: Trees, data: bytes) -> None:
    tree, reader = trees.save_raw(data)
    with pytest.raises(RepositoryDamaged, match="tree"):
        read_tree(reader, tree)


def test_what_only_restic_writes_is_read(trees: Trees) -> None:
    data = (
        b'{"nodes":[{"name":"l","type":"symlink","mode":134218239,"linktarget":"x","content":null},'
        b'{"name":"f\\\\u00e9\\\\303\\\\251","type":"file","inode":7,"user":"u","size":9,"content":null}]}'
    )
    tree, reader = trees.save_raw(data)
    assert read_tree(reader, tree) == [
        Node(name="l", kind="symlink", size=0, content=(), subtree=None),
        Node(name="féé", kind="file", size=9, content=(), subtree=None),
    ]
    tree, reader = trees.save_raw(b'{"nodes":null}\n')
    assert read_tree(reader, tree) == []


def test_a_tree_that_is_not_there_is_damage(trees: Trees) -> None:
    with pytest.raises(RepositoryDamaged):
        read_tree(trees.reader(), bytes(32))
