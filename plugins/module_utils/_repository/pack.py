# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""Pack files: ``blob || ... || blob || sealed(header) || uint32le(length of the sealed header)``.

restic compares the size of the file with what header and index say, so nothing else may be in it.
The header names the blobs in the order in which they lie; offsets follow from the lengths, without
gaps. This file knows neither storage nor compression.
"""

from __future__ import annotations

import dataclasses
import hashlib
import struct
import typing as t

from .._core.errors import RepositoryDamaged
from . import crypto
from .model import BlobKind, PackRecord, PackTail, StoredBlob

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .._storage.model import Buffer
    from .crypto import MasterKey

TRAILER = struct.Struct("<I")
# Type, sealed length, id; and with the plain length between for a compressed blob, whose type is 2
# higher.
_PLAIN_ENTRY = struct.Struct("<BI32s")
_COMPRESSED_ENTRY = struct.Struct("<BII32s")
_COMPRESSED_TYPES = 2
EMPTY_PACK_BYTES = crypto.SEAL_BYTES + TRAILER.size
# restic reads headers up to 16 MiB, which is some 409,000 blobs; an index file's worth is plenty
# for one pack.
MAX_HEADER_BYTES = 16 * 1024 * 1024
MAX_BLOBS = 50_000

_FIRST_ROOM = 1 << 16


def pack_name(pack_id: bytes) -> str:
    """Return the name under which a pack is stored."""
    text = pack_id.hex()
    return f"data/{text[:2]}/{text}"


def entry_bytes(plain_length: int | None) -> int:
    """Return what a blob adds to the header; None stands for one that is not compressed."""
    return _PLAIN_ENTRY.size if plain_length is None else _COMPRESSED_ENTRY.size


def encode_header(blobs: Iterable[StoredBlob]) -> bytes:
    """Return the plain header for blobs in the order in which they lie."""
    parts = []
    for blob in blobs:
        if blob.plain_length is None:
            parts.append(_PLAIN_ENTRY.pack(blob.kind, blob.length, blob.id))
        else:
            kind = blob.kind + _COMPRESSED_TYPES
            parts.append(_COMPRESSED_ENTRY.pack(kind, blob.length, blob.plain_length, blob.id))
    return b"".join(parts)


def decode_header(header: Buffer, *, name: str) -> tuple[StoredBlob, ...]:
    """Return the blobs that a plain header names. Raises ``RepositoryDamaged`` when it does not
    parse.
    """
    view = memoryview(header)
    blobs: list[StoredBlob] = []
    at = offset = 0
    try:
        while at < len(view):
            plain_length: int | None = None
            if view[at] < _COMPRESSED_TYPES:
                kind, length, blob_id = _PLAIN_ENTRY.unpack_from(view, at)
                at += _PLAIN_ENTRY.size
            else:
                kind, length, plain_length, blob_id = _COMPRESSED_ENTRY.unpack_from(view, at)
                kind -= _COMPRESSED_TYPES
                at += _COMPRESSED_ENTRY.size
            blobs.append(
                StoredBlob(
                    id=blob_id,
                    kind=BlobKind(kind),
                    offset=offset,
                    length=length,
                    plain_length=plain_length,
                )
            )
            offset += length
    except (struct.error, ValueError) as exc:
        raise RepositoryDamaged(f"{name} is damaged: its header does not parse ({exc}).") from exc
    return tuple(blobs)


def header_length(size: int, trailer: Buffer, *, name: str) -> int:
    """Return the length of the sealed header from the last 4 bytes of a pack of ``size`` bytes.

    Raises ``RepositoryDamaged`` for a length that cannot be.
    """
    (length,) = TRAILER.unpack(trailer)
    least = crypto.SEAL_BYTES + _PLAIN_ENTRY.size
    if not least <= length <= min(size - TRAILER.size, MAX_HEADER_BYTES):
        raise RepositoryDamaged(
            f"{name} is damaged: its {size:,} bytes cannot end in a header of {length:,}."
        )
    return int(length)


def decode_pack(
    key: MasterKey, pack_id: bytes, size: int, sealed_header: Buffer, *, name: str
) -> PackRecord:
    """Return what a pack holds, from its sealed header.

    Raises ``RepositoryDamaged`` when the tag does not fit, or the blobs and ``size`` do not.
    """
    blobs = decode_header(crypto.unseal_view(key, sealed_header, name=name), name=name)
    whole = sum(blob.length for blob in blobs) + len(sealed_header) + TRAILER.size
    if whole != size:
        raise RepositoryDamaged(
            f"{name} is damaged: it has {size:,} bytes, its header describes {whole:,}."
        )
    return PackRecord(id=pack_id, size=size, blobs=blobs)


class OpenPack:
    """A pack that is being filled, in one buffer that is used again for the next one.

    Blobs are sealed straight into the buffer: ``room_for``, write, release the view, ``add``.
    Belongs to one thread.
    """

    def __init__(self, key: MasterKey, target_bytes: int) -> None:
        self._key = key
        self._target_bytes = target_bytes
        self._buffer = bytearray(_FIRST_ROOM)
        self._blobs: list[StoredBlob] = []
        self._end = 0
        self._header_bytes = 0

    @property
    def size(self) -> int:
        """The size in bytes that the file would have if it were closed now."""
        return self._end + self._header_bytes + EMPTY_PACK_BYTES

    @property
    def blobs(self) -> tuple[StoredBlob, ...]:
        """The blobs so far."""
        return tuple(self._blobs)

    def tails(self, piece_bytes: int) -> Iterator[PackTail]:
        """Yield copies of the sealed blobs so far, in order, in pieces of at most ``piece_bytes``
        or of one blob.
        """
        piece: list[StoredBlob] = []
        for blob in self._blobs:
            if piece and blob.offset + blob.length - piece[0].offset > piece_bytes:
                yield self._tail(piece)
                piece = []
            piece.append(blob)
        if piece:
            yield self._tail(piece)

    def _tail(self, piece: list[StoredBlob]) -> PackTail:
        start, end = piece[0].offset, piece[-1].offset + piece[-1].length
        return PackTail(
            blobs=tuple(dataclasses.replace(one, offset=one.offset - start) for one in piece),
            sealed=bytes(self._buffer[start:end]),
        )

    def is_full(self) -> bool:
        """Tell whether it is time to close it."""
        return self.size >= self._target_bytes or len(self._blobs) >= MAX_BLOBS

    def room_for(self, length: int) -> memoryview:
        """Return where the next sealed blob of ``length`` bytes belongs; release it before any
        other call.
        """
        self._reserve(length)
        return memoryview(self._buffer)[self._end : self._end + length]

    def add(self, kind: BlobKind, blob_id: bytes, length: int, plain_length: int | None) -> None:
        """Count the blob that was written into ``room_for(length)``."""
        self._blobs.append(
            StoredBlob(
                id=blob_id, kind=kind, offset=self._end, length=length, plain_length=plain_length
            )
        )
        self._end += length
        self._header_bytes += entry_bytes(plain_length)

    def close(self) -> tuple[PackRecord, memoryview]:
        """Append the header; return the record and the bytes, which stay until ``clear``.

        The view is to be released before ``clear``.
        """
        header = encode_header(self._blobs)
        length = len(header) + crypto.SEAL_BYTES
        self._reserve(length + TRAILER.size)
        end = self._end + length
        with memoryview(self._buffer) as view:
            crypto.seal_into(self._key, header, view[self._end : end])
        TRAILER.pack_into(self._buffer, end, length)
        whole = memoryview(self._buffer)[: end + TRAILER.size]
        pack_id = hashlib.sha256(whole).digest()
        return PackRecord(id=pack_id, size=len(whole), blobs=self.blobs), whole

    def clear(self) -> None:
        """Begin the next pack in the same memory."""
        self._blobs.clear()
        self._end = self._header_bytes = 0

    def _reserve(self, length: int) -> None:
        missing = self._end + length - len(self._buffer)
        if missing > 0:
            # Doubled while small, so that the pack of a few trees stays small; then to its full
            # size at once.
            step = min(len(self._buffer), max(0, self._target_bytes - len(self._buffer)))
            self._buffer.extend(bytes(max(missing, step)))
