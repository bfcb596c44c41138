# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""Lock files: restic's fields, and beside them what proves later that their owner is gone.

restic skips the object `granary`, which it does not know. Only reading and writing of single files
is here; who may hold a lock beside whom is decided in locks.py.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import typing as t

from .._core.errors import ObjectMissing, RepositoryDamaged
from .timestamp import Timestamp
from .tree_json import Json, encode
from .unpacked import encode_unpacked, parse_id, read_unpacked

if t.TYPE_CHECKING:
    from collections.abc import Mapping

    from .repository import Repository

LOCKS = "locks"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a lock's owner runs, exactly enough to tell later whether it still does.

    ``boot_id`` and ``machine_id`` are Linux's, ``pid_namespace`` is the inode of the owner's
    namespace, ``started`` the owner's start in clock ticks since boot (field 22 of proc(5) stat).
    In a pod also the cluster, the pod's namespace there, its uid and its node. What the system does
    not tell is empty or 0 and proves nothing.
    """

    boot_id: str
    machine_id: str
    pid_namespace: int
    started: int
    cluster: str = ""
    namespace: str = ""
    pod_uid: str = ""
    node: str = ""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """One lock as its owner wrote it; ``origin`` is None for locks of restic."""

    time: Timestamp
    exclusive: bool
    hostname: str
    username: str
    pid: int
    uid: int
    gid: int
    origin: Origin | None

    def holder(self) -> str:
        """Name the owner for people."""
        return f"{self.username or 'somebody'} on {self.hostname}, process {self.pid}"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FoundLock:
    """A file below ``locks/``; ``lock`` is None when it cannot be read as one.

    ``refusal``: in which words the storage refused to remove it although its owner is gone.
    """

    id: bytes
    lock: Lock | None
    refusal: str | None = None

    @property
    def name(self) -> str:
        """The name of the file in the storage."""
        return lock_name(self.id)

    def holder(self) -> str:
        """Name the owner for people."""
        return "an unreadable lock file" if self.lock is None else self.lock.holder()

    def to_return(self) -> dict[str, str | int | bool | None]:
        """Return what the file says, in plain types."""
        lock = self.lock
        return {
            "id": self.id.hex(),
            "time": None if lock is None else str(lock.time),
            "exclusive": None if lock is None else lock.exclusive,
            "host": None if lock is None else lock.hostname,
            "username": None if lock is None else lock.username,
            "pid": None if lock is None else lock.pid,
        }


def lock_name(lock_id: bytes) -> str:
    """Return the name of a lock file in the storage."""
    return f"{LOCKS}/{lock_id.hex()}"


def encode_lock(lock: Lock) -> bytes:
    """Return the JSON of a lock in restic's field order, our own object last."""
    fields: dict[str, Json] = {
        "time": str(lock.time),
        "exclusive": lock.exclusive,
        "hostname": lock.hostname,
        "username": lock.username,
        "pid": lock.pid,
    }
    fields |= {name: value for name, value in (("uid", lock.uid), ("gid", lock.gid)) if value}
    if lock.origin is not None:
        fields["granary"] = _write_origin(lock.origin)
    return encode(fields)


def _write_origin(origin: Origin) -> dict[str, Json]:
    in_pod = {
        "cluster": origin.cluster,
        "namespace": origin.namespace,
        "podUID": origin.pod_uid,
        "node": origin.node,
    }
    return {name: value for name, value in in_pod.items() if value} | {
        "bootID": origin.boot_id,
        "machineID": origin.machine_id,
        "pidns": origin.pid_namespace,
        "started": origin.started,
    }


def decode_lock(data: bytes) -> Lock:
    """Read the JSON of a lock, ours or restic's. Raises ``RepositoryDamaged`` when it is none."""
    try:
        fields = json.loads(data)
        return Lock(
            time=Timestamp.parse(fields["time"]),
            exclusive=bool(fields["exclusive"]),
            hostname=str(fields.get("hostname", "")),
            username=str(fields.get("username", "")),
            pid=int(fields.get("pid", 0)),
            uid=int(fields.get("uid", 0)),
            gid=int(fields.get("gid", 0)),
            origin=_read_origin(fields.get("granary")),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise RepositoryDamaged(f"A lock file is not readable: {exc}.") from exc


def _read_origin(fields: Mapping[str, t.Any] | None) -> Origin | None:
    if fields is None:
        return None
    return Origin(
        boot_id=str(fields.get("bootID", "")),
        machine_id=str(fields.get("machineID", "")),
        pid_namespace=int(fields.get("pidns", 0)),
        started=int(fields.get("started", 0)),
        cluster=str(fields.get("cluster", "")),
        namespace=str(fields.get("namespace", "")),
        pod_uid=str(fields.get("podUID", "")),
        node=str(fields.get("node", "")),
    )


def seal_lock(repository: Repository, lock: Lock) -> tuple[bytes, bytes]:
    """Return id and file of a lock. The id is new each time, also for the same lock: sealing is
    random.
    """
    sealed = bytes(encode_unpacked(repository.key, repository.version, encode_lock(lock)))
    return hashlib.sha256(sealed).digest(), sealed


def list_lock_ids(repository: Repository) -> set[bytes]:
    """Return the ids of all lock files, empty ones left out as restic does."""
    found = set()
    for entry in repository.backend.entries(f"{LOCKS}/"):
        lock_id = parse_id(entry.name.rpartition("/")[2])
        if lock_id is not None and entry.size:
            found.add(lock_id)
    return found


def list_locks(repository: Repository) -> list[FoundLock]:
    """Return all locks, by id; one that goes away meanwhile is left out, one that cannot be read is
    not.
    """
    found = []
    for lock_id in sorted(list_lock_ids(repository)):
        try:
            data = read_unpacked(repository.backend, repository.key, LOCKS, lock_id)
            found.append(FoundLock(id=lock_id, lock=decode_lock(data)))
        except ObjectMissing:
            continue
        except RepositoryDamaged:
            found.append(FoundLock(id=lock_id, lock=None))
    return found
