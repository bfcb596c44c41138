# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""What the workers stored, gathered in whatever order it arrives, as files and table entries of the
snapshot.
"""

from __future__ import annotations

import array
import typing as t

from .._core.errors import DumpFailed
from .._postgres.layout import SEGMENTS_PER_FILE, table_file
from .._postgres.manifest import FileEntry, RootEntry, SegmentEntry, TableEntry
from .._repository.model import ID_BYTES, split_ids
from .._repository.tree import FileContent
from .work_units import StoredBytes

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from .._postgres.model import Table
    from .work_units import SegmentDone


def file_content(stored: StoredBytes) -> FileContent:
    """Return a stream as a file of a tree."""
    return FileContent(blobs=tuple(split_ids(stored.ids)), size=stored.size)


def file_entry(stored: StoredBytes) -> FileEntry:
    """Return a stream as the manifest names it."""
    return FileEntry(stored.size, len(stored.ids) // ID_BYTES)


class TableCollector:
    """The segments of one table, of which ``count`` are expected.

    Numbers are kept in arrays and ids as one bytes object a segment: a table of 1 TiB has 131,072
    segments.
    """

    def __init__(
        self, table: Table, *, segment_pages: int | None, count: int, lineage: str | None = None
    ) -> None:
        self.table = table
        self._lineage = lineage
        self._segment_pages = segment_pages
        self._count = count
        self._rows = array.array("q", bytes(8 * count))
        self._parts: list[tuple[StoredBytes, ...] | None] = [None] * count
        self._missing = count

    @property
    def arrived(self) -> int:
        """How many segments have arrived."""
        return self._count - self._missing

    @property
    def rows(self) -> int:
        """Rows of the segments that have arrived."""
        return sum(self._rows)

    @property
    def size(self) -> int:
        """Bytes of COPY text of the segments that have arrived."""
        return sum(part.size for parts in self._parts for part in parts or ())

    def add(self, done: SegmentDone) -> None:
        """Take one segment; each may come once."""
        if self._parts[done.segment] is not None:
            raise DumpFailed(
                f"Segment {done.segment} of {self.table} was read twice; please report it."
            )
        self._parts[done.segment] = done.parts
        self._rows[done.segment] = done.rows
        self._missing -= 1

    def _all_parts(self) -> list[tuple[StoredBytes, ...]]:
        whole = [parts for parts in self._parts if parts is not None]
        if len(whole) != self._count:
            missing = self._count - len(whole)
            raise DumpFailed(
                f"{missing} of {self._count} segments of {self.table} were not read; please report "
                "it."
            )
        return whole

    def files(self, database: str) -> Iterator[tuple[str, FileContent]]:
        """Yield path and content of each file, in order."""
        for number, stored in enumerate(self._files()):
            path = table_file(database, self.table.schema, self.table.name, number)
            yield path, file_content(stored)

    def _files(self) -> Iterator[StoredBytes]:
        segments = self._all_parts()
        if len(segments) == 1:
            yield from segments[0]
            return
        for start in range(0, len(segments), SEGMENTS_PER_FILE):
            group = segments[start : start + SEGMENTS_PER_FILE]
            yield _join([part for parts in group for part in parts])

    def entry(self) -> TableEntry:
        """Return the table as the manifest names it."""
        segments = [
            SegmentEntry(rows, _join(parts).size, len(_join(parts).ids) // ID_BYTES)
            for rows, parts in zip(self._rows, self._all_parts(), strict=True)
        ]
        return TableEntry(
            schema=self.table.schema,
            name=self.table.name,
            taken_over=True,
            rows=self.rows,
            table_size=self.table.size_bytes,
            columns=self.table.columns,
            size=self.size,
            segment_pages=self._segment_pages,
            segments=tuple(segments),
            files=tuple(map(file_entry, self._files())),
            root=root_entry(self.table),
            lineage=self._lineage,
        )


def _join(parts: tuple[StoredBytes, ...] | list[StoredBytes]) -> StoredBytes:
    return StoredBytes(sum(part.size for part in parts), b"".join(part.ids for part in parts))


def root_entry(table: Table) -> RootEntry | None:
    """Return the partition root above a leaf as the manifest names it."""
    if table.root is None:
        return None
    root = table.root
    return RootEntry(schema=root.schema, name=root.name, strategies=root.strategies)


def small_table_entry(table: Table, rows: int | None) -> TableEntry:
    """Return a table whose rows are in data.dump, or nowhere, as the manifest names it."""
    return TableEntry(
        schema=table.schema,
        name=table.name,
        taken_over=False,
        rows=rows,
        table_size=table.size_bytes,
        root=root_entry(table),
    )
