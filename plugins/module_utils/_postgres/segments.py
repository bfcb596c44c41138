# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""How a table is divided: fixed ranges of heap pages, the unit of work, of dedup and of row counts.

Pure arithmetic: it knows no connection and no repository.
"""

from __future__ import annotations

import dataclasses
import typing as t

from .model import PAGE_BYTES

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from .model import Table

SEGMENT_BYTES = 8 * 1024 * 1024
MAX_SEGMENT_PAGES = 1024
# A TID range scan, without which each segment would read the whole table, came with version 14.
TID_RANGE_SCAN_SINCE = 140000


@dataclasses.dataclass(frozen=True, slots=True)
class PageRange:
    """Heap pages from ``first`` up to, not including, ``end``; ``None`` leaves a side open."""

    first: int | None
    end: int | None


WHOLE_TABLE = PageRange(None, None)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SegmentPlan:
    """The segments of one table; ``pages_per_segment`` is ``None`` where one segment is the table.

    The last segment has no upper bound: pages that the table grew after its size was read may hold
    rows of the snapshot.
    """

    pages_per_segment: int | None
    count: int

    def __getitem__(self, number: int) -> PageRange:
        """Return the pages of segment ``number``, counted from 0."""
        if not 0 <= number < self.count:
            raise IndexError(number)
        if self.pages_per_segment is None:
            return WHOLE_TABLE
        first = number * self.pages_per_segment
        last = number == self.count - 1
        return PageRange(first, None if last else first + self.pages_per_segment)

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[PageRange]:
        return (self[number] for number in range(self.count))


def segment_pages(pages: int, toast_bytes: int) -> int:
    """Return how many pages make a segment of a new table.

    The largest power of two of at most 1,024 pages whose heap and average share of TOAST stay
    within 8 MiB; at least 1.
    """
    page_bytes = PAGE_BYTES + (toast_bytes / pages if pages else 0)
    wanted = MAX_SEGMENT_PAGES
    while wanted > 1 and wanted * page_bytes > SEGMENT_BYTES:
        wanted //= 2
    return wanted


def plan_segments(
    table: Table, *, previous_pages: int | None = None, whole: bool = False
) -> SegmentPlan:
    """Divide ``table`` by its ``pages`` and ``toast_bytes``, read after the snapshot was taken.

    ``previous_pages`` are the pages a segment had in the previous backup; they are kept, so that
    borders stay where they were. ``whole`` makes the table one segment (servers without TID range
    scans).
    """
    if whole:
        return SegmentPlan(pages_per_segment=None, count=1)
    pages_per_segment = previous_pages or segment_pages(table.pages, table.toast_bytes)
    count = max(1, -(-table.pages // pages_per_segment))
    return SegmentPlan(pages_per_segment=pages_per_segment, count=count)
