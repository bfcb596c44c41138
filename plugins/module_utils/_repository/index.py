# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""Where every blob is: the index of a repository in memory.

48 bytes a blob, sorted, in one anonymous shared map: forked workers read the same pages, no
reference count makes them private. 65,537 numbers in front say where each two-byte beginning of an
id starts, so a look-up compares about log2(n / 65,536) ids. ``index_load.py`` fills it.
"""

from __future__ import annotations

import bisect
import mmap
import struct
import typing as t

from .index_file import ENTRY, NOT_COMPRESSED
from .model import ID_BYTES, BlobKind, Location, split_ids

if t.TYPE_CHECKING:
    from collections.abc import Iterator

# The pack's number, and the kind as its highest bit, follow the entry.
_PACK_WORD = struct.Struct("<I")
_KIND_SHIFT = 31
_KIND_BIT = _KIND_SHIFT % 8  # in the last byte of the word
_PACK_MASK = (1 << _KIND_SHIFT) - 1
_RECORD = struct.Struct(ENTRY.format + "I")
_STARTS = 1 << 16
_BOUNDS = struct.Struct("<II")
_BUCKETS = 256
_FIRST_BUCKET_BYTES = 1 << 14
_RECORDS_AT_ONCE = 4096


class Record(t.NamedTuple):
    """A place of a blob. ``pack`` is the pack's place in ``Index.packs``; ``plain_length`` may be
    ``NOT_COMPRESSED``.
    """

    id: bytes
    kind: int
    pack: int
    offset: int
    length: int
    plain_length: int


class Index:
    """An immutable map from (kind, id) to the places of the blob. May be read by several threads
    and forked processes.
    """

    def __init__(self, memory: mmap.mmap, blobs: int, packs: int) -> None:
        self._memory = memory
        self._blobs = blobs
        self._packs = packs
        self._records = 4 * (_STARTS + 1)
        self._pack_ids = self._records + _RECORD.size * blobs

    def __len__(self) -> int:
        """Return the number of blobs; one that lies in two packs counts twice."""
        return self._blobs

    @property
    def pack_count(self) -> int:
        """The number of packs that hold them."""
        return self._packs

    def has(self, kind: BlobKind, blob_id: bytes) -> bool:
        """Tell whether the blob is stored."""
        return next(self.numbers(kind, blob_id), None) is not None

    def find(self, kind: BlobKind, blob_id: bytes) -> Location | None:
        """Return a place where the blob can be read, or None if it is not stored."""
        return next(self.locations(kind, blob_id), None)

    def locations(self, kind: BlobKind, blob_id: bytes) -> Iterator[Location]:
        """Yield all places where the blob can be read."""
        for number in self.numbers(kind, blob_id):
            record = _RECORD.unpack_from(self._memory, self._records + number * _RECORD.size)
            dummy, offset, length, plain_length, word = record
            at = self._pack_ids + ID_BYTES * (word & _PACK_MASK)
            yield Location(
                pack=self._memory[at : at + ID_BYTES],
                offset=offset,
                length=length,
                plain_length=None if plain_length == NOT_COMPRESSED else plain_length,
            )

    def mark(self, kind: BlobKind, ids: bytes, marks: bytearray) -> list[bytes]:
        """Set the byte in ``marks``, one a record, of the first record of each blob in ``ids`` (a
        run of ids) to 1; return those that are not stored.
        """
        memory, records, size = self._memory, self._records, _RECORD.size
        kind_at, bounds = size - 1, _BOUNDS.unpack_from
        unknown = []
        for start in range(0, len(ids), ID_BYTES):
            blob_id = ids[start : start + ID_BYTES]
            low, high = bounds(memory, 4 * (blob_id[0] << 8 | blob_id[1]))
            # The records of one beginning are few: a search in C beats halving in Python.
            at = memory.find(blob_id, records + low * size, records + high * size)
            number, rest = divmod(at - records, size)
            if at >= 0 and rest == 0 and memory[at + kind_at] >> _KIND_BIT == kind:
                marks[number] = 1
                continue
            found = next(self.numbers(kind, blob_id), None)
            if found is None:
                unknown.append(blob_id)
            else:
                marks[found] = 1
        return unknown

    def records(self) -> Iterator[Record]:
        """Yield all records in the order of their numbers: by id, those of one blob together."""
        end = self._records + _RECORD.size * self._blobs
        for start in range(self._records, end, _RECORD.size * _RECORDS_AT_ONCE):
            part = self._memory[start : min(end, start + _RECORD.size * _RECORDS_AT_ONCE)]
            for blob_id, offset, length, plain_length, word in _RECORD.iter_unpack(part):
                kind, pack = word >> _KIND_SHIFT, word & _PACK_MASK
                yield Record(blob_id, kind, pack, offset, length, plain_length)

    def record(self, number: int) -> Record:
        """Return one record."""
        found = _RECORD.unpack_from(self._memory, self._records + number * _RECORD.size)
        blob_id, offset, length, plain_length, word = found
        kind, pack = word >> _KIND_SHIFT, word & _PACK_MASK
        return Record(blob_id, kind, pack, offset, length, plain_length)

    def packs(self) -> list[bytes]:
        """Return the ids of all packs; a record names one by its place in this list."""
        return split_ids(self._memory[self._pack_ids : self._pack_ids + ID_BYTES * self._packs])

    def numbers(self, kind: BlobKind, blob_id: bytes) -> Iterator[int]:
        """Yield the numbers of the records of a blob, from 0, below ``len``."""
        memory, records, size = self._memory, self._records, _RECORD.size
        low, end = _BOUNDS.unpack_from(memory, 4 * (blob_id[0] << 8 | blob_id[1]))
        high = end
        while low < high:
            middle = (low + high) // 2
            at = records + middle * size
            if memory[at : at + ID_BYTES] < blob_id:
                low = middle + 1
            else:
                high = middle
        while low < end:
            at = records + low * size
            if memory[at : at + ID_BYTES] != blob_id:
                return
            (word,) = _PACK_WORD.unpack_from(memory, at + ENTRY.size)
            if word >> _KIND_SHIFT == kind:
                yield low
            low += 1


class _Bucket:
    """The records whose ids begin with one byte, in a map of their own.

    A map goes back to the system as a whole; 48 MB in bytearrays left as much behind on the heap.
    """

    def __init__(self) -> None:
        self._map: mmap.mmap | None = None

    def write(self, record: bytes) -> None:
        if self._map is None:
            # Private, because a shared map that grows has nothing behind its new pages (SIGBUS).
            flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
            self._map = mmap.mmap(-1, _FIRST_BUCKET_BYTES, flags=flags)
        if self._map.tell() + len(record) > len(self._map):
            self._map.resize(2 * len(self._map))
        self._map.write(record)

    def __len__(self) -> int:
        """Return the bytes written."""
        return 0 if self._map is None else self._map.tell()

    def sort(self) -> bytes:
        """Return the records in order, each once."""
        if self._map is None:
            return b""
        size = _RECORD.size
        raw = self._map[: self._map.tell()]
        return b"".join(sorted({raw[at : at + size] for at in range(0, len(raw), size)}))

    def close(self) -> None:
        if self._map is not None:
            self._map.close()


class IndexBuilder:
    """Collects records in any order, then makes the index of them."""

    def __init__(self) -> None:
        self._buckets = [_Bucket() for dummy in range(_BUCKETS)]
        self._packs: dict[bytes, int] = {}

    def has_pack(self, pack_id: bytes) -> bool:
        """Tell whether blobs of the pack were added."""
        return pack_id in self._packs

    def add(self, pack_id: bytes, blobs: list[tuple[BlobKind, bytes]]) -> None:
        """Add blobs of a pack, each as ``ENTRY``; adding the same again changes nothing."""
        number = self._packs.setdefault(pack_id, len(self._packs))
        words = [_PACK_WORD.pack(number | kind << _KIND_SHIFT) for kind in BlobKind]
        buckets = self._buckets
        for kind, entry in blobs:
            buckets[entry[0]].write(entry + words[kind])

    def build(self) -> Index:
        """Sort and return the index; the builder is not to be used afterwards."""
        size = _RECORD.size
        total = sum(len(bucket) for bucket in self._buckets) // size
        head = 4 * (_STARTS + 1)
        memory = mmap.mmap(-1, head + total * size + ID_BYTES * len(self._packs))
        at = head
        for first, bucket in enumerate(self._buckets):
            records = bucket.sort()
            bucket.close()
            self._write_starts(memory, first, (at - head) // size, records[1::size])
            memory[at : at + len(records)] = records
            at += len(records)
        blobs = (at - head) // size
        _PACK_WORD.pack_into(memory, 4 * _STARTS, blobs)
        memory[at : at + ID_BYTES * len(self._packs)] = b"".join(self._packs)
        return Index(memory, blobs, len(self._packs))

    @staticmethod
    def _write_starts(memory: mmap.mmap, first: int, before: int, seconds: bytes) -> None:
        """Write where the records with this first byte begin, by second byte; ``seconds`` are those
        bytes in order.
        """
        starts = (before + bisect.bisect_left(seconds, second) for second in range(_BUCKETS))
        struct.pack_into(f"<{_BUCKETS}I", memory, 4 * _BUCKETS * first, *starts)
