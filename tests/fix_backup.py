# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Backups of real servers through the engine's own door."""

from __future__ import annotations

import contextlib
import json
import stat
import threading
import typing as t
from collections.abc import Callable
from pathlib import Path

from ansible_collections.granary.postgres.plugins.module_utils._core.events import (
    Field,
    RecordedEvents,
)
from ansible_collections.granary.postgres.plugins.module_utils._core.redaction import Secret
from ansible_collections.granary.postgres.plugins.module_utils._postgres.model import (
    ConnectionSettings,
)
from ansible_collections.granary.postgres.plugins.module_utils._workflows.backup import run_backup
from ansible_collections.granary.postgres.plugins.module_utils._workflows.requests import (
    BackupRequest,
    BackupResult,
    RepositoryAccess,
)
from tests.fix_repository import PASSWORD, Place
from tests.testbed.postgres import PostgresServer, client_bin, client_major_for

MANIFEST = "/postgres/manifest.json"


class HookedEvents(RecordedEvents):
    """Keeps the names of events, and calls a function at the first one of a name."""

    def __init__(self, at: str = "", action: Callable[[], object] = lambda: None) -> None:
        super().__init__()
        self.names: list[str] = []
        self._at = at
        self._action = action

    def progress(self, event: str, **fields: Field) -> None:
        """Keep the event's name."""
        self.names.append(event)
        if event == self._at:
            self._at = ""
            self._action()


def access(place: Place, password: str = PASSWORD) -> RepositoryAccess:
    """What opens the repository at a place."""
    return RepositoryAccess(
        settings=place.settings, passwords=(Secret(password),), lock_wait_seconds=0
    )


def connection(server: PostgresServer, user: str | None = None) -> ConnectionSettings:
    """How to reach a server as its superuser, or as another user without a password."""
    password = Secret(server.password) if server.password and user is None else None
    return ConnectionSettings(
        host=server.host, port=server.port, user=user or server.user, password=password
    )


def backup_request(server: PostgresServer, place: Place, **options: t.Any) -> BackupRequest:
    """A request with the defaults of the tests: two jobs, client programs that fit, host `main`."""
    user = options.pop("user", None)
    defaults: dict[str, t.Any] = {
        "repository": access(place),
        "connection": connection(server, user),
        "host": "main",
        "jobs": 2,
        "bin_dir": str(client_bin(client_major_for(server.major))),
    }
    return BackupRequest(**defaults | options)


def back_up_server(
    server: PostgresServer,
    place: Place,
    *,
    events: RecordedEvents | None = None,
    check_mode: bool = False,
    **options: t.Any,
) -> BackupResult:
    """Back up a server into the repository at a place."""
    request = backup_request(server, place, **options)
    return run_backup(request, events=events or RecordedEvents(), check_mode=check_mode)


def dumped(place: Place, path: str, snapshot: str = "latest") -> bytes:
    """A file of a snapshot as stock restic gives it."""
    return place.restic("0.19").raw("dump", snapshot, path)


def read_manifest(place: Place, snapshot: str = "latest") -> dict[str, t.Any]:
    """The manifest of a snapshot as plain JSON."""
    found: dict[str, t.Any] = json.loads(dumped(place, MANIFEST, snapshot))
    return found


def tables_of(manifest: dict[str, t.Any], database: str) -> dict[str, dict[str, t.Any]]:
    """The tables of one database in a manifest, by `schema.table`."""
    for entry in manifest["databases"]:
        if entry["definition"]["name"] == database:
            return {f"{table['schema']}.{table['name']}": table for table in entry["tables"]}
    raise KeyError(database)


def files_of(place: Place, folder: str = "") -> dict[str, int]:
    """Every object of a repository and its size, by name; what goes meanwhile is left out."""
    if isinstance(place.where, Path):
        sizes = {}
        for path in (place.where / folder).rglob("*"):
            with contextlib.suppress(FileNotFoundError):
                status = path.stat()
                if stat.S_ISREG(status.st_mode):
                    sizes[str(path.relative_to(place.where))] = status.st_size
        return sizes
    with place.open() as repository:
        prefix = f"{folder}/" if folder else ""
        return {entry.name: entry.size for entry in repository.backend.entries(prefix)}


def in_background(action: Callable[[], object]) -> threading.Thread:
    """Run something in a thread; join it before the test ends."""
    thread = threading.Thread(target=action, daemon=True)
    thread.start()
    return thread
