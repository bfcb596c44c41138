# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""What a worker of a backup does: rows and streams in, blobs and numbers out.

It has a database connection and a storage client of its own and decides nothing: which segments
there are, and whether the whole is a backup, is the coordinator's business.
"""

from __future__ import annotations

import dataclasses
import typing as t

from .._core.errors import GranaryError, TableLocksRefused
from .._postgres.connection import connect
from .._postgres.copying import copy_out
from .._postgres.row_versions import rows_unchanged
from .._postgres.session import prepare_dump_session
from .._postgres.table_locks import join_snapshot, lock_tables
from .streams import RowFiles, open_sink, save_stream
from .work_units import (
    Closed,
    CloseDatabase,
    HandOverTail,
    OpenDatabase,
    PackStored,
    ReadSegment,
    ReadStream,
    Ready,
    Refused,
    SaverCounts,
    SegmentDone,
    SegmentUnchanged,
    StreamDone,
    TailEnd,
    TailPart,
)

if t.TYPE_CHECKING:
    from collections.abc import Callable

    from .._postgres.connection import Connection
    from .._postgres.model import ConnectionSettings, Table
    from .._repository.index import Index
    from .._repository.locks import RepositoryLock
    from .._repository.model import Compression, PackRecord
    from .._repository.repository import Repository
    from .._repository.saver import BlobSaver
    from .._repository.shared_ids import SharedIds
    from .worker_pool import WorkerLink


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SaverSetup:
    """What every process of a run makes its saver from; inherited by fork, never sent."""

    index: Index
    shared: SharedIds
    lock: RepositoryLock
    compression: Compression
    pack_size: int

    def open(self, repository: Repository, on_pack: Callable[[PackRecord], None]) -> BlobSaver:
        """Return a saver of the calling process, which owns ``repository``."""
        return repository.saver(
            self.index,
            shared=self.shared,
            compression=self.compression,
            pack_size=self.pack_size,
            on_pack=on_pack,
            guard=self.lock.check,
        )


class BackupWorker:
    """Serves one coordinator until it closes the link."""

    def __init__(
        self,
        link: WorkerLink,
        *,
        repository: Repository,
        setup: SaverSetup,
        connection: ConnectionSettings,
    ) -> None:
        self._link = link
        self._settings = connection
        self._saver = setup.open(repository, lambda record: link.send(PackStored(record)))
        self._sink = open_sink(self._saver, repository)
        self._connection: Connection | None = None
        self._tables: tuple[Table, ...] = ()

    def serve(self) -> None:
        """Do what the coordinator says, one thing after the other."""
        while (unit := self._link.receive()) is not None:
            match unit:
                case ReadSegment():
                    self._read_segment(unit)
                case ReadStream():
                    self._read_stream(unit)
                case OpenDatabase():
                    self._open(unit)
                case CloseDatabase():
                    self._close()
                    self._link.send(Closed())
                case HandOverTail():
                    self._hand_over()
                case _:
                    raise GranaryError(f"A worker was sent {type(unit).__name__}; please report.")

    def close(self) -> None:
        """Let go of the database and of running uploads."""
        self._close()
        self._saver.close()

    def _open(self, unit: OpenDatabase) -> None:
        self._tables = unit.tables
        self._connection = connect(self._settings, unit.name)
        prepare_dump_session(self._connection)
        join_snapshot(self._connection, unit.snapshot)
        try:
            lock_tables(self._connection, unit.tables)
        except TableLocksRefused as exc:
            self._close()
            self._link.send(Refused(exc))
        else:
            self._link.send(Ready())

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _read_segment(self, unit: ReadSegment) -> None:
        if self._connection is None:
            raise GranaryError("A worker was sent a segment without a database; please report.")
        self._link.check()
        table = self._tables[unit.table]
        if unit.before and rows_unchanged(self._connection, table.key, unit.pages, unit.before):
            self._link.send(SegmentUnchanged(unit.table, unit.segment))
            return
        files = RowFiles(self._sink, unit.file_bytes)

        def take(data: memoryview) -> None:
            self._link.check()
            files.write(data)

        rows = copy_out(self._connection, table.key, table.columns, take, pages=unit.pages)
        self._link.send(SegmentDone(unit.table, unit.segment, rows, files.finish()))

    def _read_stream(self, unit: ReadStream) -> None:
        descriptor = self._link.receive_descriptor()
        stored, toc = save_stream(
            descriptor, self._sink, archive=unit.archive, check=self._link.check
        )
        self._link.send(StreamDone(unit.name, stored, toc))

    def _hand_over(self) -> None:
        self._close()
        for tail in self._saver.take_tails():
            self._link.send(TailPart(tail))
        stats = self._saver.stats
        counts = SaverCounts(new_blobs=stats.new_blobs, stored_bytes=stats.stored_bytes)
        self._link.send(TailEnd(counts))


def serve_backup(
    link: WorkerLink, *, repository: Repository, setup: SaverSetup, connection: ConnectionSettings
) -> None:
    """Run a worker in a process that was forked for it; ``repository`` is the coordinator's."""
    own = repository.reopen()
    try:
        worker = BackupWorker(link, repository=own, setup=setup, connection=connection)
        try:
            worker.serve()
        finally:
            worker.close()
    finally:
        own.close()
