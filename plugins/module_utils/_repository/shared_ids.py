# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""The ids of blobs that are new in this run, in memory that forked workers share, so that equal
tables are stored once.

There is no lock: a worker that is killed can leave none behind, and none is needed. A slot is empty
or holds an id. Two workers that fill the same slot at once can lose one of the two ids, or leave a
mixture that equals neither; both only make a blob look new, and a blob that is stored twice is
harmless. A blob can never look known unless somebody wrote its whole id, and nobody writes an id
that he does not go on to store.
"""

from __future__ import annotations

import mmap
import typing as t

from .model import ID_BYTES, BlobKind

_EMPTY = bytes(ID_BYTES)
_LEAST_SLOTS = 1 << 16
_MOST_SLOTS = 1 << 24  # 512 MiB of addresses; a page costs memory only once an id falls into it
_SLOTS_PER_MIB = 4  # a blob has 1 MiB on average, less in small tables
_MAX_PROBES = 64
_TREE_MARK = 0x55  # makes the id of a tree another one than that of data with the same bytes
_MIB = 1 << 20


class SharedIds:
    """A set of (kind, id), made before the workers are forked. It only grows."""

    def __init__(self, slots: int) -> None:
        """Make room for ``slots`` ids, rounded up to a power of two; half full it works best."""
        self._mask = (1 << max(0, slots - 1).bit_length()) - 1
        self._memory = mmap.mmap(-1, (self._mask + 1) * ID_BYTES)

    @classmethod
    def for_bytes(cls, expected_bytes: int) -> t.Self:
        """Return a set fit for a run that reads ``expected_bytes``; more than that works too, less
        well.
        """
        slots = expected_bytes // _MIB * _SLOTS_PER_MIB
        return cls(max(_LEAST_SLOTS, min(_MOST_SLOTS, slots)))

    def add(self, kind: BlobKind, blob_id: bytes) -> bool:
        """Claim a blob: True if it is the caller's to store, False if somebody has claimed it
        before.

        Where the set is full, and in a rare race of two callers, True is returned for a blob that
        is claimed already.
        """
        if kind is BlobKind.TREE:
            blob_id = blob_id[:-1] + bytes((blob_id[-1] ^ _TREE_MARK,))
        memory = self._memory
        slot = int.from_bytes(blob_id[:8], "little")
        for probe in range(_MAX_PROBES):
            start = ((slot + probe) & self._mask) * ID_BYTES
            found = memory[start : start + ID_BYTES]
            if found == blob_id:
                return False
            if found == _EMPTY:
                memory[start : start + ID_BYTES] = blob_id
                return True
        return True

    def close(self) -> None:
        """Give the memory of this process back."""
        self._memory.close()
