# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""``format: plain``: the script of pg_dump or pg_dumpall as one file, as Stash stores it, from any
server since 9.6.

Whether the dump is whole, the program's exit status decides, and that the script ends as the
program ends one.
"""

from __future__ import annotations

import contextlib
import dataclasses
import typing as t

from .._core.errors import DatabaseMissing, DumpFailed, ProgramError, RestoreFailed
from .._postgres.catalog import list_databases
from .._postgres.connection import connect_server
from .._postgres.dump_programs import dump_warnings, plain_dump
from .._postgres.layout import PLAIN_DUMP
from .._postgres.plain_stream import TAIL_BYTES, check_trailer
from .._postgres.programs import find_program
from .._repository.model import Compression
from .backup_plan import check_server
from .collector import file_content
from .pace import Pace
from .streams import READ_BYTES, open_sink
from .work_units import SaverCounts

if t.TYPE_CHECKING:
    from .._core.process import Child
    from .._postgres.model import ServerFacts
    from .._postgres.programs import Program
    from .._repository.saver import BlobSaver
    from .backup_run import BackupRun
    from .requests import BackupRequest, BackupResult
    from .work_units import StoredBytes


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PlainSurvey:
    """What will be dumped: ``database``, or all of the server if that is None."""

    server: ServerFacts
    program: Program
    database: str | None
    databases: int


def survey_plain(request: BackupRequest) -> PlainSurvey:
    """Find out whether the server can be dumped, and by which program.

    Raises ``ServerUnsupported``, ``DatabaseMissing``, ``ProgramMissing``.
    """
    database = request.databases[0] if request.databases else None
    with contextlib.closing(connect_server(request.connection)) as conn:
        server = check_server(request, conn)
        found = list_databases(conn)
    if database is not None and database not in {one.name for one in found}:
        raise DatabaseMissing(
            f"The database {database} does not exist on the server; check the option databases."
        )
    name = "pg_dumpall" if database is None else "pg_dump"
    return PlainSurvey(
        server=server,
        program=find_program(name, at_least_major=server.major, bin_dir=request.bin_dir),
        database=database,
        databases=1 if database else sum(one.allows_connections for one in found),
    )


class PlainBackup:
    """One run."""

    def __init__(self, run: BackupRun, survey: PlainSurvey) -> None:
        self._run = run
        self._request = run.request
        self._survey = survey

    def back_up(self) -> BackupResult:
        """Read the whole script, then write the snapshot."""
        run = self._run
        label = run.label(PLAIN_DUMP, self._survey.server)
        saver = run.repository.saver(
            run.index,
            compression=Compression(self._request.compression),
            pack_size=self._request.pack_size,
            on_pack=run.index_writer.add,
            guard=run.lock.check,
        )
        with contextlib.closing(saver):
            stored = self._dump(saver)
            snapshot = run.write_snapshot(saver, {PLAIN_DUMP: file_content(stored)}, label)
            stats = saver.stats
        return run.result(
            snapshot,
            SaverCounts(new_blobs=stats.new_blobs, stored_bytes=stats.stored_bytes),
            databases=self._survey.databases,
            read_bytes=stored.size,
        )

    def _dump(self, saver: BlobSaver) -> StoredBytes:
        sink = open_sink(saver, self._run.repository)
        head = tail = b""
        size, pace = 0, Pace()
        lock_timeout = self._request.lock_timeout * 1000
        with plain_dump(
            self._survey.program,
            self._request.connection,
            database=self._survey.database,
            # First, so that one among the user's own arguments counts.
            arguments=[f"--lock-wait-timeout={lock_timeout}", *self._request.dump_args],
        ) as child:
            while data := child.stdout.read(READ_BYTES):
                sink.write(data)
                size += len(data)
                if pace.due():
                    self._run.events.progress("dump_read", bytes=size)
                head = head if len(head) >= TAIL_BYTES else head + data[:TAIL_BYTES]
                tail = (tail + data)[-TAIL_BYTES:]
            self._finish(child)
        try:
            check_trailer(head, tail)
        except RestoreFailed as exc:
            raise DumpFailed(
                f"The script of {child.name} could not be restored, although the program ended "
                f"with status 0: {exc.message}"
            ) from exc
        return sink.finish()

    def _finish(self, child: Child) -> None:
        try:
            lines = child.wait()
        except ProgramError as exc:
            raise DumpFailed(f"The dump is not whole: {exc.message}") from exc
        warnings = dump_warnings(lines)
        self._run.heed(warnings)
