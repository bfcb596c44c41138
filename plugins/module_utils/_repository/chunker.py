# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""Cuts bytes into blobs at places that the bytes themselves choose (FastCDC), so that an insertion
moves no later cut.

The parameters are part of the snapshot's format: with others the same rows would give other blobs,
and the first backup after the change would store everything again.
"""

from __future__ import annotations

import typing as t

if t.TYPE_CHECKING:
    from .._storage.model import Buffer

MIN_BYTES = 512 * 1024
AVERAGE_BYTES = 1024 * 1024
MAX_BYTES = 8 * 1024 * 1024
_NORMALIZATION: t.Final = 1
# The library takes 63 bits; a polynomial of restic has 54. Unseeded, anybody who sees the sizes of
# packs could tell which known text they hold.
_SEED_MASK = (1 << 63) - 1


class Chunker:
    """Cuts whole buffers; ``polynomial`` is the one in the repository's config. Keeps nothing
    between calls.
    """

    def __init__(self, polynomial: int) -> None:
        from pyfastcdc import FastCDC

        self._cdc = FastCDC(
            AVERAGE_BYTES,
            min_size=MIN_BYTES,
            max_size=MAX_BYTES,
            normalized_chunking=_NORMALIZATION,
            seed=polynomial & _SEED_MASK,
        )

    def cut(self, data: Buffer) -> list[memoryview]:
        """Return the blobs of ``data`` in order, as views of it; none for no bytes."""
        return [chunk.data for chunk in self._cdc.cut_buf(data)]


class StreamChunker:
    """Cuts a stream that comes in pieces exactly as the whole would be cut, on bounded memory.

    Used for one stream after another; belongs to one thread.
    """

    def __init__(self, polynomial: int) -> None:
        self._chunker = Chunker(polynomial)
        self._buffer = bytearray(MAX_BYTES)
        self._start = self._end = 0

    def feed(self, data: Buffer) -> list[memoryview]:
        """Take the next bytes and return the blobs that are certain by now, in order.

        The views are those of a buffer that the next call writes over. ``data`` is not needed after
        the return.
        """
        self._make_room(len(data))
        with memoryview(self._buffer) as room:  # a bytearray would copy twice
            room[self._end : self._end + len(data)] = data
        self._end += len(data)
        if self._end - self._start < MAX_BYTES:
            return []
        return self._cut(final=False)

    def finish(self) -> list[memoryview]:
        """Return the last blobs of the stream, and be ready for another stream.

        The views are those of a buffer that the next call writes over.
        """
        blobs = self._cut(final=True)
        self._start = self._end = 0
        return blobs

    def _cut(self, *, final: bool) -> list[memoryview]:
        blobs = self._chunker.cut(memoryview(self._buffer)[self._start : self._end])
        # A blob that ends where the bytes do might go on with the next ones.
        if not final and blobs and len(blobs[-1]) < MAX_BYTES:
            del blobs[-1]
        self._start += sum(len(blob) for blob in blobs)
        return blobs

    def _make_room(self, length: int) -> None:
        """Move what is left to the front, into a larger buffer if it needs one: views of the old
        one may be alive.
        """
        kept = self._end - self._start
        if kept + length > len(self._buffer):
            larger = bytearray(kept + length)
            larger[:kept] = memoryview(self._buffer)[self._start : self._end]
            self._buffer = larger
        elif self._end + length > len(self._buffer):
            with memoryview(self._buffer) as view:
                view[:kept] = view[self._start : self._end]
        else:
            return
        self._start, self._end = 0, kept
