# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""What a restore will do, decided from the manifest, the request and the target server; pure.

Everything that can be known to fail is refused here, before anything is written. Check mode shows
this plan.
"""

from __future__ import annotations

import dataclasses
import typing as t

from .._core.errors import ConfigError, RestoreFailed, TargetNotEmpty
from .._core.units import plural, quoted
from .requests import Stats

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence, Set

    from .._postgres.archive_selection import ArchiveSelection
    from .._postgres.manifest import DatabaseEntry, Manifest
    from .._postgres.target import TargetServer
    from .requests import Plain, RestoreRequest

Action = t.Literal["create", "replace", "fill", "into"]
"""``create``: there is no database of that name; ``replace``: drop it and make it anew; ``fill``:
it is there and empty; ``into``: tables come beside what is there."""

SHOWN_TABLES = 1000
_BUILT_IN_TABLESPACES = {"pg_default", "pg_global"}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DatabasePlan:
    """One database of the snapshot and where it goes.

    With a ``selection`` the tables of ``source`` are those that are selected.
    """

    source: DatabaseEntry
    target: str
    action: Action
    selection: ArchiveSelection | None = None

    @property
    def size_bytes(self) -> int:
        """Bytes of rows that are loaded."""
        return sum(table.size for table in self.source.tables) + self.source.data_dump.size

    def to_return(self) -> dict[str, Plain]:
        """Return it in plain types; at most 1,000 tables are listed, in the order of their
        names."""
        tables = sorted(self.source.tables, key=lambda table: (table.schema, table.name))
        return {
            "database": self.source.name,
            "target": self.target,
            "action": self.action,
            "table_count": len(tables),
            "rows": sum(table.rows or 0 for table in tables),
            "size_bytes": self.size_bytes,
            "tables": [
                {"schema": table.schema, "name": table.name, "rows": table.rows}
                for table in tables[:SHOWN_TABLES]
            ],
        }


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RestorePlan:
    """The whole restore; the ``missing_*`` will be made from the snapshot's globals before anything
    else."""

    databases: tuple[DatabasePlan, ...]
    globals: bool
    missing_roles: tuple[str, ...]
    missing_tablespaces: tuple[str, ...]

    def to_return(self) -> dict[str, Plain]:
        """Return it in plain types."""
        return {
            "databases": [database.to_return() for database in self.databases],
            "globals": self.globals,
            "missing_roles": list(self.missing_roles),
            "missing_tablespaces": list(self.missing_tablespaces),
        }

    def diff(self) -> dict[str, Plain]:
        """Return the databases and tables of the target before and after."""
        return target_diff(self.databases)

    def stats(self) -> Stats:
        """Return what the restore loads, in numbers."""
        tables = [table for database in self.databases for table in database.source.tables]
        return Stats(
            databases=len(self.databases),
            tables=len(tables),
            rows=sum(table.rows or 0 for table in tables),
            read_bytes=sum(database.size_bytes for database in self.databases),
        )


def target_diff(plans: Sequence[DatabasePlan], more: Iterable[str] = ()) -> dict[str, Plain]:
    """Return ``before`` and ``after`` as far as the restore changes them; at most 1,000 tables.

    ``more`` are tables besides those of the plans, as ``database.schema.table``.
    """
    there = {"replace": " (dropped)", "fill": " (empty)", "into": ""}
    before = [f"{plan.target}{there[plan.action]}" for plan in plans if plan.action in there]
    tables = [
        f"{plan.target}.{table.schema}.{table.name}"
        for plan in plans
        for table in plan.source.tables
    ]
    shown = sorted([*tables, *more])[:SHOWN_TABLES]
    after = sorted(plan.target for plan in plans)
    return {
        "before": {"databases": [*sorted(before)], "tables": []},
        "after": {"databases": [*after], "tables": [*shown]},
    }


def select_databases(manifest: Manifest, wanted: Sequence[str] | None) -> tuple[DatabaseEntry, ...]:
    """Return the databases to restore, in the manifest's order.

    Raises ``ConfigError`` naming every one that the snapshot does not hold.
    """
    if wanted is None:
        return manifest.databases
    held = {database.name for database in manifest.databases}
    missing = [name for name in wanted if name not in held]
    if missing:
        raise ConfigError(
            f"The snapshot holds no database {', '.join(map(repr, missing))}; it holds "
            f"{quoted(held)}."
        )
    return tuple(database for database in manifest.databases if database.name in wanted)


def target_names(selected: Sequence[DatabaseEntry], rename: Mapping[str, str]) -> dict[str, str]:
    """Return the name in the server for each selected database.

    Raises ``ConfigError`` for a new name that is the old one, that two would share, or for a
    database that is not restored.
    """
    names = [database.name for database in selected]
    unknown = [name for name in rename if name not in names]
    if unknown:
        raise ConfigError(
            f"rename names {quoted(unknown)}, which is not restored; restored are {quoted(names)}."
        )
    for old, new in rename.items():
        if not new or "\0" in new:
            raise ConfigError(
                f"rename gives database {old!r} no usable name ({new!r}); give another one."
            )
        if old == new:
            raise ConfigError(f"rename maps database {old!r} onto itself; leave it out of rename.")
    targets = {name: rename.get(name, name) for name in names}
    doubled = sorted({new for new in targets.values() if list(targets.values()).count(new) > 1})
    if doubled:
        raise ConfigError(
            f"Two databases would both become {quoted(doubled)}; give them different names by "
            "rename."
        )
    return targets


def plan_restore(
    request: RestoreRequest,
    manifest: Manifest,
    target: TargetServer,
    is_empty: Callable[[str], bool],
) -> RestorePlan:
    """Decide the restore of whole databases.

    ``is_empty`` looks into an existing database of the target server. Raises ``ConfigError``,
    ``TargetNotEmpty``, or ``RestoreFailed`` for what the server lacks; nothing was touched then.
    """
    selected = select_databases(manifest, request.databases)
    names = target_names(selected, request.rename)
    plans = tuple(
        DatabasePlan(
            source=database,
            target=names[database.name],
            action=_action(names[database.name], request, target, is_empty),
        )
        for database in selected
    )
    use_globals = request.globals and manifest.globals is not None
    roles = _needed_roles(selected, request) - target.roles
    spaces = _needed_tablespaces(selected, request) - target.tablespaces
    _refuse_missing_extensions(selected, target)
    defined = manifest.globals if use_globals else None
    _refuse("role", roles - set(defined.roles if defined else ()), "no_owner and no_privileges")
    known_spaces = {space.name for space in defined.tablespaces} if defined else set()
    _refuse("tablespace", spaces - known_spaces, "no_tablespaces")
    return RestorePlan(
        databases=plans,
        globals=use_globals,
        missing_roles=tuple(sorted(roles)),
        missing_tablespaces=tuple(sorted(spaces)),
    )


def _action(
    name: str, request: RestoreRequest, target: TargetServer, is_empty: Callable[[str], bool]
) -> Action:
    there = target.databases.get(name)
    if there is None:
        return "create"
    if name == "template0":
        raise ConfigError("template0 cannot be restored into; give another name by rename.")
    # What carries our mark is what an earlier restore left behind.
    if request.clean or there.restoring is not None:
        return "replace"
    if not there.allows_connections:
        raise TargetNotEmpty(
            f"Database {name!r} exists and allows no connections, so nobody can see whether it is "
            "empty; use clean to drop it, or give another name by rename."
        )
    if is_empty(name):
        return "fill"
    raise TargetNotEmpty(
        f"Database {name!r} exists and is not empty; use clean to drop it and make it anew, "
        "or give another name by rename."
    )


def _needed_roles(selected: Iterable[DatabaseEntry], request: RestoreRequest) -> set[str]:
    if request.no_owner and request.no_privileges:
        return set()
    roles = {role for database in selected for role in database.roles}
    settings = {one.role for database in selected for one in database.definition.settings}
    return roles | {role for role in settings if role is not None}


def _needed_tablespaces(selected: Iterable[DatabaseEntry], request: RestoreRequest) -> set[str]:
    if request.no_tablespaces:
        return set()
    spaces = {space for database in selected for space in database.tablespaces}
    spaces |= {database.definition.tablespace for database in selected}
    return spaces - _BUILT_IN_TABLESPACES


def _refuse(noun: str, names: Set[str], way_out: str) -> None:
    if names:
        raise RestoreFailed(
            f"The server lacks {plural(len(names), noun)} that the snapshot needs: "
            f"{quoted(names)}; make them, or use {way_out}; nothing was restored."
        )


def refuse_missing_roles(owners: Set[str], target: TargetServer) -> None:
    """Raise ``RestoreFailed`` naming the owners that the server lacks."""
    _refuse("role", owners - target.roles, "no_owner")


def _refuse_missing_extensions(selected: Iterable[DatabaseEntry], target: TargetServer) -> None:
    needed = {extension.name for database in selected for extension in database.extensions}
    missing = needed - set(target.extensions)
    if missing:
        raise RestoreFailed(
            f"The server cannot make {plural(len(missing), 'extension')} that the snapshot needs: "
            f"{quoted(missing)}; install the packages that hold them; nothing was restored."
        )
