# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Trouble that comes to a restore while it waits for a lock, and what must be seen afterwards."""

from __future__ import annotations

import tempfile
import typing as t
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import GranaryError
from tests.fix_backup import HookedEvents, back_up_server, files_of
from tests.fix_postgres import PostgresFactory, drop_database
from tests.fix_repository import Place
from tests.fix_restore import mark_of, restore_server
from tests.process_tree import our_processes
from tests.testbed import folders
from tests.testbed.postgres import PostgresServer
from tests.waiting import wait_for

ROWS = 40_000
SOURCE = f"""
CREATE TABLE big_a AS
  SELECT i AS id, md5(i::text) || md5((i + 1)::text) || md5((i + 2)::text) AS note
  FROM generate_series(1, {ROWS}) i;
CREATE TABLE big_b AS SELECT id, reverse(note) AS note FROM big_a;
ALTER TABLE big_a ADD PRIMARY KEY (id);
CREATE INDEX ON big_a (note);
CREATE INDEX ON big_b (note);
CREATE TABLE small (id int REFERENCES big_a);
INSERT INTO small SELECT generate_series(1, 50);
ALTER TABLE small OWNER TO app;
"""
RENAME = {"origin": "shop"}


@pytest.fixture(scope="session")
def origin(postgres: PostgresFactory) -> PostgresServer:
    """Source and target at once, with the database `origin`."""
    server = postgres(15, settings={"cluster_name": "restore faults"})
    server.execute("CREATE ROLE app")
    server.execute("CREATE DATABASE origin")
    server.execute(SOURCE, database="origin")
    return server


@pytest.fixture
def shop_dropped(origin: PostgresServer) -> Iterator[None]:
    """Starts the server again and drops the database of the restore when the test ends."""
    yield
    origin.start()
    drop_database(origin, "shop")


@pytest.fixture
def engine_scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the engine keeps its temporary files."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture(scope="session")
def origin_place(origin: PostgresServer) -> Iterator[Place]:
    """A folder with a backup of `origin`."""
    folder = folders.make_scratch()
    place = Place(where=folder / "repository", cache_dir=folder / "cache")
    store_origin(origin, place)
    yield place
    folders.remove(folder)


def store_origin(server: PostgresServer, place: Place) -> None:
    """Back up `origin` into a new repository, in small segments and packs."""
    place.create().close()
    options: dict[str, t.Any] = {"segment_threshold": 1 << 20, "pack_size": 1 << 20}
    back_up_server(server, place, databases=["origin"], **options)


class Hold:
    """A transaction that a restore has to wait for."""

    def __init__(self, server: PostgresServer, phase: str) -> None:
        self._server = server
        self._phase = phase
        self._conn = server.connect("shop")
        with self._conn.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute(HOLDS[phase])

    def wait(self) -> None:
        """Wait until the restore waits, and until all else that it can do is done."""
        wait_for(self._blocked, "a restore that waits")
        if self._phase == "half of the rows":
            wait_for(
                lambda: self._count("big_a") == ROWS and self._count("small") == 50, "the rows"
            )

    def _blocked(self) -> bool:
        sql = "SELECT pid FROM pg_stat_activity WHERE datname = 'shop' AND wait_event_type = 'Lock'"
        # Of the two workers one feeds pg_restore.
        return len(self._server.execute(sql)) >= (2 if self._phase == "first rows" else 1)

    def _count(self, table: str) -> int:
        return int(self._server.execute(f"SELECT count(*) FROM {table}", database="shop")[0][0])

    def release(self) -> None:
        """Let the restore go on, if it lives."""
        self._conn.close()


# What a restore waits behind, and at which event that is put before it.
HOLDS = {
    "definitions": "CREATE TABLE small ()",
    "first rows": "LOCK TABLE big_a, big_b, small IN EXCLUSIVE MODE",
    "half of the rows": "LOCK TABLE big_b IN EXCLUSIVE MODE",
    "indexes": "LOCK TABLE big_a, big_b IN ROW EXCLUSIVE MODE",
    "proof": "LOCK TABLE big_b IN ACCESS EXCLUSIVE MODE",
}
BEGINS = {
    "definitions": "database_begun",
    "first rows": "definitions_loaded",
    "half of the rows": "definitions_loaded",
    "indexes": "rows_loaded",
    "proof": "database_loaded",
}


class Trouble:
    """Something that happens to a restore once it waits."""

    def __init__(
        self,
        server: PostgresServer,
        phase: str,
        action: Callable[[PostgresServer], object],
        *,
        release: bool = False,
    ) -> None:
        self.events = HookedEvents(BEGINS[phase], self._begin)
        self._server = server
        self._phase = phase
        self._action = action
        self._release = release
        self._pool = ThreadPoolExecutor(1)
        self._hold: Hold | None = None
        self._done: Future[None] | None = None

    def _begin(self) -> None:
        self._hold = Hold(self._server, self._phase)
        self._done = self._pool.submit(self._happen, self._hold)

    def _happen(self, hold: Hold) -> None:
        try:
            hold.wait()
            self._action(self._server)
        except BaseException:
            hold.release()
            raise
        if self._release:
            hold.release()

    def end(self) -> None:
        """See that it has happened, and let go what still waits."""
        assert self._done is not None
        assert self._hold is not None
        self._done.result(60)
        self._pool.shutdown()
        self._hold.release()


def is_whole(server: PostgresServer, place: Place, **options: t.Any) -> None:
    """Restore, and see that all is there."""
    result = restore_server(server, place, rename=RENAME, **options)
    assert result.verified
    assert result.stats.rows == 2 * ROWS + 50
    assert mark_of(server, "shop") is None
    for table in ("big_a", "big_b", "small"):
        sql = f"SELECT count(*), sum(id), md5(string_agg(id::text, ',' ORDER BY id)) FROM {table}"
        assert server.execute(sql, database="shop") == server.execute(sql, database="origin")
    keys = "SELECT count(*) FROM pg_constraint WHERE contype IN ('p', 'f') AND oid >= 16384"
    assert server.execute(keys, database="shop") == [(2,)]


def fails(
    server: PostgresServer,
    place: Place,
    error: type[GranaryError],
    words: str,
    events: HookedEvents | Trouble,
    **options: t.Any,
) -> None:
    """Restore, see that it fails as it should and that the database says so."""
    trouble = events if isinstance(events, Trouble) else None
    events = events.events if isinstance(events, Trouble) else events
    try:
        with pytest.raises(error, match=words):
            restore_server(server, place, rename=RENAME, events=events, **options)
    finally:
        if trouble is not None:
            trouble.end()
    server.start()
    assert mark_of(server, "shop") is not None
    assert [said for said in events.warnings if "'shop' is not whole" in said]
    assert "database_restored" not in events.names


def nothing_left(place: Place, scratch: Path) -> None:
    """See that no process, no lock and no temporary file is left."""
    assert our_processes() == []
    assert files_of(place, "locks") == {}
    assert list(scratch.iterdir()) == []
