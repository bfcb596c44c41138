# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The figures of a host for metrics: our own where there are some, else read back from the texts of
Stash's status.
"""

from __future__ import annotations

import contextlib
import time
import typing as t

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import InvalidObject
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.durations import (
    parse_go_duration,
    parse_size,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.metrics import HostBackup
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.phases import SUCCEEDED

if t.TYPE_CHECKING:
    from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.objects import Object


def host_backup(host: Object, exact: Object | None) -> HostBackup | None:
    """Return a host's backup in figures; None if it failed."""
    if host.get("phase") != SUCCEEDED:
        return None
    snapshots = host.get("snapshots") or []
    exact = exact or {}
    return HostBackup(
        duration_seconds=float(exact.get("durationSeconds") or seconds_of(host)),
        processing_seconds=float(exact.get("processingSeconds") or _processing(snapshots)),
        size_bytes=int(exact.get("sizeBytes", _bytes(snapshots, "totalSize"))),
        uploaded_bytes=int(exact.get("uploadedBytes", _bytes(snapshots, "uploaded"))),
        files=_files(snapshots, "totalFiles"),
        new_files=_files(snapshots, "newFiles"),
        modified_files=_files(snapshots, "modifiedFiles"),
        unmodified_files=_files(snapshots, "unmodifiedFiles"),
        ended_at=float(exact.get("endedAt") or time.time()),
    )


def seconds_of(host: Object) -> float:
    """Return a host's duration; 0 where it is not readable."""
    with contextlib.suppress(InvalidObject):
        return parse_go_duration(str(host.get("duration") or "0s"))
    return 0.0


def _bytes(snapshots: list[Object], field: str) -> float:
    total = 0.0
    for snapshot in snapshots:
        with contextlib.suppress(InvalidObject):
            total += parse_size(str(snapshot.get(field) or "0 B"))
    return total


def _processing(snapshots: list[Object]) -> float:
    """Add up times of the form ``m:ss`` or ``h:mm:ss``."""
    total = 0
    for snapshot in snapshots:
        seconds = 0
        for part in str(snapshot.get("processingTime") or "0").split(":"):
            seconds = 60 * seconds + (int(part) if part.isdecimal() else 0)
        total += seconds
    return float(total)


def _files(snapshots: list[Object], field: str) -> int:
    return sum(int((one.get("fileStats") or {}).get(field) or 0) for one in snapshots)
