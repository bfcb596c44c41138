# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""Bytes that arrive in pieces, to blobs: where they are cut, and what is learnt on the way.

Knows neither the server nor what the bytes are for.
"""

from __future__ import annotations

import io
import typing as t

from .._core.units import KIB, MIB
from .._postgres.archive import read_toc
from .._repository.chunker import StreamChunker
from .._repository.model import BlobKind
from .work_units import StoredBytes

if t.TYPE_CHECKING:
    from collections.abc import Callable

    from .._postgres.archive import ArchiveToc
    from .._repository.repository import Repository
    from .._repository.saver import BlobSaver
    from .._storage.model import Buffer

READ_BYTES = MIB
# The header of an archive begins with magic, version and the time of its making, 7 integers of 5
# bytes: the time ends before byte 48 (WriteHead in pg_backup_archiver.c). With it in a blob of its
# own, the rest is the same in every run.
ARCHIVE_TIME_ENDS = 64


class BlobSink:
    """Cuts bytes by content and saves the blobs in order. Blobs never depend on how the bytes were
    fed.
    """

    def __init__(self, saver: BlobSaver, chunker: StreamChunker) -> None:
        self._saver = saver
        self._chunker = chunker
        self._size = 0
        self._ids = bytearray()

    def write(self, data: Buffer) -> None:
        """Take the next bytes; they are copied or saved before the call returns."""
        self._size += len(data)
        for blob in self._chunker.feed(data):
            self._ids += self._saver.save(BlobKind.DATA, blob)

    def cut(self) -> None:
        """End the current blob here, whatever its size."""
        for blob in self._chunker.finish():
            self._ids += self._saver.save(BlobKind.DATA, blob)

    def finish(self) -> StoredBytes:
        """End the last blob; return what was stored since the last call, and begin anew."""
        self.cut()
        stored = StoredBytes(self._size, bytes(self._ids))
        self._size = 0
        self._ids.clear()
        return stored


def open_sink(saver: BlobSaver, repository: Repository) -> BlobSink:
    """Return a sink that cuts as every sink of the repository does."""
    return BlobSink(saver, StreamChunker(repository.config.polynomial))


class RowFiles:
    """A sink for COPY text that begins a new file at the first row's end past ``file_bytes``.

    In COPY text a line feed ends a row and is nothing else (those in values are written as
    backslash and ``n``).
    """

    def __init__(self, sink: BlobSink, file_bytes: int | None) -> None:
        self._sink = sink
        self._file_bytes = file_bytes
        self._left = file_bytes or 0
        self._parts: list[StoredBytes] = []

    def write(self, data: memoryview) -> None:
        """Take the next bytes."""
        if self._file_bytes is None:
            self._sink.write(data)
            return
        while len(data) >= self._left:
            start = max(self._left - 1, 0)
            end = bytes(data[start:]).find(b"\n") + start + 1
            if end == start:
                break
            self._sink.write(data[:end])
            self._parts.append(self._sink.finish())
            data = data[end:]
            self._left = self._file_bytes
        self._sink.write(data)
        self._left = max(self._left - len(data), 1)

    def finish(self) -> tuple[StoredBytes, ...]:
        """Return the files in order; there is at least one, perhaps empty."""
        last = self._sink.finish()
        if last.size or not self._parts:
            self._parts.append(last)
        return tuple(self._parts)


def save_stream(
    descriptor: int, sink: BlobSink, *, archive: bool, check: Callable[[], None]
) -> tuple[StoredBytes, ArchiveToc | None]:
    """Save what comes out of a pipe up to its end, and close it.

    Of an archive, the time of its making and the rest of its table of contents get blobs of their
    own, and the table of contents is returned. ``check`` is called every MiB and may raise.
    """
    # The pipe's own buffer is 64 KiB; larger ones spare switches between the two programs.
    with io.FileIO(descriptor, "rb") as raw, io.BufferedReader(raw, 256 * KIB) as pipe:
        toc = _save_toc(pipe, sink) if archive else None
        while data := pipe.read(READ_BYTES):
            check()
            sink.write(data)
    return sink.finish(), toc


def _save_toc(pipe: t.IO[bytes], sink: BlobSink) -> ArchiveToc:
    head = bytearray()

    def read(size: int) -> bytes:
        data = pipe.read(size)
        head.extend(data)
        return data

    toc = read_toc(read)
    view = memoryview(head)
    for part in (view[:ARCHIVE_TIME_ENDS], view[ARCHIVE_TIME_ENDS:]):
        sink.write(part)
        sink.cut()
    return toc
