# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""Trees: the folders of a snapshot, written so that an unchanged folder is the same blob again, and
read from anybody.

Names are ``str`` with surrogate escapes for bytes that are no UTF-8. What the files mean is not
known here.
"""

from __future__ import annotations

import dataclasses
import json
import typing as t

from .._core.errors import RepositoryDamaged, RepositoryError
from .model import BlobKind
from .tree_json import Json, encode, quote_name, unquote_name

if t.TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .reader import BlobReader
    from .saver import BlobSaver

# The same in every snapshot: a time or an owner of the moment would make every tree new with every
# run. Not 1970, of which GNU tar says "implausibly old time stamp" for each file.
FIXED_TIME = "2000-01-01T00:00:00Z"
# Go's FileMode: permissions, and bit 31 for a folder. Only the owner: the files hold the database.
FILE_MODE = 0o600
FOLDER_MODE = 0o700 | 1 << 31


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FileContent:
    """A file as the ids of its data blobs, in order, and the sum of their lengths in bytes."""

    blobs: tuple[bytes, ...]
    size: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One entry of a tree.

    ``kind`` is restic's word (``file``, ``dir``, ``symlink`` ...); ``content`` is empty for all but
    files, ``subtree`` is None for all but folders. ``size`` is what the writer said: nobody checks
    it against the blobs.
    """

    name: str
    kind: str
    size: int
    content: tuple[bytes, ...]
    subtree: bytes | None


_Folder = dict[bytes, t.Union[FileContent, "_Folder"]]


def save_tree(saver: BlobSaver, files: Mapping[str, FileContent]) -> bytes:
    """Save the trees of a snapshot that holds ``files``, by absolute path; return the id of the
    topmost one.

    Folders are saved before the folders that hold them. Raises ``RepositoryError`` for a path that
    cannot be (two files of one name, a file that is also a folder, ``.``, ``..``, an empty name, a
    zero byte).
    """
    top: _Folder = {}
    for path, content in files.items():
        _insert(top, path, content)
    return _save_folder(saver, top)


def _insert(top: _Folder, path: str, content: FileContent) -> None:
    names = split_path(path)
    if not names:
        raise RepositoryError(f"The path {path!r} names no file of a snapshot.")
    folder = top
    for name in names[:-1]:
        below = folder.setdefault(name, {})
        if isinstance(below, FileContent):
            raise RepositoryError(f"The path {path!r} goes through a file of the same snapshot.")
        folder = below
    if names[-1] in folder:
        raise RepositoryError(f"The path {path!r} is twice in the same snapshot.")
    folder[names[-1]] = content


def split_path(path: str) -> list[bytes]:
    """Return the names of an absolute path as bytes; ``/`` has none.

    Raises ``RepositoryError`` for a path that is not absolute or holds a name that no tree can
    hold.
    """
    names = path.encode("utf-8", "surrogateescape").split(b"/")
    if names.pop(0) != b"":
        raise RepositoryError(f"The path {path!r} is not absolute.")
    if names == [b""]:
        return []
    if any(name in {b"", b".", b".."} or b"\0" in name for name in names):
        raise RepositoryError(f"The path {path!r} holds a name that no folder can hold.")
    return names


def _save_folder(saver: BlobSaver, folder: _Folder) -> bytes:
    nodes: list[Json] = []
    for name in sorted(folder):
        entry = folder[name]
        text = quote_name(name.decode("utf-8", "surrogateescape"))
        if isinstance(entry, FileContent):
            nodes.append(_file_node(text, entry))
        else:
            nodes.append(_folder_node(text, _save_folder(saver, entry)))
    return saver.save(BlobKind.TREE, encode({"nodes": nodes}) + b"\n")


def _file_node(name: str, content: FileContent) -> dict[str, Json]:
    node: dict[str, Json] = {"name": name, "type": "file", "mode": FILE_MODE}
    node |= {"mtime": FIXED_TIME, "atime": FIXED_TIME, "ctime": FIXED_TIME, "uid": 0, "gid": 0}
    if content.size:  # a size of 0 is left out by Go
        node["size"] = content.size
    node["content"] = [blob.hex() for blob in content.blobs]
    return node


def _folder_node(name: str, subtree: bytes) -> dict[str, Json]:
    node: dict[str, Json] = {"name": name, "type": "dir", "mode": FOLDER_MODE}
    node |= {"mtime": FIXED_TIME, "atime": FIXED_TIME, "ctime": FIXED_TIME, "uid": 0, "gid": 0}
    return node | {"content": None, "subtree": subtree.hex()}


def read_tree(reader: BlobReader, tree: bytes) -> list[Node]:
    """Return the entries of a tree in the order in which they are stored.

    Raises ``RepositoryDamaged`` when the blob is missing, broken or no tree.
    """
    data = reader.read(BlobKind.TREE, tree)
    try:
        return [_read_node(node) for node in json.loads(data)["nodes"] or ()]
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise RepositoryDamaged(
            f"The tree {tree.hex()} is not readable ({exc}).", tree=tree.hex()
        ) from exc


def _read_node(node: Mapping[str, t.Any]) -> Node:
    subtree = node.get("subtree")
    return Node(
        name=unquote_name(node["name"]),
        kind=node["type"],
        size=int(node.get("size", 0)),
        content=tuple(map(bytes.fromhex, node.get("content") or ())),
        subtree=None if subtree is None else bytes.fromhex(subtree),
    )


def find_node(reader: BlobReader, root: bytes, path: str) -> Node | None:
    """Return the entry at an absolute path below the tree ``root``, or None.

    ``/`` is a folder without a name. Raises ``RepositoryDamaged`` for a tree on the way that cannot
    be read.
    """
    found = Node(name="", kind="dir", size=0, content=(), subtree=root)
    for name in split_path(path):
        if found.subtree is None:
            return None
        wanted = name.decode("utf-8", "surrogateescape")
        below = next(
            (node for node in read_tree(reader, found.subtree) if node.name == wanted), None
        )
        if below is None:
            return None
        found = below
    return found


def walk(reader: BlobReader, root: bytes) -> Iterator[tuple[str, Node]]:
    """Yield absolute path and entry of everything below the tree ``root``, a folder before what it
    holds.

    Raises ``RepositoryDamaged`` for a tree that cannot be read, at the moment when it is reached.
    """
    pending = [("", root)]
    while pending:
        folder, tree = pending.pop()
        below = []
        for node in read_tree(reader, tree):
            path = f"{folder}/{node.name}"
            yield path, node
            if node.subtree is not None:
                below.append((path, node.subtree))
        pending += reversed(below)
