# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""Locks whose owner is gone: what proves it, and their removal.

A lock is removed only on proof, never on a guess: a live one taken for dead lets prune delete what
a running backup relies on. Two machines' clocks are never compared, and an owner that is seen to
live keeps its lock while it may still go on.
"""

from __future__ import annotations

import dataclasses
import enum
import math
import os
import socket
import time
import typing as t

from .._core.errors import StorageError
from .._core.units import plural
from .lock_file import FoundLock, Lock, Origin, list_locks
from .lock_state import LockTiming

if t.TYPE_CHECKING:
    from collections.abc import Callable

    from .repository import Repository

Witness: t.TypeAlias = "Callable[[Lock], str | None]"
"""Somebody who sees more than this process can, such as the pods of a cluster: says why the owner
of a lock is surely gone, as part of a sentence, or None; never raises.
"""

STALE_SECONDS = 30 * 60.0
"""A lock file that is older, by the storage's own time, was not refreshed six times: restic's rule,
and ours.
"""

# A process of this machine that lives may have slept with it: its lock is good until it gives up by
# itself.
_STALE_ALTHOUGH_ALIVE = LockTiming().give_up

# The first namespaces of a kernel always have these inodes (PROC_PID_INIT_INO and
# PROC_TIME_INIT_INO in linux/proc_ns.h). Whoever runs in the first pid namespace runs in no
# container; in another time namespace the times since boot may be shifted.
_FIRST_PID_NAMESPACE = 0xEFFFFFFC
_FIRST_TIME_NAMESPACE = 0xEFFFFFFA
_STATE_FIELD, _STARTED_FIELD = 0, 19  # of what follows the program's name in proc(5) stat
_DEAD_STATES = {"Z", "X", "x"}
_MAX_PID = 1 << 22  # PID_MAX_LIMIT of Linux


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Here:
    """Where a lock is judged: the calling process, its host's name, the host's uptime in seconds,
    and who else can be asked.
    """

    origin: Origin
    hostname: str
    uptime_seconds: float
    witness: Witness | None = None


class Owner(enum.StrEnum):
    """What is known of a lock's owner from where we look."""

    ALIVE = "alive"
    GONE = "gone"
    UNKNOWN = "unknown"


def this_place(witness: Witness | None = None) -> Here:
    """Return where the calling process runs."""
    shifted = _since_boot_is_shifted()
    return Here(
        origin=this_origin(),
        hostname=own_hostname(),
        uptime_seconds=math.inf if shifted else time.clock_gettime(time.CLOCK_BOOTTIME),
        witness=witness,
    )


def own_hostname() -> str:
    """Return the name that our locks carry: in a pod the pod's own, whatever its host is called."""
    return os.environ.get("GRANARY_POD_NAME") or socket.gethostname()


def this_origin() -> Origin:
    """Return what the calling process writes into its locks.

    What a pod's process cannot see by itself comes from the environment, which the downward API
    fills: ``GRANARY_CLUSTER``, ``GRANARY_POD_NAMESPACE``, ``GRANARY_POD_UID`` and
    ``GRANARY_NODE_NAME``.
    """
    return Origin(
        boot_id=_read_line("/proc/sys/kernel/random/boot_id"),
        machine_id=_read_line("/etc/machine-id"),
        pid_namespace=_own_namespace("pid"),
        started=_started("self")[0],
        cluster=os.environ.get("GRANARY_CLUSTER", ""),
        namespace=os.environ.get("GRANARY_POD_NAMESPACE", ""),
        pod_uid=os.environ.get("GRANARY_POD_UID", ""),
        node=os.environ.get("GRANARY_NODE_NAME", ""),
    )


def _read_line(path: str) -> str:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.readline().strip()
    except OSError:
        return ""


def _own_namespace(kind: str) -> int:
    try:
        return os.stat(f"/proc/self/ns/{kind}").st_ino
    except OSError:
        return 0


def _since_boot_is_shifted() -> bool:
    """Tell whether times since boot may be other ones here than elsewhere on this machine; kernels
    before 5.6 have no time namespaces.
    """
    return _own_namespace("time") not in {0, _FIRST_TIME_NAMESPACE}


def _started(process: str) -> tuple[int, str]:
    """Return start (clock ticks since boot) and state of a process; 0 and nothing where it is not
    told.
    """
    fields = _read_line(f"/proc/{process}/stat").rpartition(")")[2].split()
    if len(fields) <= _STARTED_FIELD:
        return 0, ""
    started = 0 if _since_boot_is_shifted() else int(fields[_STARTED_FIELD])
    return started, fields[_STATE_FIELD]


def judge(lock: Lock, age_seconds: float | None, here: Here) -> tuple[Owner, str | None]:
    """Return what is known of the owner of ``lock``, and as part of a sentence why it is gone.

    ``age_seconds`` is the age of its file by the storage's own time, None where that is unknown.
    """
    reason = proof_of_death(lock, age_seconds, here)
    if reason is not None:
        return Owner.GONE, reason
    return (Owner.ALIVE if _is_seen_alive(lock, here) else Owner.UNKNOWN), None


def proof_of_death(lock: Lock, age_seconds: float | None, here: Here) -> str | None:
    """Return why the owner of ``lock`` is surely gone, as part of a sentence, or None; the
    arguments are those of ``judge``.
    """
    patience = _STALE_ALTHOUGH_ALIVE if _is_seen_alive(lock, here) else STALE_SECONDS
    if age_seconds is not None and age_seconds > patience:
        return f"it was not refreshed for {age_seconds / 60:.0f} minutes"
    return _proof_by_kernel(lock, age_seconds, here) or (
        here.witness(lock) if here.witness is not None else None
    )


def _proof_by_kernel(lock: Lock, age_seconds: float | None, here: Here) -> str | None:
    there = lock.origin
    if there is None or not there.boot_id or not here.origin.boot_id:
        return None
    if there.boot_id == here.origin.boot_id:
        same_namespace = there.pid_namespace == here.origin.pid_namespace != 0
        if same_namespace and _process_is_gone(lock.pid, there.started):
            return "its process is gone"
        return None
    if age_seconds is not None and _was_this_machine(lock, there, here, age_seconds):
        return "its machine was started again since"
    return None


def _is_seen_alive(lock: Lock, here: Here) -> bool:
    """Tell whether the very process that took the lock runs where we look."""
    there = lock.origin
    if there is None or not there.boot_id or not there.started or not _proc_is_ours():
        return False
    if (there.boot_id, there.pid_namespace) != (here.origin.boot_id, here.origin.pid_namespace):
        return False
    started, state = _started(str(lock.pid))
    return started == there.started and state not in _DEAD_STATES


def _was_this_machine(lock: Lock, there: Origin, here: Here, age_seconds: float) -> bool:
    """Tell whether the lock is from an earlier boot of this machine.

    Images of containers, and clones, may share a machine id: only the first namespace counts, and
    the host's name, and a lock that was written since our own boot is of a clone that lives.
    """
    return (
        there.machine_id == here.origin.machine_id != ""
        and lock.hostname == here.hostname
        and there.pid_namespace == here.origin.pid_namespace == _FIRST_PID_NAMESPACE
        and age_seconds > here.uptime_seconds
    )


def _process_is_gone(pid: int, started: int) -> bool:
    """Tell whether a process of our own pid namespace has ended, also when another one has its
    number now.
    """
    if not 0 < pid <= _MAX_PID:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass  # it lives, as another user
    if not started or not _proc_is_ours():
        return False
    now_started, state = _started(str(pid))
    if state in _DEAD_STATES:
        # Ended and not yet collected, unless threads of it go on after its first one.
        return _thread_count(pid) <= 1
    return now_started not in {0, started}


def _proc_is_ours() -> bool:
    """Tell whether /proc shows our own pid namespace: one made by ``unshare --pid`` alone keeps the
    old /proc.
    """
    try:
        return os.readlink("/proc/self") == str(os.getpid())
    except OSError:
        return False


def _thread_count(pid: int) -> int:
    try:
        return len(os.listdir(f"/proc/{pid}/task"))
    except FileNotFoundError:
        return 0
    except OSError:
        return 2  # not to be seen: more than one, for all we know


def age_of(repository: Repository, found: FoundLock) -> float | None:
    """Return the age of a lock file in seconds by the storage's own time; None where it cannot be
    had.
    """
    try:
        return repository.backend.age_seconds(found.name)
    except StorageError:
        return None


def without_stale(repository: Repository, locks: list[FoundLock]) -> list[FoundLock]:
    """Remove the locks whose owner is proved gone, with a warning each, and return the others.

    An unreadable lock is removed by its age alone. One that the storage refuses to remove counts
    on, with its ``refusal``; after the first refusal no other is tried, and one warning is given.
    """
    here = this_place(repository.witness)
    kept = []
    refused: list[FoundLock] = []
    for found in locks:
        reason = stale_reason(found, age_of(repository, found), here)
        if reason is None:
            kept.append(found)
            continue
        refusal = refused[0].refusal if refused else _remove(repository, found, reason)
        if refusal is not None:
            refused.append(dataclasses.replace(found, refusal=refusal))
    if refused:
        repository.events.warn(
            f"{plural(len(refused), 'lock')} in {repository.location} of owners that are gone "
            f"could not be removed: {refused[0].refusal}"
        )
    return kept + refused


def stale_reason(found: FoundLock, age: float | None, here: Here) -> str | None:
    """Return why nobody needs the lock any more, as part of a sentence, or None."""
    if found.lock is not None:
        return proof_of_death(found.lock, age, here)
    if age is not None and age > STALE_SECONDS:
        return f"it is {age / 60:.0f} minutes old"
    return None


def _remove(repository: Repository, found: FoundLock, reason: str) -> str | None:
    """Remove a lock, or return in which words the storage refused to."""
    try:
        repository.backend.delete(found.name)
    except StorageError as exc:
        return exc.message
    repository.events.warn(f"Removed a lock of {found.holder()}: {reason}.")
    return None


def describe_locks(repository: Repository) -> list[dict[str, str | int | float | bool | None]]:
    """Return every lock in plain types, the oldest first, with what is known of its owner; nothing
    is removed.
    """
    here = this_place(repository.witness)
    described: list[dict[str, str | int | float | bool | None]] = []
    for found in list_locks(repository):
        age = age_of(repository, found)
        owner, reason = _judge_found(found, age, here)
        described.append(
            {**found.to_return(), "age_seconds": age, "owner": str(owner), "reason": reason}
        )
    return sorted(described, key=lambda lock: -float(lock["age_seconds"] or 0))


def _judge_found(found: FoundLock, age: float | None, here: Here) -> tuple[Owner, str | None]:
    if found.lock is not None:
        return judge(found.lock, age, here)
    reason = stale_reason(found, age, here)
    return (Owner.UNKNOWN if reason is None else Owner.GONE), reason
