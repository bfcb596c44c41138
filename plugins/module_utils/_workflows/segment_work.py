# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""The tables of one database that are taken over: divided into segments, handed out, gathered."""

from __future__ import annotations

import typing as t

from .._core.errors import GranaryError
from .._postgres.layout import WHOLE_TABLE_FILE_BYTES
from .._postgres.row_versions import UNKNOWN_VERSIONS, read_row_versions
from .._postgres.segments import TID_RANGE_SCAN_SINCE, plan_segments
from .collector import TableCollector
from .snapshot_writer import PROGRAM
from .work_units import ReadSegment, SegmentUnchanged

if t.TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .._postgres.connection import Connection
    from .._postgres.model import Table
    from .backup_plan import DatabasePlan
    from .work_units import SegmentDone


class SegmentWork:
    """All segments of ``tables``, which words between coordinator and workers name by position.

    ``connection`` is inside the transaction of the exported snapshot.
    """

    def __init__(self, plan: DatabasePlan, connection: Connection, tables: Sequence[Table]) -> None:
        self._whole = plan.server.version_num < TID_RANGE_SCAN_SINCE
        self._versions = UNKNOWN_VERSIONS
        if not self._whole:
            self._versions = read_row_versions(connection, tables, PROGRAM)
        self._plans = [
            plan_segments(
                table, previous_pages=plan.previous_pages.get(table.key), whole=self._whole
            )
            for table in tables
        ]
        self.collectors = [
            TableCollector(
                table,
                segment_pages=segments.pages_per_segment,
                count=len(segments),
                lineage=self._versions.lineages.get(table.oid),
            )
            for table, segments in zip(tables, self._plans, strict=True)
        ]
        known = plan.known_rows
        self._known = [
            known.find(table, segments, self._versions) if known else None
            for table, segments in zip(tables, self._plans, strict=True)
        ]
        self.unchanged_bytes = 0

    @property
    def snapshot_xmin(self) -> int | None:
        """By what a later backup compares the rows, see ``RowVersions``."""
        return self._versions.xmin

    @property
    def count(self) -> int:
        """How many segments there are."""
        return sum(map(len, self._plans))

    @property
    def arrived(self) -> int:
        """How many of them have arrived."""
        return sum(collector.arrived for collector in self.collectors)

    @property
    def size(self) -> int:
        """Bytes of COPY text of the segments that have arrived."""
        return sum(collector.size for collector in self.collectors)

    def units(self) -> Iterator[ReadSegment]:
        """Yield a unit of work for each segment, table after table."""
        file_bytes = WHOLE_TABLE_FILE_BYTES if self._whole else None
        for table, (segments, known) in enumerate(zip(self._plans, self._known, strict=True)):
            for number, pages in enumerate(segments):
                before = known.rows_before(number) if known else None
                yield ReadSegment(table, number, pages, file_bytes, before)

    def take(self, answer: SegmentDone | SegmentUnchanged) -> None:
        """Take the answer to one unit; each may come once."""
        if isinstance(answer, SegmentUnchanged):
            known = self._known[answer.table]
            if known is None:
                raise GranaryError("A worker compared rows of its own accord; please report it.")
            answer = known.kept(answer.table, answer.segment)
            self.unchanged_bytes += sum(part.size for part in answer.parts)
        self.collectors[answer.table].add(answer)
