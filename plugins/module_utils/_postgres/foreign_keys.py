# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""Foreign keys in an archive: to which table each one points.

An archive's dependencies do not say which end of a key a table is at; its SQL does. Archives of
ours quote every name (``pg_dump --quote-all-identifiers``), so that can be read without doubt.
"""

from __future__ import annotations

import re
import typing as t

if t.TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from .archive import ArchiveToc, TocEntry

_NAME = r'(?:"(?:[^"]|"")+"|[\w$]+)'
_COLUMN = rf"(?:PERIOD )?{_NAME}"
_REFERENCES = re.compile(
    rf"\sFOREIGN KEY \({_COLUMN}(?:, {_COLUMN})*\) REFERENCES ({_NAME})\.({_NAME})"
)


def referenced_table(key: TocEntry) -> tuple[str, str] | None:
    """Return schema and name of the table that a key points to; None if the SQL does not say."""
    found = _REFERENCES.search(key.defn)
    return (_unquoted(found[1]), _unquoted(found[2])) if found else None


def keys_into_excluded(schema: ArchiveToc, excluded: Collection[tuple[str, str]]) -> list[TocEntry]:
    """Return the foreign keys of schema.dump that point to a table whose rows were left out.

    ``excluded`` are schemas and names, those of partition roots included. A key of such a table to
    itself is fine, and so is one between two of them: no row is there to break it.
    """
    if not excluded:
        return []
    tables = {tuple(name) for name in excluded}
    return [
        entry
        for entry in schema.of("FK CONSTRAINT")
        if referenced_table(entry) in tables and not _owner_in(entry, tables)
    ]


def with_what_hangs_on(schema: ArchiveToc, entries: Iterable[TocEntry]) -> frozenset[int]:
    """Return the dump ids of the entries and of the comments on them."""
    gone = {entry.dump_id for entry in entries}
    hanging = (
        entry.dump_id for entry in schema.of("COMMENT") if not gone.isdisjoint(entry.dependencies)
    )
    return frozenset(gone).union(hanging)


_ALTERED = re.compile(rf"ALTER TABLE (?:ONLY )?({_NAME})\.({_NAME})\s")


def _owner_in(key: TocEntry, tables: set[tuple[str, ...]]) -> bool:
    found = _ALTERED.match(key.defn)
    return found is not None and (_unquoted(found[1]), _unquoted(found[2])) in tables


def _unquoted(name: str) -> str:
    return name[1:-1].replace('""', '"') if name.startswith('"') else name
