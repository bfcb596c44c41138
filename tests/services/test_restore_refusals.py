# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Restores that the server refuses in the middle, for what it holds, for its rules or for want of
room: what is named, what is left, and that the same restore made again succeeds.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import RestoreFailed
from tests.fix_backup import HookedEvents, back_up_server
from tests.fix_postgres import drop_database
from tests.fix_repository import Place
from tests.fix_restore import mark_of, restore_server
from tests.fix_restore_trouble import ROWS, fails, is_whole, nothing_left
from tests.testbed import folders
from tests.testbed.postgres import PostgresServer
from tests.testbed.process import give_to, server_user

pytestmark = pytest.mark.usefixtures("shop_dropped")


@pytest.fixture(scope="module")
def server(origin: PostgresServer) -> PostgresServer:
    return origin


@pytest.fixture(scope="module")
def local(origin_place: Place) -> Place:
    return origin_place


@pytest.fixture
def scratch(engine_scratch: Path) -> Path:
    return engine_scratch


REFUSALS = [
    ("database_begun", "CREATE VIEW big_a AS SELECT 1", r'relation "big_a" already exists'),
    (
        "definitions_loaded",
        "ALTER TABLE big_a ADD CONSTRAINT first_rows CHECK (id > 10)",
        r"Could not load rows into table public\.big_a: .*constraint \"first_rows\"",
    ),
    (
        "definitions_loaded",
        f"ALTER TABLE big_b ADD CONSTRAINT last_row CHECK (id < {ROWS})",
        r"Could not load rows into table public\.big_b: .*constraint \"last_row\"",
    ),
    (
        "definitions_loaded",
        "ALTER TABLE small ADD CONSTRAINT of_small CHECK (id < 40)",
        r"the small tables' rows of database 'shop' failed: .*constraint \"of_small\"",
    ),
    (
        "rows_loaded",
        "DELETE FROM big_a WHERE id = 7",
        r"after the rows of database 'shop' failed: .*violates foreign key constraint",
    ),
    (
        "rows_loaded",
        "INSERT INTO big_a SELECT * FROM big_a WHERE id = 7",
        r"after the rows of database 'shop' failed: .*could not create unique index",
    ),
]


@pytest.mark.sampled("refusal", REFUSALS, 2, ids=lambda row: f"{row[0]}-{row[1][:24]}")
def test_the_servers_refusal_is_named_and_marked(
    server: PostgresServer,
    local: Place,
    scratch: Path,
    refusal: tuple[str, str, str],
) -> None:
    event, sql, words = refusal
    events = HookedEvents(event, lambda: server.execute(sql, database="shop"))
    fails(server, local, RestoreFailed, words, events)
    nothing_left(local, scratch)
    is_whole(server, local)


@pytest.fixture
def small_disk(server: PostgresServer) -> Iterator[Callable[[int], None]]:
    """Gives a function that moves the database of the restore to a disk of so many MiB."""
    folder = folders.make_scratch()

    def move(megabytes: int) -> None:
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", folder], check=True
        )
        give_to(folder, server_user())
        folder.chmod(0o700)
        server.execute(f"CREATE TABLESPACE small_disk LOCATION '{folder}'")
        server.execute("ALTER DATABASE shop SET TABLESPACE small_disk")

    yield move
    drop_database(server, "shop")
    server.execute("DROP TABLESPACE IF EXISTS small_disk")
    subprocess.run(["umount", folder], check=False)
    folders.remove(folder)


@pytest.mark.parametrize(
    ("megabytes", "table"), [(11, "rows"), pytest.param(26, "index", marks=pytest.mark.slow)]
)
def test_a_full_disk_is_named_and_marked(
    server: PostgresServer,
    local: Place,
    scratch: Path,
    small_disk: Callable[[int], None],
    *,
    megabytes: int,
    table: str,
) -> None:
    events = HookedEvents("database_begun", lambda: small_disk(megabytes))
    fails(server, local, RestoreFailed, "No space left on device", events)
    assert ("rows_loaded" in events.names) is (table == "index")
    nothing_left(local, scratch)
    # The retry makes the database anew, where the snapshot says.
    is_whole(server, local)


def test_a_plain_dump_that_the_server_refuses_leaves_the_mark(
    server: PostgresServer, local_place: Place
) -> None:
    local_place.create().close()
    back_up_server(server, local_place, databases=["origin"], format="plain")
    server.execute("ALTER ROLE app RENAME TO somebody")
    events = HookedEvents()
    try:
        with pytest.raises(RestoreFailed, match='role "app" does not exist'):
            restore_server(server, local_place, into="shop", events=events)
    finally:
        server.execute("ALTER ROLE somebody RENAME TO app")
    assert mark_of(server, "shop") is not None
    assert [said for said in events.warnings if "'shop' is not whole" in said]
    assert not restore_server(server, local_place, into="shop").verified
    assert mark_of(server, "shop") is None
    assert server.execute("SELECT count(*) FROM big_b", database="shop") == [(ROWS,)]
