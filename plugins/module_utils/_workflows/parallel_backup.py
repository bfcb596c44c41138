# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""``format: parallel``: all databases, one after the other, by workers; then globals, manifest,
snapshot.

The calling process is the coordinator. The lock's keeper is forked already; it forks the workers
and owns the exported snapshots, the index and everything that decides.
"""

from __future__ import annotations

import contextlib
import functools
import typing as t

from .._core.errors import DumpFailed, ProgramError
from .._postgres import layout, manifest
from .._postgres.database_contents import read_contents
from .._postgres.database_definition import read_definition
from .._postgres.dump_programs import dump_warnings, globals_dump
from .._repository.model import Compression
from .._repository.shared_ids import SharedIds
from .backup_manifest import globals_entry, store_database, store_manifest
from .backup_plan import plan_databases
from .backup_worker import SaverSetup, serve_backup
from .collector import file_content
from .coordinator import Coordinator
from .database_dump import dump_database
from .streams import READ_BYTES, open_sink
from .work_units import HandOverTail, SaverCounts, TailEnd, TailPart
from .worker_pool import WorkerPool
from .yielding import yield_watch

if t.TYPE_CHECKING:
    from .._postgres.programs import Program
    from .._repository.saver import BlobSaver
    from .._repository.tree import FileContent
    from .backup_manifest import StoredDatabase
    from .backup_plan import DatabasePlan, Survey
    from .backup_run import BackupRun
    from .database_dump import DumpedDatabase
    from .requests import BackupResult
    from .streams import BlobSink
    from .work_units import StoredBytes


class ParallelBackup:
    """One run."""

    def __init__(self, run: BackupRun, survey: Survey) -> None:
        self._run = run
        self._request = run.request
        self._survey = survey

    def back_up(self) -> BackupResult:
        """Read everything, prove it whole, write the snapshot."""
        run = self._run
        label = run.label(layout.ROOT, self._survey.server)
        plans = plan_databases(self._request, self._survey, run.history, events=run.events)
        setup = self._saver_setup()
        serve = functools.partial(
            serve_backup,
            repository=run.repository,
            setup=setup,
            connection=self._request.connection,
        )
        with WorkerPool(self._survey.jobs, serve) as pool:
            coordinator = Coordinator(pool, run.index_writer, run.lock)
            # After the fork: it may start threads.
            saver = setup.open(run.repository, run.index_writer.add)
            with contextlib.closing(saver):
                with yield_watch(coordinator, self._request.connection, self._request.yield_after):
                    databases = [self._dump(coordinator, plan) for plan in plans]
                counts = self._collect_tails(coordinator, saver)
                # Nothing is left for them to do, and their memory would add to that of the rest.
                pool.stop()
                files = self._store_rest(saver, databases)
                snapshot = run.write_snapshot(saver, files, label)
                stats = saver.stats
        counts += SaverCounts(new_blobs=stats.new_blobs, stored_bytes=stats.stored_bytes)
        return run.result(
            snapshot,
            counts,
            databases=len(databases),
            tables=sum(len(database.entry.tables) for database in databases),
            rows=sum(database.rows for database in databases),
            read_bytes=sum(database.read_bytes for database in databases),
            unchanged_bytes=sum(database.unchanged_bytes for database in databases),
        )

    def _saver_setup(self) -> SaverSetup:
        return SaverSetup(
            index=self._run.index,
            shared=SharedIds.for_bytes(self._survey.size_bytes),
            lock=self._run.lock,
            compression=Compression(self._request.compression),
            pack_size=self._request.pack_size,
        )

    def _dump(self, coordinator: Coordinator, plan: DatabasePlan) -> StoredDatabase:
        self._run.events.progress("database_begun", database=plan.database.name)
        stored = dump_database(coordinator, plan, self._describe)
        self._run.events.progress(
            "database_read", database=plan.database.name, bytes=stored.read_bytes, rows=stored.rows
        )
        return stored

    def _describe(self, dumped: DumpedDatabase) -> StoredDatabase:
        """Add what else the snapshot says of a database, read in the same snapshot of the
        server.
        """
        self._run.heed(dumped.warnings)
        connection = dumped.locked.connection
        definition = read_definition(connection, dumped.plan.database.name)
        return store_database(dumped, definition, read_contents(connection))

    def _collect_tails(self, coordinator: Coordinator, saver: BlobSaver) -> SaverCounts:
        """Take what did not fill a pack from every worker, one after the other."""
        counts = SaverCounts()
        for number in range(len(coordinator.pool)):
            coordinator.pool.send(number, HandOverTail())
            end: TailEnd | None = None
            while end is None:
                messages, dummy_ready = coordinator.receive()
                for dummy_number, message in messages:
                    if isinstance(message, TailPart):
                        saver.adopt(message.tail)
                    elif isinstance(message, TailEnd):
                        end = message
            counts += end.counts
        return counts

    def _store_rest(
        self, saver: BlobSaver, databases: list[StoredDatabase]
    ) -> dict[str, FileContent]:
        run, server = self._run, self._survey.server
        sink = open_sink(saver, run.repository)
        files: dict[str, FileContent] = {}
        for database in databases:
            files |= database.files
        globals_file = None
        program = self._survey.globals_program
        if program is not None:
            stored = self._dump_globals(sink, program)
            files[layout.GLOBALS] = file_content(stored)
            globals_file = globals_entry(stored, self._survey.global_contents)
        settings = manifest.Settings(
            segment_threshold=self._request.segment_threshold,
            dump_program=self._survey.program.version,
            role_passwords=server.may_read_role_passwords,
        )
        return files | store_manifest(
            sink,
            server=server,
            settings=settings,
            globals_file=globals_file,
            databases=tuple(database.entry for database in databases),
        )

    def _dump_globals(self, sink: BlobSink, program: Program) -> StoredBytes:
        server = self._survey.server
        if not server.may_read_role_passwords:
            self._run.events.warn(
                f"The role {server.role} may not read the passwords of roles (pg_authid): "
                "globals.sql is without them."
            )
        with globals_dump(
            program, self._request.connection, role_passwords=server.may_read_role_passwords
        ) as child:
            while data := child.stdout.read(READ_BYTES):
                sink.write(data)
            try:
                self._run.heed(dump_warnings(child.wait()))
            except ProgramError as exc:
                raise DumpFailed(f"globals.sql is not whole: {exc.message}") from exc
        return sink.finish()
