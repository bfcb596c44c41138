# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What `backupCMD` and `args` of a backup become."""

from __future__ import annotations

import pytest

from ansible_collections.granary.postgres.operator.job.dump_arguments import (
    DumpChoice,
    choose_dump,
    split_arguments,
)
from ansible_collections.granary.postgres.plugins.module_utils._core.errors import InvalidObject

PARALLEL = DumpChoice(format="parallel")


@pytest.mark.parametrize("text", ["", "  \n ", "-v", "--verbose --no-password", "-w"])
def test_what_changes_nothing_leaves_tables_in_parallel(text: str) -> None:
    assert choose_dump("pg_dumpall", text, user="postgres") == PARALLEL


def test_the_database_that_pg_dumpall_begins_in_is_no_change_of_what_it_writes() -> None:
    wanted = DumpChoice(format="parallel", connect_to="admin")
    for text in ("-l admin", "-ladmin", "--database=admin", "--database admin", "admin"):
        assert choose_dump("pg_dumpall", text, user="postgres") == wanted


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ("--no-owner --clean", ("--no-owner", "--clean")),
        ("--exclude-database 'my db'", ("--exclude-database", "my db")),
        ('-v --role="the owner"', ("--role=the owner",)),
        ("--globals-only", ("--globals-only",)),
    ],
)
def test_what_changes_the_dump_makes_it_plain(text: str, arguments: tuple[str, ...]) -> None:
    wanted = DumpChoice(format="plain", arguments=arguments)
    assert choose_dump("pg_dumpall", text, user="postgres") == wanted


@pytest.mark.parametrize(
    ("text", "database", "arguments"),
    [
        ("", "app", ()),
        ("shop", "shop", ()),
        ("'my shop'", "my shop", ()),
        ("--dbname=shop --clean", "shop", ("--clean",)),
        ("--dbname shop", "shop", ()),
        ("-dshop", "shop", ()),
        ("-d shop -v", "shop", ()),
        ("-t public.orders shop", "shop", ("-t", "public.orders")),
        ("--table public.orders shop", "shop", ("--table", "public.orders")),
        ("--table=public.orders shop", "shop", ("--table=public.orders",)),
        ("-Ot public.orders shop", "shop", ("-Ot", "public.orders")),
        ("-torders shop", "shop", ("-torders",)),
        ("-O -- shop", "shop", ("-O",)),
        ("-s", "app", ("-s",)),
    ],
)
def test_pg_dump_takes_one_database(text: str, database: str, arguments: tuple[str, ...]) -> None:
    wanted = DumpChoice(format="plain", database=database, arguments=arguments)
    assert choose_dump("pg_dump", text, user="app") == wanted


@pytest.mark.parametrize(
    ("command", "text", "words"),
    [
        ("pg_basebackup", "", r"'pg_basebackup'; expected pg_dumpall or pg_dump"),
        ("/bin/sh", "-c id", "expected pg_dumpall or pg_dump"),
        ("pg_dump", "one two", "name the databases one, two; pg_dump takes one"),
        ("pg_dump", "-d 'host=evil dbname=x'", "give its bare name"),
        ("pg_dump", "postgresql://evil/x", "give its bare name"),
        ("pg_dump", "-d", "give its bare name"),
        ("pg_dumpall", "--role='open", "No closing quotation"),
    ],
)
def test_what_cannot_be_meant_is_said(command: str, text: str, words: str) -> None:
    with pytest.raises(InvalidObject, match=words):
        choose_dump(command, text, user="app")


def test_words_are_split_as_a_shell_would() -> None:
    assert split_arguments("""-t 'a b' "c\\"d" e\\ f""") == ("-t", "a b", 'c"d', "e f")
