# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""Decides which packs go, which are packed anew and which stay: by the rules of restic 0.19.1.

Where no blob is stored twice the plan is restic's own. Where one is, restic takes its copies in a
random order, we by the order of ids. One thing is decided otherwise: a copy in a pack that is
missing, or of another size than the index says, is none.

Pure: index, usage and listing come in, a plan comes out; nothing is read or written.
"""

from __future__ import annotations

import array
import dataclasses
import itertools
import operator
import typing as t

from .index_file import NOT_COMPRESSED
from .model import BlobKind
from .pack import EMPTY_PACK_BYTES, entry_bytes

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from .index import Index, Record

# A pack is small below 80 % of the larger of 4 MiB and of the size that 3 % of all packs have at
# most.
_SMALL_FACTOR = 0.8
_LEAST_PACK_BYTES = 4 << 20
_SMALL_PERCENT = 3
_LEAST_SMALL_PACKS = 10  # fewer are not worth the trouble
_MIXED = 2  # beside the kinds of blobs
_NO_KIND = -1
_PLACE_BITS = 32


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PackChoice:
    """What becomes of each pack, and figures in bytes.

    ``unreferenced`` are stored and in no index, ``unneeded`` hold nothing that is used, ``lost``
    are in an index, not stored, and not needed. ``repacked`` are the places in ``Index.packs`` of
    packs of which only the used blobs stay, in new packs. ``used_bytes`` and the unused ones count
    sealed blobs, the others whole files.
    """

    unreferenced: tuple[bytes, ...]
    unneeded: tuple[bytes, ...]
    lost: tuple[bytes, ...]
    repacked: tuple[int, ...]
    kept: int
    used_bytes: int
    unused_bytes: int
    unused_bytes_after: int
    freed_bytes: int
    repacked_bytes: int
    removed_blobs: int


@dataclasses.dataclass(slots=True)
class _Pack:
    id: bytes
    stored: int | None  # the size of the file
    kind: int = _NO_KIND
    used_blobs: int = 0
    unused_blobs: int = 0
    doubled_blobs: int = 0
    # The header counts as used, as restic has it.
    used_bytes: int = EMPTY_PACK_BYTES
    unused_bytes: int = 0
    is_compressed: bool = True

    @property
    def size(self) -> int:
        return self.used_bytes + self.unused_bytes

    def count(self, record: Record, *, used: bool) -> None:
        if used:
            self.used_blobs += 1
            self.used_bytes += record.length
        else:
            self.unused_blobs += 1
            self.unused_bytes += record.length

    def take_up(self, record: Record) -> None:
        """Count a blob as used that counted as unused."""
        self.unused_blobs -= 1
        self.unused_bytes -= record.length
        self.count(record, used=True)

    def order(self, small: int) -> tuple[bool, bool, float, bytes]:
        """Sort key of candidates: trees first, then small packs, then the emptiest."""
        return (
            self.kind == BlobKind.DATA,
            self.size >= small,
            -self.unused_bytes / self.used_bytes,
            self.id,
        )


def blobs_of(index: Index) -> Iterator[list[tuple[int, Record]]]:
    """Yield the records of each blob together, each with its number."""
    numbered = enumerate(index.records())
    for dummy, group in itertools.groupby(numbered, key=lambda one: one[1].id):
        records = list(group)
        if len(records) == 1:
            yield records
            continue
        # Data and a tree may have the same bytes, and so the same id.
        for kind in BlobKind:
            alike = [one for one in records if one[1].kind == kind]
            if alike:
                yield alike


class PrunePlanner:
    """Plans for one index: ``marks`` says what is used (see ``Usage``), ``stored`` is the listing
    of packs with their sizes.
    """

    def __init__(
        self, index: Index, marks: bytearray, stored: Mapping[bytes, int], *, version: int
    ) -> None:
        self._index = index
        self._marks = marks
        self._stored = stored
        self._version = version
        self._packs = [_Pack(pack_id, stored.get(pack_id)) for pack_id in index.packs()]
        self._whole = bytearray()
        self._doubled = array.array("Q")
        self._used_bytes = self._unused_bytes = 0
        self._survey()

    def lacks(self, kind: BlobKind, blob_id: bytes) -> bool:
        """Tell whether no pack that is whole, by its size, holds the blob."""
        return not any(
            self._whole[self._index.record(number).pack]
            for number in self._index.numbers(kind, blob_id)
        )

    def broken_packs(self) -> set[bytes]:
        """Return the packs, missing or of another size, that hold the only copy of a used blob."""
        found: set[bytes] = set()
        if not all(self._whole):
            for copies in blobs_of(self._index):
                if self._marks[copies[0][0]] and not self._copies(copies):
                    found.update(self._packs[record.pack].id for dummy, record in copies)
        return found

    def _survey(self) -> None:
        """Count what each pack holds; of blobs with several copies, none is chosen yet."""
        self._find_sizes()
        packs = self._packs
        for copies in blobs_of(self._index):
            used = bool(self._marks[copies[0][0]])
            whole = self._copies(copies) if used else []
            for dummy, record in copies:
                single = len(whole) == 1 and record is whole[0]
                packs[record.pack].count(record, used=single)
                if single:
                    self._used_bytes += record.length
                else:
                    self._unused_bytes += record.length
            if len(whole) > 1:
                self._doubled.append(copies[0][0] << _PLACE_BITS | len(copies))
                for record in whole:
                    packs[record.pack].doubled_blobs += 1
        self._choose_copies()

    def _find_sizes(self) -> None:
        """Compare each pack's size with the listing, before any copy in it counts."""
        packs = self._packs
        sizes = [EMPTY_PACK_BYTES] * len(packs)
        compressed, plain = entry_bytes(0), entry_bytes(None)
        for dummy, kind, number, dummy_offset, length, plain_length in self._index.records():
            pack = packs[number]
            if pack.kind != kind:
                pack.kind = kind if pack.kind == _NO_KIND else _MIXED
            if plain_length == NOT_COMPRESSED:
                pack.is_compressed = False
                header = plain
            else:
                header = compressed
            pack.used_bytes += header
            sizes[number] += length + header
        self._whole = bytearray(
            pack.stored == size for pack, size in zip(packs, sizes, strict=True)
        )

    def _copies(self, copies: Iterable[tuple[int, Record]]) -> list[Record]:
        """Return those of the records of a blob that can be relied on."""
        return [record for dummy, record in copies if self._whole[record.pack]]

    def _choose_copies(self) -> None:
        """Choose the copy that stays of each used blob with several: in a pack that is needed
        anyway, or that holds nothing else, as an interrupted prune leaves it; else the last.
        """
        for word in self._doubled:
            first, count = word >> _PLACE_BITS, word & ((1 << _PLACE_BITS) - 1)
            numbers = range(first, len(self._index))
            kind = self._index.record(first).kind
            records = self._records_alike(numbers, kind, count)
            whole = self._copies((0, record) for record in records)
            for record in whole:
                pack = self._packs[record.pack]
                if pack.used_blobs or pack.doubled_blobs == pack.unused_blobs:
                    break
            self._packs[record.pack].take_up(record)
            self._used_bytes += record.length
            self._unused_bytes -= record.length

    def _records_alike(self, numbers: Iterable[int], kind: int, count: int) -> list[Record]:
        alike = (r for r in map(self._index.record, numbers) if r.kind == kind)
        return list(itertools.islice(alike, count))

    def choose(self, *, max_unused_percent: float = 0, repack: bool = True) -> PackChoice:
        """Return what becomes of the packs when at most ``max_unused_percent`` of the blobs' bytes
        may stay unused; without ``repack`` only whole packs go.
        """
        unneeded = [p for p in self._packs if p.stored is not None and not p.used_blobs]
        lost = [p for p in self._packs if p.stored is None]
        gone = sum(p.unused_bytes for p in (*unneeded, *lost))
        limit = int(max_unused_percent / (100 - max_unused_percent) * self._used_bytes)
        chosen = list(self._repacked(self._unused_bytes - gone, limit)) if repack else []
        unreferenced = sorted(set(self._stored) - {p.id for p in self._packs})
        removed = sum(p.unused_bytes for p in chosen)
        freed = sum(map(self._stored.__getitem__, unreferenced))
        freed += sum(p.stored or 0 for p in unneeded) + removed
        numbers = {p.id: number for number, p in enumerate(self._packs)} if chosen else {}
        return PackChoice(
            unreferenced=tuple(unreferenced),
            unneeded=tuple(sorted(p.id for p in unneeded)),
            lost=tuple(sorted(p.id for p in lost)),
            repacked=tuple(sorted(numbers[p.id] for p in chosen)),
            kept=len(self._packs) - len(unneeded) - len(lost) - len(chosen),
            used_bytes=self._used_bytes,
            unused_bytes=self._unused_bytes,
            unused_bytes_after=self._unused_bytes - gone - removed,
            freed_bytes=freed,
            repacked_bytes=sum(p.size for p in chosen),
            removed_blobs=sum(p.unused_blobs for p in (*unneeded, *lost, *chosen)),
        )

    def _repacked(self, unused_bytes: int, limit: int) -> Iterator[_Pack]:
        """Yield the packs to pack anew, until what stays unused is below ``limit`` bytes."""
        small = small_pack_bytes(self._stored.values())
        for pack in sorted(self._candidates(small), key=operator.methodcaller("order", small)):
            needs_it = pack.kind != BlobKind.DATA
            if needs_it or unused_bytes >= limit or pack.size < small:
                unused_bytes -= pack.unused_bytes
                yield pack

    def _candidates(self, small: int) -> list[_Pack]:
        candidates, small_ones = [], []
        for pack in self._packs:
            if pack.stored is None or not pack.used_blobs:
                continue
            uncompressed_trees = (
                self._version > 1 and pack.kind == BlobKind.TREE and not pack.is_compressed
            )
            if pack.unused_blobs or pack.kind == _MIXED or uncompressed_trees:
                candidates.append(pack)
            elif pack.stored < small:
                small_ones.append(pack)
        return candidates + (small_ones if len(small_ones) >= _LEAST_SMALL_PACKS else [])

    def blobs_to_repack(self, choice: PackChoice) -> array.array[int]:
        """Return the numbers of the records to copy out of the packs that are packed anew, pack by
        pack, in the order of offsets. What a pack that stays holds too is not copied.
        """
        going = {*choice.unneeded, *choice.lost}
        repacked = bytearray(len(self._packs))
        staying = bytearray(
            whole and pack.id not in going
            for whole, pack in zip(self._whole, self._packs, strict=True)
        )
        for number in choice.repacked:
            repacked[number], staying[number] = 1, 0
        words = array.array("Q")
        for copies in blobs_of(self._index):
            if not self._marks[copies[0][0]] or any(staying[r.pack] for dummy, r in copies):
                continue
            number, record = next(one for one in copies if repacked[one[1].pack])
            words.append(record.pack << _PLACE_BITS | number)
        return self._by_offset(words)

    def _by_offset(self, words: Sequence[int]) -> array.array[int]:
        mask = (1 << _PLACE_BITS) - 1
        found = array.array("Q")
        for dummy, group in itertools.groupby(sorted(words), key=lambda word: word >> _PLACE_BITS):
            numbers = [word & mask for word in group]
            found.extend(sorted(numbers, key=lambda number: self._index.record(number).offset))
        return found


def small_pack_bytes(sizes: Iterable[int]) -> int:
    """Return the size below which a pack counts as small, among packs of these ``sizes``."""
    ordered = sorted(sizes)
    if not ordered:
        return int(_SMALL_FACTOR * _LEAST_PACK_BYTES)
    typical = ordered[len(ordered) * _SMALL_PERCENT // 100]
    return int(_SMALL_FACTOR * max(_LEAST_PACK_BYTES, typical))
