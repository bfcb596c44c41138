# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Backups that do not read unchanged rows again, each judged by one that reads everything."""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import signal
import tarfile
import time
import typing as t
from dataclasses import dataclass

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._core.events import RecordedEvents
from ansible_collections.granary.postgres.plugins.module_utils._workflows.requests import Stats
from tests.fix_backup import back_up_server, dumped, read_manifest, tables_of
from tests.fix_postgres import Database, DatabaseFactory, PostgresFactory
from tests.fix_repository import Place
from tests.testbed.postgres import PostgresServer

SEGMENTS = 4
ROWS = 2 * 1024 * SEGMENTS
# Two rows fit into the tenth of a page that the fill factor leaves: row 2n lies in page n.
BIG = f"""
CREATE TYPE mood AS ENUM ('sad', 'ok');
CREATE TABLE big (id int, mood mood, at timestamp, note text) WITH (fillfactor = 10);
INSERT INTO big SELECT i, 'ok', '2020-01-01', repeat(md5(i::text), 9)
  FROM generate_series(0, {ROWS - 1}) i;
"""
ALL = frozenset(range(SEGMENTS))
NONE: frozenset[int] = frozenset()


@pytest.fixture
def quiet(postgres: PostgresFactory, pg_major: int) -> PostgresServer:
    """A server on which nothing happens but what a test does."""
    return postgres(pg_major, settings={"autovacuum": "off", "max_prepared_transactions": "2"})


@pytest.fixture
def big(quiet: PostgresServer, fresh_database: DatabaseFactory) -> Database:
    """A database with one table of four segments."""
    database = Database(quiet, fresh_database(quiet))
    database.execute(BIG)
    return database


class Twice:
    """Backups of one database that skip, and full ones to judge them by."""

    def __init__(self, database: Database, place: Place) -> None:
        self.database = database
        self.place = place
        self.events = RecordedEvents()
        self.tables: dict[str, dict[str, t.Any]] = {}
        place.create().close()

    def read_all(self) -> Stats:
        """Back up without skipping."""
        return self._back_up(skip_unchanged=False)

    def skip(self) -> Stats:
        """Back up with skipping, prove it equal to a full one, and give its figures."""
        stats = self._back_up(skip_unchanged=True)
        rows, self.tables = self._content()
        full = self.read_all()
        assert self._content() == (rows, self.tables)
        assert full.unchanged_bytes == 0
        assert full.read_bytes == pytest.approx(stats.read_bytes + stats.unchanged_bytes, abs=2000)
        return stats

    def skipped(self) -> frozenset[int]:
        """Back up with skipping, and give the segments of `big` that were not read."""
        stats = self.skip()
        segments = self.tables["public.big"]["segments"]
        sizes = [size for dummy_rows, size, dummy_blobs in segments]
        found = [
            numbers
            for numbers in _subsets(len(sizes))
            if sum(sizes[number] for number in numbers) == stats.unchanged_bytes
        ]
        assert len(found) == 1, (sizes, stats.unchanged_bytes)
        return found[0]

    def _back_up(self, **options: t.Any) -> Stats:
        name, server = self.database.name, self.database.server
        options |= {"databases": [name], "segment_threshold": 0, "events": self.events}
        return back_up_server(server, self.place, **options).stats

    def _content(self) -> tuple[dict[str, bytes], dict[str, dict[str, t.Any]]]:
        """The files of rows, and the tables of the manifest, as stock restic gives them."""
        with tarfile.open(fileobj=io.BytesIO(dumped(self.place, "/postgres"))) as archive:
            files = {
                member.name: t.cast("io.BufferedReader", archive.extractfile(member)).read()
                for member in archive.getmembers()
                if member.isfile()
            }
        manifest = next(data for name, data in files.items() if name.endswith("/manifest.json"))
        rows = {name: data for name, data in files.items() if name.endswith(".copy")}
        return rows, tables_of(json.loads(manifest), self.database.name)


def _subsets(count: int) -> list[frozenset[int]]:
    return [
        frozenset(number for number in range(count) if bits >> number & 1)
        for bits in range(1 << count)
    ]


@pytest.fixture
def twice(big: Database, local_place: Place) -> Twice:
    """The database, backed up once."""
    found = Twice(big, local_place)
    found.read_all()
    return found


@dataclass(frozen=True, slots=True)
class Change:
    """Statements between two backups, and the segments of `big` that must be read after them."""

    name: str
    read: frozenset[int]
    statements: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.name


def _in_page(page: int) -> str:
    return f"id IN ({2 * page}, {2 * page + 1})"


CHANGES = (
    Change("nothing", NONE),
    Change("an update", frozenset({2}), (f"UPDATE big SET note = 'new' WHERE {_in_page(2100)}",)),
    Change("an update of the same value", frozenset({0}), ("UPDATE big SET id = id WHERE id = 7",)),
    Change("a deletion", frozenset({1}), (f"DELETE FROM big WHERE {_in_page(1024)}",)),
    Change("two", frozenset({0, 3}), ("DELETE FROM big WHERE id = 0",
                                      "UPDATE big SET mood = 'sad' WHERE id = 8000")),
    Change("a row in a new segment", NONE,
           ("INSERT INTO big VALUES (-1, 'ok', now(), repeat('more', 300))",)),
    Change("another row in the place of one", frozenset({0}),
           (f"DELETE FROM big WHERE {_in_page(0)}", "VACUUM big",
            "INSERT INTO big SELECT -i, 'ok', '2020-01-01', repeat(md5(i::text), 9)"
            "  FROM generate_series(0, 1) i")),
    Change("the end cut off", frozenset({3}), (f"DELETE FROM big WHERE id >= {2 * 3500}",
                                               "VACUUM big")),
    Change("a segment cut off", NONE, (f"DELETE FROM big WHERE id >= {2 * 3 * 1024}",
                                       "VACUUM big")),
    Change("most rows deleted", ALL, ("DELETE FROM big WHERE id % 2048 > 1",)),
    Change("an update taken back", NONE,
           ("BEGIN; UPDATE big SET note = 'new'; DELETE FROM big WHERE id = 1; ROLLBACK",)),
    Change("rows locked", NONE,
           ("SELECT count(*) FROM (SELECT FROM big FOR UPDATE) AS locked",)),
    Change("frozen", NONE, ("VACUUM FREEZE big",)),
    Change("analyzed", NONE, ("ANALYZE big", "CREATE INDEX ON big (id)", "REINDEX TABLE big")),
    Change("rewritten", ALL, ("VACUUM FULL big",)),
    Change("sorted", ALL, ("CREATE INDEX by_id ON big (id)", "CLUSTER big USING by_id")),
    Change("made anew", ALL, ("CREATE TABLE old AS TABLE big; TRUNCATE big;"
                              "INSERT INTO big TABLE old; DROP TABLE old",)),
    Change("another table of the name", ALL,
           ("ALTER TABLE big RENAME TO old; CREATE TABLE big (LIKE old) WITH (fillfactor = 10);"
            "INSERT INTO big TABLE old; DROP TABLE old",)),
    Change("a label renamed", ALL, ("ALTER TYPE mood RENAME VALUE 'ok' TO 'fine'",)),
    Change("a label renamed and back", ALL, ("ALTER TYPE mood RENAME VALUE 'ok' TO 'fine'",
                                             "ALTER TYPE mood RENAME VALUE 'fine' TO 'ok'")),
    Change("two labels exchanged", ALL, ("ALTER TYPE mood RENAME VALUE 'ok' TO 'new'",
                                         "ALTER TYPE mood RENAME VALUE 'sad' TO 'ok'",
                                         "ALTER TYPE mood RENAME VALUE 'new' TO 'sad'")),
    Change("a column more", ALL, ("ALTER TABLE big ADD COLUMN more int DEFAULT 7",)),
    Change("a column of the same name", ALL,
           ("ALTER TABLE big DROP COLUMN note", "ALTER TABLE big ADD COLUMN note text")),
    Change("a column renamed", ALL, ("ALTER TABLE big RENAME COLUMN note TO text",)),
    Change("a type changed without a rewrite", ALL,
           ("SET TimeZone = 'UTC'; ALTER TABLE big ALTER at TYPE timestamptz",)),
    Change("another time zone", ALL, ("ALTER ROLE ALL SET TimeZone = 'Asia/Tokyo'",)),
)  # fmt: skip


@pytest.mark.sampled("change", CHANGES, 4)
def test_what_changed_is_read_and_nothing_else(
    twice: Twice, change: Change, request: pytest.FixtureRequest
) -> None:
    request.addfinalizer(lambda: twice.database.execute("ALTER ROLE ALL RESET TimeZone"))
    for statement in change.statements:
        twice.database.execute(statement)
    assert ALL & twice.skipped() == ALL - change.read - _beyond_the_end(twice.database)


def _beyond_the_end(database: Database) -> frozenset[int]:
    pages = int(database.execute("SELECT pg_relation_size('big') / 8192")[0][0])
    return frozenset(number for number in ALL if number * 1024 >= pages)


def test_a_transaction_that_ran_through_a_backup_is_seen(twice: Twice) -> None:
    server, name = twice.database.server, twice.database.name
    with contextlib.closing(server.connect(name)) as running, running.cursor() as cursor:
        cursor.execute("BEGIN; SAVEPOINT inner_one")
        # One row less and one row more: the number stays.
        cursor.execute(f"DELETE FROM big WHERE {_in_page(1100)} AND id % 2 = 0")
        cursor.execute("UPDATE big SET note = 'new' WHERE id = 2201; RELEASE inner_one")
        assert twice.skipped() == ALL
        # Younger than the transaction that runs, so they cannot be told from its rows.
        twice.database.execute(f"UPDATE big SET mood = 'sad' WHERE {_in_page(10)}")
        assert twice.skipped() == ALL - {0}
        assert twice.skipped() == ALL - {0}
        cursor.execute("COMMIT")
    assert twice.skipped() == ALL - {0, 1}
    assert twice.skipped() == ALL


def test_a_prepared_transaction_is_seen(twice: Twice) -> None:
    twice.database.execute(
        f"BEGIN; UPDATE big SET mood = 'sad' WHERE {_in_page(10)}; PREPARE TRANSACTION 'waits'"
    )
    assert twice.skipped() == ALL
    twice.database.execute("COMMIT PREPARED 'waits'")
    assert twice.skipped() == ALL - {0}


@pytest.mark.sampled("how", ["restarted", "crashed", "killed"], 1)
def test_after_a_new_start_everything_is_read(
    private_postgres: PostgresFactory, pg_major: int, local_place: Place, how: str
) -> None:
    server = private_postgres(pg_major, settings={"autovacuum": "off"})
    server.execute("CREATE DATABASE shop")
    database = Database(server, "shop")
    database.execute(BIG)
    twice = Twice(database, local_place)
    twice.read_all()
    assert twice.skipped() == ALL
    if how == "restarted":
        server.restart()
    elif how == "killed":
        server.kill()
        server.start()
    else:
        _crash_a_session(server)
    assert twice.skipped() == NONE
    assert twice.skipped() == ALL


def _crash_a_session(server: PostgresServer) -> None:
    """Have the postmaster end all sessions and recover, while it lives on itself."""
    import psycopg2

    started = server.execute("SELECT pg_postmaster_start_time()")
    with contextlib.closing(server.connect()) as opened, opened.cursor() as cursor:
        os.kill(opened.info.backend_pid, signal.SIGKILL)
        with pytest.raises(psycopg2.OperationalError):
            cursor.execute("SELECT pg_sleep(60)")
    deadline = time.monotonic() + 60
    while True:
        try:
            assert server.execute("SELECT pg_postmaster_start_time()") == started
            return
        except psycopg2.OperationalError:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_a_database_made_from_a_copy_is_read(
    twice: Twice, quiet: PostgresServer, fresh_database: DatabaseFactory
) -> None:
    name = twice.database.name
    copy = fresh_database(quiet, f"TEMPLATE {name}")
    quiet.execute(f"DROP DATABASE {name}")
    quiet.execute(f"ALTER DATABASE {copy} RENAME TO {name}")
    assert twice.skipped() == NONE


def test_a_standby_is_read_whole(
    private_postgres: PostgresFactory, pg_major: int, local_place: Place
) -> None:
    primary = private_postgres(pg_major, settings={"autovacuum": "off"})
    primary.execute(BIG)
    standby = primary.standby()
    try:
        standby.wait_for_replay(primary)
        twice = Twice(Database(standby, "postgres"), local_place)
        twice.read_all()
        assert twice.skip().unchanged_bytes == 0
    finally:
        standby.close()


def test_what_other_objects_shape_is_read_every_time(big: Database, local_place: Place) -> None:
    tables = {
        "names": "SELECT 'big'::regclass AS value",
        "sums": "SELECT 1::money AS value",
        "pairs": "SELECT ROW(1, 'ok')::pair AS value",
        "lists_of_pairs": "SELECT ARRAY[ROW(1, 'ok')::pair] AS value",
        "rights": "SELECT relacl[1] AS value FROM pg_class WHERE relacl IS NOT NULL LIMIT 1",
    }
    fixed = {
        "ranges": "SELECT int4range(1, 5) AS value, daterange('2020-01-01', NULL) AS more",
        "lists": "SELECT ARRAY[1, 2] AS value, ARRAY['ok']::mood[] AS moods",
        "domains": "SELECT 5::positive AS value",
    }
    big.execute("CREATE TYPE pair AS (a int, b mood); CREATE DOMAIN positive int CHECK (VALUE > 0)")
    for name, rows in {**tables, **fixed}.items():
        big.execute(f"CREATE TABLE {name} AS {rows}")
    twice = Twice(big, local_place)
    twice.read_all()
    said = tables_of(read_manifest(local_place), big.name)
    assert {name for name, table in said.items() if table["lineage"] is None} == {
        f"public.{name}" for name in tables
    }
    expected = sum(table["size"] for table in said.values() if table["lineage"])
    assert twice.skip().unchanged_bytes == expected


def test_a_role_that_may_not_see_the_start_reads_everything(
    private_postgres: PostgresFactory, pg_major: int, local_place: Place
) -> None:
    server = private_postgres(pg_major, settings={"autovacuum": "off"})
    server.execute(BIG)
    server.execute(
        "REVOKE EXECUTE ON FUNCTION pg_postmaster_start_time() FROM PUBLIC;"
        "CREATE ROLE reader LOGIN IN ROLE pg_read_all_data"
    )
    local_place.create().close()
    for skip in (False, True):
        result = back_up_server(
            server, local_place, user="reader", segment_threshold=0, skip_unchanged=skip
        )
        assert result.stats.unchanged_bytes == 0
    assert tables_of(read_manifest(local_place), "postgres")["public.big"]["lineage"] is None


def test_a_snapshot_that_was_rewritten_is_not_built_upon(twice: Twice) -> None:
    twice.place.restic("0.19").run("rewrite", "--forget", "--exclude", "*.copy", "latest")
    assert twice.skipped() == NONE
    assert f"Database {twice.database.name} is read whole: Snapshot" in twice.events.warnings[0]
    assert twice.skipped() == ALL


@pytest.mark.sampled("rounds", [60], 1)
def test_any_history_gives_what_a_full_backup_gives(
    big: Database, local_place: Place, rounds: int, seed: int, request: pytest.FixtureRequest
) -> None:
    rounds = rounds if request.config.getoption("--long") else 5
    draw = random.Random(seed)
    twice = Twice(big, local_place)
    twice.read_all()
    unchanged = 0
    with contextlib.closing(big.server.connect(big.name)) as other, other.cursor() as cursor:
        for dummy in range(rounds):
            for dummy_step in range(draw.randrange(4)):
                _step(draw, big, cursor)
            unchanged += twice.skip().unchanged_bytes
    assert unchanged > 0


def _step(draw: random.Random, database: Database, other: t.Any) -> None:
    """One change, here or in a transaction of another session that goes on through backups."""
    first = draw.randrange(ROWS)
    some = f"id BETWEEN {first} AND {first + draw.choice([0, 1, 50, 3000])}"
    texts = [
        f"UPDATE big SET note = md5(random()::text) WHERE {some}",
        f"DELETE FROM big WHERE {some}",
        f"INSERT INTO big SELECT * FROM big WHERE {some}",
        f"UPDATE big SET mood = 'sad' WHERE {some}",
    ]
    if draw.random() < 0.25:
        other.execute(draw.choice(["BEGIN", "COMMIT", "ROLLBACK"]))
    elif draw.random() < 0.2:
        database.execute(draw.choice(["VACUUM big", "VACUUM FREEZE big", "ANALYZE big"]))
    elif draw.random() < 0.3:
        # What the two do must not meet: nobody may wait.
        other.execute(f"INSERT INTO big SELECT * FROM big WHERE {some}")
    else:
        database.execute(draw.choice(texts))
