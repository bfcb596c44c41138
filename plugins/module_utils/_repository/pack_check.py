# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""What the bytes of one pack turn out to be: every one of them read, every blob opened.

Nothing is believed: neither the name, nor the header, nor the index. A pack of any size is read in
bounded memory. What is to be done about damage is not known here.
"""

from __future__ import annotations

import dataclasses
import hashlib
import typing as t

from .._core.errors import ObjectTooShort, RepositoryDamaged
from .._core.units import MIB, plural
from . import crypto
from .blob_codec import BlobDecoder
from .compression import decompress_all, new_decompressor
from .model import BlobKind, Location, PackRecord, StoredBlob
from .pack import TRAILER, decode_pack, header_length, pack_name

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from .._storage.base import Backend
    from .crypto import MasterKey

# Packs of 16 MiB are the rule, of 128 MiB the most that restic makes; larger ones are read twice.
WHOLE_BYTES = 32 * MIB
_PIECE_BYTES = 8 * MIB

BlobName = tuple[BlobKind, bytes]


def reason_of(exc: RepositoryDamaged | ObjectTooShort) -> str:
    """Return why something is damaged, without its name in front and the full stop behind."""
    return exc.message.partition(" is damaged: ")[2].rstrip(".") or exc.message.rstrip(".")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PackReading:
    """A pack that was read to its end.

    ``problems`` say what is wrong with the file, in words; there are none for one that is whole.
    ``misindexed``: the index says something else than the header. ``record`` is what the header
    says, None where that cannot be read. ``entries`` are the blobs that header or index place in
    it, by offset; ``bad`` are those that do not come out of it.
    """

    id: bytes
    size: int
    problems: tuple[str, ...]
    misindexed: bool
    record: PackRecord | None
    entries: tuple[StoredBlob, ...]
    bad: frozenset[BlobName]


class PackBytes:
    """The bytes of one pack, in memory where they are few."""

    def __init__(self, backend: Backend, pack_id: bytes, size: int) -> None:
        self._backend = backend
        self._name = pack_name(pack_id)
        self.size = size
        self._whole = backend.read(self._name, 0, size) if size <= WHOLE_BYTES else None

    def read(self, offset: int, length: int) -> bytes | memoryview:
        """Return a range. Raises ``ObjectTooShort`` for one that ends behind the pack."""
        if offset + length > self.size:
            raise ObjectTooShort(f"the pack ends at byte {self.size:,}")
        if self._whole is not None:
            return memoryview(self._whole)[offset : offset + length]
        return self._backend.read(self._name, offset, length)

    def digest(self) -> bytes:
        """Return the SHA-256 of all bytes."""
        found = hashlib.sha256()
        for start in range(0, self.size, _PIECE_BYTES):
            found.update(self.read(start, min(_PIECE_BYTES, self.size - start)))
        return found.digest()


class PackReader:
    """Reads packs of one repository. Belongs to one thread.

    ``on_blob`` is called with each blob that comes out whole, and its plain bytes.
    """

    def __init__(
        self,
        key: MasterKey,
        backend: Backend,
        *,
        on_blob: Callable[[BlobName, bytes], None] = lambda name, plain: None,
    ) -> None:
        self._key = key
        self._backend = backend
        self._decoder = BlobDecoder(key)
        self._decompressor = new_decompressor()
        self._on_blob = on_blob

    def read(self, pack_id: bytes, size: int, indexed: Iterable[StoredBlob] | None) -> PackReading:
        """Read a pack of ``size`` bytes that the index says to hold ``indexed``; None stands for no
        index.

        Raises ``ObjectMissing`` when it is not there (any more), or what else the storage raises;
        damage is returned.
        """
        stored = PackBytes(self._backend, pack_id, size)
        problems = self._name_problems(stored, pack_id)
        record: PackRecord | None = None
        try:
            record = self._read_header(stored, pack_id)
        except (RepositoryDamaged, ObjectTooShort) as exc:
            problems.append(f"its header cannot be read ({reason_of(exc)})")
        named = None if indexed is None else tuple(sorted(indexed, key=_place))
        entries = tuple(sorted({*(record.blobs if record else ()), *(named or ())}, key=_place))
        good = {(blob.kind, blob.id) for blob in entries if self._opens(stored, blob)}
        bad = frozenset((blob.kind, blob.id) for blob in entries) - good
        lost = bad if record is None else bad & {(blob.kind, blob.id) for blob in record.blobs}
        if lost:
            problems.append(f"{plural(len(lost), 'blob')} of {len(bad | good)} cannot be read")
        return PackReading(
            id=pack_id,
            size=stored.size,
            problems=tuple(problems),
            misindexed=record is not None and named not in {None, record.blobs},
            record=record,
            entries=entries,
            bad=bad,
        )

    @staticmethod
    def _name_problems(stored: PackBytes, pack_id: bytes) -> list[str]:
        if not stored.size:
            return ["it is empty"]
        if stored.digest() != pack_id:
            return [f"the SHA-256 of its {stored.size:,} bytes is not its name"]
        return []

    def _read_header(self, stored: PackBytes, pack_id: bytes) -> PackRecord:
        name = pack_name(pack_id)
        if stored.size < TRAILER.size:
            raise RepositoryDamaged(f"{name} is damaged: {stored.size} bytes are no pack.")
        trailer = stored.read(stored.size - TRAILER.size, TRAILER.size)
        length = header_length(stored.size, trailer, name=name)
        header = stored.read(stored.size - length - TRAILER.size, length)
        return decode_pack(self._key, pack_id, stored.size, header, name=name)

    def _opens(self, stored: PackBytes, blob: StoredBlob) -> bool:
        location = Location(
            pack=b"", offset=blob.offset, length=blob.length, plain_length=blob.plain_length
        )
        try:
            sealed = stored.read(blob.offset, blob.length)
            plain = self._decoder.decode(blob.id, location, sealed, name="A blob")
        except (RepositoryDamaged, ObjectTooShort):
            return False
        self._on_blob((blob.kind, blob.id), plain)
        return True

    def salvage(self, reading: PackReading) -> Iterator[tuple[StoredBlob, bytes]]:
        """Yield each blob that still opens in a damaged pack, as it lies there, and its plain
        bytes.

        What opens under our key and has the id of any blob of this pack is that blob, whether or
        not it lies where it should.
        """
        stored = PackBytes(self._backend, reading.id, reading.size)
        wanted = {(blob.kind, blob.id) for blob in reading.entries}
        for blob in reading.entries:
            try:
                sealed = stored.read(blob.offset, blob.length)
                plain = self._open(blob, sealed)
            except (RepositoryDamaged, ObjectTooShort):
                continue
            blob_id = hashlib.sha256(plain).digest()
            if (blob.kind, blob_id) in wanted:
                plain_length = None if blob.plain_length is None else len(plain)
                yield dataclasses.replace(blob, id=blob_id, plain_length=plain_length), plain

    def _open(self, blob: StoredBlob, sealed: bytes | memoryview) -> bytes:
        opened = crypto.unseal_view(self._key, sealed, name="A blob")
        if blob.plain_length is None:
            return bytes(opened)
        return decompress_all(self._decompressor, opened, name="A blob")


def _place(blob: StoredBlob) -> tuple[int, int, bytes]:
    return blob.offset, blob.length, blob.id
