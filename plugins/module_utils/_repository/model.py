# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""The plain data of a restic repository: blobs, packs, places.

Ids are 32 bytes here and everywhere inside the engine; lower-case hex outside. This file knows
neither crypto nor storage.
"""

from __future__ import annotations

import dataclasses
import enum

ID_BYTES = 32
# Versions of the restic format that we read and write; 2 is the one with compression.
MIN_VERSION = 1
MAX_VERSION = 2


def split_ids(ids: bytes) -> list[bytes]:
    """Return the single ids in a run of them, in its order."""
    return [ids[start : start + ID_BYTES] for start in range(0, len(ids), ID_BYTES)]


class BlobKind(enum.IntEnum):
    """What a blob holds; the numbers are a pack header's for blobs that are not compressed."""

    DATA = 0
    TREE = 1


class Compression(enum.Enum):
    """How hard to compress data blobs; trees are always compressed in version 2, as restic does."""

    AUTO = "auto"
    MAX = "max"
    OFF = "off"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class StoredBlob:
    """One blob as it lies in a pack.

    ``id`` is the SHA-256 of the plain bytes, ``length`` counts the sealed bytes, ``plain_length``
    is None for a blob that is stored without compression.
    """

    id: bytes
    kind: BlobKind
    offset: int
    length: int
    plain_length: int | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PackRecord:
    """One pack file: id (SHA-256 of the file), size in bytes, blobs in the order of offsets."""

    id: bytes
    size: int
    blobs: tuple[StoredBlob, ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """Where a blob can be read; the fields mean what they mean in ``StoredBlob``."""

    pack: bytes
    offset: int
    length: int
    plain_length: int | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PackTail:
    """Some sealed blobs of one process's packs that did not become full.

    Made to be pickled and sent to the process that completes them. The offsets of ``blobs`` point
    into ``sealed``.
    """

    blobs: tuple[StoredBlob, ...]
    sealed: bytes
