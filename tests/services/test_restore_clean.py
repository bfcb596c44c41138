# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Restores with `clean`: what is replaced, and when nothing may be dropped."""

from __future__ import annotations

import contextlib

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import (
    GranaryError,
    PostgresError,
    ServerUnsupported,
    TargetNotEmpty,
)
from tests.fix_backup import back_up_server
from tests.fix_postgres import DatabaseFactory, PostgresFactory
from tests.fix_repository import Place
from tests.fix_restore import mark_of, restore_server
from tests.fix_shop import Shop
from tests.testbed.postgres import PostgresServer


@pytest.fixture
def source(shop_source: PostgresServer) -> PostgresServer:
    return shop_source


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
