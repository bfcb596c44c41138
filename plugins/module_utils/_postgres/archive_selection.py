# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""Which entries of an archive belong to some of its tables.

Pure: decides over tables of contents. A table comes with what is nothing without it: the sequences
that it owns, defaults, constraints, indexes, triggers, rights, comments. What refers to a table
that is not selected stays behind.
"""

from __future__ import annotations

import dataclasses
import typing as t

if t.TYPE_CHECKING:
    from collections.abc import Collection

    from .archive import ArchiveToc, TocEntry

# The kinds of entries (pg_dump's words) that hold rows, or a query's result.
RELATIONS = {"TABLE", "FOREIGN TABLE", "VIEW", "MATERIALIZED VIEW", "SEQUENCE"}
_PARTS_OF_A_TABLE = {
    "TABLE ATTACH",
    "DEFAULT",
    "SEQUENCE",
    "SEQUENCE OWNED BY",
    "ACL",
    "COMMENT",
    "SECURITY LABEL",
    "CONSTRAINT",
    "CHECK CONSTRAINT",
    "FK CONSTRAINT",
    "INDEX",
    "INDEX ATTACH",
    "TRIGGER",
    "RULE",
    "POLICY",
    "ROW SECURITY",
    "STATISTICS",
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveSelection:
    """Some entries of schema.dump and of data.dump, by dump id.

    ``tables`` are the selected ones, schema and name, with the partitions of selected roots.
    ``keys_left_out`` are foreign keys of selected tables to tables that are not, as messages name
    them.
    """

    tables: frozenset[tuple[str, str]]
    schema: frozenset[int]
    data: frozenset[int]
    keys_left_out: tuple[str, ...]


def tables_with_partitions(
    toc: ArchiveToc, wanted: Collection[tuple[str, str]]
) -> frozenset[tuple[str, str]]:
    """Return the wanted tables and all partitions below them, as schema and name."""
    by_id = {entry.dump_id: entry for entry in toc.of("TABLE", "FOREIGN TABLE")}
    below: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for attach in toc.of("TABLE ATTACH"):
        relations = [by_id[number].table for number in attach.dependencies if number in by_id]
        for parent in relations:
            if parent != attach.table:
                below.setdefault(parent, []).append(attach.table)
    found: set[tuple[str, str]] = set()
    pending = list(wanted)
    while pending:
        table = pending.pop()
        if table not in found:
            found.add(table)
            pending += below.get(table, [])
    return frozenset(found)


def select_entries(
    schema: ArchiveToc,
    data: ArchiveToc,
    tables: frozenset[tuple[str, str]],
    *,
    with_surroundings: bool,
) -> ArchiveSelection:
    """Return what belongs to ``tables`` in both archives of one database.

    ``with_surroundings`` adds everything else that refers to no other relation (schemas, types,
    functions, extensions), for a database that holds nothing yet.
    """
    chosen = {
        entry.dump_id for entry in schema.of("TABLE", "FOREIGN TABLE") if entry.table in tables
    }
    owned = _owned_sequences(schema, chosen)
    others = {entry.dump_id for entry in schema.of(*RELATIONS)} - chosen - owned
    barred = _depending_on(schema, others) if with_surroundings else others
    selected = _grown(schema, chosen | owned, barred, with_surroundings)
    left_out = (
        f"{entry.namespace}.{entry.tag}"
        for entry in schema.of("FK CONSTRAINT")
        if entry.dump_id not in selected and _is_of_one(entry, tables)
    )
    sequences = {entry.table for entry in schema.of("SEQUENCE") if entry.dump_id in selected}
    return ArchiveSelection(
        tables=tables,
        schema=frozenset(selected),
        data=frozenset(
            entry.dump_id
            for entry in data.entries
            if (entry.desc == "TABLE DATA" and entry.table in tables)
            or (entry.desc == "SEQUENCE SET" and entry.table in sequences)
        ),
        keys_left_out=tuple(sorted(left_out)),
    )


def _is_of_one(entry: TocEntry, tables: Collection[tuple[str, str]]) -> bool:
    """Tell whether a part of a table, whose tag is ``table name``, is of one of ``tables``."""
    return any(
        space == entry.namespace and entry.tag.startswith(f"{name} ") for space, name in tables
    )


def _owned_sequences(schema: ArchiveToc, tables: set[int]) -> set[int]:
    sequences = {entry.dump_id: entry for entry in schema.of("SEQUENCE")}
    owned = {
        number
        for entry in schema.of("SEQUENCE OWNED BY")
        if not tables.isdisjoint(entry.dependencies)
        for number in entry.dependencies
        if number in sequences
    }
    identities = {
        number for number, entry in sequences.items() if not tables.isdisjoint(entry.dependencies)
    }
    return owned | identities


def _depending_on(schema: ArchiveToc, relations: set[int]) -> set[int]:
    """Return ``relations`` with everything that depends on one of them, however indirectly."""
    found = set(relations)
    grown = True
    while grown:
        more = {
            entry.dump_id
            for entry in schema.entries
            if entry.dump_id not in found
            and not found.isdisjoint(entry.dependencies)
            # A table is not gone with the table that a key or a default of it refers to.
            and entry.desc not in RELATIONS
        }
        found |= more
        grown = bool(more)
    return found


def _grown(
    schema: ArchiveToc, selected: set[int], barred: set[int], with_surroundings: bool
) -> set[int]:
    """Return ``selected`` with everything that comes with it, found in rounds until nothing is."""
    parts = {entry.dump_id for entry in schema.of(*_PARTS_OF_A_TABLE)}
    candidates = [
        entry
        for entry in schema.entries
        if entry.dump_id not in barred and entry.desc not in RELATIONS
    ]
    waiting = barred | (parts - selected)
    size = -1
    while len(selected) != size:
        size = len(selected)
        for entry in candidates:
            if entry.dump_id in selected or not waiting.isdisjoint(entry.dependencies):
                continue
            if entry.dump_id not in parts:
                joins = with_surroundings
            else:
                joins = not selected.isdisjoint(entry.dependencies)
            if joins:
                selected.add(entry.dump_id)
                waiting.discard(entry.dump_id)
    return selected
