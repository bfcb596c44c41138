# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""Which files of which snapshots are lost with the blobs that are lost.

Every tree is read once, however many snapshots share it. Where nothing is lost, that is all; where
something is, the way up from it to the snapshots is found level by level, and only trees on such a
way are kept. What the files mean is not known here.
"""

from __future__ import annotations

import array
import dataclasses
import typing as t

from .._core.errors import RepositoryDamaged
from .._core.units import plural
from .model import BlobKind, split_ids
from .pack_check import reason_of
from .tree import read_tree
from .usage import each_tree, find_usage

if t.TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from .index import Index
    from .pack_check import BlobName
    from .reader import BlobReader
    from .usage import TreeBlob


class LostPath(t.NamedTuple):
    """A file, or a folder with all that was below it, that a snapshot has lost at least in part.

    ``path`` is absolute, and ``/`` stands for the whole snapshot.
    """

    path: str
    reason: str


@dataclasses.dataclass(slots=True)
class _LossyTree:
    """``whole`` says why the tree itself is lost; else its lost files, and the folders below which
    something is.
    """

    whole: str | None = None
    files: list[LostPath] = dataclasses.field(default_factory=list)
    folders: dict[str, bytes] = dataclasses.field(default_factory=dict)


class Losses:
    """What is lost below each of some trees."""

    def __init__(self, trees: Mapping[bytes, _LossyTree]) -> None:
        self._trees = trees

    def __bool__(self) -> bool:
        return bool(self._trees)

    def below(self, root: bytes) -> Iterator[LostPath]:
        """Yield all that is lost below a tree."""
        pending = [("", root)]
        while pending:
            folder, tree = pending.pop()
            found = self._trees.get(tree)
            if found is None:
                continue
            if found.whole is not None:
                yield LostPath(folder or "/", found.whole)
            for file in found.files:
                yield LostPath(f"{folder}/{file.path}", file.reason)
            pending += ((f"{folder}/{name}", below) for name, below in found.folders.items())


def find_losses(
    reader: BlobReader, index: Index, roots: Collection[bytes], lost: Collection[BlobName]
) -> Losses:
    """Return what is lost below the trees ``roots``: what needs a blob that ``index`` does not name
    or that is one of ``lost``, and what stands in a tree that cannot be read.

    Raises what the storage raises.
    """
    if not lost and not find_usage(reader, index, roots).lacking:
        return Losses({})
    found = _Search(index, lost)
    for tree in each_tree(reader, index, roots):
        found.take(tree)
    return Losses(found.connect(reader, roots))


class _Search:
    """Finds the trees that are lossy themselves, then those above them.

    Which tree holds which is kept as the first 8 bytes of both ids: millions of pairs fit, and two
    trees of one beginning cost a read and no more.
    """

    def __init__(self, index: Index, lost: Collection[BlobName]) -> None:
        self._index = index
        self._lost = lost
        self._marks = bytearray(len(index))
        self._trees: dict[bytes, _LossyTree] = {}
        self._above = array.array("Q")
        self._below = array.array("Q")

    def take(self, tree: TreeBlob) -> None:
        here = _short(tree.id)
        for entry in tree.entries:
            if entry.subtree is not None:
                self._above.append(here)
                self._below.append(_short(entry.subtree))
        found = self._look_at(tree)
        if found is not None:
            self._trees[tree.id] = found

    def connect(self, reader: BlobReader, roots: Iterable[bytes]) -> dict[bytes, _LossyTree]:
        """Return all lossy trees below the roots, each with the folders that lead to others."""
        lossy = {_short(tree) for tree in self._trees}
        grown = True
        while grown:
            pairs = zip(self._above, self._below, strict=True)
            above = {up for up, down in pairs if down in lossy and up not in lossy}
            lossy |= above
            grown = bool(above)
        pending = {tree for tree in roots if _short(tree) in lossy}
        done: set[bytes] = set()
        while pending:
            tree = pending.pop()
            done.add(tree)
            here = self._trees.setdefault(tree, _LossyTree())
            if here.whole is None:
                for node in read_tree(reader, tree):
                    if node.subtree is not None and _short(node.subtree) in lossy:
                        here.folders[node.name] = node.subtree
            pending |= set(here.folders.values()) - done
        return self._trees

    def _look_at(self, tree: TreeBlob) -> _LossyTree | None:
        if tree.damage is not None:
            known = self._index.has(BlobKind.TREE, tree.id)
            why = f"cannot be read ({reason_of(tree.damage)})" if known else "is in no index"
            return _LossyTree(whole=f"its tree {tree.id.hex()} {why}")
        try:
            files = [
                LostPath(entry.name, reason)
                for entry in tree.entries
                if (reason := self._what_lacks(entry.content)) is not None
            ]
        except RepositoryDamaged as exc:
            return _LossyTree(whole=f"its tree {tree.id.hex()}: {reason_of(exc)}")
        return _LossyTree(files=files) if files else None

    def _what_lacks(self, content: bytes) -> str | None:
        unknown = set(self._index.mark(BlobKind.DATA, content, self._marks))
        if not unknown and not self._lost:
            return None
        blobs = split_ids(content)
        lacking = [blob for blob in blobs if blob in unknown or (BlobKind.DATA, blob) in self._lost]
        if not lacking:
            return None
        return f"{plural(len(lacking), 'blob')} of {len(blobs)}, the first is {lacking[0].hex()}"


def _short(tree: bytes) -> int:
    return int.from_bytes(tree[:8])
