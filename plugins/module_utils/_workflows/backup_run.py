# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""What both formats of a backup share: an open repository, its index and history, and how a run
ends.
"""

from __future__ import annotations

import time
import typing as t

from .._core.errors import DumpFailed
from .._repository.index_file import IndexWriter
from .._repository.timestamp import Timestamp
from .backup_history import BackupHistory
from .requests import TAG, BackupResult, SnapshotSummary, Stats
from .snapshot_writer import SnapshotLabel, SnapshotWriter

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .._core.events import Events
    from .._postgres.dump_programs import DumpWarning
    from .._postgres.model import ServerFacts
    from .._repository.locks import RepositoryLock
    from .._repository.repository import Repository
    from .._repository.saver import BlobSaver
    from .._repository.snapshot import Snapshot
    from .._repository.tree import FileContent
    from .requests import BackupRequest
    from .stop_signals import StopSignals
    from .work_units import SaverCounts


class BackupRun:
    """One run that holds the repository's lock."""

    def __init__(
        self,
        request: BackupRequest,
        *,
        repository: Repository,
        lock: RepositoryLock,
        signals: StopSignals,
        events: Events,
    ) -> None:
        self.request = request
        self.repository = repository
        self.lock = lock
        self.events = events
        self._signals = signals
        self._began = time.monotonic()
        self._started = Timestamp(unix_ns=time.time_ns())
        self._warnings: list[str] = []
        self.index, report = repository.load_index()
        self.history = BackupHistory(
            repository, repository.reader(self.index), host=request.host, events=events
        )
        self.index_writer = IndexWriter(
            key=repository.key,
            version=repository.version,
            backend=repository.backend,
            guard=lock.check,
        )
        # Packs of a run that was killed: their blobs are known now, so an index must name them.
        for record in report.adopted:
            self.index_writer.add(record)

    def heed(self, warnings: Iterable[DumpWarning]) -> None:
        """Keep and tell what a dump program said.

        Raises ``DumpFailed`` when it lacks something, unless the request accepts that.
        """
        losses = []
        for warning in warnings:
            self._warnings.append(warning.text)
            self.events.warn(warning.text)
            if warning.loses:
                losses.append(warning.text)
        if losses and not self.request.accept_warnings:
            raise DumpFailed(
                f"The dump lacks something: {'; '.join(losses)}; set accept_warnings to back up "
                "without it."
            )

    def label(self, path: str, server: ServerFacts) -> SnapshotLabel:
        """Return what the snapshot of ``server`` will be found by.

        Raises ``ConfigError`` for a host of another database system, ``RepositoryError`` for one
        whose newest snapshot lies in the future.
        """
        self.history.check_system(server.system_identifier, new_system=self.request.new_system)
        parent = self.history.newest(path)
        return SnapshotLabel(
            host=self.request.host,
            path=path,
            tags=snapshot_tags(self.request),
            time=self.history.next_time(),
            parent=parent.id if parent else None,
            started=self._started,
        )

    def write_snapshot(
        self, saver: BlobSaver, files: Mapping[str, FileContent], label: SnapshotLabel
    ) -> Snapshot:
        """Make everything durable, then the snapshot; see ``SnapshotWriter``."""
        writer = SnapshotWriter(
            self.repository,
            lock=self.lock,
            saver=saver,
            index=self.index_writer,
            signals=self._signals,
        )
        return writer.write(files, label)

    def result(self, snapshot: Snapshot, counts: SaverCounts, **numbers: int) -> BackupResult:
        """Return what the run made; ``numbers`` are the other fields of ``Stats``."""
        return BackupResult(
            snapshot=SnapshotSummary.of(snapshot),
            stats=Stats(
                new_blobs=counts.new_blobs,
                stored_bytes=counts.stored_bytes,
                duration_seconds=round(time.monotonic() - self._began, 3),
                **numbers,
            ),
            dump_warnings=tuple(self._warnings),
            files=snapshot.summary.total_files_processed if snapshot.summary else 0,
        )


def snapshot_tags(request: BackupRequest) -> tuple[str, ...]:
    """Return the tags of the snapshot, ours first, none twice."""
    return tuple(dict.fromkeys((TAG, *request.tags)))
