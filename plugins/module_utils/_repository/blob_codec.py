# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""One blob between its plain bytes and its sealed ones: compress and seal, unseal and check.

What is stored is proved before it leaves (restic's self-check): the sealed bytes are opened and
hashed again. What is read is never believed: tag, length and SHA-256 are compared each time.
"""

from __future__ import annotations

import hashlib
import typing as t

from .._core.errors import RepositoryDamaged, RepositoryError
from . import crypto
from .compression import (
    LEVELS,
    MAX_PLAIN_BYTES,
    decompress_exactly,
    new_compressor,
    new_decompressor,
)
from .model import BlobKind, Compression

if t.TYPE_CHECKING:
    from .._storage.model import Buffer
    from .crypto import MasterKey
    from .model import Location


class BlobEncoder:
    """Compresses and seals blobs for a repository of format ``version``. Belongs to one thread."""

    def __init__(self, key: MasterKey, version: int, compression: Compression) -> None:
        self._key = key
        self._compresses = {
            BlobKind.DATA: version > 1 and compression is not Compression.OFF,
            # restic repacks trees that are not compressed with every prune of a version 2.
            BlobKind.TREE: version > 1,
        }
        self._compressor = new_compressor(LEVELS.get(compression, LEVELS[Compression.AUTO]))
        self._decompressor = new_decompressor()
        self._room = bytearray()

    def compress(self, kind: BlobKind, data: Buffer) -> tuple[Buffer, int | None]:
        """Return what is to be sealed, and the plain length if that is compressed.

        Raises ``RepositoryError`` for a blob that is too large to be read again.
        """
        if len(data) > MAX_PLAIN_BYTES:
            raise RepositoryError(
                f"A {kind.name.lower()} blob of {len(data):,} bytes is larger than the "
                f"{MAX_PLAIN_BYTES:,} that one may have."
            )
        if not self._compresses[kind]:
            return data, None
        return self._compressor.compress(data), len(data)

    def seal_into(
        self, blob_id: bytes, content: Buffer, plain_length: int | None, slot: memoryview
    ) -> None:
        """Seal ``content`` into ``slot`` and prove that the plain bytes of ``blob_id`` come out of
        it.

        Raises ``RepositoryError`` when they do not: memory or processor of this host is at fault.
        """
        crypto.seal_into(self._key, content, slot)
        if len(self._room) < len(slot):
            self._room = bytearray(len(slot) + len(slot) // 2)
        name = f"Blob {blob_id.hex()}"
        try:
            opened: Buffer = crypto.unseal_view(self._key, slot, name=name, room=self._room)
            if plain_length is not None:
                opened = decompress_exactly(self._decompressor, opened, plain_length, name=name)
        except RepositoryDamaged as exc:
            raise RepositoryError(_broken_host(blob_id, exc.message)) from exc
        if hashlib.sha256(opened).digest() != blob_id:
            raise RepositoryError(_broken_host(blob_id, "its SHA-256 changed"))


def _broken_host(blob_id: bytes, why: str) -> str:
    return (
        f"Blob {blob_id.hex()} does not come out of its sealed bytes as it went in ({why}), "
        "so it was not stored; test the memory of this host."
    )


class BlobDecoder:
    """Opens sealed blobs and believes nothing. Belongs to one thread."""

    def __init__(self, key: MasterKey) -> None:
        self._key = key
        self._decompressor = new_decompressor()
        self._room = bytearray()

    def decode(self, blob_id: bytes, location: Location, sealed: Buffer, *, name: str) -> bytes:
        """Return the plain bytes of the blob ``blob_id``, that were read from ``location``.

        ``name`` says in ``RepositoryDamaged`` which blob of which pack it is.
        """
        return bytes(self._open(blob_id, location, sealed, name)[1])

    def content(self, blob_id: bytes, location: Location, sealed: Buffer, *, name: str) -> Buffer:
        """Return what was sealed, compressed or not, checked as by ``decode``.

        It is valid until the next call.
        """
        return self._open(blob_id, location, sealed, name)[0]

    def _open(
        self, blob_id: bytes, location: Location, sealed: Buffer, name: str
    ) -> tuple[Buffer, Buffer]:
        """Return what was sealed, and the plain bytes, which are checked."""
        if len(self._room) < len(sealed):
            self._room = bytearray(len(sealed) + len(sealed) // 2)
        opened = crypto.unseal_view(self._key, sealed, name=name, room=self._room)
        plain: Buffer = opened
        if location.plain_length is not None:
            plain = decompress_exactly(self._decompressor, opened, location.plain_length, name=name)
        if hashlib.sha256(plain).digest() != blob_id:
            raise RepositoryDamaged(f"{name} is damaged: its SHA-256 is not its id.")
        return opened, plain
