# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Repositories of many large packs that take no room: holes with a size, which an index describes.

What a prune plans depends on sizes and on who uses what, never on the content of data packs, so
neither we nor restic notice until a pack is read. Trees and snapshots are real.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Collection, Iterable
from pathlib import Path

from ansible_collections.granary.postgres.plugins.module_utils._repository.index_file import (
    IndexWriter,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.model import (
    BlobKind,
    PackRecord,
    StoredBlob,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.pack import (
    EMPTY_PACK_BYTES,
    entry_bytes,
    pack_name,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.repository import (
    Repository,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.snapshot import (
    Snapshot,
    write_snapshot,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.timestamp import (
    Timestamp,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.tree import (
    FileContent,
    save_tree,
)

MIB = 1 << 20
_FIRST_SECOND = 1_700_000_000


def nothing() -> None:
    """Guard nothing: nobody else is there."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """How a made-up repository looks: ``doubled`` is the share of used blobs that lie twice."""

    packs: int
    largest: int
    used: float
    doubled: float = 0.0
    odd: bool = False


class MadeUp:
    """A repository in an empty local folder, filled by a seed."""

    def __init__(self, repository: Repository, seed: int, shape: Shape) -> None:
        self._repository = repository
        self._folder = Path(repository.location)
        self._chance = random.Random(seed)
        self._shape = shape
        self.packs: dict[bytes, PackRecord] = {}
        self.used: set[tuple[BlobKind, bytes]] = set()

    def fill(self) -> None:
        """Make packs, trees and snapshots."""
        shape, chance = self._shape, self._chance
        used: list[StoredBlob] = []
        for dummy in range(shape.packs):
            share = chance.choice([1.0, 1.0, shape.used, chance.random(), 0.0])
            pack = self._make_pack(self._new_blobs())
            used += [blob for blob in pack.blobs if chance.random() < share]
        for blobs in self._copies(used):
            self._make_pack(blobs)
        if shape.odd:
            self._make_odd_packs(used)
        self._index(self.packs.values())
        self._take_snapshots(used)

    def _new_blobs(self) -> list[StoredBlob]:
        chance = self._chance
        largest = chance.randrange(40, max(41, self._shape.largest // 8))
        count = chance.randrange(1, 17)
        return [self._new_blob(BlobKind.DATA, chance.randrange(33, largest)) for _n in range(count)]

    def _new_blob(self, kind: BlobKind, length: int) -> StoredBlob:
        plain_length = length * 2 if self._chance.random() < 0.9 else None
        blob_id = self._chance.randbytes(32)
        return StoredBlob(id=blob_id, kind=kind, offset=0, length=length, plain_length=plain_length)

    def _copies(self, used: list[StoredBlob]) -> Iterable[list[StoredBlob]]:
        """Yield packs that hold used blobs once more, alone or beside new ones."""
        chance = self._chance
        again = [blob for blob in used if chance.random() < self._shape.doubled]
        while again:
            count = chance.randrange(1, 12)
            beside = self._new_blobs() if chance.random() < 0.5 else []
            yield [*again[:count], *beside]
            again = again[count:] if chance.random() < 0.9 else again

    def _make_odd_packs(self, used: list[StoredBlob]) -> None:
        mixed = [self._new_blob(BlobKind.DATA, 5000), self._new_blob(BlobKind.TREE, 500)]
        used.append(self._make_pack(mixed).blobs[0])
        self._make_pack([self._new_blob(BlobKind.TREE, 400)])
        for dummy in range(2):
            name = self._chance.randbytes(32)
            self._put(name, self._chance.randrange(100, 5 * MIB))

    def _make_pack(self, blobs: Iterable[StoredBlob]) -> PackRecord:
        placed: list[StoredBlob] = []
        end = header = 0
        for blob in {(blob.kind, blob.id): blob for blob in blobs}.values():
            placed.append(dataclasses.replace(blob, offset=end))
            end += blob.length
            header += entry_bytes(blob.plain_length)
        size = end + header + EMPTY_PACK_BYTES
        pack = PackRecord(id=self._chance.randbytes(32), size=size, blobs=tuple(placed))
        self._put(pack.id, size)
        self.packs[pack.id] = pack
        return pack

    def _put(self, pack_id: bytes, size: int) -> None:
        path = self._folder / pack_name(pack_id)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        with path.open("r+b") as file:
            file.truncate(size)

    def _index(self, packs: Iterable[PackRecord]) -> None:
        repository = self._repository
        writer = IndexWriter(
            key=repository.key,
            version=repository.version,
            backend=repository.backend,
            guard=nothing,
        )
        for pack in packs:
            writer.add(pack)
            if self._chance.random() < 0.1:
                writer.flush()
        writer.flush()

    def _take_snapshots(self, used: list[StoredBlob]) -> None:
        """Write trees and snapshots that use these blobs, and trees that nobody uses any more."""
        chance = self._chance
        groups: list[list[bytes]] = [[] for _n in range(chance.randrange(1, 8))]
        for blob in used:
            chance.choice(groups).append(blob.id)
        for number, group in enumerate(groups):
            for left in (True, False):
                packs = self._save(f"/g{number}", group, snapshot=left, at=number)
                self.packs |= {pack.id: pack for pack in packs}
                if left:
                    self.used |= {(BlobKind.DATA, blob) for blob in group}
                    self.used |= {(b.kind, b.id) for pack in packs for b in pack.blobs}

    def _save(
        self, folder: str, group: list[bytes], *, snapshot: bool, at: int
    ) -> list[PackRecord]:
        repository, packs = self._repository, list[PackRecord]()
        index, dummy_report = repository.load_index()
        saver = repository.saver(index, pack_size=self._shape.largest, on_pack=packs.append,
                                 guard=nothing)  # fmt: skip
        cut = self._chance.randrange(len(group) + 1)
        parts = {f"{folder}/a/{snapshot}": group[:cut], f"{folder}/b/{snapshot}": group[cut:]}
        files = {path: FileContent(blobs=tuple(ids), size=1) for path, ids in parts.items()}
        tree = save_tree(saver, files)
        saver.finish()
        self._index(packs)
        if snapshot:
            write_snapshot(
                repository,
                Snapshot(
                    time=Timestamp(unix_ns=(_FIRST_SECOND + at) * 10**9),
                    tree=tree,
                    paths=("/postgres",),
                    hostname="db1",
                ),
            )
        return packs

    def unused_after(self, gone: Collection[bytes]) -> int:
        """Return how many bytes of blobs nobody needs are left when the packs ``gone`` are deleted,
        and what is used of them and lies nowhere else is copied.
        """
        kept = [b for pack in self.packs.values() if pack.id not in gone for b in pack.blobs]
        stay = {(blob.kind, blob.id) for blob in kept}
        stored = sum(blob.length for blob in kept)
        lengths = {(b.kind, b.id): b.length for pack in self.packs.values() for b in pack.blobs}
        copied = sum(lengths[one] for one in self.used - stay)
        return stored + copied - sum(lengths[one] for one in self.used)
