# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""Who copies the rows of which table, and the proof that each table's are copied exactly once.

Pure: decides over lists, knows no connection.
"""

from __future__ import annotations

import collections
import dataclasses
import typing as t

from .._core.errors import DumpFailed
from .._core.units import listed
from .._postgres.catalog import has_rows_in_dump, may_take_over

if t.TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from .._postgres.archive import ArchiveToc
    from .._postgres.model import Table, TableFile

_SHOWN = 5


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TableChoice:
    """The tables of a database that have rows of their own, each in one of three tuples.

    ``taken_over``, largest first, are copied by our workers; ``dumped`` by pg_dump; of ``excluded``
    nobody copies rows, on the user's wish.
    """

    taken_over: tuple[Table, ...]
    dumped: tuple[Table, ...]
    excluded: tuple[Table, ...]

    @property
    def without_rows(self) -> list[tuple[str, str]]:
        """The tables of which pg_dump must leave out the rows, by schema and name."""
        return [table.key for table in (*self.taken_over, *self.excluded)]

    @property
    def counted(self) -> list[Table]:
        """The tables in data.dump whose rows are to be counted.

        Of an extension's table pg_dump takes the rows that the extension says, which is no number
        to compare with.
        """
        return [table for table in self.dumped if table.extension is None]

    def prove(self, toc: ArchiveToc | None) -> None:
        """Compare with what data.dump says it holds.

        Raises ``DumpFailed`` when a table is in it that should not be, or is not that should be.
        """
        if toc is None:
            raise DumpFailed("An archive was read without its table of contents; please report it.")
        found = collections.Counter(toc.table_data)
        wanted = collections.Counter(table.key for table in self.dumped)
        missing, unwanted = wanted - found, found - wanted
        if missing or unwanted:
            problems = []
            if missing:
                problems.append(f"lacks the rows of {_names(missing)}")
            if unwanted:
                problems.append(f"holds rows of {_names(unwanted)} that were not to be in it")
            raise DumpFailed(
                f"The archive of database {toc.database} {' and '.join(problems)}; the backup "
                "would not be whole. Run it again, and report this if it stays."
            )


def _names(keys: Collection[tuple[str, str]]) -> str:
    return listed((f"{schema}.{name}" for schema, name in sorted(keys)), _SHOWN)


def excluded_oids(tables: Sequence[Table | TableFile], names: Collection[str]) -> set[int]:
    """Return the oids of the tables whose ``schema.table`` is in ``names``, and of all partitions
    below them, at any depth.
    """
    excluded = {table.oid for table in tables if str(table) in names}
    below = excluded
    while below:
        below = {table.oid for table in tables if table.parent in below}
        excluded |= below
    return excluded


def choose_tables(
    tables: Sequence[Table], *, threshold_bytes: int, in_recovery: bool, exclude: Collection[str]
) -> TableChoice:
    """Sort the tables of a database by who copies their rows."""
    unwanted = excluded_oids(tables, exclude)
    taken_over, dumped, excluded = [], [], []
    for table in tables:
        if not has_rows_in_dump(table, in_recovery=in_recovery):
            continue
        if table.oid in unwanted:
            excluded.append(table)
        elif may_take_over(table, threshold_bytes=threshold_bytes, in_recovery=in_recovery):
            taken_over.append(table)
        else:
            dumped.append(table)
    # The largest first, so that the last segments are small and all workers end at the same time.
    taken_over.sort(key=lambda table: (-table.size_bytes, table.key))
    return TableChoice(taken_over=tuple(taken_over), dumped=tuple(dumped), excluded=tuple(excluded))
