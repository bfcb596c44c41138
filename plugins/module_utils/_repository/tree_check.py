# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""Which files of which snapshots are lost with the blobs that are lost.

Every tree is read once, however many snapshots share it. Where nothing is lost, that is all; where
something is, the way up from it to the snapshots is found level by level, and only trees on such a
way are kept. What the files mean is not known here.
"""

from __future__ import annotations

import dataclasses
import typing as t

from .._core.units import plural
from .model import BlobKind, split_ids
from .pack_check import reason_of
from .usage import each_tree, find_usage

if t.TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from .index import Index
    from .pack_check import BlobName
    from .reader import BlobReader
    from .usage import TreeBlob, TreeEntry


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
    trees: dict[bytes, _LossyTree] = {}
    for tree in each_tree(reader, index, roots):
        found = _look_at(tree, index, lost)
        if found is not None:
            trees[tree.id] = found
    while _climb(each_tree(reader, index, roots), trees):
        pass
    return Losses(trees)


def _look_at(tree: TreeBlob, index: Index, lost: Collection[BlobName]) -> _LossyTree | None:
    if tree.damage is not None:
        known = index.has(BlobKind.TREE, tree.id)
        why = f"cannot be read ({reason_of(tree.damage)})" if known else "is in no index"
        return _LossyTree(whole=f"its tree {tree.id.hex()} {why}")
    files = [
        LostPath(entry.name, reason)
        for entry in tree.entries
        if (reason := _what_lacks(entry, index, lost)) is not None
    ]
    return _LossyTree(files=files) if files else None


def _what_lacks(entry: TreeEntry, index: Index, lost: Collection[BlobName]) -> str | None:
    blobs = split_ids(entry.content)
    lacking = [
        blob
        for blob in blobs
        if (BlobKind.DATA, blob) in lost or not index.has(BlobKind.DATA, blob)
    ]
    if not lacking:
        return None
    return f"{plural(len(lacking), 'blob')} of {len(blobs)}, the first is {lacking[0].hex()}"


def _climb(found: Iterator[TreeBlob], trees: dict[bytes, _LossyTree]) -> bool:
    """Add the folders that hold a lossy one; tell whether there were any that were not known."""
    grown = False
    for tree in found:
        for entry in tree.entries:
            if entry.subtree not in trees:
                continue
            here = trees.setdefault(tree.id, _LossyTree())
            if entry.name not in here.folders:
                here.folders[entry.name] = entry.subtree
                grown = True
    return grown
