# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""What earlier snapshots of a host mean for the next one: its time, its system, its segment
borders, and rows that need not be read again.
"""

from __future__ import annotations

import time
import typing as t

from .._core.errors import ConfigError, RepositoryDamaged
from .._core.units import listed
from .._postgres.layout import ROOT
from .._repository.selection import select_snapshots
from .._repository.snapshot import list_snapshots, unused_time
from .known_rows import known_rows
from .restore_source import NAMED_PROBLEMS, SnapshotFiles
from .stored_manifest import read_manifest

if t.TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .._core.events import Events
    from .._postgres.manifest import DatabaseEntry, Manifest
    from .._repository.reader import BlobReader
    from .._repository.repository import Repository
    from .._repository.snapshot import Snapshot
    from .._repository.timestamp import Timestamp
    from .known_rows import KnownRows

# A database that was not in the newest snapshots is divided afresh.
_MOST_MANIFESTS = 3


class BackupHistory:
    """The snapshots of one host, as far as the next backup needs them; manifests are read when
    first asked for.
    """

    def __init__(
        self, repository: Repository, reader: BlobReader, *, host: str, events: Events
    ) -> None:
        self._reader = reader
        self._host = host
        self._events = events
        self._snapshots = list_snapshots(repository)
        self._manifests: list[tuple[Snapshot, Manifest]] | None = None
        self._files: dict[bytes, SnapshotFiles] = {}

    def next_time(self) -> Timestamp:
        """Return the time for the next snapshot, which no other has.

        Raises ``RepositoryError`` when the newest snapshot of the host lies in the future.
        """
        return unused_time(self._snapshots, time.time_ns(), self._host)

    def newest(self, path: str) -> Snapshot | None:
        """Return the newest snapshot of the host with ``path``, the next one's parent."""
        found = select_snapshots(self._snapshots, host=self._host, paths=[path])
        return found[-1] if found else None

    def _known_manifests(self) -> list[tuple[Snapshot, Manifest]]:
        if self._manifests is None:
            self._manifests = list(self._read_manifests())
        return self._manifests

    def _read_manifests(self) -> Iterator[tuple[Snapshot, Manifest]]:
        found = select_snapshots(self._snapshots, host=self._host, paths=[ROOT])
        for snapshot in reversed(found[-_MOST_MANIFESTS:]):
            try:
                manifest = read_manifest(self._reader, snapshot.tree)
            except RepositoryDamaged as exc:
                self._events.warn(f"An earlier snapshot cannot be read: {exc.sentence}")
                continue
            if manifest is not None:
                yield snapshot, manifest

    def check_system(self, system_identifier: str | None, *, new_system: bool) -> None:
        """Refuse a server that is not the one of the host's newest snapshot.

        Two servers under one host would take each other's place as ``latest`` and in retention.
        Where the identifier may not be read there is nothing to compare. Raises ``ConfigError``.
        """
        before = next(iter(self._known_manifests()), None)
        if new_system or before is None:
            return
        known = before[1].server.system_identifier
        if known and system_identifier and known != system_identifier:
            raise ConfigError(
                f"The newest snapshot of host {self._host} is of another database system "
                f"({known}, this one is {system_identifier}); give this "
                "server a host of its own, or set new_system if it takes the other's place.",
                host=self._host,
            )

    def segment_pages(self, database: str) -> Mapping[tuple[str, str], int]:
        """Return how many pages made a segment of each table before, by schema and name."""
        for dummy_snapshot, dummy_manifest, entry in self._entries(database):
            return {
                (table.schema, table.name): table.segment_pages
                for table in entry.tables
                if table.segment_pages
            }
        return {}

    def known_rows(self, database: str) -> KnownRows | None:
        """Return what the newest snapshot of ``database`` holds of its rows, if they can be
        compared with those on the server. A snapshot that is not whole is no reason to fail."""
        for snapshot, manifest, entry in self._entries(database):
            try:
                return known_rows(self._whole_files(snapshot, manifest), entry)
            except RepositoryDamaged as exc:
                self._events.warn(f"Database {database} is read whole: {exc.sentence}")
                break
        return None

    def _whole_files(self, snapshot: Snapshot, manifest: Manifest) -> SnapshotFiles:
        if snapshot.id not in self._files:
            files = SnapshotFiles(self._reader, snapshot.tree)
            if problems := files.problems(manifest):
                raise RepositoryDamaged(
                    f"Snapshot {snapshot.id.hex()[:8]} is not what was backed up: "
                    f"{listed(problems, NAMED_PROBLEMS, '; ')}."
                )
            self._files[snapshot.id] = files
        return self._files[snapshot.id]

    def _entries(self, database: str) -> Iterator[tuple[Snapshot, Manifest, DatabaseEntry]]:
        for snapshot, manifest in self._known_manifests():
            for entry in manifest.databases:
                if entry.name == database:
                    yield snapshot, manifest, entry
