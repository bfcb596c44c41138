# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""The end of a backup: trees, index, snapshot, in that order, and a last look at the lock.

Until the snapshot is there nothing that was written is visible to anybody; once it is, it must be
whole.
"""

from __future__ import annotations

import dataclasses
import os
import time
import typing as t

from .._core.errors import GranaryError, LockLost, OutcomeUnknown, RepositoryDamaged, StorageError
from .._repository.model import BlobKind
from .._repository.snapshot import SNAPSHOTS, Snapshot, SnapshotFigures, seal_snapshot
from .._repository.timestamp import Timestamp
from .._repository.tree import save_tree, walk

if t.TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .._repository.index_file import IndexWriter
    from .._repository.locks import RepositoryLock
    from .._repository.repository import Repository
    from .._repository.saver import BlobSaver
    from .._repository.tree import FileContent
    from .stop_signals import StopSignals

PROGRAM = "granary.postgres 0.1.0"
_SETTLE_SECONDS = 120.0
_SETTLE_PAUSE_SECONDS = 2.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotLabel:
    """What a snapshot is found by, and when its backup began."""

    host: str
    path: str
    tags: Sequence[str]
    time: Timestamp
    parent: bytes | None
    started: Timestamp


class SnapshotWriter:
    """Writes one snapshot in a repository whose lock is held."""

    def __init__(
        self,
        repository: Repository,
        *,
        lock: RepositoryLock,
        saver: BlobSaver,
        index: IndexWriter,
        signals: StopSignals,
    ) -> None:
        self._repository = repository
        self._lock = lock
        self._saver = saver
        self._index = index
        self._signals = signals

    def write(self, files: Mapping[str, FileContent], label: SnapshotLabel) -> Snapshot:
        """Make everything durable that ``files`` names, then the snapshot.

        Raises ``LockLost`` when the lock was lost: there is no snapshot then. Raises
        ``OutcomeUnknown`` when the storage gave no answer for the snapshot itself, however often it
        was asked. A signal that comes during the last write no longer stops the run.
        """
        tree = save_tree(self._saver, files)
        self._saver.finish()
        # Whoever removed the lock may prune what an index of ours would name.
        self._require_lock()
        self._index.flush()
        self._repository.events.progress("index_written")
        snapshot = Snapshot(
            time=label.time,
            tree=tree,
            paths=(label.path,),
            hostname=label.host,
            parent=label.parent,
            uid=os.getuid(),
            gid=os.getgid(),
            tags=tuple(label.tags),
            program_version=PROGRAM,
            summary=SnapshotFigures(
                backup_start=label.started,
                backup_end=Timestamp(unix_ns=time.time_ns()),
                files_new=len(files),
                total_files_processed=len(files),
                total_bytes_processed=sum(content.size for content in files.values()),
            ),
        )
        with self._signals.held():
            return dataclasses.replace(snapshot, id=self._publish(snapshot))

    def _publish(self, snapshot: Snapshot) -> bytes:
        snapshot_id, sealed = seal_snapshot(self._repository, snapshot)
        name = f"{SNAPSHOTS}/{snapshot_id.hex()}"
        self._require_lock()
        try:
            self._repository.backend.write(name, sealed)
        except OutcomeUnknown as exc:
            self._settle(name, sealed, exc)
        if not self._lock_is_there():
            self._prove_or_remove(name, snapshot.tree)
        return snapshot_id

    def _require_lock(self) -> None:
        self._lock.check()
        if not self._lock.still_there():
            raise LockLost(
                f"The lock on {self._repository.location} is gone, since somebody removed it; no "
                "snapshot was written, run it again."
            )

    def _settle(self, name: str, sealed: bytes, cause: OutcomeUnknown) -> None:
        """Find out whether the snapshot is there; writing the same again is harmless and may answer
        it.
        """
        deadline = time.monotonic() + _SETTLE_SECONDS
        while time.monotonic() < deadline:
            try:
                if self._repository.backend.size(name) == len(sealed):
                    return
                self._lock.check()
                self._repository.backend.write(name, sealed)
            except StorageError:
                time.sleep(_SETTLE_PAUSE_SECONDS)
            except LockLost:
                break
            else:
                return
        raise OutcomeUnknown(
            f"Whether {name} was stored in {self._repository.location} is unknown, since the "
            f"storage does not answer: {cause.message} It may appear later, and is whole if it "
            "does; look with repository_info once the storage answers.",
            snapshot=name.rpartition("/")[2],
        ) from cause

    def _lock_is_there(self) -> bool:
        try:
            return self._lock.still_there()
        except StorageError:
            return False

    def _prove_or_remove(self, name: str, tree: bytes) -> None:
        """Without a lock somebody may have removed what the snapshot needs: look at all of it."""
        try:
            self._prove_present(tree)
        except GranaryError as exc:
            self._repository.backend.delete(name)
            raise LockLost(
                f"The lock on {self._repository.location} was gone when the snapshot was written, "
                f"and something that it needs is not there ({exc.message}); the snapshot was "
                "removed, run it again."
            ) from exc

    def _prove_present(self, tree: bytes) -> None:
        index, dummy_report = self._repository.load_index()
        for path, node in walk(self._repository.reader(index), tree):
            missing = [blob for blob in node.content if not index.has(BlobKind.DATA, blob)]
            if missing:
                raise RepositoryDamaged(f"{path} lacks the blob {missing[0].hex()}.")
