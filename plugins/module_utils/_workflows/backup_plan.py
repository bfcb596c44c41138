# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""What a backup will read, found out and checked before anything is read: server, databases,
rights, room.

Nothing here writes, and no table lock outlives a call but the one that ``DatabasePlan.lock_tables``
returns.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import typing as t

from .._core.errors import ConfigError, DatabaseMissing, RightsMissing
from .._core.units import listed
from .._postgres.catalog import list_databases, list_table_files
from .._postgres.connection import connect, connect_server
from .._postgres.database_contents import database_size, read_globals
from .._postgres.lock_capacity import check_lock_capacity
from .._postgres.programs import find_program
from .._postgres.relation_wait import await_relation
from .._postgres.rights import unreadable
from .._postgres.server import check_supported, read_server, refuse_pooler
from .._postgres.session import prepare_dump_session
from .._postgres.table_locks import acquire_table_locks
from .jobs import worker_count
from .table_choice import choose_tables, excluded_oids

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from .._core.events import Events
    from .._postgres.connection import Connection
    from .._postgres.database_contents import GlobalContents
    from .._postgres.model import ConnectionSettings, Database, ServerFacts, Table
    from .._postgres.programs import Program
    from .._postgres.relation_wait import Obstacle
    from .._postgres.table_locks import LockedDatabase
    from .backup_history import BackupHistory
    from .known_rows import KnownRows
    from .requests import BackupRequest
    from .table_choice import TableChoice

# Besides the workers': the coordinator's, two of pg_dump, one that looks who waits for us.
RESERVED_CONNECTIONS = 4
_PROBLEMS_SHOWN = 100


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DatabasePlan:
    """One database and all that its dump needs to know. ``previous_pages``: see
    BackupHistory.segment_pages. ``known_rows`` are there where unchanged ones are to be skipped.
    """

    database: Database
    request: BackupRequest
    server: ServerFacts
    program: Program
    jobs: int
    events: Events
    previous_pages: Mapping[tuple[str, str], int]
    known_rows: KnownRows | None

    @property
    def connection(self) -> ConnectionSettings:
        """How to reach the server."""
        return self.request.connection

    def lock_tables(self) -> LockedDatabase:
        """Lock all tables and export a snapshot; the caller closes the connection.

        Raises ``TableLocksRefused``.
        """
        return acquire_table_locks(
            self.connection,
            self.database.name,
            lock_timeout_seconds=self.request.lock_timeout,
            events=self.events,
        )

    def await_relation(self, obstacle: Obstacle) -> None:
        """Wait with empty hands until nobody locks what was in the way.

        Raises ``TableLocksRefused``.
        """
        with contextlib.closing(connect(self.connection, self.database.name)) as conn:
            await_relation(conn, obstacle, lock_timeout_seconds=self.request.lock_timeout)

    def choose(self, tables: Sequence[Table]) -> TableChoice:
        """Decide who copies the rows of which table, and check that the server's lock table can
        hold it all.
        """
        choice = choose_tables(
            tables,
            threshold_bytes=self.request.segment_threshold,
            in_recovery=self.server.in_recovery,
            exclude=self.request.exclude_tables,
        )
        check_lock_capacity(
            self.server, tables, read_by_workers=choice.taken_over, workers=self.jobs
        )
        return choice


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What was found on the server: all that a backup reads, and that it can be read.

    ``size_bytes`` is what the files of the databases take on the server.
    """

    server: ServerFacts
    program: Program
    globals_program: Program | None
    databases: tuple[Database, ...]
    global_contents: GlobalContents
    size_bytes: int
    jobs: int


def survey_server(request: BackupRequest, *, events: Events) -> Survey:
    """Find out what there is to back up and whether it can be.

    Raises ``ServerUnsupported``, ``ProgramMissing``, ``DatabaseMissing``, ``ConfigError``, or
    ``RightsMissing`` with all that the role may not read in any of the databases.
    """
    with contextlib.closing(connect_server(request.connection)) as conn:
        server = check_server(request, conn)
        databases = choose_databases(list_databases(conn), request.databases)
        global_contents = read_globals(conn)
    find = functools.partial(find_program, at_least_major=server.major, bin_dir=request.bin_dir)
    jobs = worker_count(
        request.jobs,
        free_connections=server.free_connections,
        reserved=RESERVED_CONNECTIONS,
        events=events,
    )
    return Survey(
        server=server,
        program=find("pg_dump"),
        globals_program=find("pg_dumpall") if request.globals else None,
        databases=databases,
        global_contents=global_contents,
        size_bytes=check_databases(request, server, databases),
        jobs=jobs,
    )


def plan_databases(
    request: BackupRequest, survey: Survey, history: BackupHistory, *, events: Events
) -> tuple[DatabasePlan, ...]:
    """Return a plan for each database, in the order in which they will be read."""
    return tuple(
        DatabasePlan(
            database=database,
            request=request,
            server=survey.server,
            program=survey.program,
            jobs=survey.jobs,
            events=events,
            previous_pages=history.segment_pages(database.name),
            known_rows=history.known_rows(database.name) if request.skip_unchanged else None,
        )
        for database in survey.databases
    )


def check_server(request: BackupRequest, conn: Connection) -> ServerFacts:
    """Return the server's facts, if it can be served. Raises ``ServerUnsupported``."""
    refuse_pooler(conn, request.connection)
    server = read_server(conn)
    check_supported(server, dump_format=request.format, allow_newer=request.allow_newer_server)
    return server


def choose_databases(
    found: Sequence[Database], wanted: Sequence[str] | None
) -> tuple[Database, ...]:
    """Return the databases that were asked for, by name; all that are for users when nothing was
    asked.

    Raises ``DatabaseMissing``, ``ConfigError``, ``RightsMissing``, each naming all that it is
    about.
    """
    if wanted is None:
        chosen = [one for one in found if one.allows_connections and not one.is_template]
    else:
        by_name = {one.name: one for one in found}
        missing = [name for name in dict.fromkeys(wanted) if name not in by_name]
        if missing:
            raise DatabaseMissing(
                f"{_these(missing, 'database')} not exist on the server; correct databases."
            )
        chosen = [by_name[name] for name in dict.fromkeys(wanted)]
    closed = [one.name for one in chosen if not one.allows_connections]
    if closed:
        raise ConfigError(
            f"{_these(closed, 'database')} not allow connections and cannot be backed up; leave "
            "it out of databases."
        )
    forbidden = [one.name for one in chosen if not one.may_connect]
    if forbidden:
        raise RightsMissing(
            f"The role may not connect to {', '.join(forbidden)}; grant it CONNECT, or name the "
            "databases to back up by the option databases."
        )
    if not chosen:
        raise ConfigError(
            "The server holds no database that can be backed up; name one by databases."
        )
    return tuple(chosen)


def _these(names: Sequence[str], noun: str) -> str:
    verb = "does" if len(names) == 1 else "do"
    return f"The {noun if len(names) == 1 else noun + 's'} {', '.join(names)} {verb}"


def check_databases(
    request: BackupRequest, server: ServerFacts, databases: Iterable[Database]
) -> int:
    """Look into each database for what would stop the backup later; return their size in bytes.

    Raises ``RightsMissing`` with everything that the role may not read, ``ConfigError`` for tables
    in ``exclude_tables`` that no database has, ``TableLocksRefused`` when the server's lock table
    is too small.
    """
    problems: list[str] = []
    unknown = set(request.exclude_tables)
    size_bytes = 0
    for database in databases:
        with contextlib.closing(connect(request.connection, database.name)) as conn:
            prepare_dump_session(conn)
            files = list(list_table_files(conn).values())
            check_lock_capacity(server, files, read_by_workers=(), workers=0)
            excluded = excluded_oids(files, request.exclude_tables)
            unreadable_here = unreadable(conn, without_rows=excluded)
            problems += [f"in database {database.name}: {what}" for what in unreadable_here]
            unknown -= {str(table) for table in files}
            size_bytes += database_size(conn)
    if problems:
        raise RightsMissing(
            f"The role {server.role} may not read everything, so the backup would not be whole: "
            f"{listed(problems, _PROBLEMS_SHOWN, '; ')}; grant it pg_read_all_data, SELECT on "
            "large objects and BYPASSRLS as needed, or back up as another role.",
            role=server.role,
            unreadable=len(problems),
        )
    if unknown:
        raise ConfigError(
            f"No database has the table {', '.join(sorted(unknown))}; correct exclude_tables "
            "(schema.table)."
        )
    return size_bytes
