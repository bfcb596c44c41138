# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""Some tables of one database: planned here, into a database of their own or beside what is there.

A database that is there is never marked and never dropped: it is somebody's. What a failed restore
made in it is dropped again, so that the same restore may be made again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import typing as t

from .._core.errors import ConfigError, DatabaseMissing, GranaryError, TargetNotEmpty
from .._postgres import layout
from .._postgres.archive_selection import select_entries, tables_with_partitions
from .._postgres.connection import connect
from .._postgres.session import execute, session_text
from .._postgres.target import read_relations
from .renamed_tables import RenamedTable, restore_renamed
from .restore_database import load_database, prove_rows, restore_database
from .restore_plan import (
    DatabasePlan,
    RestorePlan,
    listed,
    plan_restore,
    select_databases,
    target_diff,
)

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from .._postgres.archive import ArchiveToc
    from .._postgres.manifest import DatabaseEntry, Manifest
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
    selection = select_entries(schema, data, tables, with_surroundings=request.into is None)
    selected = dataclasses.replace(
        database,
        tables=tuple(one for one in database.tables if (one.schema, one.name) in tables),
    )
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
    return TablesPlan(
        database=dataclasses.replace(plan, selection=selection),
        renamed=renamed,
        schemas=schemas,
        keys_left_out=selection.keys_left_out,
    )


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
            f"Database {database.name!r} of the snapshot has no table {listed(missing)}; tables "
            f"are "
            "named as schema.table, without quotes."
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
            f"rename_tables names {listed(unknown)}, which tables does not; add it there, or leave "
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
                target=_split_name(new),
                definition=definitions[names[old]].defn,
                entries=tuple(entries[part] for part in sorted(parts) if part in entries),
            )
        )
    targets = [table.target for table in found]
    if len(set(targets)) != len(targets):
        raise ConfigError("rename_tables gives two tables the same name; give different ones.")
    return tuple(found)


def _split_name(name: str) -> TableKey:
    schema, dot, table = name.partition(".")
    if not (schema and dot and table):
        raise ConfigError(f"rename_tables gives the name {name!r}; it must be schema.table.")
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
            f"Database {database!r} has {listed(there)} already; give new names by rename_tables, "
            f"or "
            "drop them."
        )
    return tuple(sorted({schema for schema, dummy in tables} - schemas))


def restore_tables(context: RestoreContext, plan: TablesPlan) -> None:
    """Restore what the plan names and prove the number of rows of every table.

    Raises as ``restore_database``. Of an existing database everything that was made is dropped
    again then.
    """
    if plan.database.action != "into":
        restore_database(context, plan.database)
        restore_renamed(context, plan.database, plan.renamed)
        return
    try:
        _make_schemas(context, plan)
        if plan.database.source.tables:
            load_database(context, plan.database)
            prove_rows(context, plan.database)
        restore_renamed(context, plan.database, plan.renamed)
    except GranaryError:
        _drop_again(context, plan)
        raise


def _make_schemas(context: RestoreContext, plan: TablesPlan) -> None:
    with contextlib.closing(connect(context.settings, plan.database.target)) as conn:
        text = session_text(conn)
        for schema in plan.schemas:
            execute(
                conn,
                b"CREATE SCHEMA " + text.identifier(schema),
                f"Could not make schema {schema!r}",
            )


def _drop_again(context: RestoreContext, plan: TablesPlan) -> None:
    """Drop what was made beside somebody's tables, as far as it can be; say what is left."""
    selection = plan.database.selection
    made = {table.target for table in plan.renamed} | (selection.tables if selection else set())
    try:
        with contextlib.closing(connect(context.settings, plan.database.target)) as conn:
            text = session_text(conn)
            for schema, name in sorted(made):
                execute(conn, b"DROP TABLE IF EXISTS %b" % text.qualified(schema, name))
            for schema in plan.schemas:
                execute(conn, b"DROP SCHEMA IF EXISTS %b" % text.identifier(schema))
    except GranaryError as exc:
        context.events.warn(
            f"Not all tables that this restore made in {plan.database.target!r} could be dropped "
            f"again: {exc.message}"
        )
