# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""Snapshots: the files that make a tree a backup. Written last, so that one that is there is whole.

Facts of ours do not belong here: restic drops fields that it does not know when it tags or rewrites
a snapshot.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import hashlib
import json
import typing as t

from .._core.errors import ObjectMissing, RepositoryDamaged, RepositoryError
from .timestamp import Timestamp
from .tree_json import Json, encode
from .unpacked import encode_unpacked, list_ids, read_unpacked

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .repository import Repository

SNAPSHOTS = "snapshots"
# A snapshot is a small object: what counts is the number of round trips under way at once.
_READ_AHEAD = 8


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotFigures:
    """restic's own figures of a backup, in its field order; sizes in bytes.

    ``restic snapshots`` shows ``total_bytes_processed`` as the size.
    """

    backup_start: Timestamp
    backup_end: Timestamp
    files_new: int = 0
    files_changed: int = 0
    files_unmodified: int = 0
    dirs_new: int = 0
    dirs_changed: int = 0
    dirs_unmodified: int = 0
    data_blobs: int = 0
    tree_blobs: int = 0
    data_added: int = 0
    data_added_packed: int = 0
    total_files_processed: int = 0
    total_bytes_processed: int = 0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """One snapshot as it is stored. ``id`` is empty before it is written.

    ``parent`` is information only and may dangle; ``original`` is the snapshot that a tool has
    tagged or rewritten into this one. ``unset`` names those of ``paths`` and ``tags`` that are null
    in the file, which is not the same as empty where snapshots are grouped.
    """

    time: Timestamp
    tree: bytes
    paths: tuple[str, ...]
    hostname: str
    id: bytes = b""
    parent: bytes | None = None
    username: str = ""
    uid: int = 0
    gid: int = 0
    excludes: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    original: bytes | None = None
    program_version: str = ""
    summary: SnapshotFigures | None = None
    unset: frozenset[str] = dataclasses.field(default=frozenset(), compare=False)

    @property
    def size_bytes(self) -> int | None:
        """Bytes that the snapshot holds when restored, if its writer said so."""
        return None if self.summary is None else self.summary.total_bytes_processed

    def to_return(self) -> dict[str, t.Any]:
        """Return what faces show: plain types, ids in lower-case hex."""
        return {
            "id": self.id.hex() or None,
            "time": str(self.time),
            "host": self.hostname,
            "paths": list(self.paths),
            "tags": list(self.tags),
            "tree": self.tree.hex(),
            "original": self.original.hex() if self.original else None,
            "program_version": self.program_version or None,
            "size_bytes": self.size_bytes,
        }


def encode_snapshot(snapshot: Snapshot) -> bytes:
    """Return the JSON as restic would write it: its field order, empty fields left out."""
    fields: dict[str, Json] = {
        "time": str(snapshot.time),
        "parent": snapshot.parent.hex() if snapshot.parent else None,
        "tree": snapshot.tree.hex(),
        "paths": snapshot.paths,
        "hostname": snapshot.hostname,
        "username": snapshot.username,
        "uid": snapshot.uid,
        "gid": snapshot.gid,
        "excludes": snapshot.excludes,
        "tags": snapshot.tags,
        "original": snapshot.original.hex() if snapshot.original else None,
        "program_version": snapshot.program_version,
        "summary": None if snapshot.summary is None else _summary_fields(snapshot.summary),
    }
    always = {"time", "tree", "paths"}
    return encode({name: value for name, value in fields.items() if value or name in always})


def _summary_fields(summary: SnapshotFigures) -> dict[str, Json]:
    names = [field.name for field in dataclasses.fields(summary)]
    values = ((name, getattr(summary, name)) for name in names)
    return {name: str(value) if isinstance(value, Timestamp) else value for name, value in values}


def decode_snapshot(snapshot_id: bytes, data: bytes) -> Snapshot:
    """Read the JSON of a snapshot, ours or restic's.

    Raises ``RepositoryDamaged`` when it is none, or has no tree.
    """
    try:
        fields = json.loads(data)
        return Snapshot(
            id=snapshot_id,
            time=Timestamp.parse(fields["time"]),
            tree=bytes.fromhex(fields["tree"]),
            paths=tuple(fields.get("paths") or ()),
            hostname=fields.get("hostname", ""),
            parent=_read_id(fields, "parent"),
            username=fields.get("username", ""),
            uid=fields.get("uid", 0),
            gid=fields.get("gid", 0),
            excludes=tuple(fields.get("excludes") or ()),
            tags=tuple(fields.get("tags") or ()),
            original=_read_id(fields, "original"),
            program_version=fields.get("program_version", ""),
            summary=_read_summary(fields.get("summary")),
            unset=frozenset(name for name in ("paths", "tags") if fields.get(name) is None),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise RepositoryDamaged(
            f"The snapshot {snapshot_id.hex()} is not readable ({exc}).",
            snapshot=snapshot_id.hex(),
        ) from exc


def _read_id(fields: Mapping[str, t.Any], name: str) -> bytes | None:
    return bytes.fromhex(fields[name]) if fields.get(name) else None


def _read_summary(fields: Mapping[str, t.Any] | None) -> SnapshotFigures | None:
    if fields is None:
        return None
    known = {field.name for field in dataclasses.fields(SnapshotFigures)}
    values = {name: value for name, value in fields.items() if name in known}
    for name in ("backup_start", "backup_end"):
        values[name] = Timestamp.parse(values[name])
    return SnapshotFigures(**values)


def unused_time(snapshots: Iterable[Snapshot], now_ns: int, hostname: str) -> Timestamp:
    """Return the time for a new snapshot of ``hostname``: now, moved on where another snapshot has
    that very time.

    Of two snapshots of one time restic takes either at random. Raises ``RepositoryError`` when the
    newest snapshot of the host lies in the future, since retention and ``latest`` would prefer it
    to the new one.
    """
    known = list(snapshots)
    newest = max((one.time for one in known if one.hostname == hostname), default=None)
    if newest is not None and newest.unix_ns > now_ns:
        raise RepositoryError(
            f"The newest snapshot of host {hostname} is of {newest}, in the future of this "
            "machine's clock; set the clock right, or remove that snapshot with `restic forget`."
        )
    taken = {one.time.unix_ns for one in known}
    while now_ns in taken:
        now_ns += 1
    return Timestamp(unix_ns=now_ns)


def write_snapshot(repository: Repository, snapshot: Snapshot) -> bytes:
    """Store a snapshot and return its id; durable on return. Everything that it names must be
    stored and indexed.

    The caller holds a lock and looks afterwards whether it still does. Raises ``OutcomeUnknown``
    when the store gave no answer: the snapshot may be there, or may appear.
    """
    name, sealed = seal_snapshot(repository, snapshot)
    repository.backend.write(f"{SNAPSHOTS}/{name.hex()}", sealed)
    return name


def seal_snapshot(repository: Repository, snapshot: Snapshot) -> tuple[bytes, bytes]:
    """Return id and file of a snapshot without storing it, so that the caller knows the id whatever
    happens then.
    """
    sealed = bytes(encode_unpacked(repository.key, repository.version, encode_snapshot(snapshot)))
    return hashlib.sha256(sealed).digest(), sealed


def read_snapshot(repository: Repository, snapshot_id: bytes) -> Snapshot:
    """Read one snapshot by its full id.

    Raises ``ObjectMissing``, or ``RepositoryDamaged`` when the file is not what its name says.
    """
    data = read_unpacked(repository.backend, repository.key, SNAPSHOTS, snapshot_id)
    return decode_snapshot(snapshot_id, data)


def list_snapshots(repository: Repository) -> list[Snapshot]:
    """Return all snapshots, oldest first; of one time, the one without ``original`` last.

    One that is unreadable is left out and warned about: it must not hide the others. One that goes
    away meanwhile is left out.
    """
    ids = list(list_ids(repository.backend, SNAPSHOTS))
    found: list[Snapshot] = []
    damaged: list[RepositoryDamaged] = []
    with concurrent.futures.ThreadPoolExecutor(_READ_AHEAD) as pool:
        for result in pool.map(lambda snapshot_id: _try_read(repository, snapshot_id), ids):
            if isinstance(result, Snapshot):
                found.append(result)
            elif result is not None:
                damaged.append(result)
    for error in damaged:
        repository.events.warn(error.sentence)
    return sorted(found, key=age_order)


def _try_read(repository: Repository, snapshot_id: bytes) -> Snapshot | RepositoryDamaged | None:
    try:
        return read_snapshot(repository, snapshot_id)
    except ObjectMissing:
        return None
    except RepositoryDamaged as exc:
        return exc


def age_order(snapshot: Snapshot) -> tuple[Timestamp, bool, bytes]:
    """Sort key: oldest first; of one time, what was made from another snapshot counts as older."""
    return (snapshot.time, snapshot.original is None, snapshot.id)
