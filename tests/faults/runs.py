# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the engine does in these tests, each as one run that journals what its caller was told.

Backups are of made-up files, by the engine's own saver, index and snapshot writers, so they need no
PostgreSQL.
"""

from __future__ import annotations

import time

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import StorageError
from ansible_collections.granary.postgres.plugins.module_utils._core.events import RecordedEvents
from ansible_collections.granary.postgres.plugins.module_utils._core.redaction import Secret
from ansible_collections.granary.postgres.plugins.module_utils._repository.deletion import (
    delete_objects,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.index_file import (
    IndexWriter,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.locks import (
    RepositoryLock,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.model import BlobKind
from ansible_collections.granary.postgres.plugins.module_utils._repository.prune import (
    prune as prune_repository,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.repository import (
    Repository,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.saver import BlobSaver
from ansible_collections.granary.postgres.plugins.module_utils._repository.snapshot import (
    SNAPSHOTS,
    Snapshot,
    list_snapshots,
    unused_time,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.timestamp import (
    Timestamp,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.tree import FileContent
from ansible_collections.granary.postgres.plugins.module_utils._workflows.snapshot_writer import (
    SnapshotLabel,
    SnapshotWriter,
)
from ansible_collections.granary.postgres.plugins.module_utils._workflows.stop_signals import (
    StopSignals,
)
from tests.faults.made_files import files_of_run, pieces, run_of_files
from tests.faults.site import Site
from tests.fix_repository import PASSWORD, read_files


def create(site: Site, run: str) -> None:
    """Make the repository, or open the one that is there."""
    with site.told(run) as told:
        repository, told.fields["created"] = Repository.create(
            site.place.settings, [Secret(PASSWORD)], version=site.version, events=RecordedEvents()
        )
        repository.close()


def back_up(site: Site, run: str, *, host: str = "db1") -> None:
    """Store the files of `run` as a snapshot of `host`."""
    site.journal.append("begun", run=run)
    with site.told(run, "acknowledged") as told:
        with (
            StopSignals() as signals,
            site.open() as repository,
            repository.lock(wait_seconds=site.lock_wait) as lock,
        ):
            snapshot = _Backup(site, repository, lock, signals).run(run, host)
        told.fields["snapshot"] = snapshot.id.hex()


def restore(site: Site, run: str) -> None:
    """Read every snapshot whole and compare it; what was read wrongly without an error fails the
    process.
    """
    with (
        site.told(run),
        site.open() as repository,
        repository.lock_for_reading(wait_seconds=site.lock_wait),
    ):
        for snapshot in list_snapshots(repository):
            found = read_files(repository, snapshot)
            assert not run_of_files(found) or found == files_of_run(run_of_files(found))


def forget(site: Site, run: str) -> None:
    """Remove all snapshots but the newest of each host."""
    with (
        site.told(run) as told,
        site.open() as repository,
        repository.lock(exclusive=True, wait_seconds=site.lock_wait) as lock,
    ):
        told.fields["forgotten"] = _forget(site, repository, lock)


def prune(site: Site, run: str) -> None:
    """Remove what no snapshot uses."""
    with (
        site.told(run) as told,
        site.open() as repository,
        repository.lock(exclusive=True, wait_seconds=site.lock_wait) as lock,
    ):
        done = prune_repository(repository, lock, max_unused_percent=0, pack_size=site.pack_size)
        told.fields.update(done.to_return())


def forget_and_prune(site: Site, run: str) -> None:
    """Both under one lock, as a retention policy does."""
    with (
        site.told(run) as told,
        site.open() as repository,
        repository.lock(exclusive=True, wait_seconds=site.lock_wait) as lock,
    ):
        told.fields["forgotten"] = _forget(site, repository, lock)
        done = prune_repository(repository, lock, max_unused_percent=0, pack_size=site.pack_size)
        told.fields.update(done.to_return())


def _forget(site: Site, repository: Repository, lock: RepositoryLock) -> int:
    newest = {snapshot.hostname: snapshot.id for snapshot in list_snapshots(repository)}
    old = [one for one in list_snapshots(repository) if one.id not in newest.values()]
    # A snapshot that stock restic tagged has another id than was acknowledged.
    known_as = [one.original or one.id for one in old]
    site.journal.append("forgetting", snapshots=[one.hex() for one in known_as])
    done = delete_objects(repository, lock, [f"{SNAPSHOTS}/{one.id.hex()}" for one in old])
    if done.undeleted:
        raise StorageError(f"{len(done.undeleted)} snapshots are still there.")
    return done.deleted


def rival(site: Site, run: str) -> None:
    """Somebody else who needs the repository for himself."""
    with (
        site.told(run),
        site.open() as repository,
        repository.lock(exclusive=True, wait_seconds=site.lock_wait),
    ):
        pass


class _Backup:
    """The steps of a backup in their order; the index is read under the lock."""

    def __init__(
        self, site: Site, repository: Repository, lock: RepositoryLock, signals: StopSignals
    ) -> None:
        self._repository = repository
        self._lock = lock
        self._signals = signals
        index, report = repository.load_index()
        self._index = IndexWriter(
            key=repository.key,
            version=repository.version,
            backend=repository.backend,
            guard=lock.check,
        )
        for record in report.adopted:
            self._index.add(record)
        self._saver = BlobSaver(
            key=repository.key,
            version=repository.version,
            backend=repository.backend,
            index=index,
            shared=None,
            pack_size=site.pack_size,
            uploads=site.uploads,
            on_pack=self._index.add,
            guard=lock.check,
        )

    def run(self, run: str, host: str) -> Snapshot:
        now = time.time_ns()
        label = SnapshotLabel(
            host=host,
            path="/postgres",
            tags=("granary",),
            time=unused_time(list_snapshots(self._repository), now, host),
            parent=None,
            started=Timestamp(unix_ns=now),
        )
        contents = {path: self._save(data) for path, data in files_of_run(run).items()}
        writer = SnapshotWriter(
            self._repository,
            lock=self._lock,
            saver=self._saver,
            index=self._index,
            signals=self._signals,
        )
        return writer.write(contents, label)

    def _save(self, data: bytes) -> FileContent:
        blobs = tuple(self._saver.save(BlobKind.DATA, piece) for piece in pieces(data))
        return FileContent(blobs=blobs, size=len(data))
