# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`output.json`: what one container of a Job tells the next ones of a host's backup or restore.

The part under `targetStatus` is Stash's, so that Functions of users can write and read it; ours
beside it has the figures unrounded.
"""

from __future__ import annotations

import dataclasses
import json
import os
import tempfile
import time
import typing as t

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import (
    ConfigError,
    StorageError,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.durations import (
    format_go_duration,
    format_processing_time,
    format_size,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.phases import (
    FAILED,
    SUCCEEDED,
)

if t.TYPE_CHECKING:
    from pathlib import Path

    from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.objects import Object
    from ansible_collections.granary.postgres.plugins.module_utils._workflows.requests import (
        BackupResult,
    )

FILE = "output.json"
_MODE = 0o777  # Stash's: the next container may run as another user


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class HostOutcome:
    """How a host's part ended; ``error`` is a sentence, None where it succeeded.

    ``exact`` has the figures of a backup; see ``backup_outcome``.
    """

    hostname: str
    duration_seconds: float
    error: str | None = None
    error_code: str | None = None
    snapshots: tuple[Object, ...] = ()
    exact: Object | None = None
    warnings: tuple[str, ...] = ()

    def stats(self) -> Object:
        """Return the host as it stands in a status."""
        entry: Object = {
            "hostname": self.hostname,
            "phase": SUCCEEDED if self.error is None else FAILED,
            "duration": format_go_duration(self.duration_seconds),
        }
        if self.error is not None:
            entry["error"] = self.error
        if self.snapshots:
            entry["snapshots"] = list(self.snapshots)
        return entry


def backup_outcome(hostname: str, result: BackupResult, duration_seconds: float) -> HostOutcome:
    """Return a backup that succeeded."""
    stats = result.stats
    exact: Object = {
        "durationSeconds": duration_seconds,
        "processingSeconds": stats.duration_seconds,
        "sizeBytes": stats.read_bytes,
        "uploadedBytes": stats.stored_bytes,
        "files": result.files,
        "endedAt": time.time(),
    }
    snapshot: Object = {
        "name": result.snapshot.id,
        "path": result.snapshot.paths[0].lstrip("/"),
        "totalSize": format_size(stats.read_bytes),
        "uploaded": format_size(stats.stored_bytes),
        "processingTime": format_processing_time(stats.duration_seconds),
        # Whatever it holds, each snapshot is written anew; what is equal is stored once.
        "fileStats": {
            "totalFiles": result.files,
            "newFiles": result.files,
            "modifiedFiles": 0,
            "unmodifiedFiles": 0,
        },
    }
    return HostOutcome(
        hostname=hostname,
        duration_seconds=duration_seconds,
        snapshots=(snapshot,),
        exact=exact,
        warnings=result.dump_warnings,
    )


def write_output(folder: Path, reference: Object, outcome: HostOutcome) -> None:
    """Write the file, whole or not at all. Raises ``StorageError``."""
    document = {
        "targetStatus": {"ref": reference, "totalHosts": 1, "stats": [outcome.stats()]},
        "granary": {
            "code": outcome.error_code,
            "exact": outcome.exact,
            "warnings": list(outcome.warnings),
        },
    }
    path = folder / FILE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=folder)
        with open(descriptor, "w", encoding="utf-8") as file:
            json.dump(document, file)
        os.chmod(name, _MODE)
        os.replace(name, path)
    except OSError as exc:
        raise StorageError(
            f"The outcome ({outcome.error or 'success'}) could not be written to {path}: "
            f"{exc.strerror or exc}; see that the folder can be written."
        ) from exc


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """The file as it was read; ``code`` is that of our error, ``exact`` are our own figures."""

    stats: tuple[Object, ...]
    code: str | None
    exact: Object | None

    @property
    def succeeded(self) -> bool:
        """Whether every host did."""
        return all(one.get("phase") == SUCCEEDED for one in self.stats)

    @property
    def error(self) -> str:
        """What the hosts that failed say, one after the other."""
        return " ".join(str(one["error"]) for one in self.stats if one.get("error"))


def read_output(folder: Path) -> Output:
    """Read the file. Raises ``ConfigError`` where there is none, or it says nothing of any host."""
    path = folder / FILE
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        stats = tuple(dict(one) for one in document["targetStatus"]["stats"])
        own = document.get("granary") or {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as exc:
        raise ConfigError(
            f"The Task's earlier step left no readable {path}: {exc}; see that step's log."
        ) from exc
    if not stats:
        raise ConfigError(f"{path} says nothing of any host; see the log of the step before.")
    return Output(stats=stats, code=own.get("code"), exact=own.get("exact"))
