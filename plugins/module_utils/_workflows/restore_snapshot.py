# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""Which snapshot a restore takes, and whether it can be trusted."""

from __future__ import annotations

import contextlib
import dataclasses
import typing as t

from .._core.errors import ConfigError, RepositoryDamaged, SnapshotMissing
from .._postgres.layout import MANIFEST, PLAIN_DUMP, ROOT
from .._postgres.load_programs import peek_toc
from .._repository.selection import LATEST, find_snapshot, select_snapshots
from .._repository.snapshot import list_snapshots
from .._repository.tree import find_node
from .requests import SnapshotSummary
from .restore_source import SnapshotFiles, refuse_damaged
from .stored_manifest import read_manifest

if t.TYPE_CHECKING:
    from .._core.events import Events
    from .._postgres.archive import ArchiveToc
    from .._postgres.manifest import Manifest
    from .._repository.reader import BlobReader
    from .._repository.repository import Repository
    from .._repository.snapshot import Snapshot
    from .requests import RestoreRequest


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A snapshot that can be restored; ``manifest`` is None for a plain SQL script."""

    snapshot: Snapshot
    files: SnapshotFiles
    manifest: Manifest | None

    def summary(self) -> SnapshotSummary:
        """Return the snapshot as results show it."""
        return SnapshotSummary.of(self.snapshot)

    def read_toc(self, path: str) -> ArchiveToc:
        """Return the table of contents of an archive of the snapshot."""
        with contextlib.closing(self.files.stream(path)) as blocks:
            return peek_toc(blocks)[0]


def choose_source(
    repository: Repository, reader: BlobReader, request: RestoreRequest, events: Events
) -> Source:
    """Return the snapshot that the request means, whole.

    ``latest`` passes over snapshots that are not whole, with a warning, and over those that do not
    hold all the databases that are asked for. A snapshot that was named is refused instead.

    Raises ``SnapshotMissing``, ``SnapshotAmbiguous``, ``RepositoryDamaged``, ``ConfigError``.
    """
    snapshots = list_snapshots(repository)
    accepted: dict[bytes, Source] = {}

    def accept(snapshot: Snapshot) -> bool:
        try:
            source = _open(snapshot, reader, request)
        except (RepositoryDamaged, SnapshotMissing, ConfigError) as exc:
            events.warn(f"Passed over snapshot {snapshot.id.hex()}: {exc.sentence}")
            return False
        if source is not None:
            accepted[snapshot.id] = source
        return source is not None

    if request.snapshot == LATEST:
        ours = [snapshot for snapshot in snapshots if is_ours(snapshot)]
        _refuse_several_hosts(ours, request.host)
        try:
            found = find_snapshot(ours, LATEST, host=request.host, accept=accept)
        except SnapshotMissing as exc:
            raise _lacking(exc, request) from exc
        return _warned(accepted[found.id], events)
    found = find_snapshot(snapshots, request.snapshot)
    source = _open(found, reader, request)
    if source is None:
        raise ConfigError(
            f"Snapshot {found.id.hex()} does not hold all of "
            f"{', '.join(map(repr, request.databases or ()))}; correct databases, or choose "
            "another snapshot."
        )
    return _warned(source, events)


def _warned(source: Source, events: Events) -> Source:
    """Warn of an SQL script that restic changed and nobody measured: old releases wrote no size."""
    snapshot = source.snapshot
    if source.manifest is None and snapshot.original and snapshot.size_bytes is None:
        events.warn(
            f"Snapshot {snapshot.id.hex()} was made from {snapshot.original.hex()} by `restic "
            "tag`, `rewrite` or `repair snapshots`, and does not say how large that was: if it was "
            "repaired, rows may be missing, and nothing can tell."
        )
    return source


def _lacking(exc: SnapshotMissing, request: RestoreRequest) -> SnapshotMissing:
    if not request.databases:
        return exc
    names = ", ".join(map(repr, request.databases))
    return SnapshotMissing(f"No snapshot holds all of {names}: {exc.message}")


def is_ours(snapshot: Snapshot) -> bool:
    """Tell whether a snapshot is of this engine, or a plain dump as Stash and others store it."""
    return any(path == ROOT or f"/{path}".endswith(PLAIN_DUMP) for path in snapshot.paths)


def _refuse_several_hosts(snapshots: list[Snapshot], host: str | None) -> None:
    hosts = sorted({snapshot.hostname for snapshot in snapshots})
    if host is None and len(hosts) > 1:
        raise ConfigError(
            f"The repository holds backups of {len(hosts)} hosts ({', '.join(hosts)}): say by host "
            "which one is meant."
        )
    if host is not None and not select_snapshots(snapshots, host=host):
        raise SnapshotMissing(
            f"The repository holds no backup of host {host!r}; it holds those of: "
            f"{', '.join(hosts) or 'nobody'}."
        )


def _open(snapshot: Snapshot, reader: BlobReader, request: RestoreRequest) -> Source | None:
    """Return the snapshot opened and compared with its manifest; None if it lacks a database that
    is asked for."""
    manifest = read_manifest(reader, snapshot.tree)
    if manifest is None:
        return _open_plain(snapshot, reader, request)
    held = {database.name for database in manifest.databases}
    if not set(request.databases or ()) <= held:
        return None
    files = SnapshotFiles(reader, snapshot.tree)
    refuse_damaged(files, manifest, snapshot.id.hex())
    return Source(snapshot=snapshot, files=files, manifest=manifest)


def _open_plain(snapshot: Snapshot, reader: BlobReader, request: RestoreRequest) -> Source:
    if find_node(reader, snapshot.tree, PLAIN_DUMP) is None:
        raise SnapshotMissing(
            f"Snapshot {snapshot.id.hex()} is no PostgreSQL backup: it holds neither "
            f"{MANIFEST} nor {PLAIN_DUMP}; choose one that does (repository_info lists them)."
        )
    if request.databases or request.rename or request.tables or request.rename_tables:
        raise ConfigError(
            f"Snapshot {snapshot.id.hex()} is one SQL script: databases, rename, tables and "
            "rename_tables cannot choose from it; leave them out."
        )
    files = SnapshotFiles(reader, snapshot.tree)
    # Without a manifest this alone tells that `restic repair snapshots` took out what was lost.
    if snapshot.size_bytes not in {None, files.size}:
        raise RepositoryDamaged(
            f"Snapshot {snapshot.id.hex()} is not what was backed up: it holds {files.size} bytes "
            f"and says that there were {snapshot.size_bytes}; nothing was restored, choose another "
            "snapshot."
        )
    return Source(snapshot=snapshot, files=files, manifest=None)
