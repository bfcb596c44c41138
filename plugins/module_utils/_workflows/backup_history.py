# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""What earlier snapshots of a host mean for the next one: its time, its system, its segment
borders.
"""

from __future__ import annotations

import time
import typing as t

from .._core.errors import ConfigError, RepositoryDamaged
from .._postgres.layout import ROOT
from .._repository.selection import select_snapshots
from .._repository.snapshot import list_snapshots, unused_time
from .stored_manifest import read_manifest

if t.TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .._core.events import Events
    from .._postgres.manifest import Manifest
    from .._repository.reader import BlobReader
    from .._repository.repository import Repository
    from .._repository.snapshot import Snapshot
    from .._repository.timestamp import Timestamp

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
        self._manifests: list[Manifest] | None = None

    def next_time(self) -> Timestamp:
        """Return the time for the next snapshot, which no other has.

        Raises ``RepositoryError`` when the newest snapshot of the host lies in the future.
        """
        return unused_time(self._snapshots, time.time_ns(), self._host)

    def newest(self, path: str) -> Snapshot | None:
        """Return the newest snapshot of the host with ``path``, the next one's parent."""
        found = select_snapshots(self._snapshots, host=self._host, paths=[path])
        return found[-1] if found else None

    def _known_manifests(self) -> list[Manifest]:
        if self._manifests is None:
            self._manifests = list(self._read_manifests())
        return self._manifests

    def _read_manifests(self) -> Iterator[Manifest]:
        found = select_snapshots(self._snapshots, host=self._host, paths=[ROOT])
        for snapshot in reversed(found[-_MOST_MANIFESTS:]):
            try:
                manifest = read_manifest(self._reader, snapshot.tree)
            except RepositoryDamaged as exc:
                self._events.warn(f"An earlier snapshot cannot be read: {exc.sentence}")
                continue
            if manifest is not None:
                yield manifest

    def check_system(self, system_identifier: str | None, *, new_system: bool) -> None:
        """Refuse a server that is not the one of the host's newest snapshot.

        Two servers under one host would take each other's place as ``latest`` and in retention.
        Where the identifier may not be read there is nothing to compare. Raises ``ConfigError``.
        """
        before = next(iter(self._known_manifests()), None)
        if new_system or before is None:
            return
        known = before.server.system_identifier
        if known and system_identifier and known != system_identifier:
            raise ConfigError(
                f"The newest snapshot of host {self._host} is of another database system "
                f"({known}, this one is {system_identifier}); give this "
                "server a host of its own, or set new_system if it takes the other's place.",
                host=self._host,
            )

    def segment_pages(self, database: str) -> Mapping[tuple[str, str], int]:
        """Return how many pages made a segment of each table before, by schema and name."""
        for manifest in self._known_manifests():
            for entry in manifest.databases:
                if entry.name == database:
                    return {
                        (table.schema, table.name): table.segment_pages
                        for table in entry.tables
                        if table.segment_pages
                    }
        return {}
