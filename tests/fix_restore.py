# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Restores into real servers through the engine's own door, and what they leave behind."""

from __future__ import annotations

import typing as t

from ansible_collections.granary.postgres.plugins.module_utils._core.events import RecordedEvents
from ansible_collections.granary.postgres.plugins.module_utils._workflows.requests import (
    RestoreRequest,
    RestoreResult,
)
from ansible_collections.granary.postgres.plugins.module_utils._workflows.restore import run_restore
from tests.fix_backup import access, connection
from tests.fix_postgres import drop_database, quoted
from tests.fix_repository import Place
from tests.process_tree import children_of, command
from tests.testbed.postgres import PostgresServer, client_bin, client_major_for


def restore_request(server: PostgresServer, place: Place, **options: t.Any) -> RestoreRequest:
    """A request with the defaults of the tests: two jobs, client programs that fit."""
    defaults: dict[str, t.Any] = {
        "repository": access(place),
        "connection": connection(server, options.pop("user", None)),
        "jobs": 2,
        "bin_dir": str(client_bin(client_major_for(server.major))),
    }
    return RestoreRequest(**defaults | options)


def restore_server(
    server: PostgresServer,
    place: Place,
    *,
    events: RecordedEvents | None = None,
    check_mode: bool = False,
    **options: t.Any,
) -> RestoreResult:
    """Restore from the repository at a place into a server."""
    request = restore_request(server, place, **options)
    return run_restore(request, events=events or RecordedEvents(), check_mode=check_mode)


def mark_of(server: PostgresServer, database: str) -> str | None:
    """The snapshot in the mark of a database that is not whole; None without a mark."""
    rows = server.execute(
        "SELECT substr(s, 19) FROM pg_db_role_setting r JOIN pg_database d ON d.oid = setdatabase,"
        " unnest(setconfig) s WHERE setrole = 0 AND s LIKE 'granary.restoring=%%' AND datname = %s",
        [database],
    )
    return rows[0][0] if rows else None


def workers_of(pid: int) -> list[int]:
    """The processes right below one that are forks of it, by their command line."""
    return [one for one in children_of(pid) if command(one) == command(pid)]


def clear(server: PostgresServer) -> None:
    """Drop the databases and roles that tests have made."""
    for (name,) in server.execute("SELECT datname FROM pg_database WHERE oid >= 16384"):
        server.execute(f"ALTER DATABASE {quoted(name)} IS_TEMPLATE false")
        drop_database(server, name)
    for (name,) in server.execute("SELECT rolname FROM pg_roles WHERE oid >= 16384"):
        server.execute(f"DROP ROLE {quoted(name)}")
