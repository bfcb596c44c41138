# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""A restore from first to last: choose the snapshot, plan, load, prove."""

from __future__ import annotations

import contextlib
import dataclasses
import time
import typing as t

from .._core.errors import ConfigError
from .._postgres.connection import connect, connect_server
from .._postgres.restore_programs import find_restore_program
from .._postgres.server import read_server, refuse_pooler
from .._postgres.target import is_empty, read_target
from .._repository.repository import Repository
from .database_making import refuse_unknown_providers
from .jobs import worker_count
from .requests import RestoreResult
from .restore_database import RestoreContext, restore_database
from .restore_globals import find_globals_program, restore_globals
from .restore_plain import restore_plain
from .restore_plan import plan_restore
from .restore_snapshot import choose_source
from .restore_tables import TablesPlan, plan_tables, restore_tables
from .restore_worker import worker_main
from .stop_signals import StopSignals
from .worker_pool import WorkerPool

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from .._core.events import Events
    from .._postgres.manifest import Manifest
    from .._postgres.model import ServerFacts
    from .._postgres.programs import Program
    from .._postgres.target import TargetServer
    from .._repository.index import Index
    from .requests import RestoreRequest
    from .restore_plan import RestorePlan
    from .restore_snapshot import Source

# The coordinator's own, pg_restore beside the rows, and one to spare.
_OTHER_CONNECTIONS = 3


def run_restore(request: RestoreRequest, *, events: Events, check_mode: bool) -> RestoreResult:
    """Restore what ``request`` asks for and return what was restored; in check mode only the plan.

    A plan that cannot work is refused before anything is written. After an error the databases that
    were begun carry the setting ``granary.restoring``; the same request may be made again.
    """
    refuse_clashes(request)
    started = time.monotonic()
    with StopSignals(), _opened(request, events, check_mode) as (repository, index):
        source = choose_source(repository, repository.reader(index), request, events)
        run = _Run(request, source, repository, index, events)
        result = run.restore(check_mode)
    duration = round(time.monotonic() - started, 3)
    stats = dataclasses.replace(result.stats, duration_seconds=duration)
    return dataclasses.replace(result, stats=stats)


def refuse_clashes(request: RestoreRequest) -> None:
    """Raise ``ConfigError`` for options that cannot be together, before anybody is asked."""
    if request.databases is not None and not request.databases:
        raise ConfigError("databases is an empty list; leave it out to restore all of them.")
    if request.tables is not None and not request.tables:
        raise ConfigError("tables is empty; leave it out to restore whole databases.")
    if request.tables is None and request.rename_tables:
        raise ConfigError("rename_tables goes with tables, which says what to restore.")
    if request.tables is not None and request.clean:
        raise ConfigError(
            "clean drops whole databases and cannot be used with tables; drop the tables that are "
            "in the way, or give new names by rename_tables."
        )
    if request.into is not None and request.rename:
        raise ConfigError("into names the target already; rename cannot be used with it.")


@contextlib.contextmanager
def _opened(
    request: RestoreRequest, events: Events, check_mode: bool
) -> Iterator[tuple[Repository, Index]]:
    """Yield the repository and its index, under a lock where one can be had; check mode takes
    none."""
    access = request.repository
    with (
        Repository.open(
            access.settings, access.passwords, events=events, witness=access.witness
        ) as repository,
        repository.lock_for_reading(wait_seconds=access.lock_wait_seconds, take=not check_mode),
    ):
        yield repository, repository.load_index_for_reading()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Prepared:
    """What the restore will do and all that it needs; ``psql`` is None where no globals are."""

    facts: ServerFacts
    plan: RestorePlan | TablesPlan
    pg_restore: Program
    psql: Program | None
    jobs: int


class _Run:
    """One restore of a snapshot that was chosen."""

    def __init__(
        self,
        request: RestoreRequest,
        source: Source,
        repository: Repository,
        index: Index,
        events: Events,
    ) -> None:
        self._request = request
        self._source = source
        self._repository = repository
        self._index = index
        self._events = events

    def restore(self, check_mode: bool) -> RestoreResult:
        """Plan, and unless in check mode load."""
        manifest = self._source.manifest
        if manifest is None:
            return restore_plain(self._request, self._source, self._events, check_mode)
        if self._request.into is not None and self._request.tables is None:
            raise ConfigError("into goes with tables; databases get other names by rename.")
        prepared = self._prepare(manifest)
        plan = prepared.plan
        if not check_mode:
            self._apply(prepared, manifest)
        return RestoreResult(
            snapshot=self._source.summary(),
            verified=not check_mode,
            restore=plan.to_return(),
            diff=plan.diff(),
            stats=plan.stats(),
        )

    def _prepare(self, manifest: Manifest) -> _Prepared:
        """Look at the server and plan; all that can be refused is, in check mode too."""
        request, settings = self._request, self._request.connection
        # Closed before the workers are forked: a connection belongs to one process.
        with contextlib.closing(connect_server(settings)) as conn:
            refuse_pooler(conn, settings)
            facts = read_server(conn)
            target = read_target(conn)
        plan = self._plan(manifest, target)
        whole = (plan.database,) if isinstance(plan, TablesPlan) else plan.databases
        refuse_unknown_providers(whole, facts.major)
        return _Prepared(
            facts=facts,
            plan=plan,
            pg_restore=find_restore_program(
                max(database.archive_version for database in manifest.databases),
                target_major=facts.major,
                bin_dir=request.bin_dir,
            ),
            psql=self._psql(plan),
            jobs=worker_count(
                request.jobs,
                free_connections=facts.free_connections,
                reserved=_OTHER_CONNECTIONS,
                events=self._events,
            ),
        )

    def _psql(self, plan: RestorePlan | TablesPlan) -> Program | None:
        if isinstance(plan, TablesPlan) or not plan.globals:
            return None
        return find_globals_program(self._request)

    def _plan(self, manifest: Manifest, target: TargetServer) -> RestorePlan | TablesPlan:
        request, settings = self._request, self._request.connection

        def empty(database: str) -> bool:
            with contextlib.closing(connect(settings, database)) as there:
                return is_empty(there)

        if request.tables is not None:
            return plan_tables(request, self._source, manifest, target, empty)
        return plan_restore(request, manifest, target, empty)

    def _apply(self, prepared: _Prepared, manifest: Manifest) -> None:
        request, plan = self._request, prepared.plan
        main = worker_main(self._repository, self._index, request.connection)
        with WorkerPool(prepared.jobs, main) as pool:
            context = RestoreContext(
                request=request,
                source=self._source,
                facts=prepared.facts,
                pg_restore=prepared.pg_restore,
                pool=pool,
                events=self._events,
            )
            if isinstance(plan, TablesPlan):
                restore_tables(context, plan)
                return
            if prepared.psql is not None:
                source_major = manifest.server.version_num // 10000
                restore_globals(context, prepared.psql, source_major=source_major)
            for database in plan.databases:
                restore_database(context, database)
