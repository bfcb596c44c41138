# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plain dumps of real clusters: whole ones load whole, cut ones are refused before anything is."""

from __future__ import annotations

import os
import re
import subprocess
import typing as t
from collections.abc import Iterator

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import RestoreFailed
from ansible_collections.granary.postgres.plugins.module_utils._core.redaction import Secret
from ansible_collections.granary.postgres.plugins.module_utils._postgres.model import (
    ConnectionSettings,
)
from ansible_collections.granary.postgres.plugins.module_utils._postgres.plain_stream import (
    TAIL_BYTES,
    check_trailer,
    load_plain,
)
from ansible_collections.granary.postgres.plugins.module_utils._postgres.programs import (
    find_program,
)
from tests.fix_postgres import PostgresFactory
from tests.testbed.postgres import (
    PostgresOptions,
    PostgresServer,
    client_bin,
    client_major_for,
)

# The oldest and the newest programs; those of 15 dump 14 in words that 14 does not know.
pytestmark = pytest.mark.pg_majors(13, 18)

DATABASE = "x=y dbname=z"
PASSWORD_ROW = "ALTER ROLE postgres WITH SUPERUSER PASSWORD 'from a row';"
TRAILER = "\n--\n-- PostgreSQL database cluster dump complete\n--\n\n"
ROLES = f"""
CREATE ROLE "al ice" LOGIN PASSWORD 'hers';
CREATE ROLE readers;
GRANT readers TO "al ice";
ALTER ROLE readers SET search_path TO public, "a;b";
COMMENT ON ROLE readers IS 'a comment; of
{PASSWORD_ROW.replace("'", "''")}
\\connect nowhere';
"""
ROWS = """
CREATE TABLE rows (note text, id int PRIMARY KEY);
ALTER TABLE rows OWNER TO "al ice";
INSERT INTO rows SELECT repeat('x', 40), i FROM generate_series(1, 20000) i;
"""
ODD_ROWS = [PASSWORD_ROW, TRAILER, "\\.", "a\\\tb\nc", None]


@pytest.fixture(scope="module")
def source(pg_major: int) -> Iterator[PostgresServer]:
    """A cluster whose rows look like statements."""
    options = PostgresOptions(auth="scram-sha-256", password="the source's")
    with PostgresServer(pg_major, options) as server:
        server.execute(ROLES)
        server.execute(
            f"CREATE DATABASE \"{DATABASE}\" TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'"
        )
        server.execute("CREATE DATABASE zoo")
        server.execute("CREATE TABLE animals AS SELECT 'ape' AS name", database="zoo")
        server.execute(ROWS, database=DATABASE)
        for number, text in enumerate(ODD_ROWS):
            server.execute("INSERT INTO rows VALUES (%s, %s)", [text, -number], database=DATABASE)
        yield server


@pytest.fixture
def target(pg_major: int, private_postgres: PostgresFactory) -> PostgresServer:
    """An empty cluster with a bootstrap role of the same name and another password."""
    return private_postgres(pg_major, auth="scram-sha-256", password="the target's")


def programs(server: PostgresServer, major: int | None = None) -> str:
    return str(client_bin(major or client_major_for(server.major)))


def dump(server: PostgresServer, program: str, *arguments: str, major: int | None = None) -> bytes:
    done = subprocess.run(
        [f"{programs(server, major)}/{program}", *arguments],
        env={**os.environ, **server.environment()},
        capture_output=True,
        check=True,
    )
    return done.stdout


def restore(
    server: PostgresServer,
    stream: bytes,
    *,
    block: int = 1 << 16,
    database: str = "postgres",
    major: int | None = None,
    allow_errors: bool = False,
) -> list[str]:
    assert server.password is not None
    return load_plain(
        find_program("psql", at_least_major=server.major, bin_dir=programs(server, major)),
        ConnectionSettings(
            host=server.host,
            port=server.port,
            user=server.user,
            password=Secret(server.password),
        ),
        (stream[at : at + block] for at in range(0, len(stream), block)),
        kind=check_trailer(stream[:TAIL_BYTES], stream[-TAIL_BYTES:]),
        role=server.user,
        server_major=server.major,
        database=database,
        allow_errors=allow_errors,
    )


def contents(server: PostgresServer, database: str = DATABASE) -> list[tuple[t.Any, ...]]:
    query = (
        "SELECT count(*), md5(string_agg(id || coalesce(note, 'NULL'), ',' ORDER BY id)) FROM rows"
    )
    return server.execute(query, database=database)


def names(server: PostgresServer) -> set[str]:
    return {name for (name,) in server.execute("SELECT datname FROM pg_database")}


def login_works(server: PostgresServer, password: str) -> bool:
    import psycopg2

    try:
        server.connect(password=password).close()
    except psycopg2.OperationalError:
        return False
    return True


@pytest.mark.parametrize("block", [1 << 20, 777])
def test_a_cluster_restores_into_a_server_with_its_own_bootstrap_role(
    source: PostgresServer, target: PostgresServer, block: int
) -> None:
    stream = dump(source, "pg_dumpall")
    assert b"ALTER ROLE postgres WITH SUPERUSER" in stream
    forgiven = restore(target, stream, block=block)
    assert forgiven == ['role "postgres" already exists (42710)']
    assert contents(target) == contents(source)
    assert login_works(target, "the target's")
    assert not login_works(target, "the source's")
    comment = "SELECT shobj_description(oid, 'pg_authid') FROM pg_roles WHERE rolname = 'readers'"
    assert target.execute(comment) == source.execute(comment)


def test_a_clean_dump_of_a_cluster_restores_over_it_and_beside_it(
    source: PostgresServer, target: PostgresServer
) -> None:
    stream = dump(source, "pg_dumpall", "--clean")
    forgiven = restore(target, stream)
    assert any("current user cannot be dropped (55006)" in one for one in forgiven)
    assert any("(3D000)" in one for one in forgiven)
    assert contents(target) == contents(source)
    target.execute("DELETE FROM rows", database=DATABASE)
    restore(target, stream)
    assert contents(target) == contents(source)
    assert login_works(target, "the target's")


def test_one_database_restores_into_a_database_of_another_name(
    source: PostgresServer, target: PostgresServer
) -> None:
    target.execute('CREATE ROLE "al ice"')
    target.execute("CREATE DATABASE other TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'")
    stream = dump(source, "pg_dump", "-d", f"dbname='{DATABASE}'")
    assert restore(target, stream, database="other") == []
    assert contents(target, "other") == contents(source)


def test_a_newer_program_may_set_what_an_older_server_does_not_know(
    source: PostgresServer, target: PostgresServer
) -> None:
    target.execute('CREATE ROLE "al ice"')
    target.execute("CREATE DATABASE other TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'")
    stream = dump(source, "pg_dump", "-d", f"dbname='{DATABASE}'", major=18)
    forgiven = restore(target, stream, database="other", major=18)
    assert len(forgiven) == (1 if target.major < 17 else 0)
    assert contents(target, "other") == contents(source)


def cuts(stream: bytes) -> dict[str, bytes]:
    """The same dump, cut where a broken pipe may cut it."""
    odd_row = stream.index(PASSWORD_ROW.encode(), stream.index(b"COPY public.rows"))
    row_end = stream.index(b"\n", odd_row) + 1
    trailer = stream.rindex(b"--\n-- PostgreSQL database cluster dump complete")
    one_database = [
        found.end() for found in re.finditer(rb"database dump complete\n--\n\n", stream)
    ]
    return {
        "at a row's end": stream[:row_end],
        "inside the last column": stream[: row_end - 3],
        "after the row with the trailer's text": stream[: stream.index(b"\n", row_end) + 1],
        "before the trailer": stream[:trailer],
        "inside the trailer": stream[: trailer + 20],
        "between two databases": stream[: one_database[-2]],
        "after the last database": stream[: one_database[-1]],
        "everything": b"",
    }


def test_every_cut_is_refused_before_anything_is_loaded(
    source: PostgresServer, target: PostgresServer
) -> None:
    before = names(target)
    for cut, stream in cuts(dump(source, "pg_dumpall")).items():
        print(f"cut {cut}")  # shown if the next line fails
        with pytest.raises(RestoreFailed, match="nothing was restored"):
            restore(target, stream)
    assert names(target) == before


def test_a_database_dump_that_is_cut_is_refused(source: PostgresServer) -> None:
    stream = dump(source, "pg_dump", "-d", "zoo")
    for length in range(len(stream) - 300, stream.rindex(b"dump complete") + 10, 7):
        with pytest.raises(RestoreFailed, match="is cut"):
            check_trailer(stream[:TAIL_BYTES], stream[:length][-TAIL_BYTES:])
    check_trailer(stream[:TAIL_BYTES], stream[-TAIL_BYTES:])


def test_the_first_error_that_counts_stops_it_in_the_servers_words(
    source: PostgresServer, target: PostgresServer
) -> None:
    stream = dump(source, "pg_dumpall").replace(
        b"CREATE TABLE public.rows", b"CREATE TABLE nowhere.rows", 1
    )
    with pytest.raises(
        RestoreFailed, match=r'schema "nowhere" does not exist \(SQLSTATE 3F000\)'
    ) as info:
        restore(target, stream)
    assert info.value.details["sqlstate"] == "3F000"
    # What comes later in the stream was not run.
    assert "zoo" not in names(target)


def test_a_row_that_the_server_refuses_is_an_error(
    source: PostgresServer, target: PostgresServer
) -> None:
    stream = dump(source, "pg_dumpall").replace(b"\t20000\n", b"\ttwenty thousand\n")
    with pytest.raises(RestoreFailed, match="invalid input syntax for type integer"):
        restore(target, stream)


def test_a_database_that_is_there_already_is_an_error(
    source: PostgresServer, target: PostgresServer
) -> None:
    target.execute("CREATE DATABASE zoo")
    with pytest.raises(RestoreFailed, match='database "zoo" already exists'):
        restore(target, dump(source, "pg_dumpall"))


def test_no_statement_with_a_secret_is_in_the_message(
    source: PostgresServer, target: PostgresServer
) -> None:
    stream = dump(source, "pg_dumpall").replace(
        b"CREATE ROLE readers", b"ALTER ROLE nobody PASSWORD 'hush hush';\nCREATE ROLE readers", 1
    )
    with pytest.raises(RestoreFailed, match='role "nobody" does not exist') as info:
        restore(target, stream)
    assert "hush" not in str(info.value)


def test_errors_that_are_allowed_are_told_and_the_rest_is_loaded(
    source: PostgresServer, target: PostgresServer
) -> None:
    stream = dump(source, "pg_dumpall").replace(
        b"CREATE DATABASE zoo", b"DROP TABLE nowhere;\nCREATE DATABASE zoo", 1
    )
    told = restore(target, stream, allow_errors=True)
    assert any('"nowhere" does not exist' in words for words in told)
    assert contents(target) == contents(source)


def test_a_lost_connection_is_an_error_even_where_errors_are_allowed(
    source: PostgresServer, target: PostgresServer
) -> None:
    stream = dump(source, "pg_dumpall").replace(
        b"CREATE TABLE public.rows",
        b"SELECT pg_catalog.pg_terminate_backend(pg_catalog.pg_backend_pid());\nCREATE TABLE x.y",
        1,
    )
    with pytest.raises(RestoreFailed):
        restore(target, stream, allow_errors=True)


def test_a_lost_connection_is_an_error(source: PostgresServer, target: PostgresServer) -> None:
    stream = dump(source, "pg_dumpall").replace(
        b"CREATE TABLE public.rows",
        b"SELECT pg_catalog.pg_terminate_backend(pg_catalog.pg_backend_pid());\nCREATE TABLE x.y",
        1,
    )
    with pytest.raises(RestoreFailed, match=r"57P01|connection"):
        restore(target, stream)
