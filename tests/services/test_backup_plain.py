# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Backups of `format: plain`: one script, as pg_dump or pg_dumpall writes it."""

from __future__ import annotations

import re
import typing as t

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import (
    ConfigError,
    DatabaseMissing,
    DumpFailed,
    GranaryError,
    ServerUnsupported,
)
from tests.fix_backup import back_up_server, dumped, files_of
from tests.fix_postgres import Database, PostgresFactory
from tests.fix_repository import Place, in_a_place
from tests.testbed.postgres import PostgresServer

DUMP = "/dumpfile.sql"
_RESTRICT = re.compile(rb"\\(un)?restrict \S+\n")


@in_a_place
def test_one_database_as_pg_dump_writes_it(database: Database, place: Place) -> None:
    database.execute("CREATE TABLE t AS SELECT i, md5(i::text) FROM generate_series(1, 50000) i")
    place.create().close()
    result = back_up_server(database.server, place, format="plain", databases=[database.name])

    assert result.snapshot.paths == (DUMP,)
    assert result.snapshot.tags == ("granary",)
    expected = database.server.client("pg_dump", "-d", database.name).encode()
    found = dumped(place, DUMP)
    assert _RESTRICT.sub(b"", found) == _RESTRICT.sub(b"", expected)
    assert result.stats.read_bytes == len(found)
    place.restic("0.19").run("check", "--read-data")


def test_a_whole_server_and_arguments_of_the_user(
    pg: PostgresServer, database: Database, local_place: Place
) -> None:
    database.execute("CREATE TABLE wanted AS SELECT 'a row that is not wanted'::text AS a")
    local_place.create().close()
    back_up_server(pg, local_place, format="plain", dump_args=["--schema-only", "--clean"])

    script = dumped(local_place, DUMP).decode()
    assert script.rstrip().endswith("-- PostgreSQL database cluster dump complete\n--")
    assert f"DROP DATABASE {database.name}" in script
    assert "a row that is not wanted" not in script


def test_an_old_server_is_served_by_plain_alone(
    postgres: PostgresFactory, local_place: Place
) -> None:
    server = postgres(10)
    local_place.create().close()
    with pytest.raises(ServerUnsupported, match="format=plain only"):
        back_up_server(server, local_place)
    back_up_server(server, local_place, format="plain", databases=["postgres"])
    assert b"Dumped from database version 10" in dumped(local_place, DUMP)


def test_check_mode_writes_nothing(pg: PostgresServer, local_place: Place) -> None:
    local_place.create().close()
    before = files_of(local_place)
    planned = back_up_server(pg, local_place, format="plain", check_mode=True)

    assert planned.snapshot.id is None
    assert planned.snapshot.paths == (DUMP,)
    assert files_of(local_place) == before


@pytest.mark.parametrize(
    ("error", "words", "options"),
    [
        (ConfigError, "one script", {"databases": ["a", "b"]}),
        (ConfigError, "exclude_tables", {"exclude_tables": ["public.t"]}),
        (ConfigError, "cannot hold '--format=c'", {"dump_args": ["--format=c"]}),
        (ConfigError, "cannot hold '-f'", {"dump_args": ["-f", "/tmp/x"]}),
        (DatabaseMissing, "nowhere", {"databases": ["nowhere"]}),
        (DumpFailed, "no-such-switch", {"dump_args": ["--no-such-switch"]}),
        (
            DumpFailed,
            "no matching tables",
            {"databases": ["postgres"], "dump_args": ["--table=nothing"]},
        ),
    ],
)
def test_what_cannot_work_leaves_no_snapshot(
    pg: PostgresServer,
    local_place: Place,
    error: type[GranaryError],
    words: str,
    options: dict[str, t.Any],
) -> None:
    local_place.create().close()
    with pytest.raises(error, match=words):
        back_up_server(pg, local_place, format="plain", **options)
    assert files_of(local_place, "snapshots") == {}
    assert files_of(local_place, "locks") == {}


def test_a_dump_that_breaks_off_leaves_no_snapshot(
    private_postgres: PostgresFactory, local_place: Place
) -> None:
    server = private_postgres(15)
    server.execute(
        "CREATE DATABASE shop",
    )
    # The second table cannot be read: its first row raises an error in mid-dump.
    server.execute(
        "CREATE TABLE a AS SELECT md5(i::text) FROM generate_series(1, 20000) i;"
        "CREATE TABLE b (c int); INSERT INTO b VALUES (1); CREATE ROLE reader LOGIN;"
        "GRANT SELECT ON a TO reader; ALTER TABLE b ENABLE ROW LEVEL SECURITY;"
        "GRANT SELECT ON b TO reader",
        database="shop",
    )
    local_place.create().close()
    with pytest.raises(DumpFailed, match="row-level security"):
        back_up_server(server, local_place, format="plain", databases=["shop"], user="reader")
    assert files_of(local_place, "snapshots") == {}
