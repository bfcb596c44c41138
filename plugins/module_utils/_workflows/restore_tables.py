# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""Some tables of one database, into a database of their own or beside what is there: the plan."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import typing as t

from .._core.errors import ConfigError, DatabaseMissing, TargetNotEmpty
from .._core.units import quoted
from .._postgres import layout
from .._postgres.archive_selection import select_entries, tables_with_partitions
from .._postgres.connection import connect
from .._postgres.quoting import SessionText
from .._postgres.target import read_relations
from .renamed_tables import RenamedTable, restore_renamed
from .restore_database import restore_database
from .restore_into import make_schemas, restore_into
from .restore_plan import (
    DatabasePlan,
    RestorePlan,
    plan_restore,
    refuse_missing_roles,
    select_databases,
    target_diff,
)

if t.TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from .._postgres.archive import ArchiveToc
    from .._postgres.archive_selection import ArchiveSelection
    from .._postgres.manifest import DatabaseEntry, Manifest, TableEntry
    from .._postgres.model import ConnectionSettings
    from .._postgres.target import TargetServer
    from .requests import Plain, RestoreRequest, Stats
    from .restore_database import RestoreContext
    from .restore_snapshot import Source

TableKey = tuple[str, str]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TablesPlan:
    """The restore of some tables.

    ``database`` is the plan of those that keep their names, ``renamed`` are the others, ``schemas``
    are made first.
    """

    database: DatabasePlan
    renamed: tuple[RenamedTable, ...]
    schemas: tuple[str, ...]
    keys_left_out: tuple[str, ...]

    @property
    def _whole(self) -> RestorePlan:
        return RestorePlan(
            databases=(self.database,), globals=False, missing_roles=(), missing_tablespaces=()
        )

    def to_return(self) -> dict[str, Plain]:
        """Return it in plain types."""
        return {
            **self._whole.to_return(),
            "renamed_tables": [table.to_return() for table in self.renamed],
            "new_schemas": list(self.schemas),
            "foreign_keys_left_out": list(self.keys_left_out),
        }

    def diff(self) -> dict[str, Plain]:
        """Return the databases and tables of the target before and after."""
        renamed = [".".join((self.database.target, *table.target)) for table in self.renamed]
        return target_diff((self.database,), renamed)

    def stats(self) -> Stats:
        """Return what the restore loads, in numbers."""
        stats = self._whole.stats()
        tables = [entry for table in self.renamed for entry in table.entries]
        return dataclasses.replace(
            stats,
            tables=stats.tables + len(tables),
            rows=stats.rows + sum(entry.rows or 0 for entry in tables),
            read_bytes=stats.read_bytes + sum(entry.size for entry in tables),
        )


def plan_tables(
    request: RestoreRequest,
    source: Source,
    manifest: Manifest,
    target: TargetServer,
    is_empty: Callable[[str], bool],
) -> TablesPlan:
    """Decide the restore of ``request.tables``.

    Raises ``ConfigError`` for what the snapshot does not hold, ``DatabaseMissing``,
    ``TargetNotEmpty`` naming the tables that are in the way.
    """
    database = _the_database(request, manifest)
    schema = source.read_toc(layout.schema_dump(database.name))
    data = source.read_toc(layout.data_dump(database.name))
    names = _find_tables(request.tables or (), database, schema)
    renamed = _renamed(request.rename_tables, names, database, schema)
    kept = frozenset(names.values()) - {table.key for table in renamed}
    tables = tables_with_partitions(schema, kept)
    _refuse_same_names(renamed, tables)
    selection = select_entries(schema, data, tables, with_surroundings=request.into is None)
    selected = _with_tables(database, tables)
    if request.into is None:
        alone = dataclasses.replace(manifest, databases=(selected,))
        # Globals belong to whole databases: roles that are missing are refused here.
        own = dataclasses.replace(request, globals=False)
        plan = plan_restore(own, alone, target, is_empty).databases[0]
        schemas: tuple[str, ...] = ()
    else:
        plan = DatabasePlan(source=selected, target=request.into, action="into")
        new_names = tables | {table.target for table in renamed}
        schemas = _room_in(request.connection, request.into, target, new_names)
        _refuse_missing_owners(request, schema, selection, target)
    return TablesPlan(
        database=dataclasses.replace(plan, selection=selection),
        renamed=renamed,
        schemas=schemas,
        keys_left_out=selection.keys_left_out,
    )


def _refuse_missing_owners(
    request: RestoreRequest, schema: ArchiveToc, selection: ArchiveSelection, target: TargetServer
) -> None:
    if request.no_owner:
        return
    owners = {one.owner for one in schema.entries if one.dump_id in selection.schema}
    refuse_missing_roles({owner for owner in owners if owner}, target)


def _with_tables(database: DatabaseEntry, tables: Collection[TableKey]) -> DatabaseEntry:
    """Leave out other tables; a partition whose root goes becomes the ordinary table it will be."""

    def alone(table: TableEntry) -> TableEntry:
        if table.root is None or (table.root.schema, table.root.name) in tables:
            return table
        return dataclasses.replace(table, root=None)

    kept = (table for table in database.tables if (table.schema, table.name) in tables)
    return dataclasses.replace(database, tables=tuple(map(alone, kept)))


def _the_database(request: RestoreRequest, manifest: Manifest) -> DatabaseEntry:
    selected = select_databases(manifest, request.databases)
    if len(selected) != 1:
        raise ConfigError(
            f"The snapshot holds {len(selected)} databases: name by databases the one that the "
            "tables are in."
        )
    return selected[0]


def _find_tables(
    wanted: Sequence[str], database: DatabaseEntry, schema: ArchiveToc
) -> dict[str, TableKey]:
    """Return schema and name of each table that was named as ``schema.table``."""
    keys = {entry.table for entry in schema.of("TABLE")}
    keys |= {(table.schema, table.name) for table in database.tables}
    found: dict[str, list[TableKey]] = {name: [] for name in wanted}
    for key in keys:
        name = f"{key[0]}.{key[1]}"
        if name in found:
            found[name].append(key)
    missing = [name for name, fitting in found.items() if len(fitting) != 1]
    if missing:
        raise ConfigError(
            f"Database {database.name!r} of the snapshot has no table {quoted(missing)}; tables "
            "are named as schema.table, without quotes."
        )
    return {name: fitting[0] for name, fitting in found.items()}


def _renamed(
    rename: Mapping[str, str],
    names: Mapping[str, TableKey],
    database: DatabaseEntry,
    schema: ArchiveToc,
) -> tuple[RenamedTable, ...]:
    unknown = [name for name in rename if name not in names]
    if unknown:
        raise ConfigError(
            f"rename_tables names {quoted(unknown)}, which tables does not; add it there, or leave "
            "it out."
        )
    for old, new in rename.items():
        if old == new:
            raise ConfigError(f"rename_tables maps {old} onto itself; leave it out.")
    entries = {(table.schema, table.name): table for table in database.tables}
    definitions = {entry.table: entry for entry in schema.of("TABLE")}
    found = []
    for old, new in rename.items():
        parts = tables_with_partitions(schema, [names[old]])
        found.append(
            RenamedTable(
                key=names[old],
                target=_split_name(new, SessionText(database.definition.encoding)),
                definition=definitions[names[old]].defn,
                entries=tuple(entries[part] for part in sorted(parts) if part in entries),
            )
        )
    return tuple(found)


def _refuse_same_names(renamed: Sequence[RenamedTable], kept: Collection[TableKey]) -> None:
    names = collections.Counter([*(table.target for table in renamed), *kept])
    doubled = [f"{schema}.{name}" for (schema, name), number in names.items() if number > 1]
    if doubled:
        raise ConfigError(
            f"Two tables would both become {quoted(doubled)}; give them different names by "
            "rename_tables."
        )


def _split_name(name: str, text: SessionText) -> TableKey:
    """Return schema and table of a new name, which is sent in the encoding of the rows."""
    schema, dot, table = name.partition(".")
    if not (schema and dot and table):
        raise ConfigError(f"rename_tables gives the name {name!r}; it must be schema.table.")
    try:
        text.encode(name)
    except UnicodeEncodeError as exc:
        raise ConfigError(
            f"rename_tables gives the name {name!r}, which cannot be written in {text.encoding}, "
            "the encoding of the database that was backed up; give another name."
        ) from exc
    return schema, table


def _room_in(
    settings: ConnectionSettings, database: str, target: TargetServer, tables: Iterable[TableKey]
) -> tuple[str, ...]:
    """Return the schemas that must be made in an existing database that has none of ``tables``."""
    if database not in target.databases:
        raise DatabaseMissing(
            f"Database {database!r}, named by into, does not exist; leave into out to make one."
        )
    with contextlib.closing(connect(settings, database)) as conn:
        schemas, relations = read_relations(conn)
    there = [f"{schema}.{name}" for schema, name in tables if (schema, name) in relations]
    if there:
        raise TargetNotEmpty(
            f"Database {database!r} has {quoted(there)} already; give new names by rename_tables, "
            "or drop them."
        )
    return tuple(sorted({schema for schema, dummy in tables} - schemas))


def restore_tables(context: RestoreContext, plan: TablesPlan) -> None:
    """Restore what the plan names and prove the number of rows of every table.

    Raises as ``restore_database``. Of an existing database everything that was made is dropped
    again then.
    """
    database = plan.database
    if database.action == "into":
        restore_into(context, database, plan.renamed, plan.schemas)
        return
    schemas = {table.target[0] for table in plan.renamed}

    def besides() -> None:
        make_schemas(context, database, schemas, [])
        restore_renamed(context, database, plan.renamed)

    restore_database(context, database, besides)
