# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Backups that meet trouble: each ends with its cause, without a snapshot, without a lock, and the
next one succeeds.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import (
    BackupYielded,
    Cancelled,
    DumpFailed,
    GranaryError,
    PostgresError,
    ProgramError,
    TableLocksRefused,
)
from tests.fix_backup import (
    HookedEvents,
    back_up_server,
    files_of,
    in_background,
    read_manifest,
    tables_of,
)
from tests.fix_postgres import Database, PostgresFactory
from tests.fix_repository import Place
from tests.process_tree import below, our_processes, programs
from tests.testbed.postgres import PostgresServer
from tests.waiting import wait_for

_PATIENCE = 60.0
_SMALL_PACK = 256 << 10
BIG = """
CREATE TABLE big AS SELECT i AS id, md5(i::text) || md5((i + 1)::text) || md5((i + 2)::text) AS a
  FROM generate_series(1, 400000) i;
CREATE TABLE small AS SELECT 1 AS a;
"""


@pytest.fixture
def server(private_postgres: PostgresFactory) -> PostgresServer:
    server = private_postgres(15)
    server.execute("CREATE DATABASE shop")
    server.execute(BIG, database="shop")
    return server


def _workers(server: PostgresServer) -> list[int]:
    """Our own processes that read rows: those that hold a connection to the server."""
    port = f"{server.port:04X}"
    dumps = programs("pg_dump")
    ours = (process for process in our_processes() if process not in dumps)
    return [process for process in ours if _has_connection(process, port)]


def _has_connection(process: int, port: str) -> bool:
    try:
        inodes = {os.readlink(fd)[8:-1] for fd in Path(f"/proc/{process}/fd").iterdir()}
        lines = Path(f"/proc/{process}/net/tcp").read_text().splitlines()[1:]
    except OSError:
        return False
    fields = [line.split() for line in lines]
    return any(one[2].endswith(f":{port}") and one[9] in inodes for one in fields)


def _packs(place: Place) -> int:
    return len(files_of(place, "data"))


def _nothing_left(place: Place) -> None:
    assert files_of(place, "snapshots") == {}
    assert files_of(place, "locks") == {}
    assert our_processes() == []


def _succeeds(server: PostgresServer, place: Place) -> int:
    result = back_up_server(server, place, databases=["shop"])
    tables = tables_of(read_manifest(place), "shop")
    assert {name: table["rows"] for name, table in tables.items()} == {
        "public.big": 400000,
        "public.small": 1,
    }
    place.restic("0.19").run("check", "--read-data")
    return result.stats.stored_bytes


def _kill_worker(server: PostgresServer, place: Place) -> None:
    os.kill(min(wait_for(lambda: _workers(server), "workers")), signal.SIGKILL)


def _kill_dump(server: PostgresServer, place: Place) -> None:
    os.kill(wait_for(lambda: programs("pg_dump"), "pg_dump")[-1], signal.SIGKILL)


def _stop_server(server: PostgresServer, place: Place) -> None:
    wait_for(lambda: _packs(place), "the first pack")
    server.stop("immediate")


def _cut_connections(server: PostgresServer, place: Place) -> None:
    wait_for(lambda: _packs(place), "the first pack")
    server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'shop'")


def _ask_to_stop(server: PostgresServer, place: Place) -> None:
    wait_for(lambda: _packs(place), "the first pack")
    os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize(
    ("trouble", "error", "words"),
    [
        (_kill_worker, ProgramError, r"worker process \(pid \d+\) was ended by SIGKILL"),
        (_kill_dump, DumpFailed, r"pg_dump was ended by SIGKILL"),
        (_stop_server, PostgresError, r"server|connection"),
        (_cut_connections, PostgresError, r"terminating connection|connection"),
        (_ask_to_stop, Cancelled, r"asked to stop by SIGTERM"),
    ],
)
def test_trouble_is_named_and_leaves_nothing(
    server: PostgresServer,
    local_place: Place,
    trouble: Callable[[PostgresServer, Place], None],
    error: type[GranaryError],
    words: str,
) -> None:
    local_place.create().close()
    thread: list[threading.Thread] = []
    events = HookedEvents(
        "database_begun",
        lambda: thread.append(in_background(lambda: trouble(server, local_place))),
    )
    with pytest.raises(error, match=words):
        back_up_server(server, local_place, databases=["shop"], pack_size=1 << 20, events=events)
    thread[0].join(_PATIENCE)
    _nothing_left(local_place)
    server.start()
    _succeeds(server, local_place)


def test_a_killed_coordinator_leaves_no_process_and_what_it_stored_is_used_again(
    server: PostgresServer, local_place: Place
) -> None:
    local_place.create().close()
    first = back_up_server(
        server, local_place, databases=["shop"], host="whole", pack_size=_SMALL_PACK
    )
    whole = first.stats.stored_bytes
    place = Place(where=Path(f"{local_place.where}-2"), cache_dir=local_place.cache_dir)
    place.create().close()
    child = os.fork()
    if child == 0:
        back_up_server(server, place, databases=["shop"], pack_size=_SMALL_PACK)
        os._exit(0)
    wait_for(lambda: _packs(place) * _SMALL_PACK >= whole // 2, "half of the packs")
    workers = list(below(child))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers), "the workers' end")

    assert files_of(place, "snapshots") == {}
    # The keeper removed the lock when the last process of the run was gone.
    assert files_of(place, "locks") == {}
    assert _succeeds(server, place) <= 0.6 * whole


def test_a_signal_at_the_last_write_is_too_late(
    server: PostgresServer, local_place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    local_place.create().close()

    def watch() -> None:
        wait_for(lambda: files_of(local_place, "index"), "an index file")
        os.kill(os.getpid(), signal.SIGTERM)

    thread = in_background(watch)
    try:
        result = back_up_server(server, local_place, databases=["shop"])
    except Cancelled:
        assert files_of(local_place, "snapshots") == {}
    else:
        assert list(files_of(local_place, "snapshots")) == [f"snapshots/{result.snapshot.id}"]
    thread.join(_PATIENCE)
    assert files_of(local_place, "locks") == {}


def test_a_table_that_stays_locked_is_named(database: Database, local_place: Place) -> None:
    database.execute("CREATE TABLE wanted AS SELECT 1 AS a")
    local_place.create().close()
    with database.server.connect(database.name) as conn, conn.cursor() as cursor:
        conn.autocommit = False
        cursor.execute("BEGIN; LOCK TABLE wanted IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(TableLocksRefused, match=r"public\.wanted stayed locked for 1 s"):
            back_up_server(database.server, local_place, databases=[database.name], lock_timeout=1)
        conn.rollback()
    conn.close()
    _nothing_left(local_place)


def _queue_alter(server: PostgresServer, done: list[float]) -> None:
    """Alter a table as soon as somebody reads it, and note when that was possible."""
    wait_for(
        lambda: server.execute(
            "SELECT pid FROM pg_locks WHERE relation = 'big'::regclass AND mode = 'AccessShareLock'"
            " AND granted AND pid <> pg_backend_pid()",
            database="shop",
        ),
        "a reader",
    )
    server.execute("ALTER TABLE big ADD COLUMN more int", database="shop")
    done.append(time.monotonic())


def test_an_alter_in_mid_backup_waits_and_the_backup_is_whole(
    server: PostgresServer, local_place: Place
) -> None:
    local_place.create().close()
    altered: list[float] = []
    threads: list[threading.Thread] = []
    events = HookedEvents(
        "database_begun",
        lambda: threads.append(in_background(lambda: _queue_alter(server, altered))),
    )
    result = back_up_server(server, local_place, databases=["shop"], events=events)
    threads[0].join(_PATIENCE)

    assert altered
    assert result.stats.rows == 400001


def test_a_backup_gives_way_if_asked_to(server: PostgresServer, local_place: Place) -> None:
    server.execute(
        "INSERT INTO big SELECT * FROM big; INSERT INTO big SELECT * FROM big", database="shop"
    )
    local_place.create().close()
    altered: list[float] = []
    threads: list[threading.Thread] = []
    events = HookedEvents(
        "database_begun",
        lambda: threads.append(in_background(lambda: _queue_alter(server, altered))),
    )
    with pytest.raises(BackupYielded, match="gave way"):
        back_up_server(server, local_place, databases=["shop"], yield_after=0, events=events)
    threads[0].join(_PATIENCE)

    assert altered
    _nothing_left(local_place)
