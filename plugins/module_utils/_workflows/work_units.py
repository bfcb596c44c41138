# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""The words that the coordinator of a backup and its workers exchange; they are pickled, so keep
them small.
"""

from __future__ import annotations

import dataclasses
import typing as t

if t.TYPE_CHECKING:
    from .._core.errors import GranaryError
    from .._postgres.archive import ArchiveToc
    from .._postgres.model import Table
    from .._postgres.row_versions import RowsBefore
    from .._postgres.segments import PageRange
    from .._repository.model import PackRecord, PackTail


class OpenDatabase(t.NamedTuple):
    """Connect to a database, take the coordinator's snapshot, lock ``tables``; answered by Ready or
    Refused.

    Later words name a table by its position in ``tables``.
    """

    name: str
    snapshot: str
    tables: tuple[Table, ...]


class CloseDatabase(t.NamedTuple):
    """Give up the connection to the database, with its table locks; answered by Closed."""


class ReadSegment(t.NamedTuple):
    """Copy a range of heap pages; answered by SegmentDone, or by SegmentUnchanged.

    ``file_bytes``: end a file at the first row that ends past so many bytes; None where a segment
    is a part of one file. ``before``: what an earlier snapshot saw there, if unchanged rows are not
    to be read again.
    """

    table: int
    segment: int
    pages: PageRange
    file_bytes: int | None
    before: RowsBefore | None = None


class ReadStream(t.NamedTuple):
    """Save what comes out of the descriptor that follows; ``archive``: it is one of pg_dump's.
    Answered by StreamDone.
    """

    name: str
    archive: bool


class HandOverTail(t.NamedTuple):
    """Finish the uploads and send what is left; answered by TailParts and a TailEnd."""


class Ready(t.NamedTuple):
    """The worker holds the snapshot and its table locks."""


class Closed(t.NamedTuple):
    """The worker holds no connection to a database."""


class Refused(t.NamedTuple):
    """A table lock or the snapshot was not to be had: the attempt is over, the run is not."""

    error: GranaryError


class StoredBytes(t.NamedTuple):
    """Bytes as a sequence of data blobs; ``ids`` are their ids one after the other."""

    size: int
    ids: bytes


class SegmentDone(t.NamedTuple):
    """A segment is stored; ``rows`` is the server's own count; one part for each file that it
    fills.
    """

    table: int
    segment: int
    rows: int
    parts: tuple[StoredBytes, ...]


class SegmentUnchanged(t.NamedTuple):
    """A segment shows the rows that it showed before, and was not read."""

    table: int
    segment: int


class StreamDone(t.NamedTuple):
    """A stream was read to its end; whether its program is content with it, its exit status
    says.
    """

    name: str
    stored: StoredBytes
    toc: ArchiveToc | None


class PackStored(t.NamedTuple):
    """A pack is durable and must be named by an index."""

    record: PackRecord


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SaverCounts:
    """What a process's saver did: blobs that the repository did not have, and the bytes of the
    packs it wrote.
    """

    new_blobs: int = 0
    stored_bytes: int = 0

    def __add__(self, other: SaverCounts) -> SaverCounts:
        return SaverCounts(
            new_blobs=self.new_blobs + other.new_blobs,
            stored_bytes=self.stored_bytes + other.stored_bytes,
        )


class TailPart(t.NamedTuple):
    """All full packs of the worker are stored; here are some blobs of the others."""

    tail: PackTail


class TailEnd(t.NamedTuple):
    """There are no more of them."""

    counts: SaverCounts
