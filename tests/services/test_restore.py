# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Restores into real servers: whole databases, their proof, and everything that is refused."""

from __future__ import annotations

import contextlib
import typing as t
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import (
    ConfigError,
    GranaryError,
    RestoreFailed,
    SnapshotMissing,
    TargetNotEmpty,
    VerifyFailed,
)
from tests.equality import Comparison, differences
from tests.fix_backup import HookedEvents, back_up_server, files_of
from tests.fix_postgres import PostgresFactory
from tests.fix_repository import Place
from tests.fix_restore import mark_of, restore_server
from tests.fix_shop import Shop, stored
from tests.process_tree import our_processes
from tests.testbed.postgres import PostgresOptions, PostgresServer, client_bin
from tests.testbed.s3 import S3Server

ROWS = {"public.big": 6000, "public.log": 500, "public.items": 300, "public.years": 200}


@pytest.fixture(scope="module")
def source(shop_source: PostgresServer) -> PostgresServer:
    return shop_source


@pytest.fixture
def target(shop_target: PostgresServer) -> PostgresServer:
    return shop_target


@pytest.fixture(scope="module")
def local(shop_place: Place) -> Place:
    return shop_place


@pytest.fixture(scope="module")
def remote(source: PostgresServer, s3_server: S3Server, tmp_path_factory: t.Any) -> Iterator[Place]:
    bucket = s3_server.make_bucket("restore-tests")
    cache: Path = tmp_path_factory.mktemp("restic-cache")
    yield stored(source, Place(where=bucket, cache_dir=cache))
    s3_server.drop_bucket(bucket.name)


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
