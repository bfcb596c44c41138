# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Restores into real servers: whole databases, some tables, and everything that is refused."""

from __future__ import annotations

import contextlib
import typing as t
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import (
    ConfigError,
    GranaryError,
    PostgresError,
    RestoreFailed,
    ServerUnsupported,
    SnapshotMissing,
    TargetNotEmpty,
    VerifyFailed,
)
from ansible_collections.granary.postgres.plugins.module_utils._core.events import RecordedEvents
from tests.equality import Comparison, differences
from tests.fix_backup import HookedEvents, back_up_server, files_of
from tests.fix_postgres import DatabaseFactory, PostgresFactory
from tests.fix_repository import Place
from tests.fix_restore import Shop, clear, mark_of, restore_server
from tests.process_tree import our_processes
from tests.testbed import folders
from tests.testbed.postgres import PostgresOptions, PostgresServer, client_bin
from tests.testbed.s3 import S3Server

SHOP = """
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE TABLE big (id serial PRIMARY KEY, note text NOT NULL,
                  size int GENERATED ALWAYS AS (length(note)) STORED);
INSERT INTO big (note) SELECT repeat(md5(i::text), 3) FROM generate_series(1, 6000) i;
CREATE TABLE log (id int PRIMARY KEY, line text);
INSERT INTO log SELECT i, 'line ' || i FROM generate_series(1, 500) i;
CREATE TABLE items (id int PRIMARY KEY, big_id int REFERENCES big, log_id int REFERENCES log);
INSERT INTO items SELECT i, i, i FROM generate_series(1, 300) i;
CREATE INDEX ON items (big_id);
CREATE TABLE feelings (mood mood, note text) PARTITION BY HASH (mood, note);
CREATE TABLE feelings_0 PARTITION OF feelings FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE feelings_1 PARTITION OF feelings FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO feelings
  SELECT (ARRAY['sad', 'ok', 'happy'])[i % 3 + 1]::mood, 'é ' || repeat('x', 60) || i
  FROM generate_series(1, 4000) i;
CREATE TABLE years (year int, note text) PARTITION BY RANGE (year);
CREATE TABLE years_1 PARTITION OF years FOR VALUES FROM (0) TO (100);
CREATE TABLE years_2 PARTITION OF years FOR VALUES FROM (100) TO (200);
INSERT INTO years SELECT i, repeat('y', 500) FROM generate_series(0, 199) i;
CREATE TABLE empty_parts (a int) PARTITION BY LIST (a);
CREATE TABLE circle_a (id int PRIMARY KEY, b int);
CREATE TABLE circle_b (id int PRIMARY KEY, a int REFERENCES circle_a);
ALTER TABLE circle_a ADD FOREIGN KEY (b) REFERENCES circle_b;
CREATE SCHEMA "odd ""name\U0001f418";
CREATE TABLE "odd ""name\U0001f418"."ta.ble" ("col""umn" int);
INSERT INTO "odd ""name\U0001f418"."ta.ble" VALUES (1), (2);
CREATE MATERIALIZED VIEW summary AS SELECT count(*) AS all_of_them FROM big;
CREATE VIEW notes AS SELECT note FROM big;
GRANT SELECT ON items TO reader;
ALTER TABLE items OWNER TO app;
SELECT lo_from_bytea(4711, 'abc');
"""
ROWS = {"public.big": 6000, "public.log": 500, "public.items": 300, "public.years": 200}
THRESHOLD = 64 * 1024
ODD = 'odd "name\U0001f418.ta.ble'


@pytest.fixture(scope="module")
def source(postgres: PostgresFactory) -> PostgresServer:
    server = postgres(15, settings={"cluster_name": "restore source"})
    server.execute("CREATE ROLE app LOGIN; CREATE ROLE reader; GRANT reader TO app")
    server.execute("CREATE DATABASE shop OWNER app")
    server.execute("CREATE DATABASE books")
    server.execute("CREATE TABLE book AS SELECT 1 AS id", database="books")
    server.execute(SHOP, database="shop")
    server.execute(
        "ALTER DATABASE shop SET work_mem = '7MB'; COMMENT ON DATABASE shop IS 'it''s';"
        "ALTER ROLE app IN DATABASE shop SET work_mem = '9MB';"
        "GRANT CONNECT ON DATABASE shop TO reader"
    )
    return server


def _stored(source: PostgresServer, place: Place) -> Place:
    place.create().close()
    back_up_server(source, place, segment_threshold=THRESHOLD)
    return place


@pytest.fixture(scope="module")
def local(source: PostgresServer) -> Iterator[Place]:
    folder = folders.make_scratch()
    yield _stored(source, Place(where=folder / "repository", cache_dir=folder / "cache"))
    folders.remove(folder)


@pytest.fixture(scope="module")
def remote(source: PostgresServer, s3_server: S3Server, tmp_path_factory: t.Any) -> Iterator[Place]:
    bucket = s3_server.make_bucket("restore-tests")
    cache: Path = tmp_path_factory.mktemp("restic-cache")
    yield _stored(source, Place(where=bucket, cache_dir=cache))
    s3_server.drop_bucket(bucket.name)


@pytest.fixture
def target(postgres: PostgresFactory) -> Iterator[PostgresServer]:
    server = postgres(15, settings={"cluster_name": "restore target"})
    yield server
    clear(server)


@pytest.fixture
def shop(source: PostgresServer, local: Place, target: PostgresServer) -> Shop:
    return Shop(source=source, place=local, target=target)


@pytest.mark.sampled("kind", ["local", "remote"], 1)
def test_a_server_comes_back_whole(
    source: PostgresServer, target: PostgresServer, kind: str, request: pytest.FixtureRequest
) -> None:
    place: Place = request.getfixturevalue(kind)
    events = HookedEvents()
    before = files_of(place)
    result = restore_server(target, place, events=events)

    assert result.verified is True
    assert events.warnings == []
    databases = {"shop": "shop", "books": "books", "postgres": "postgres"}
    assert not differences(Comparison(source=source, target=target, databases=databases))
    assert [mark_of(target, name) for name in databases] == [None, None, None]
    assert result.stats.databases == 3
    assert result.stats.rows > sum(ROWS.values())
    assert files_of(place) == before
    assert our_processes() == []
    analyzed = target.execute(
        "SELECT count(*) FROM pg_class WHERE reltuples > 0 AND relname IN ('big', 'items', 'log')",
        database="shop",
    )
    assert analyzed == [(3,)]


def test_databases_are_chosen_and_renamed(shop: Shop) -> None:
    new = 'x=y dbname=z "\U0001f418"'
    result = shop.restore(databases=("shop",), rename={"shop": new})

    assert result.verified
    assert shop.databases() == {new}
    pairs = {"shop": new}
    found = differences(Comparison(source=shop.source, target=shop.target, databases=pairs))
    assert not [one for one in found if one.startswith("shop: ")], found
    assert shop.target.execute("SHOW work_mem", database=new) == [("7MB",)]


def test_a_database_that_is_there_and_empty_is_filled(shop: Shop) -> None:
    shop.target.execute("CREATE DATABASE shop TEMPLATE template0")
    oid = shop.target.execute("SELECT oid FROM pg_database WHERE datname = 'shop'")
    result = shop.restore(databases=("shop",))

    assert result.verified
    assert shop.target.execute("SELECT oid FROM pg_database WHERE datname = 'shop'") == oid
    assert shop.count("big") == 6000
    assert shop.target.execute("SHOW work_mem", database="shop") == [("7MB",)]


def test_a_database_that_holds_something_is_replaced_only_by_clean(shop: Shop) -> None:
    shop.target.execute("CREATE DATABASE shop")
    shop.target.execute("CREATE TABLE precious ()", database="shop")
    with pytest.raises(TargetNotEmpty, match=r"'shop' exists and is not empty; use clean"):
        shop.restore(databases=("shop",))
    assert shop.count("precious") == 0
    assert shop.databases() == {"shop"}
    assert shop.restore(databases=("shop",), clean=True).verified
    assert shop.count("big") == 6000


def test_clean_names_the_sessions_that_are_in_the_way_and_drops_nothing(shop: Shop) -> None:
    shop.target.execute("CREATE DATABASE shop")
    shop.target.execute("CREATE TABLE precious ()", database="shop")
    with (
        contextlib.closing(shop.target.connect("shop")),
        pytest.raises(PostgresError, match=r"drop database 'shop'.*There is 1 other session"),
    ):
        shop.restore(databases=("shop",), clean=True)
    assert shop.count("precious") == 0
    assert shop.databases() == {"shop"}


def test_clean_drops_nothing_that_it_cannot_make_anew(
    fresh_database: DatabaseFactory, postgres: PostgresFactory, local_place: Place
) -> None:
    source, target = postgres(17), postgres(14)
    name = fresh_database(
        source,
        "TEMPLATE template0 LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8'",
        name="made_anew",
    )
    local_place.create().close()
    back_up_server(source, local_place, databases=[name])
    fresh_database(target, name=name)
    target.execute("CREATE TABLE precious ()", database=name)
    with pytest.raises(ServerUnsupported, match=r"builtin, which PostgreSQL 14 does not know"):
        restore_server(target, local_place, clean=True)
    assert target.execute("SELECT count(*) FROM precious", database=name) == [(0,)]


def test_clean_drops_nothing_when_the_server_refuses_the_new_one(
    source: PostgresServer,
    fresh_database: DatabaseFactory,
    local_place: Place,
    private_postgres: PostgresFactory,
) -> None:
    fresh_database(source, name="replaced")
    local_place.create().close()
    back_up_server(source, local_place, databases=["replaced"])
    other = private_postgres(15)
    other.execute("CREATE ROLE modest LOGIN CREATEDB")
    other.execute("CREATE DATABASE replaced TEMPLATE template0 OWNER modest")
    other.execute("CREATE TABLE precious ()", database="replaced")
    # It may drop the database, and may not make one that is the superuser's.
    with pytest.raises(GranaryError, match="Could not make database 'replaced'"):
        restore_server(other, local_place, clean=True, user="modest", globals=False)
    assert other.execute("SELECT count(*) FROM precious", database="replaced") == [(0,)]
    rows = other.execute("SELECT datname FROM pg_database WHERE oid >= 16384")
    assert rows == [("replaced",)]


def test_the_databases_that_every_server_has_are_replaced_too(
    private_postgres: PostgresFactory, local_place: Place
) -> None:
    source, target = private_postgres(15), private_postgres(15)
    for server in (source, target):
        for name in ("postgres", "template1"):
            server.execute(f"CREATE TABLE here AS SELECT {server.port} AS port", database=name)
    local_place.create().close()
    back_up_server(source, local_place, databases=["postgres", "template1"])
    with pytest.raises(TargetNotEmpty):
        restore_server(target, local_place)
    assert restore_server(target, local_place, clean=True).verified
    for name in ("postgres", "template1"):
        assert target.execute("SELECT port FROM here", database=name) == [(source.port,)]
        assert mark_of(target, name) is None
    template = target.execute("SELECT datname FROM pg_database WHERE datistemplate ORDER BY 1")
    assert template == [("template0",), ("template1",)]


def test_tables_come_with_what_is_theirs(shop: Shop) -> None:
    shop.target.execute("CREATE DATABASE mine; ")
    shop.target.execute("CREATE TABLE precious AS SELECT 1 AS a", database="mine")
    shop.restore(databases=("books",))
    tables = ("public.big", "public.years", "public.empty_parts", ODD)
    result = shop.restore(databases=("shop",), tables=tables, into="mine")

    assert result.verified
    assert shop.count("big", "mine") == 6000
    assert shop.count("years", "mine") == 200
    assert shop.count("empty_parts", "mine") == 0
    assert shop.count('"odd ""name\U0001f418"."ta.ble"', "mine") == 2
    assert shop.count("precious", "mine") == 1
    assert shop.target.execute("SELECT nextval('big_id_seq')", database="mine") == [(6001,)]
    shop.target.execute("INSERT INTO big (note) VALUES ('x')", database="mine")
    assert mark_of(shop.target, "mine") is None


def test_keys_to_tables_that_are_not_selected_are_left_out_and_said(shop: Shop) -> None:
    tables = ("public.items", "public.big")
    result = shop.restore(
        databases=("shop",),
        tables=tables,
        rename={"shop": "some"},
        no_owner=True,
        no_privileges=True,
    )

    assert result.restore["foreign_keys_left_out"] == ["public.items items_log_id_fkey"]
    keys = "SELECT conname FROM pg_constraint WHERE contype = 'f'"
    assert shop.target.execute(keys, database="some") == [("items_big_id_fkey",)]
    names = (
        "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p', 'v', 'm') AND oid >= 16384"
        " AND relnamespace = 'public'::regnamespace ORDER BY 1"
    )
    assert shop.target.execute(names, database="some") == [("big",), ("items",)]


def test_a_partition_alone_becomes_an_ordinary_table(shop: Shop) -> None:
    shop.target.execute("CREATE DATABASE mine")
    shop.target.execute("CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy')", database="mine")
    tables = ("public.feelings_0", "public.years_2")
    assert shop.restore(databases=("shop",), tables=tables, into="mine").verified
    assert shop.count("years_2", "mine") == 100
    expected = shop.source.execute("SELECT count(*) FROM feelings_0", database="shop")[0][0]
    assert shop.count("feelings_0", "mine") == expected > 0


@pytest.mark.sampled("into", ["shop", None], 1)
def test_tables_take_new_names(shop: Shop, into: str | None) -> None:
    shop.restore(databases=("shop",))
    rename = {
        "public.big": "old.big2",
        "public.feelings": 'old.the "feelings"',
        "public.items": "public.items2",
    }
    more: dict[str, t.Any] = {"into": into} if into else {"rename": {"shop": "other"}}
    tables = (*rename, "public.log") if into is None else tuple(rename)
    result = shop.restore(databases=("shop",), tables=tables, rename_tables=rename, **more)

    database = into or "other"
    assert result.verified
    assert shop.count("old.big2", database) == 6000
    assert shop.count('old."the ""feelings"""', database) == 4000
    assert shop.count("items2", database) == 300
    left = shop.target.execute(
        "SELECT relname FROM pg_class WHERE relname ~ '^granary'", database=database
    )
    assert left == []
    assert mark_of(shop.target, database) is None


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"databases": ("shop",), "tables": ("public.bi",)}, ConfigError, "no table .public.bi."),
        ({"tables": ("public.big",)}, ConfigError, "holds 3 databases"),
        ({"databases": ("nowhere",)}, SnapshotMissing, "nowhere"),
        (
            {"databases": ("shop",), "tables": ("public.big", "public.log"), "into": "postgres",
             "rename_tables": {"public.big": "public.log"}},
            ConfigError,
            "Two tables would both become 'public.log'",
        ),
        ({"host": "nobody"}, SnapshotMissing, "no backup of host 'nobody'; it holds .*: main"),
        ({"databases": ("shop",), "globals": False}, RestoreFailed, "lacks 2 roles .*'app', 'rea"),
        (
            {"databases": ("shop",), "tables": ("public.items",), "into": "postgres"},
            RestoreFailed,
            "lacks 1 role .*'app'.*no_owner",
        ),
        ({"databases": ("shop",), "into": "x"}, ConfigError, "into goes with tables"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused_before_anything_is_made(
    shop: Shop, options: dict[str, t.Any], error: type[GranaryError], words: str
) -> None:
    with pytest.raises(error, match=words):
        shop.restore(**options)
    assert shop.databases() == set()
    assert shop.target.execute("SELECT rolname FROM pg_roles WHERE oid >= 16384") == []


def test_a_table_in_the_way_is_named_and_kept(shop: Shop) -> None:
    shop.target.execute("CREATE DATABASE mine")
    shop.target.execute("CREATE TABLE log AS SELECT 7 AS a", database="mine")
    with pytest.raises(TargetNotEmpty, match=r"'mine' has 'public\.log' already"):
        shop.restore(databases=("shop",), tables=("public.log", "public.big"), into="mine")
    assert shop.target.execute("SELECT a FROM log", database="mine") == [(7,)]


def test_without_owners_and_rights_no_role_is_needed(shop: Shop) -> None:
    events = RecordedEvents()
    result = shop.restore(
        databases=("shop",), globals=False, no_owner=True, no_privileges=True, events=events
    )

    assert result.verified
    assert shop.target.execute("SELECT rolname FROM pg_roles WHERE oid >= 16384") == []
    owner = "SELECT relowner::regrole::text, relacl FROM pg_class WHERE relname = 'items'"
    assert shop.target.execute(owner, database="shop") == [("postgres", None)]
    assert [said for said in events.warnings if "work_mem of role 'app'" in said]
    assert shop.target.execute("SHOW work_mem", database="shop") == [("7MB",)]


def test_roles_that_are_there_stay_as_they_are(shop: Shop) -> None:
    shop.target.execute("CREATE ROLE app NOLOGIN PASSWORD 'mine'")
    before = shop.target.execute(
        "SELECT rolcanlogin, rolpassword FROM pg_authid WHERE rolname = 'app'"
    )
    assert shop.restore(databases=("shop",)).verified
    after = shop.target.execute(
        "SELECT rolcanlogin, rolpassword FROM pg_authid WHERE rolname = 'app'"
    )
    assert after == before
    members = (
        "SELECT roleid::regrole::text, member::regrole::text FROM pg_auth_members"
        " WHERE member >= 16384"
    )
    assert shop.target.execute(members) == [("reader", "app")]


def test_tablespaces(private_postgres: PostgresFactory, local_place: Place) -> None:
    settings = {"allow_in_place_tablespaces": "on"}
    source, target = (private_postgres(15, settings=settings) for dummy in range(2))
    source.execute("CREATE TABLESPACE fast LOCATION ''")
    source.execute("CREATE DATABASE spread")
    source.execute("CREATE TABLE t TABLESPACE fast AS SELECT 1 AS a", database="spread")
    local_place.create().close()
    back_up_server(source, local_place, databases=["spread"])
    with pytest.raises(RestoreFailed, match=r"lacks 1 tablespace .*'fast'.*no_tablespaces"):
        restore_server(target, local_place, globals=False)
    assert restore_server(target, local_place, globals=False, no_tablespaces=True).verified
    where = "SELECT reltablespace FROM pg_class WHERE relname = 't'"
    assert target.execute(where, database="spread") == [(0,)]
    target.execute("CREATE TABLESPACE fast LOCATION ''")
    assert restore_server(target, local_place, globals=False, clean=True).verified
    assert target.execute(where, database="spread") != [(0,)]


def test_an_extension_that_the_server_lacks_is_named(
    local_place: Place, postgres: PostgresFactory
) -> None:
    target = postgres(16)
    with PostgresServer(16, PostgresOptions(bin_dir=client_bin(16))) as source:
        source.execute("CREATE DATABASE vectors")
        source.execute("CREATE EXTENSION vector", database="vectors")
        local_place.create().close()
        back_up_server(source, local_place, databases=["vectors"])
    with pytest.raises(RestoreFailed, match=r"cannot make 1 extension .*'vector'; install"):
        restore_server(target, local_place)
    assert target.execute("SELECT datname FROM pg_database WHERE datname = 'vectors'") == []


def test_excluded_tables_come_without_rows_and_keys_into_them(
    shop: Shop, local_place: Place
) -> None:
    local_place.create().close()
    options: dict[str, t.Any] = {"databases": ["shop"], "segment_threshold": THRESHOLD}
    excluded = ["public.log", "public.feelings"]
    back_up_server(shop.source, local_place, exclude_tables=excluded, **options)
    events = RecordedEvents()
    result = restore_server(shop.target, local_place, events=events)

    assert result.verified
    assert [shop.count(table) for table in ("log", "feelings", "items")] == [0, 0, 300]
    assert [said for said in events.warnings if "public.items items_log_id_fkey" in said]
    keys = "SELECT conname FROM pg_constraint WHERE contype = 'f' AND conrelid = 'items'::regclass"
    assert shop.target.execute(keys, database="shop") == [("items_big_id_fkey",)]


@pytest.mark.sampled(
    "clauses", ["TEMPLATE template0 LOCALE 'C'", "TEMPLATE template0 ENCODING LATIN1 LOCALE 'C'"], 1
)
def test_rows_go_through_their_roots_into_another_locale_or_encoding(
    shop: Shop, clauses: str
) -> None:
    shop.target.execute(f"CREATE DATABASE elsewhere {clauses}")
    tables = ("public.feelings", "public.years")
    shop.target.execute("CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy')", database="elsewhere")
    result = shop.restore(databases=("shop",), tables=tables, into="elsewhere")

    assert result.verified
    assert shop.count("feelings", "elsewhere") == 4000
    assert shop.count("years", "elsewhere") == 200
    first = "SELECT min(note) FROM feelings WHERE note LIKE 'é%'"
    assert shop.target.client(
        "psql", "-XAtc", first, "elsewhere", PGCLIENTENCODING="UTF8"
    ).startswith("é")


def test_an_older_major_takes_what_it_knows(
    postgres: PostgresFactory, private_postgres: PostgresFactory, local_place: Place
) -> None:
    source, target = private_postgres(18), private_postgres(15)
    source.execute("CREATE ROLE app; CREATE ROLE reader; GRANT reader TO app WITH INHERIT FALSE")
    source.execute("CREATE DATABASE shop OWNER app")
    source.execute(SHOP, database="shop")
    local_place.create().close()
    back_up_server(source, local_place, databases=["shop"], segment_threshold=THRESHOLD)
    events = RecordedEvents()
    result = restore_server(target, local_place, bin_dir=str(client_bin(18)), events=events)

    assert result.verified
    assert [said for said in events.warnings if "INHERIT FALSE" in said and "app in reader" in said]
    rows = target.execute("SELECT count(*), sum(length(note)) FROM feelings", database="shop")
    assert rows == source.execute(
        "SELECT count(*), sum(length(note)) FROM feelings", database="shop"
    )


def test_latest_means_the_newest_that_holds_all_the_databases(
    shop: Shop, local_place: Place
) -> None:
    local_place.create().close()
    both = back_up_server(shop.source, local_place, databases=["shop", "books"])
    back_up_server(shop.source, local_place, databases=["books"])
    result = restore_server(shop.target, local_place, databases=("shop",))
    assert result.snapshot.id == both.snapshot.id
    back_up_server(shop.source, local_place, databases=["books"], host="other")
    with pytest.raises(ConfigError, match=r"backups of 2 hosts \(main, other\)"):
        restore_server(shop.target, local_place, databases=("books",))
    assert restore_server(shop.target, local_place, databases=("books",), host="other").verified


def test_a_plain_snapshot_of_ours(shop: Shop, local_place: Place) -> None:
    local_place.create().close()
    back_up_server(shop.source, local_place, format="plain", databases=["books"])
    shop.target.execute("CREATE DATABASE mine")
    with pytest.raises(SnapshotMissing, match="No snapshot holds all of 'books'"):
        restore_server(shop.target, local_place, databases=("books",))
    result = restore_server(shop.target, local_place, into="mine")
    assert result.verified is False
    assert shop.count("book", "mine") == 1
    assert mark_of(shop.target, "mine") is None
    with pytest.raises(TargetNotEmpty, match="'mine' is not empty"):
        restore_server(shop.target, local_place, into="mine")
    assert restore_server(shop.target, local_place, into="mine", clean=True).verified is False


def test_two_restores_into_one_database_do_not_meet(shop: Shop) -> None:
    second: list[str] = []

    def restore_too() -> None:
        with pytest.raises(RestoreFailed) as refused:
            shop.restore(databases=("shop",))
        second.append(str(refused.value))

    events = HookedEvents("definitions_loaded", restore_too)
    assert shop.restore(databases=("shop",), events=events).verified
    assert "Another restore into database 'shop' is running" in second[0]
    assert shop.count("big") == 6000


def test_a_database_that_is_filled_meanwhile_is_left_alone(shop: Shop) -> None:
    shop.target.execute("CREATE DATABASE shop; ")

    def fill() -> None:
        shop.target.execute("CREATE TABLE theirs ()", database="shop")

    # The roles come after the plan and before the database.
    with pytest.raises(TargetNotEmpty, match="was empty and is not any more"):
        shop.restore(databases=("shop",), events=HookedEvents("globals_restored", fill))
    assert shop.count("theirs") == 0
    assert mark_of(shop.target, "shop") is None


GONE = [
    (table, delete, counted, event)
    for table, delete, counted in (
        ("big", "DELETE FROM big WHERE id = 6000", "5999 rows where 6000"),
        ("log", "DELETE FROM log WHERE id = 500", "499 rows where 500"),
        (
            "feelings",
            "DELETE FROM feelings WHERE note = 'é ' || repeat('x', 60) || '1'",
            "3999 rows where 4000",
        ),
    )
    for event in ("rows_loaded", "database_loaded")
]


@pytest.mark.sampled("gone", GONE, 1, ids=lambda row: f"{row[0]}-{row[3]}")
def test_a_row_that_is_gone_is_noticed(shop: Shop, gone: tuple[str, str, str, str]) -> None:
    table, delete, counted, event = gone
    events = HookedEvents(event, lambda: shop.target.execute(delete, database="shop"))
    words = rf"Table public\.{table} of database 'shop' holds {counted} were backed up"
    with pytest.raises(VerifyFailed, match=words):
        shop.restore(databases=("shop",), events=events)
    assert mark_of(shop.target, "shop") is not None
    assert [said for said in events.warnings if "'shop' is not whole" in said]
    assert shop.restore(databases=("shop",)).verified
    assert mark_of(shop.target, "shop") is None


def test_a_server_without_the_database_postgres(
    shop: Shop, private_postgres: PostgresFactory
) -> None:
    server = private_postgres(15)
    with contextlib.closing(server.connect("template1")) as conn, conn.cursor() as cursor:
        cursor.execute("DROP DATABASE postgres")
    assert restore_server(server, shop.place, databases=("books", "postgres")).verified
    assert server.execute("SELECT id FROM book", database="books") == [(1,)]
