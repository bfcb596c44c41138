# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""What a damaged snapshot has lost, in the words of a database's administrator: databases, tables,
definitions, roles.
"""

from __future__ import annotations

import dataclasses
import typing as t

from .._core.units import plural
from .._postgres import layout
from .._postgres.manifest import TableName
from .._repository.check import some_of
from .requests import SnapshotSummary

if t.TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from .._postgres.manifest import DatabaseEntry, Manifest
    from .._repository.snapshot import Snapshot
    from .._repository.tree_check import LostPath
    from .requests import Plain

_NAMED = 5
_MEANINGS = {
    layout.MANIFEST: "its manifest is damaged, without which it can be restored by hand alone",
    layout.GLOBALS: "it has lost roles and tablespaces (globals.sql)",
    layout.DATABASES: "it has lost all databases",
}
# A result is read by people and stored in the repository: more than these are only counted.
MOST_FILES = 100
MOST_TABLES = 1000


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DamagedDatabase:
    """What one database has lost in a snapshot.

    ``definitions``: schema.dump, without which nothing of it can be restored. ``small_tables``:
    data.dump, which holds the rows of the small tables, sequences and large objects. ``tables``
    (``schema.table``) have lost rows, those of data.dump included.
    """

    name: str
    definitions: bool
    small_tables: bool
    tables: tuple[str, ...]

    def to_return(self) -> dict[str, Plain]:
        """Return it in plain types."""
        return {
            "name": self.name,
            "definitions": self.definitions,
            "small_tables": self.small_tables,
            "tables": list(self.tables[:MOST_TABLES]),
            "tables_count": len(self.tables),
        }

    def sentence(self) -> str:
        """Say it in a part of a sentence."""
        lost = []
        if self.definitions:
            lost.append("its definitions (schema.dump)")
        if self.small_tables:
            lost.append("sequences, large objects and small tables (data.dump)")
        if self.tables:
            lost.append(f"rows of {some_of(self.tables, _NAMED)}")
        return f"database {self.name} has lost {' and '.join(lost) or 'files'}"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DamagedSnapshot:
    """A snapshot that cannot be restored whole, and ``lost`` files and folders of it."""

    snapshot: SnapshotSummary
    lost: tuple[LostPath, ...]
    databases: tuple[DamagedDatabase, ...]

    def to_return(self) -> dict[str, Plain]:
        """Return it in plain types."""
        return {
            **self.snapshot.to_return(),
            "summary": self.sentence(),
            "databases": [one.to_return() for one in self.databases],
            "files": [{"path": one.path, "reason": one.reason} for one in self.lost[:MOST_FILES]],
            "files_count": len(self.lost),
        }

    def sentence(self) -> str:
        """Say in words what is lost, without a full stop."""
        snapshot = self.snapshot
        lost = [one.sentence() for one in self.databases[:_NAMED]]
        if len(self.databases) > _NAMED:
            lost.append(f"so have {plural(len(self.databases) - _NAMED, 'more database')}")
        others = {one.path for one in self.lost if _database_part(one.path) is None}
        if others & {"/", layout.ROOT}:
            lost = ["all of it is lost"]
        else:
            lost += (words for path, words in _MEANINGS.items() if path in others)
            if rest := others - _MEANINGS.keys():
                lost.append(f"it has lost {some_of(rest, _NAMED)}")
        return (
            f"snapshot {(snapshot.id or '')[:8]} of host {snapshot.host} ({snapshot.time}): "
            f"{'; '.join(lost)}"
        )


def describe_losses(
    snapshot: Snapshot, lost: Sequence[LostPath], manifest: Manifest | None
) -> DamagedSnapshot:
    """Return what the lost paths of a snapshot mean; without a manifest, as far as names tell."""
    paths = {one.path for one in lost}
    if manifest is None:
        databases = tuple(_by_paths(paths))
    else:
        touched = _with_parents(paths)
        found = (_damage_of(database, paths, touched) for database in manifest.databases)
        databases = tuple(one for one in found if one is not None)
    return DamagedSnapshot(
        snapshot=SnapshotSummary.of(snapshot),
        lost=tuple(sorted(set(lost))),
        databases=databases,
    )


def _with_parents(paths: Collection[str]) -> set[str]:
    found = set()
    for path in paths:
        names = path.split("/")
        found |= {"/".join(names[:count]) for count in range(2, len(names) + 1)}
    return found


def _is_in_lost(path: str, lost: Collection[str]) -> bool:
    """Tell whether a path or a folder that it is in is lost."""
    names = path.split("/")
    return "/" in lost or any("/".join(names[:count]) in lost for count in range(2, len(names) + 1))


def _damage_of(
    database: DatabaseEntry, lost: Collection[str], touched: Collection[str]
) -> DamagedDatabase | None:
    name = database.name
    folder = layout.database_folder(name)
    if folder not in touched and not _is_in_lost(folder, lost):
        return None
    small = _is_in_lost(layout.data_dump(name), lost)
    tables = []
    for table in database.tables:
        path = layout.table_folder(name, table.schema, table.name)
        if table.taken_over:
            hit = path in touched or _is_in_lost(path, lost)
        else:
            left_out = TableName(table.schema, table.name) in database.excluded
            hit = small and table.rows != 0 and not left_out
        if hit:
            tables.append(f"{table.schema}.{table.name}")
    return DamagedDatabase(
        name=name,
        definitions=_is_in_lost(layout.schema_dump(name), lost),
        small_tables=small,
        tables=tuple(sorted(tables)),
    )


def _database_part(path: str) -> tuple[str, list[str]] | None:
    """Return the database that a path belongs to and the names below its folder."""
    if not path.startswith(f"{layout.DATABASES}/"):
        return None
    name, *rest = path[len(layout.DATABASES) + 1 :].split("/")
    return layout.unescape(name) or name, rest


def _by_paths(paths: Collection[str]) -> Iterator[DamagedDatabase]:
    below: dict[str, list[list[str]]] = {}
    for path in paths:
        part = _database_part(path)
        if part is not None:
            below.setdefault(part[0], []).append(part[1])
    for database in sorted(below):
        names = below[database]
        tables = {
            ".".join(layout.unescape(name) or name for name in rest[1:3])
            for rest in names
            if rest[:1] == ["tables"] and rest[1:]
        }
        yield DamagedDatabase(
            name=database,
            definitions=[] in names or ["schema.dump"] in names,
            small_tables=[] in names or ["data.dump"] in names,
            tables=tuple(sorted(tables)),
        )
