# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Archives as the real pg_dumps write them, read as streams; and both programs, there and back."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
import typing as t
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import (
    ConfigError,
    PostgresError,
    ProgramError,
    RestoreFailed,
    StorageUnavailable,
)
from ansible_collections.granary.postgres.plugins.module_utils._core.redaction import Secret
from ansible_collections.granary.postgres.plugins.module_utils._postgres.archive import (
    ArchiveToc,
    read_toc,
)
from ansible_collections.granary.postgres.plugins.module_utils._postgres.archive_rows import (
    read_archive_rows,
)
from ansible_collections.granary.postgres.plugins.module_utils._postgres.connection import connect
from ansible_collections.granary.postgres.plugins.module_utils._postgres.dump_programs import (
    FILTER_SINCE,
    DumpTarget,
    data_dump,
    dump_warnings,
    schema_dump,
)
from ansible_collections.granary.postgres.plugins.module_utils._postgres.foreign_keys import (
    keys_into_excluded,
    referenced_table,
    with_what_hangs_on,
)
from ansible_collections.granary.postgres.plugins.module_utils._postgres.load_programs import (
    Loader,
    load_data,
    load_post_data,
    load_pre_data,
    peek_toc,
)
from ansible_collections.granary.postgres.plugins.module_utils._postgres.model import (
    ConnectionSettings,
)
from ansible_collections.granary.postgres.plugins.module_utils._postgres.programs import (
    find_program,
)
from ansible_collections.granary.postgres.plugins.module_utils._postgres.quoting import SessionText
from ansible_collections.granary.postgres.plugins.module_utils._postgres.session import (
    execute,
    fetch,
    prepare_dump_session,
)
from tests.fix_postgres import DatabaseFactory, PostgresFactory
from tests.testbed.postgres import PostgresServer, client_bin

# Server, client programs, archive version: every version that there is.
PAIRS = [
    (13, 13, (1, 14)),
    (15, 15, (1, 14)),
    (16, 16, (1, 15)),
    (17, 17, (1, 16)),
    (18, 18, (1, 16)),
    (13, 18, (1, 16)),
]
ODD = 'it\'s "odd" ö. *?\n(a|b) $x\\'
OBJECTS = f"""
CREATE TABLE "{ODD.replace('"', '""')}" (id serial PRIMARY KEY, t text);
INSERT INTO "{ODD.replace('"', '""')}" (t) SELECT 'x' || i FROM generate_series(1, 10) i;
CREATE TABLE "a b" (id int PRIMARY KEY, r int REFERENCES "{ODD.replace('"', '""')}");
CREATE TABLE a (id int, "b c" int REFERENCES "a b" (id));
COMMENT ON CONSTRAINT "a_b c_fkey" ON a IS 'a key';
INSERT INTO "a b" VALUES (1, 1), (2, 2);
INSERT INTO a VALUES (1, 1);
CREATE TABLE hashed (k text) PARTITION BY HASH (k);
CREATE TABLE hashed_0 PARTITION OF hashed FOR VALUES WITH (MODULUS 1, REMAINDER 0);
CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER touched BEFORE INSERT ON a FOR EACH ROW EXECUTE FUNCTION f();
CREATE MATERIALIZED VIEW seen AS SELECT * FROM a;
SELECT lo_from_bytea(0, 'one'), lo_from_bytea(0, 'two');
"""


class Source(t.NamedTuple):
    target: DumpTarget
    tables: set[tuple[str, str]]

    def dump(self, *, without: t.Collection[tuple[str, str]] | None = None) -> bytes:
        child = schema_dump(self.target) if without is None else data_dump(self.target, without)
        with child:
            data = child.stdout.read()
            assert dump_warnings(child.wait()) == ()
        return data


def settings_of(server: PostgresServer) -> ConnectionSettings:
    password = Secret(server.password) if server.password else None
    return ConnectionSettings(
        host=server.host, port=server.port, user=server.user, password=password
    )


@contextlib.contextmanager
def source(server: PostgresServer, database: str, client: int, encoding: str) -> Iterator[Source]:
    settings = settings_of(server)
    with contextlib.closing(connect(settings, database)) as conn:
        prepare_dump_session(conn)
        execute(conn, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        query = "SELECT relname FROM pg_catalog.pg_class WHERE relkind = 'r' AND oid >= 16384"
        tables = {("public", name) for (name,) in fetch(conn, query)}
        (row,) = fetch(conn, "SELECT pg_catalog.pg_export_snapshot()")
        target = DumpTarget(
            program=find_program("pg_dump", at_least_major=client, bin_dir=str(client_bin(client))),
            settings=settings,
            database=database,
            encoding=encoding,
            snapshot_id=row[0],
            lock_wait_seconds=10,
        )
        yield Source(target, tables)


by_every_pair = pytest.mark.sampled(
    "pair", PAIRS, 2, ids=lambda pair: f"{pair[0]}-by-{pair[1]}", indirect=True
)


@pytest.fixture
def pair(request: pytest.FixtureRequest) -> tuple[int, int, tuple[int, int]]:
    return t.cast("tuple[int, int, tuple[int, int]]", request.param)


@pytest.fixture
def latin1(
    pair: tuple[int, int, tuple[int, int]],
    postgres: PostgresFactory,
    fresh_database: DatabaseFactory,
) -> Iterator[Source]:
    server = postgres(pair[0])
    name = fresh_database(
        server, "TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'", name="x=y dbname=z"
    )
    server.execute(OBJECTS, database=name)
    with source(server, name, pair[1], "LATIN1") as found:
        yield found


@by_every_pair
def test_the_table_of_contents_is_the_catalogs(
    pair: tuple[int, int, tuple[int, int]], latin1: Source
) -> None:
    archive = latin1.dump(without=())
    toc = read_toc(io.BytesIO(archive).read)
    assert toc.version == pair[2]
    assert toc.encoding == "LATIN1"
    assert toc.database == "x=y dbname=z"
    assert set(toc.table_data) == latin1.tables
    assert any(entry.has_data for entry in toc.of("BLOBS"))
    assert [entry.tag for entry in toc.of("SEQUENCE SET")] == [f"{ODD}_id_seq"]
    schema = read_toc(io.BytesIO(latin1.dump()).read)
    assert schema.table_data == ()
    assert {entry.tag for entry in schema.of("TABLE")} >= {name for _schema, name in latin1.tables}
    assert {entry.section for entry in schema.of("TRIGGER", "CONSTRAINT", "FK CONSTRAINT")} == {
        "post-data"
    }


@by_every_pair
def test_rows_are_left_out_of_exactly_the_named_tables(latin1: Source) -> None:
    for name in latin1.tables:
        toc = read_toc(io.BytesIO(latin1.dump(without=[name])).read)
        assert set(toc.table_data) == latin1.tables - {name}
        # Its sequence stays.
        assert len(list(toc.of("SEQUENCE SET"))) == 1


@by_every_pair
def test_two_dumps_differ_only_before_the_end_of_the_contents(latin1: Source) -> None:
    one, other = latin1.dump(without=()), latin1.dump(without=())
    first, second = read_toc(io.BytesIO(one).read), read_toc(io.BytesIO(other).read)
    assert first.entries == second.entries
    assert one[first.end :] == other[second.end :]
    assert first.end < len(one)


@by_every_pair
def test_a_stream_in_small_pieces_is_read_and_given_back_whole(latin1: Source) -> None:
    archive = latin1.dump(without=())
    toc, blocks = peek_toc(archive[at : at + 99] for at in range(0, len(archive), 99))
    assert toc == read_toc(io.BytesIO(archive).read)
    assert b"".join(blocks) == archive


@by_every_pair
def test_a_cut_archive_is_told(latin1: Source) -> None:
    archive = latin1.dump()
    end = read_toc(io.BytesIO(archive).read).end
    for length in (0, 3, 20, 60, end // 2, end - 1):
        with pytest.raises(PostgresError, match="ends inside its table of contents"):
            read_toc(io.BytesIO(archive[:length]).read)
    with pytest.raises(PostgresError, match="not an archive"):
        read_toc(io.BytesIO(b"--\n-- PostgreSQL database dump\n").read)
    with pytest.raises(PostgresError, match=r"has version 1\.99"):
        read_toc(io.BytesIO(archive[:6] + b"\x63" + archive[7:]).read)


@by_every_pair
def test_foreign_keys_say_where_they_point(latin1: Source) -> None:
    toc = read_toc(io.BytesIO(latin1.dump()).read)
    assert {entry.tag: referenced_table(entry) for entry in toc.of("FK CONSTRAINT")} == {
        "a b a b_r_fkey": ("public", ODD),
        "a a_b c_fkey": ("public", "a b"),
    }
    keys = keys_into_excluded(toc, [("public", "a b")])
    assert [key.tag for key in keys] == ["a a_b c_fkey"]
    assert len(with_what_hangs_on(toc, keys)) == 2  # the key and its comment
    assert keys_into_excluded(toc, [("public", "a b"), ("public", "a")]) == []


def load(loader: Loader, folder: Path, found: Source, **more: t.Any) -> None:
    path = folder / "schema.dump"
    path.write_bytes(found.dump())
    data = found.dump(without=())
    with path.open("rb") as archive:
        assert load_pre_data(loader, archive) == []
        assert load_data(loader, (data[at : at + 999] for at in range(0, len(data), 999))) == []
        assert load_post_data(loader, archive, jobs=2, **more) == []


def loader_of(server: PostgresServer, database: str, found: Source) -> Loader:
    program = found.target.program
    return Loader(
        program=find_program(
            "pg_restore", at_least_major=program.major, bin_dir=os.path.dirname(program.path)
        ),
        settings=settings_of(server),
        database=database,
        target_major=server.major,
    )


@by_every_pair
def test_there_and_back(
    pair: tuple[int, int, tuple[int, int]],
    latin1: Source,
    postgres: PostgresFactory,
    fresh_database: DatabaseFactory,
    tmp_path: Path,
) -> None:
    # 13 by 18 loads into 13: the one error that is none comes once for each connection.
    server = postgres(pair[0])
    name = fresh_database(server, "TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'")
    loader = loader_of(server, name, latin1)
    assert loader.forgives is (pair[:2] == (13, 18))
    load(loader, tmp_path, latin1)
    quoted = ODD.replace('"', '""')
    for query in (
        f'SELECT * FROM "{quoted}"',
        'SELECT * FROM "a b"',
        "SELECT * FROM seen",
        f'SELECT last_value FROM "{quoted}_id_seq"',
        "SELECT convert_from(lo_get(oid), 'UTF8') FROM pg_largeobject_metadata",
    ):
        mine = server.execute(query, database=name)
        assert mine == server.execute(query, database="x=y dbname=z")
        assert mine
    with (
        (tmp_path / "schema.dump").open("rb") as archive,
        pytest.raises(RestoreFailed, match=r'definitions before.* function "f" already exists'),
    ):
        load_pre_data(loader, archive)
    data = latin1.dump(without=())
    with pytest.raises(RestoreFailed, match="rows of database"):
        load_data(loader, [data[:-30]])


@by_every_pair
def test_entries_can_be_chosen_and_left_out(
    latin1: Source,
    pair: tuple[int, int, tuple[int, int]],
    postgres: PostgresFactory,
    fresh_database: DatabaseFactory,
    tmp_path: Path,
) -> None:
    server = postgres(pair[0])
    name = fresh_database(server, "TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'")
    loader = loader_of(server, name, latin1)
    path = tmp_path / "schema.dump"
    path.write_bytes(latin1.dump())
    schema = read_toc(io.BytesIO(latin1.dump()).read)
    keys = with_what_hangs_on(schema, schema.of("FK CONSTRAINT"))
    only = ids_of(schema, "a b") | ids_of(schema, "a")
    data = latin1.dump(without=())
    chosen = ids_of(read_toc(io.BytesIO(data).read), "a b")
    with path.open("rb") as archive:
        load_pre_data(loader, archive, only=only)
        load_data(loader, [data], only=chosen)
        load_post_data(loader, archive, jobs=2, only=only, leave_out=keys)
    tables = "SELECT relname::text FROM pg_class WHERE relkind = 'r' AND oid >= 16384 ORDER BY 1"
    assert server.execute(tables, database=name) == [("a",), ("a b",)]
    assert server.execute('SELECT count(*) FROM "a b"', database=name) == [(2,)]
    assert server.execute("SELECT count(*) FROM a", database=name) == [(0,)]


@pytest.mark.parametrize("pair", [PAIRS[1]], indirect=True)
def test_rows_of_one_table_come_out_of_an_archive_or_the_first_cause_does(
    latin1: Source, pair: tuple[int, int, tuple[int, int]], postgres: PostgresFactory
) -> None:
    loader = loader_of(postgres(pair[0]), "unused", latin1)
    data = latin1.dump(without=())
    toc = read_toc(io.BytesIO(data).read)
    ids = [entry.dump_id for entry in toc.of("TABLE DATA") if entry.tag == "a b"]
    found: list[tuple[tuple[str, ...], bytes]] = []

    def read(blocks: t.Iterable[bytes]) -> None:
        read_archive_rows(
            loader,
            blocks,
            ids,
            SessionText("LATIN1"),
            lambda columns, rows: found.append((columns, b"".join(rows))),
        )

    def cut() -> Iterator[bytes]:
        yield data[: toc.end]
        raise StorageUnavailable("The bucket does not answer.")

    def refuse(columns: tuple[str, ...], rows: Iterator[bytes]) -> None:
        raise RestoreFailed(f"No room for {columns}.")

    read([data])
    assert found == [(("id", "r"), b"1\t1\n2\t2\n")]
    with pytest.raises(StorageUnavailable, match="does not answer"):
        read(cut())
    with pytest.raises(RestoreFailed, match=r"Reading rows out of data\.dump failed: pg_restore"):
        read([data[: toc.end]])
    with pytest.raises(RestoreFailed, match="No room for"):
        read_archive_rows(loader, [data], ids, SessionText("LATIN1"), refuse)


def ids_of(toc: ArchiveToc, table: str) -> set[int]:
    return {entry.dump_id for entry in toc.entries if entry.tag == table}


@pytest.mark.parametrize("client", [15, 17])
def test_more_names_than_arguments_can_hold(
    client: int, postgres: PostgresFactory, fresh_database: DatabaseFactory
) -> None:
    server = postgres(15)
    name = fresh_database(server, "TEMPLATE template0")
    server.execute(OBJECTS, database=name)
    others = [("public", f"{'long' * 14}{number:06d}") for number in range(10_500)]
    wanted = [("public", ODD), ("public", "a b")]
    with source(server, name, client, "UTF8") as found:
        if client < FILTER_SINCE:
            with pytest.raises(ConfigError, match="too many to be named"):
                found.dump(without=[*others, *wanted])
        else:
            toc = read_toc(io.BytesIO(found.dump(without=[*others, *wanted])).read)
            assert set(toc.table_data) == found.tables - set(wanted)


def test_a_lock_that_is_not_given_in_time_ends_the_dump(
    postgres: PostgresFactory, fresh_database: DatabaseFactory
) -> None:
    server = postgres(15)
    name = fresh_database(server, "TEMPLATE template0")
    server.execute("CREATE TABLE held (id int)", database=name)
    with (
        source(server, name, 15, "UTF8") as found,
        contextlib.closing(server.connect(name)) as holder,
        holder.cursor() as cursor,
    ):
        cursor.execute("BEGIN; LOCK TABLE held IN ACCESS EXCLUSIVE MODE")
        target = dataclasses.replace(found.target, lock_wait_seconds=0.2)
        with schema_dump(target) as child:
            assert child.stdout.read() == b""
            with pytest.raises(ProgramError, match="canceling statement due to"):
                child.wait()
