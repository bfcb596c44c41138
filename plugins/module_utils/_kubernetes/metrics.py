# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""Stash's metrics: what is said of sessions, targets, hosts and repositories. Pure.

Every gauge has two names, Stash's new one and the one before. After a failure only the family that
says so is among the samples, so that the rest goes on telling of the last success.
"""

from __future__ import annotations

import dataclasses
import typing as t

if t.TYPE_CHECKING:
    from collections.abc import Mapping

Labels: t.TypeAlias = "Mapping[str, str]"

DRIVER = "Restic"
_NEW_PREFIX = "stash_appscode_com_"
_LEGACY_PREFIX = "stash_"


@dataclasses.dataclass(frozen=True, slots=True)
class Family:
    """A metric by both of its names, without their prefixes, and what it says."""

    new: str
    legacy: str
    says: str

    @property
    def names(self) -> tuple[str, str]:
        """The whole names, the new one first."""
        return _NEW_PREFIX + self.new, _LEGACY_PREFIX + self.legacy


@dataclasses.dataclass(frozen=True, slots=True)
class Sample:
    """One value of one family."""

    family: Family
    labels: Labels
    value: float


def _session(kind: str, name: str, says: str) -> Family:
    return Family(f"{kind}session_{name}", f"{kind}_session_{name}", says)


def _below(kind: str, name: str, says: str) -> Family:
    """A family of a session's targets or hosts, whose legacy name has no word `session`."""
    return Family(f"{kind}session_{name}", f"{kind}_{name}", says)


_LAST_SUCCESS = "Unix time of the last success"
BACKUP_SESSION_SUCCESS = _session("backup", "success", "1 if all targets were backed up")
BACKUP_SESSION_DURATION = _session("backup", "duration_seconds", "Duration of the session")
BACKUP_SESSION_TARGETS = _below("backup", "target_count_total", "Targets of the session")
BACKUP_SESSION_LAST_SUCCESS = _below("backup", "last_success_time_seconds", _LAST_SUCCESS)
BACKUP_TARGET_SUCCESS = _below("backup", "target_success", "1 if the target was backed up")
BACKUP_TARGET_HOSTS = _below("backup", "target_host_count_total", "Hosts of the target")
BACKUP_TARGET_LAST_SUCCESS = _below("backup", "target_last_success_time_seconds", _LAST_SUCCESS)
BACKUP_HOST_SUCCESS = _below("backup", "host_backup_success", "1 if the host was backed up")
BACKUP_HOST_DURATION = _below("backup", "host_backup_duration_seconds", "Duration of the backup")
BACKUP_HOST_SIZE = _below("backup", "host_data_size_bytes", "Bytes that were read")
BACKUP_HOST_UPLOADED = _below("backup", "host_data_uploaded_bytes", "Bytes that were stored")
BACKUP_HOST_PROCESSING = _below(
    "backup", "host_data_processing_time_seconds", "Duration of reading and storing"
)
BACKUP_HOST_FILES = _below("backup", "host_files_total", "Files of the snapshot")
BACKUP_HOST_FILES_NEW = _below("backup", "host_files_new", "Files that are new")
BACKUP_HOST_FILES_MODIFIED = _below("backup", "host_files_modified", "Files that changed")
BACKUP_HOST_FILES_UNMODIFIED = _below("backup", "host_files_unmodified", "Files as before")
# Ours. The two above are written when a session is over; this is the time of the snapshot itself,
# written by the job that made it: its age is `time()` minus it.
BACKUP_HOST_LAST_GOOD = _below(
    "backup", "host_last_good_backup_time_seconds", "Unix time of the last whole snapshot"
)
RESTORE_SESSION_SUCCESS = _session("restore", "success", "1 if all targets were restored")
RESTORE_SESSION_DURATION = _session("restore", "duration_seconds", "Duration of the session")
RESTORE_SESSION_TARGETS = _below("restore", "target_count_total", "Targets of the session")
RESTORE_TARGET_SUCCESS = _below("restore", "target_success", "1 if the target was restored")
RESTORE_TARGET_HOSTS = _below("restore", "target_host_count_total", "Hosts of the target")
RESTORE_HOST_SUCCESS = _below("restore", "host_restore_success", "1 if the host was restored")
RESTORE_HOST_DURATION = _below(
    "restore", "host_restore_duration_seconds", "Duration of the restore"
)
REPOSITORY_INTEGRITY = Family("repository_integrity", "repository_integrity", "1 if it is whole")
REPOSITORY_SIZE = Family("repository_size_bytes", "repository_size_bytes", "Bytes of all packs")
REPOSITORY_SNAPSHOTS = Family(
    "repository_snapshot_count", "repository_snapshot_count", "Snapshots that it holds"
)
REPOSITORY_CLEANED = Family(
    "repository_snapshot_cleaned",
    "repository_snapshot_cleaned",
    "Snapshots that the last retention removed",
)
# Ours too: whether the last backup was kept out by somebody else's lock.
REPOSITORY_LOCKED = Family("repository_locked", "repository_locked", "1 if a lock was in the way")


def session_labels(*, kind: str, name: str, namespace: str, repository: str) -> dict[str, str]:
    """Return the labels of everything that an invoker's sessions say."""
    return {
        "invoker_kind": kind,
        "invoker_name": name,
        "namespace": namespace,
        "driver": DRIVER,
        "repository": repository,
    }


def target_labels(labels: Labels, name: str, app: tuple[str, str] | None) -> dict[str, str]:
    """Return the labels of a target by its name; ``app`` is what ``app_binding.app_type`` says of
    it, None where the AppBinding cannot be read.
    """
    if app is None:
        return {**labels, "name": name}
    group, kind = app
    return {**labels, "kind": kind, "group": group, "name": name}


def repository_labels(
    labels: Labels, *, name: str, namespace: str, backend: str, bucket: str, prefix: str
) -> dict[str, str]:
    """Return the labels of a repository; ``namespace`` is its own."""
    place = {"bucket": bucket, "prefix": prefix}
    given = {key: value for key, value in place.items() if value}
    return {**labels, "name": name, "namespace": namespace, "backend": backend, **given}


def backup_session_metrics(
    labels: Labels, *, succeeded: bool, duration_seconds: float, targets: int, at: float
) -> list[Sample]:
    """Return what is said of a session that ended at ``at`` (Unix time); ``succeeded``: all of its
    targets did.
    """
    return _unless_failed(
        Sample(BACKUP_SESSION_SUCCESS, labels, succeeded),
        Sample(BACKUP_SESSION_DURATION, labels, duration_seconds),
        Sample(BACKUP_SESSION_TARGETS, labels, targets),
        Sample(BACKUP_SESSION_LAST_SUCCESS, labels, at),
    )


def backup_target_metrics(
    labels: Labels, *, succeeded: bool, hosts: int, at: float
) -> list[Sample]:
    """Return what is said of a target; ``labels`` are those of ``target_labels``."""
    return _unless_failed(
        Sample(BACKUP_TARGET_SUCCESS, labels, succeeded),
        Sample(BACKUP_TARGET_HOSTS, labels, hosts),
        Sample(BACKUP_TARGET_LAST_SUCCESS, labels, at),
    )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class HostBackup:
    """A host's whole backup in figures; ``ended_at`` is the Unix time of its snapshot."""

    duration_seconds: float
    processing_seconds: float
    size_bytes: int
    uploaded_bytes: int
    files: int
    new_files: int
    modified_files: int
    unmodified_files: int
    ended_at: float


def backup_host_metrics(labels: Labels, hostname: str, backup: HostBackup | None) -> list[Sample]:
    """Return what is said of a host; ``backup`` is None if it failed."""
    own = {**labels, "hostname": hostname}
    if backup is None:
        return [Sample(BACKUP_HOST_SUCCESS, own, 0)]
    return [
        Sample(BACKUP_HOST_SUCCESS, own, 1),
        Sample(BACKUP_HOST_DURATION, own, backup.duration_seconds),
        Sample(BACKUP_HOST_SIZE, own, backup.size_bytes),
        Sample(BACKUP_HOST_UPLOADED, own, backup.uploaded_bytes),
        Sample(BACKUP_HOST_PROCESSING, own, backup.processing_seconds),
        Sample(BACKUP_HOST_FILES, own, backup.files),
        Sample(BACKUP_HOST_FILES_NEW, own, backup.new_files),
        Sample(BACKUP_HOST_FILES_MODIFIED, own, backup.modified_files),
        Sample(BACKUP_HOST_FILES_UNMODIFIED, own, backup.unmodified_files),
        Sample(BACKUP_HOST_LAST_GOOD, own, backup.ended_at),
    ]


def restore_session_metrics(
    labels: Labels, *, succeeded: bool, duration_seconds: float, targets: int
) -> list[Sample]:
    """Return what is said of a restore's session."""
    return _unless_failed(
        Sample(RESTORE_SESSION_SUCCESS, labels, succeeded),
        Sample(RESTORE_SESSION_DURATION, labels, duration_seconds),
        Sample(RESTORE_SESSION_TARGETS, labels, targets),
    )


def restore_target_metrics(labels: Labels, *, succeeded: bool, hosts: int) -> list[Sample]:
    """Return what is said of a restored target."""
    return _unless_failed(
        Sample(RESTORE_TARGET_SUCCESS, labels, succeeded),
        Sample(RESTORE_TARGET_HOSTS, labels, hosts),
    )


def restore_host_metrics(
    labels: Labels, hostname: str, *, succeeded: bool, duration_seconds: float
) -> list[Sample]:
    """Return what is said of a restored host."""
    own = {**labels, "hostname": hostname}
    return _unless_failed(
        Sample(RESTORE_HOST_SUCCESS, own, succeeded),
        Sample(RESTORE_HOST_DURATION, own, duration_seconds),
    )


def repository_metrics(
    labels: Labels, *, integrity: bool, size_bytes: int, snapshots: int, removed: int
) -> list[Sample]:
    """Return what is said of a repository; ``labels`` are those of ``repository_labels``."""
    return [
        Sample(REPOSITORY_INTEGRITY, labels, integrity),
        Sample(REPOSITORY_SIZE, labels, size_bytes),
        Sample(REPOSITORY_SNAPSHOTS, labels, snapshots),
        Sample(REPOSITORY_CLEANED, labels, removed),
    ]


def repository_lock_metrics(labels: Labels, *, locked: bool) -> list[Sample]:
    """Return whether a lock was in the last backup's way; ``labels`` are a repository's."""
    return [Sample(REPOSITORY_LOCKED, labels, locked)]


def _unless_failed(success: Sample, *others: Sample) -> list[Sample]:
    return [success, *others] if success.value else [success]
