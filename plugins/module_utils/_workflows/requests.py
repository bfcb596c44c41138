# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""What a face asks of the engine and what it gets back; plain data, no behaviour but its shape as a
result.
"""

from __future__ import annotations

import dataclasses
import typing as t

from .._core.units import MIB

if t.TYPE_CHECKING:
    from collections.abc import Mapping

    from .._core.redaction import Secret
    from .._postgres.model import ConnectionSettings
    from .._repository.snapshot import Snapshot
    from .._repository.stale_locks import Witness
    from .._storage.model import BackendSettings

Plain: t.TypeAlias = "bool | int | float | str | list[Plain] | dict[str, Plain] | None"
"""What a result is made of: values that every face can show."""

TAG = "granary"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RepositoryAccess:
    """Where a repository is and what opens it; any of the passwords may fit.

    ``witness`` is asked whether the owner of a lock that is in the way is gone.
    """

    settings: BackendSettings
    passwords: tuple[Secret, ...]
    lock_wait_seconds: int = 300
    witness: Witness | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class BackupRequest:
    """One backup. ``None`` leaves a choice to the engine.

    ``databases``: None is every database that allows connections and is no template.
    ``exclude_tables``: ``schema.table``, of partitioned tables too; their rows are left out, not
    their definitions. ``lock_timeout`` and ``yield_after`` are seconds,
    ``segment_threshold`` and ``pack_size`` bytes. ``dump_args`` go to pg_dump or pg_dumpall as they
    are, with ``format`` plain alone. ``skip_unchanged``: do not read rows again that the server
    shows to be as they were in the host's newest snapshot of the database.
    """

    repository: RepositoryAccess
    connection: ConnectionSettings
    host: str
    databases: tuple[str, ...] | None = None
    exclude_tables: tuple[str, ...] = ()
    globals: bool = True
    jobs: int | None = None
    compression: t.Literal["auto", "max", "off"] = "auto"
    tags: tuple[str, ...] = ()
    format: t.Literal["parallel", "plain"] = "parallel"
    dump_args: tuple[str, ...] = ()
    lock_timeout: int = 60
    yield_after: int | None = None
    segment_threshold: int = 8 * MIB
    pack_size: int = 16 * MIB
    skip_unchanged: bool = False
    accept_warnings: bool = False
    new_system: bool = False
    allow_newer_server: bool = False
    bin_dir: str | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotSummary:
    """A snapshot as results show it; ``id`` is None where none was made (check mode)."""

    id: str | None
    time: str | None
    host: str
    paths: tuple[str, ...]
    tags: tuple[str, ...]

    @classmethod
    def of(cls, snapshot: Snapshot) -> SnapshotSummary:
        """Return a snapshot that is in the repository as results show it."""
        return cls(
            id=snapshot.id.hex(),
            time=str(snapshot.time),
            host=snapshot.hostname,
            paths=snapshot.paths,
            tags=snapshot.tags,
        )

    def to_return(self) -> dict[str, Plain]:
        """Return it in plain types."""
        return {
            "id": self.id,
            "time": self.time,
            "host": self.host,
            "paths": list(self.paths),
            "tags": list(self.tags),
        }


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """Numbers of a run. ``read_bytes`` left the server, ``stored_bytes`` entered the repository;
    ``unchanged_bytes`` are in the snapshot, but were not read again.
    """

    databases: int = 0
    tables: int = 0
    rows: int = 0
    read_bytes: int = 0
    unchanged_bytes: int = 0
    stored_bytes: int = 0
    new_blobs: int = 0
    duration_seconds: float = 0.0

    def to_return(self) -> dict[str, Plain]:
        """Return them in plain types."""
        return dict(dataclasses.asdict(self))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class BackupResult:
    """What a backup made, or in check mode would make (the sizes are then the server's
    estimates). ``files`` counts those of the snapshot; results of modules do not show it.
    """

    snapshot: SnapshotSummary
    stats: Stats
    dump_warnings: tuple[str, ...] = ()
    files: int = 0

    def to_return(self) -> dict[str, Plain]:
        """Return it in plain types."""
        return {
            "snapshot": self.snapshot.to_return(),
            "stats": self.stats.to_return(),
            "dump_warnings": list(self.dump_warnings),
        }


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RestoreRequest:
    """One restore. ``databases`` and ``tables``: None is all; ``tables`` are ``schema.table``.

    ``host`` is needed where ``snapshot`` is ``latest`` and the repository holds several hosts.
    ``rename`` maps databases, ``rename_tables`` maps tables, old name to new. ``allow_errors``
    loads a plain SQL dump to its end whatever the server says against its statements, with a
    warning.
    """

    repository: RepositoryAccess
    connection: ConnectionSettings
    snapshot: str = "latest"
    host: str | None = None
    databases: tuple[str, ...] | None = None
    rename: Mapping[str, str] = dataclasses.field(default_factory=dict)
    tables: tuple[str, ...] | None = None
    into: str | None = None
    rename_tables: Mapping[str, str] = dataclasses.field(default_factory=dict)
    clean: bool = False
    globals: bool = True
    no_owner: bool = False
    no_privileges: bool = False
    no_tablespaces: bool = False
    jobs: int | None = None
    allow_errors: bool = False
    bin_dir: str | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RestoreResult:
    """What was restored, or in check mode would be: ``restore`` is the plan with the rows of each
    table.
    """

    snapshot: SnapshotSummary
    verified: bool
    restore: Mapping[str, Plain]
    diff: Mapping[str, Plain]
    stats: Stats

    def to_return(self) -> dict[str, Plain]:
        """Return it in plain types; ``diff`` has what comes into the server as ``after``."""
        return {
            "snapshot": self.snapshot.to_return(),
            "verified": self.verified,
            "restore": dict(self.restore),
            "diff": dict(self.diff),
            "stats": self.stats.to_return(),
        }


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RepositoryResult:
    """A repository that is there now; ``id`` is None in check mode where there is none yet."""

    changed: bool
    id: str | None
    version: int
    location: str

    def to_return(self) -> dict[str, Plain]:
        """Return what describes the repository itself, in plain types."""
        return {"id": self.id, "version": self.version, "location": self.location}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RepositoryDescription:
    """A repository with its snapshots, newest first, its locks, oldest first, and sizes.

    ``last_check`` is the result of the last check, ``last_data_check`` that of the last one that
    read data; None where there was none.
    """

    repository: RepositoryResult
    snapshots: tuple[Mapping[str, Plain], ...]
    locks: tuple[Mapping[str, Plain], ...]
    last_check: Mapping[str, Plain] | None
    last_data_check: Mapping[str, Plain] | None
    stats: Mapping[str, Plain]

    def to_return(self) -> dict[str, Plain]:
        """Return it in plain types."""
        return {
            "repository": self.repository.to_return(),
            "snapshots": [dict(snapshot) for snapshot in self.snapshots],
            "locks": [dict(lock) for lock in self.locks],
            "last_check": None if self.last_check is None else dict(self.last_check),
            "last_data_check": (
                None if self.last_data_check is None else dict(self.last_data_check)
            ),
            "stats": dict(self.stats),
        }
