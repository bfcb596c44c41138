# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""Locks whose owner is gone: what proves it, and their removal.

A lock is removed only on proof, never on a guess: a live one taken for dead lets prune delete what
a running backup relies on. Two machines' clocks are never compared.
"""

from __future__ import annotations

import dataclasses
import os
import socket
import time
import typing as t

from .._core.errors import StorageError
from .lock_file import FoundLock, Lock, Origin

if t.TYPE_CHECKING:
    from .repository import Repository

STALE_SECONDS = 30 * 60.0
"""A lock file that is older, by the storage's own time, was not refreshed six times: restic's rule,
and ours.
"""

# The first pid namespace of a kernel always has this inode (PROC_PID_INIT_INO in linux/proc_ns.h):
# whoever runs in it runs in no container.
_FIRST_PID_NAMESPACE = 0xEFFFFFFC
_STATE_FIELD, _STARTED_FIELD = 0, 19  # of what follows the program's name in proc(5) stat
_DEAD_STATES = {"Z", "X", "x"}
_MAX_PID = 1 << 22  # PID_MAX_LIMIT of Linux


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Here:
    """Where a lock is judged: the calling process, its host's name, and the host's uptime in
    seconds.
    """

    origin: Origin
    hostname: str
    uptime_seconds: float


def this_place() -> Here:
    """Return where the calling process runs."""
    return Here(
        origin=this_origin(),
        hostname=socket.gethostname(),
        uptime_seconds=time.clock_gettime(time.CLOCK_BOOTTIME),
    )


def this_origin() -> Origin:
    """Return what the calling process writes into its locks."""
    return Origin(
        boot_id=_read_line("/proc/sys/kernel/random/boot_id"),
        machine_id=_read_line("/etc/machine-id"),
        pid_namespace=_own_pid_namespace(),
        started=_started("self")[0],
    )


def _read_line(path: str) -> str:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.readline().strip()
    except OSError:
        return ""


def _own_pid_namespace() -> int:
    try:
        return os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        return 0


def _started(process: str) -> tuple[int, str]:
    """Return start (clock ticks since boot) and state of a process; 0 and nothing where it is not
    told.
    """
    fields = _read_line(f"/proc/{process}/stat").rpartition(")")[2].split()
    if len(fields) <= _STARTED_FIELD:
        return 0, ""
    return int(fields[_STARTED_FIELD]), fields[_STATE_FIELD]


def proof_of_death(lock: Lock, age_seconds: float | None, here: Here) -> str | None:
    """Return why the owner of ``lock`` is surely gone, as part of a sentence, or None.

    ``age_seconds`` is the age of its file by the storage's own time, None where that is unknown.
    """
    if age_seconds is not None and age_seconds > STALE_SECONDS:
        return f"it was not refreshed for {age_seconds / 60:.0f} minutes"
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

    An unreadable lock is removed by its age alone. One that cannot be removed counts on.
    """
    here = this_place()
    kept = []
    for found in locks:
        reason = _stale_reason(repository, found, here)
        if reason is None or not _remove(repository, found, reason):
            kept.append(found)
    return kept


def _stale_reason(repository: Repository, found: FoundLock, here: Here) -> str | None:
    age = age_of(repository, found)
    if found.lock is not None:
        return proof_of_death(found.lock, age, here)
    if age is not None and age > STALE_SECONDS:
        return f"it is {age / 60:.0f} minutes old"
    return None


def _remove(repository: Repository, found: FoundLock, reason: str) -> bool:
    try:
        repository.backend.delete(found.name)
    except StorageError as exc:
        repository.events.warn(
            f"A lock of {found.holder()} is left over ({reason}) but could not be removed: "
            f"{exc.message}"
        )
        return False
    repository.events.warn(f"Removed a lock of {found.holder()}: {reason}.")
    return True
