# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Restores of some tables: what comes with them, their new names, and where they go."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import TargetNotEmpty
from ansible_collections.granary.postgres.plugins.module_utils._core.events import RecordedEvents
from tests.fix_backup import back_up_server
from tests.fix_repository import Place
from tests.fix_restore import mark_of, restore_server
from tests.fix_shop import THRESHOLD, Shop

ODD = 'odd "name\U0001f418.ta.ble'


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


def test_a_table_in_the_way_is_named_and_kept(shop: Shop) -> None:
    shop.target.execute("CREATE DATABASE mine")
    shop.target.execute("CREATE TABLE log AS SELECT 7 AS a", database="mine")
    with pytest.raises(TargetNotEmpty, match=r"'mine' has 'public\.log' already"):
        shop.restore(databases=("shop",), tables=("public.log", "public.big"), into="mine")
    assert shop.target.execute("SELECT a FROM log", database="mine") == [(7,)]


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
