# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""Index files: which blobs lie in which packs, as JSON, and the writer that decides when one is
due.

``{"packs": [{"id", "blobs": [{"id", "type", "offset", "length", "uncompressed_length"}]}]}``; the
last one only for blobs that are compressed, of which it is the mark. ``supersedes`` of old files is
ignored, as restic does.
"""

from __future__ import annotations

import json
import struct
import time
import typing as t

from .._core.errors import RepositoryDamaged
from .model import ID_BYTES, BlobKind, PackRecord, StoredBlob
from .pack import EMPTY_PACK_BYTES, entry_bytes
from .unpacked import write_unpacked

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from .._storage.base import Backend
    from .crypto import MasterKey

# restic begins a new file at these marks too; readers hold one file at a time in memory.
FULL_FILE_BLOBS = 50_000
FILE_SECONDS = 600.0

# A blob in memory without its pack: id, offset, sealed length, plain length.
ENTRY = struct.Struct("<32sIII")
NOT_COMPRESSED = 0xFFFFFFFF  # as plain length; no blob is that long
_KINDS = {"data": BlobKind.DATA, "tree": BlobKind.TREE}
_NAMES = {kind: name for name, kind in _KINDS.items()}


class IndexedPack(t.NamedTuple):
    """One pack of an index file: its id, the size of its file that follows from its blobs, and each
    blob as ``ENTRY``.
    """

    id: bytes
    size: int
    blobs: list[tuple[BlobKind, bytes]]


def decode_index(json_bytes: bytes, *, name: str) -> list[IndexedPack]:
    """Return the packs that an index file names. Raises ``RepositoryDamaged`` if it is none."""
    try:
        # Blobs become 44 bytes each as they are parsed: 50,000 dicts would be 30 MB.
        whole = json.loads(json_bytes, object_hook=_compact)
        return [_checked_pack(pack) for pack in whole["packs"] or ()]
    except (ValueError, KeyError, TypeError, AttributeError, struct.error) as exc:
        raise RepositoryDamaged(
            f"{name} is damaged: it is not the JSON of an index ({exc}).", file=name
        ) from exc


def _compact(found: dict[str, t.Any]) -> t.Any:
    if "offset" in found:
        plain_length = found.get("uncompressed_length") or None
        length = found["length"]
        blob_id = bytes.fromhex(found["id"])
        if len(blob_id) != ID_BYTES:
            raise ValueError(f"blob id {found['id']!r}")
        stated = NOT_COMPRESSED if plain_length is None else plain_length
        entry = ENTRY.pack(blob_id, found["offset"], length, stated)
        return _KINDS[found["type"]], entry, length + entry_bytes(plain_length)
    if "blobs" in found:
        blobs = found["blobs"] or ()
        size = EMPTY_PACK_BYTES + sum(taken for dummy, dummy, taken in blobs)
        pack_id = bytes.fromhex(found["id"])
        return IndexedPack(pack_id, size, [(kind, entry) for kind, entry, dummy in blobs])
    return found


def _checked_pack(pack: object) -> IndexedPack:
    if not isinstance(pack, IndexedPack) or len(pack.id) != ID_BYTES:
        raise ValueError("an entry of packs is not a pack")
    return pack


def to_record(pack: IndexedPack) -> PackRecord:
    """Return a pack of an index file as what is indexed anew."""
    blobs = []
    for kind, entry in pack.blobs:
        blob_id, offset, length, plain_length = ENTRY.unpack(entry)
        blobs.append(
            StoredBlob(
                id=blob_id,
                kind=kind,
                offset=offset,
                length=length,
                plain_length=None if plain_length == NOT_COMPRESSED else plain_length,
            )
        )
    return PackRecord(id=pack.id, size=pack.size, blobs=tuple(blobs))


def encode_index(packs: Iterable[PackRecord]) -> bytes:
    """Return the JSON of an index file; field order and spacing are those of restic."""
    return json.dumps(
        {"packs": [_pack_to_json(pack) for pack in packs]}, separators=(",", ":")
    ).encode("ascii")


def _pack_to_json(pack: PackRecord) -> dict[str, t.Any]:
    blobs = []
    for blob in pack.blobs:
        entry = {
            "id": blob.id.hex(),
            "type": _NAMES[blob.kind],
            "offset": blob.offset,
            "length": blob.length,
        }
        if blob.plain_length is not None:
            entry["uncompressed_length"] = blob.plain_length
        blobs.append(entry)
    return {"id": pack.id.hex(), "blobs": blobs}


class IndexWriter:
    """Collects packs that are durable and writes index files: at 50,000 blobs, after 10 minutes,
    and when told.

    ``guard`` is called before each write and raises what must stop it. Belongs to one thread of the
    coordinator.
    """

    def __init__(
        self, *, key: MasterKey, version: int, backend: Backend, guard: Callable[[], None]
    ) -> None:
        self._key = key
        self._version = version
        self._backend = backend
        self._guard = guard
        self._packs: dict[bytes, PackRecord] = {}
        self._blobs = 0
        self._since = 0.0
        self._written: list[bytes] = []

    @property
    def written(self) -> tuple[bytes, ...]:
        """The ids of the files that were written up to now."""
        return tuple(self._written)

    @property
    def waiting(self) -> tuple[bytes, ...]:
        """The ids of the packs that no file names yet."""
        return tuple(self._packs)

    def add(self, pack: PackRecord) -> None:
        """Take a durable pack into the next file, and write that if it is due. A pack that waits
        already is not taken twice.

        restic 0.19 calls an index file with the same pack twice damaged.
        """
        if pack.id in self._packs:
            return
        if not self._packs:
            self._since = time.monotonic()
        self._packs[pack.id] = pack
        self._blobs += len(pack.blobs)
        if self._blobs >= FULL_FILE_BLOBS or time.monotonic() - self._since >= FILE_SECONDS:
            self._write()

    def flush(self) -> tuple[bytes, ...]:
        """Write what waits, if anything; return the ids of all files written up to now."""
        if self._packs:
            self._write()
        return self.written

    def _write(self) -> None:
        self._guard()
        data = encode_index(self._packs.values())
        self._written.append(write_unpacked(self._backend, self._key, self._version, "index", data))
        self._packs.clear()
        self._blobs = 0
