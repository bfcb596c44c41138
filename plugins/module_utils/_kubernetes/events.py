# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""Events: short notes beside an object that ``kubectl describe`` shows for an hour."""

from __future__ import annotations

import time
import typing as t

from .._core.errors import ClusterError, InvalidObject
from .durations import format_time, now
from .objects import Object, name_of, namespace_of, uid_of

if t.TYPE_CHECKING:
    from .cluster import Cluster

NORMAL: t.Final = "Normal"
WARNING: t.Final = "Warning"
EventKind: t.TypeAlias = t.Literal["Normal", "Warning"]

# Reasons of Stash.
HOST_BACKUP_SUCCEEDED = "Host Backup Succeeded"
HOST_BACKUP_FAILED = "Host Backup Failed"
HOST_RESTORE_SUCCEEDED = "Host Restore Succeeded"
HOST_RESTORE_FAILED = "Host Restore Failed"
CRON_JOB_CREATION_FAILED = "CronJob Creation Failed"
BACKUP_SKIPPED = "Backup Skipped"
STATUS_UPDATER = "Status Updater"
CONFIGURATION_CONTROLLER = "BackupConfiguration Controller"

_LONGEST_MESSAGE = 1024
_LONGEST_NAME = 253


def record_event(
    cluster: Cluster, about: Object, reason: str, kind: EventKind, message: str, *, component: str
) -> bool:
    """Note something about an object; returns False where the note could not be left.

    Nothing is raised then: an event is a courtesy, and what it says stands in the status too.
    """
    try:
        cluster.create(_event(about, reason, kind, message, component))
    except (ClusterError, InvalidObject):
        return False
    return True


def _event(about: Object, reason: str, kind: EventKind, message: str, component: str) -> Object:
    moment, namespace = format_time(now()), namespace_of(about) or "default"
    suffix = f".{time.time_ns():x}"
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": name_of(about)[: _LONGEST_NAME - len(suffix)] + suffix,
            "namespace": namespace,
        },
        "involvedObject": {
            "apiVersion": about["apiVersion"],
            "kind": about["kind"],
            "name": name_of(about),
            "namespace": namespace_of(about),
            "uid": uid_of(about),
        },
        "reason": reason,
        "type": kind,
        "message": message[:_LONGEST_MESSAGE],
        "source": {"component": component},
        "firstTimestamp": moment,
        "lastTimestamp": moment,
        "count": 1,
    }
