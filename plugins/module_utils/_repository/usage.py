# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""What snapshots use: each tree is read once, however many snapshots share it, and what they reach
is one byte a blob beside the index.

A hundred snapshots of a million blobs name a hundred million ids. Most of them stand in lists that
were seen before: of those only a digest is kept. What the files mean is not known here.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import typing as t

from .._core.errors import RepositoryDamaged
from .model import ID_BYTES, BlobKind, split_ids
from .tree_json import unquote_name

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from .index import Index
    from .reader import BlobReader
    from .snapshot import Snapshot

# Shorter lists are looked up as fast as they are remembered.
_LEAST_LIST = 4 * ID_BYTES
_MOST_LISTS = 1 << 19
_DIGEST_BYTES = 16  # nobody finds two lists with one digest: a list taken for seen would be lost
_MOST_LACKING = 1000


class TreeEntry(t.NamedTuple):
    """One entry of a tree: its name as the JSON has it, the ids of its data blobs in one run, and
    the id of the tree below it.
    """

    json_name: str
    content: bytes
    subtree: bytes | None

    @property
    def name(self) -> str:
        """The name, with surrogate escapes for bytes that are no UTF-8."""
        return unquote_name(self.json_name)


class TreeBlob(t.NamedTuple):
    """A tree, or with no entries one that cannot be read, and why."""

    id: bytes
    entries: Sequence[TreeEntry]
    damage: RepositoryDamaged | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """``marks`` has one byte for each record of the index: 1 for the first record of each blob that
    is used. ``lacking`` are blobs that are used, but are in no index or are trees that cannot be
    read; the first thousand of them.
    """

    marks: bytearray
    lacking: tuple[tuple[BlobKind, bytes], ...]


def find_usage(reader: BlobReader, index: Index, roots: Iterable[bytes]) -> Usage:
    """Return all that is reached from the trees ``roots``. Raises what the storage raises."""
    marks = bytearray(len(index))
    lacking: list[tuple[BlobKind, bytes]] = []
    seen = _SeenLists()
    for tree in each_tree(reader, index, roots, seen=marks):
        if tree.damage is not None:
            lacking.append((BlobKind.TREE, tree.id))
        for entry in tree.entries:
            if entry.content and seen.is_new(entry.content):
                unknown = index.mark(BlobKind.DATA, entry.content, marks)
                lacking += ((BlobKind.DATA, blob_id) for blob_id in unknown)
        del lacking[_MOST_LACKING:]
    return Usage(marks=marks, lacking=tuple(lacking))


class _SeenLists:
    """Lists of blobs that were looked up before, by their digests."""

    def __init__(self) -> None:
        self._digests: set[bytes] = set()

    def is_new(self, ids: bytes) -> bool:
        if len(ids) < _LEAST_LIST:
            return True
        digest = hashlib.blake2b(ids, digest_size=_DIGEST_BYTES).digest()
        if digest in self._digests:
            return False
        if len(self._digests) >= _MOST_LISTS:
            self._digests.clear()
        self._digests.add(digest)
        return True


def each_tree(
    reader: BlobReader, index: Index, roots: Iterable[bytes], *, seen: bytearray | None = None
) -> Iterator[TreeBlob]:
    """Yield the trees ``roots`` and every tree below them, each once, those nearer to a root first.

    Trees of one depth come in the order in which they lie, and neighbours are read at once. One
    that cannot be read is yielded with the damage, those that no index names at the end. ``seen``
    has one byte for each record of ``index`` and is set to 1 for the first record of each tree.
    """
    marks = bytearray(len(index)) if seen is None else seen
    unknown: set[bytes] = set()
    level = list(roots)
    while level:
        below: list[bytes] = []
        for tree in _read_trees(reader, _not_seen(index, level, marks, unknown)):
            yield tree
            below += (entry.subtree for entry in tree.entries if entry.subtree is not None)
        level = below
    for missing in sorted(unknown):
        yield _read_singly(reader, missing)


def _not_seen(
    index: Index, trees: Iterable[bytes], marks: bytearray, unknown: set[bytes]
) -> list[bytes]:
    """Return the trees that were not seen yet, in the order of their places."""
    found: list[tuple[int, int, bytes]] = []
    for tree in trees:
        number = next(index.numbers(BlobKind.TREE, tree), None)
        if number is None:
            unknown.add(tree)
        elif not marks[number]:
            marks[number] = 1
            record = index.record(number)
            found.append((record.pack, record.offset, tree))
    return [place[-1] for place in sorted(found)]


def _read_trees(reader: BlobReader, trees: Sequence[bytes]) -> Iterator[TreeBlob]:
    at = 0
    while at < len(trees):
        # A stream ends with the first tree that cannot be read; another one goes on behind it.
        stream = reader.stream(trees[at:], kind=BlobKind.TREE)
        try:
            for data in stream:
                at += 1
                yield _decode(trees[at - 1], data)
        except RepositoryDamaged:
            yield _read_singly(reader, trees[at])
            at += 1
        finally:
            stream.close()


def _read_singly(reader: BlobReader, tree: bytes) -> TreeBlob:
    """Read the tree at which a stream ended: the damage may be that of one behind it."""
    try:
        return _decode(tree, reader.read(BlobKind.TREE, tree))
    except RepositoryDamaged as exc:
        return TreeBlob(tree, (), exc)


def _decode(tree: bytes, data: bytes) -> TreeBlob:
    try:
        nodes = json.loads(data)["nodes"] or ()
        return TreeBlob(tree, [_entry(node) for node in nodes], None)
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        damage = RepositoryDamaged(
            f"The tree {tree.hex()} is not readable ({exc}).", tree=tree.hex()
        )
        return TreeBlob(tree, (), damage)


def _entry(node: Mapping[str, t.Any]) -> TreeEntry:
    content = bytes.fromhex("".join(node.get("content") or ()))
    subtree = bytes.fromhex(node["subtree"]) if node.get("subtree") else None
    if len(content) % ID_BYTES or (subtree is not None and len(subtree) != ID_BYTES):
        raise ValueError(f"{node['name']!r} names blobs by something that is no id")
    return TreeEntry(node["name"], content, subtree)


@dataclasses.dataclass(slots=True)
class _Folder:
    """What ``snapshots_lacking`` keeps of a tree: the name of its first entry that lacks something,
    or the empty name for itself, and its folders by their names in the JSON.
    """

    lacking: str | None
    folders: list[tuple[str, bytes]]


def snapshots_lacking(
    reader: BlobReader,
    index: Index,
    snapshots: Iterable[Snapshot],
    lacks: Callable[[BlobKind, bytes], bool],
) -> dict[bytes, str]:
    """Return by id the snapshots that reach a blob which ``lacks``, or a tree that cannot be read,
    each with the first path of which that is true.
    """
    chosen = list(snapshots)
    folders: dict[bytes, _Folder] = {}
    for tree in each_tree(reader, index, [one.tree for one in chosen]):
        below = [(one.json_name, one.subtree) for one in tree.entries if one.subtree is not None]
        folders[tree.id] = _Folder(_first_lacking(tree, lacks), below)
    paths: dict[bytes, str | None] = {}
    found = {}
    for snapshot in chosen:
        path = _path_below(snapshot.tree, folders, paths)
        if path is not None:
            found[snapshot.id] = path or "/"
    return found


def _first_lacking(tree: TreeBlob, lacks: Callable[[BlobKind, bytes], bool]) -> str | None:
    if tree.damage is not None or lacks(BlobKind.TREE, tree.id):
        return ""
    for entry in tree.entries:
        if any(lacks(BlobKind.DATA, blob) for blob in split_ids(entry.content)):
            return f"/{entry.name}"
    return None


def _path_below(
    root: bytes, folders: Mapping[bytes, _Folder], paths: dict[bytes, str | None]
) -> str | None:
    """Return the first path below a tree that lacks something; ``paths`` keeps all answers."""
    pending = [root]
    while pending:
        tree = pending[-1]
        folder = folders[tree]
        asked = [below for dummy, below in folder.folders if below not in paths]
        if asked and folder.lacking is None and tree not in paths:
            pending += asked
            continue
        pending.pop()
        if tree not in paths:
            paths[tree] = folder.lacking
            for name, below in folder.folders:
                if paths[tree] is None and paths[below] is not None:
                    paths[tree] = f"/{unquote_name(name)}{paths[below]}"
    return paths[root]
