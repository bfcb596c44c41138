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
from ansible_collections.granary.postgres.plugins.module_utils._storage.base import Backend
from ansible_collections.granary.postgres.plugins.module_utils._workflows.check_result import (
    CheckRequest,
)
from ansible_collections.granary.postgres.plugins.module_utils._workflows.keys import (
    KeyRequest,
    change_keys,
)
from ansible_collections.granary.postgres.plugins.module_utils._workflows.removal import (
    remove_repository,
)
from ansible_collections.granary.postgres.plugins.module_utils._workflows.repository_check import (
    check_repository,
)
from ansible_collections.granary.postgres.plugins.module_utils._workflows.retention import (
    run_retention,
)
from ansible_collections.granary.postgres.plugins.module_utils._workflows.retention_request import (
    RetentionRequest,
)
from ansible_collections.granary.postgres.plugins.module_utils._workflows.snapshot_writer import (
    SnapshotLabel,
    SnapshotWriter,
)
from ansible_collections.granary.postgres.plugins.module_utils._workflows.stop_signals import (
    StopSignals,
)
from tests.faults.interposed import Listener, Operation, heard_by
from tests.faults.journal import Journal
from tests.faults.made_files import files_of_run, pieces, run_of_files
from tests.faults.site import NEW_PASSWORD, Site
from tests.fix_repository import PASSWORD, read_files

_NEW = Secret(NEW_PASSWORD)


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


class _Forgetting(Listener):
    """Journals which snapshots somebody is about to remove."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def before(self, backend: Backend, operation: Operation) -> None:
        """Journal it."""
        if (operation.verb, operation.folder) == ("delete", SNAPSHOTS):
            self._journal.append("forgetting", snapshots=[operation.name.rpartition("/")[2]])


def retain(site: Site, run: str) -> None:
    """Keep the newest snapshot of each host, and prune, by the workflow of the module."""
    with site.told(run) as told, heard_by(_Forgetting(site.journal)):
        request = RetentionRequest(repository=site.access(), keep_last="1")
        result = run_retention(request, events=RecordedEvents())
        told.fields.update(result.prune or {})


def add_key(site: Site, run: str) -> None:
    """Let the new password open it too."""
    _change_keys(site, run, KeyRequest(repository=site.access(), key_password=_NEW))


def exchange_key(site: Site, run: str) -> None:
    """Put the new password in place of the old one."""
    request = KeyRequest(repository=site.access(), key_password=_NEW, replace=True)
    _change_keys(site, run, request)


def remove_key(site: Site, run: str) -> None:
    """Let the new password open it no more."""
    _change_keys(site, run, KeyRequest(repository=site.access(), state="absent", key_password=_NEW))


def _change_keys(site: Site, run: str, request: KeyRequest) -> None:
    with site.told(run) as told:
        result = change_keys(request, events=RecordedEvents())
        told.fields["keys"] = len(result.keys)


def remove(site: Site, run: str) -> None:
    """Remove the repository, snapshots and all."""
    with site.told(run):
        remove_repository(site.access(), force=True, events=RecordedEvents())
        left = [path for path in site.folder.rglob("*") if path.is_file()]
        assert left == [], left


def check(site: Site, run: str) -> None:
    """Check all of it; that something is wrong with it fails the process.

    Made-up snapshots have no manifest, and the check says so of each: what counts are the files.
    """
    with site.told(run):
        request = CheckRequest(repository=site.access(), read_data=True)
        result = check_repository(request, events=RecordedEvents())
        assert not result.damage, result.to_return()


def repair(site: Site, run: str) -> None:
    """Repair what can be repaired."""
    with site.told(run):
        request = CheckRequest(repository=site.access(), repair=True)
        check_repository(request, events=RecordedEvents())


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
