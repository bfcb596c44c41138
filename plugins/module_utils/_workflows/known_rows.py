# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""What an earlier snapshot holds of a database's rows, for segments that need not be read again:
how many rows each has, and the blobs that they are in.

Whether the rows are still the same is asked of the server, see ``_postgres/row_versions.py``.
"""

from __future__ import annotations

import array
import dataclasses
import itertools
import typing as t

from .._core.errors import RepositoryDamaged
from .._postgres.row_versions import RowsBefore
from .._repository.model import ID_BYTES
from .work_units import SegmentDone, StoredBytes

if t.TYPE_CHECKING:
    from collections.abc import Mapping

    from .._postgres.manifest import DatabaseEntry, TableEntry
    from .._postgres.model import Table
    from .._postgres.row_versions import RowVersions
    from .._postgres.segments import SegmentPlan
    from .restore_source import SnapshotFiles


class KnownTable:
    """The segments of one table in an earlier snapshot, whose ``xmin`` is 64 bits.

    ``ids`` are those of all its blobs, in order. Raises ``RepositoryDamaged`` when the segments are
    not made of them.
    """

    def __init__(self, entry: TableEntry, ids: bytes, *, xmin: int) -> None:
        self.entry = entry
        self._xmin = xmin
        self._ids = ids
        blobs = (segment.blobs for segment in entry.segments)
        self._ends = array.array("q", itertools.accumulate(blobs))
        if len(ids) != ID_BYTES * (self._ends[-1] if self._ends else 0):
            raise RepositoryDamaged(
                f"The segments of table {entry.schema}.{entry.name} do not add up to its files."
            )

    def rows_before(self, segment: int) -> RowsBefore | None:
        """Return how many rows a segment had, or None where there was no such segment."""
        if segment >= len(self.entry.segments):
            return None
        return RowsBefore(self._xmin, self.entry.segments[segment].rows)

    def kept(self, table: int, segment: int) -> SegmentDone:
        """Return a segment that did not change as if it had been read; ``table`` is the word for
        its table between coordinator and workers."""
        start = self._ends[segment - 1] if segment else 0
        ids = self._ids[start * ID_BYTES : self._ends[segment] * ID_BYTES]
        entry = self.entry.segments[segment]
        return SegmentDone(table, segment, entry.rows, (StoredBytes(entry.size, ids),))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class KnownRows:
    """The tables of one database in an earlier snapshot that can be compared, by schema and name;
    ``xmin`` is that of ``RowVersions``.
    """

    xmin: int
    tables: Mapping[tuple[str, str], KnownTable]

    def find(self, table: Table, plan: SegmentPlan, versions: RowVersions) -> KnownTable | None:
        """Return what is known of ``table``, if its segments can be compared with those now."""
        known = self.tables.get(table.key)
        lineage = versions.lineages.get(table.oid)
        if known is None or lineage is None or not versions.reach(self.xmin):
            return None
        same = (known.entry.lineage, known.entry.segment_pages) == (lineage, plan.pages_per_segment)
        return known if same else None


def known_rows(files: SnapshotFiles, database: DatabaseEntry) -> KnownRows | None:
    """Return what a snapshot with these files, which are as its manifest says, holds of
    ``database``; None where it does not say by what its rows can be compared.

    Raises ``RepositoryDamaged`` when the manifest contradicts itself.
    """
    if database.snapshot_xmin is None:
        return None
    return KnownRows(
        xmin=database.snapshot_xmin,
        tables={
            (entry.schema, entry.name): KnownTable(
                entry, files.table_ids(database.name, entry), xmin=database.snapshot_xmin
            )
            for entry in database.tables
            if entry.lineage is not None
        },
    )
