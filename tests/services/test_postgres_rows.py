# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Catalogs, rights and rows of real servers: who copies what, and that it comes out whole."""

from __future__ import annotations

import contextlib
import os
import re
import typing as t
from collections.abc import Iterator

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._core import process
from ansible_collections.granary.postgres.plugins.module_utils._core.errors import (
    RepositoryDamaged,
    RestoreFailed,
)
from ansible_collections.granary.postgres.plugins.module_utils._postgres.catalog import (
    has_rows_in_dump,
    list_tables,
    may_take_over,
    why_not_taken_over,
)
from ansible_collections.granary.postgres.plugins.module_utils._postgres.connection import (
    connect,
    program_environment,
)
from ansible_collections.granary.postgres.plugins.module_utils._postgres.copying import (
    copy_in,
    copy_out,
    count_rows,
)
from ansible_collections.granary.postgres.plugins.module_utils._postgres.model import (
    ConnectionSettings,
    PartitionRoot,
    Table,
)
from ansible_collections.granary.postgres.plugins.module_utils._postgres.rights import (
    Unreadable,
    unreadable,
)
from ansible_collections.granary.postgres.plugins.module_utils._postgres.segments import (
    plan_segments,
)
from ansible_collections.granary.postgres.plugins.module_utils._postgres.session import (
    database_encoding,
    execute,
    fetch,
    prepare_dump_session,
    prepare_restore_session,
    session_text,
)
from tests.fix_postgres import Database, DatabaseFactory, PostgresFactory
from tests.testbed.postgres import PostgresServer, client_bin, client_major_for
from tests.testbed.process import run

if t.TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection

CORPUS = """
CREATE EXTENSION hstore;
CREATE TABLE plain (id int PRIMARY KEY, note text);
INSERT INTO plain SELECT i, repeat('x', 50) FROM generate_series(1, 5000) i;
CREATE TABLE child (more int) INHERITS (plain);
CREATE TABLE no_columns ();
CREATE TABLE "odd . ""name" (a int, always int GENERATED ALWAYS AS IDENTITY,
                            twice int GENERATED ALWAYS AS (a * 2) STORED, gone int);
ALTER TABLE "odd . ""name" DROP COLUMN gone;
CREATE TABLE only_generated (g int GENERATED ALWAYS AS (1 + 1) STORED);
CREATE UNLOGGED TABLE quick (a int);
CREATE TABLE member (a int);
ALTER EXTENSION hstore ADD TABLE member;
CREATE TABLE config (a int);
ALTER EXTENSION hstore ADD TABLE config;
UPDATE pg_extension SET extconfig = ARRAY['config'::regclass::oid], extcondition = ARRAY['']
 WHERE extname = 'hstore';
CREATE SCHEMA "Other";
CREATE TABLE "Other".root (k int, t timestamptz) PARTITION BY LIST (k);
CREATE TABLE "Other".middle PARTITION OF "Other".root FOR VALUES IN (1) PARTITION BY HASH (t);
CREATE TABLE "Other".leaf PARTITION OF "Other".middle
    FOR VALUES WITH (MODULUS 1, REMAINDER 0);
CREATE TABLE "Other".direct PARTITION OF "Other".root DEFAULT;
CREATE MATERIALIZED VIEW summary AS SELECT count(*) FROM plain;
CREATE VIEW seen AS SELECT * FROM plain;
CREATE FOREIGN DATA WRAPPER nothing;
CREATE SERVER nowhere FOREIGN DATA WRAPPER nothing;
CREATE FOREIGN TABLE far (a int) SERVER nowhere;
CREATE TEMPORARY TABLE passing (a int);
"""
ALL_MAJORS = (13, 14, 15, 16, 17, 18)


def settings_of(server: PostgresServer, user: str | None = None) -> ConnectionSettings:
    return ConnectionSettings(host=server.host, port=server.port, user=user or server.user)


@contextlib.contextmanager
def dumping(database: Database, user: str | None = None) -> Iterator[Connection]:
    conn = connect(settings_of(database.server, user), database.name)
    try:
        prepare_dump_session(conn)
        yield conn
    finally:
        conn.close()


def tables_by_name(database: Database) -> dict[str, Table]:
    with dumping(database) as conn:
        return {str(table): table for table in list_tables(conn)}


def dumped_tables(database: Database) -> set[tuple[str, str]]:
    """What pg_dump itself writes rows of, by its own table of contents."""
    server = database.server
    folder = client_bin(client_major_for(server.major))
    archive = server.folder / f"{database.name}.data.{os.getpid()}"
    server.client(
        *("pg_dump", "-Fc", "-Z0", "--section=data", "-f", str(archive), "-d", database.name)
    )
    listing = run([folder / "pg_restore", "-l", archive], doing="pg_restore -l")
    archive.unlink()
    return set(re.findall(r"^\d+; \d+ \d+ TABLE DATA (\S+) (.+) \S+$", listing, re.MULTILINE))


@pytest.mark.pg_majors(*ALL_MAJORS)
def test_who_copies_the_rows_of_each_table(database: Database) -> None:
    database.execute(CORPUS)
    found = tables_by_name(database)
    reasons = {
        name: why_not_taken_over(table, threshold_bytes=0, in_recovery=False)
        for name, table in found.items()
    }
    assert reasons == {
        "public.plain": None,
        "public.child": None,
        "public.no_columns": "no column that can be inserted",
        'public.odd . "name': None,
        "public.only_generated": "no column that can be inserted",
        "public.quick": None,
        "public.member": "member of an extension",
        "public.config": "member of an extension",
        "Other.root": "not an ordinary table",
        "Other.middle": "not an ordinary table",
        "Other.leaf": None,
        "Other.direct": None,
        "public.summary": "not an ordinary table",
        "public.far": "not an ordinary table",
    }
    assert not may_take_over(found["public.quick"], threshold_bytes=0, in_recovery=True)
    size = found["public.plain"].size_bytes
    assert may_take_over(found["public.plain"], threshold_bytes=size - 1, in_recovery=False)
    assert not may_take_over(found["public.plain"], threshold_bytes=size, in_recovery=False)


@pytest.mark.pg_majors(*ALL_MAJORS)
def test_the_tables_with_rows_in_a_dump_are_pg_dumps_own(database: Database) -> None:
    database.execute(CORPUS)
    ours = {
        table.key
        for table in tables_by_name(database).values()
        if has_rows_in_dump(table, in_recovery=False)
    }
    assert ours == dumped_tables(database)


ODD_NAMES = (
    "a.b",
    'quo"te',
    "it's",
    "regex ^(x|y)[z]*+?{2}.$\\",
    "UPPER",
    "new\nline",
    "é" * 31,
    "$1",
    "-t",
    "a,b",
    "%41*",
)


@pytest.mark.parametrize("encoding", ["UTF8", "LATIN1", "SQL_ASCII"])
def test_a_pattern_means_one_table_to_pg_dump(
    pg: PostgresServer, fresh_database: DatabaseFactory, encoding: str
) -> None:
    clauses = f"TEMPLATE template0 ENCODING '{encoding}' LOCALE 'C'"
    database = Database(pg, fresh_database(pg, clauses))
    program = client_bin(client_major_for(pg.major)) / "pg_dump"
    with dumping(database) as conn:
        text = session_text(conn)
        for name in ODD_NAMES:
            execute(conn, b"CREATE SCHEMA " + text.identifier(name))
            for other in (name, name.swapcase() + "x"):
                table = text.qualified(name, other)
                execute(conn, b"CREATE TABLE " + table + b" AS SELECT 4711 AS marker")
        patterns = [text.pattern(name, name) for name in ODD_NAMES]
    switches = [os.fsdecode(b"--exclude-table-data=" + pattern) for pattern in patterns]
    dump, dummy = process.run(
        [str(program), "--data-only", *switches, database.name],
        env=program_environment(settings_of(pg)),
    )
    assert dump.count(b"\n4711\n") == len(ODD_NAMES)
    for name in ODD_NAMES:
        assert b"COPY " + text.qualified(name, name) + b" " not in dump


def test_columns_roots_and_sizes(database: Database) -> None:
    database.execute(CORPUS)
    found = tables_by_name(database)
    odd = found['public.odd . "name']
    assert (odd.columns, odd.column_count) == (("a", "always"), 3)
    root = PartitionRoot(schema="Other", name="root", strategies=("list", "hash"))
    assert found["Other.leaf"].root == root
    direct = found["Other.direct"].root
    assert direct is not None
    assert "hash" not in direct.strategies
    assert found["public.child"].root is None
    assert found["public.child"].inherits
    ((size, pages),) = database.execute(
        "SELECT pg_table_size('plain'), pg_relation_size('plain') / 8192"
    )
    assert (found["public.plain"].size_bytes, found["public.plain"].pages) == (size, pages)
    assert found["public.plain"].index_count == 1


def read_all(conn: Connection, table: Table, pages: int | None = None) -> tuple[bytes, int]:
    """The whole table by segments of `pages` pages, as bytes and the server's rows."""
    pieces: list[bytes] = []
    rows = 0
    for part in plan_segments(table, previous_pages=pages):
        rows += copy_out(
            conn, table.key, table.columns, lambda view: pieces.append(bytes(view)), pages=part
        )
    return b"".join(pieces), rows


@pytest.mark.parametrize("pages", [1, 16, None])
def test_segments_together_are_the_table(database: Database, pages: int | None) -> None:
    database.execute(CORPUS)
    database.execute("DELETE FROM plain WHERE id % 7 = 0")
    with dumping(database) as conn:
        table = next(table for table in list_tables(conn) if table.name == "plain")
        data, rows = read_all(conn, table, pages)
        whole: list[bytes] = []
        counted = copy_out(conn, table.key, table.columns, lambda view: whole.append(bytes(view)))
        assert data == b"".join(whole)
        assert rows == counted == count_rows(conn, table.key) == data.count(b"\n")


def test_a_segment_is_read_by_a_tid_range_scan(database: Database) -> None:
    database.execute("CREATE TABLE t AS SELECT i FROM generate_series(1, 100000) i")
    with dumping(database) as conn:
        plan = fetch(
            conn, "EXPLAIN SELECT i FROM ONLY public.t WHERE ctid >= '(8,0)' AND ctid < '(16,0)'"
        )
    assert "Tid Range Scan" in plan[0][0]


@pytest.mark.parametrize(
    ("clauses", "name", "value"),
    [
        ("ENCODING 'LATIN1' LOCALE 'C'", "täble", "Ä"),
        ("ENCODING 'SQL_ASCII' LOCALE 'C'", "t\udcff表", "\udcfe"),
        ("ENCODING 'EUC_JP' LOCALE 'C'", "表", "字"),
    ],
)
def test_rows_leave_and_enter_as_the_databases_own_bytes(
    pg: PostgresServer, fresh_database: DatabaseFactory, clauses: str, name: str, value: str
) -> None:
    database = Database(pg, fresh_database(pg, f"TEMPLATE template0 {clauses}"))
    with dumping(database) as conn:
        text = session_text(conn)
        qualified = text.qualified("public", name)
        column = text.identifier(name)
        literal = text.literal(value)
        execute(conn, b"CREATE TABLE " + qualified + b" (" + column + b" text)")
        execute(conn, b"INSERT INTO " + qualified + b" VALUES (" + literal + b"), (NULL), ('\\.')")
        (table,) = list_tables(conn)
        assert (table.name, table.columns) == (name, (name,))
        data, rows = read_all(conn, table)
        assert (data, rows) == (text.encode(value) + b"\n\\N\n\\\\.\n", 3)
        prepare_restore_session(conn, database_encoding(conn))
        assert copy_in(conn, table.key, table.columns, [data]) == 3
        assert count_rows(conn, table.key) == 6


def test_rows_come_in_whatever_the_blocks(database: Database) -> None:
    database.execute("CREATE TABLE t (a int, b text)")
    data = b"".join(b"%d\t%s\n" % (i, b"y" * (i % 100)) for i in range(20000))
    with dumping(database) as conn:
        for size in (7, 8192, 1 << 20, len(data)):
            blocks = (data[i : i + size] for i in range(0, len(data), size))
            execute(conn, "TRUNCATE public.t")
            assert copy_in(conn, ("public", "t"), ["a", "b"], blocks) == 20000
        assert copy_in(conn, ("public", "t"), ["a", "b"], [b"", b"1\tx\n", b""]) == 1


def test_a_bad_row_is_the_servers_word(database: Database) -> None:
    database.execute("CREATE TABLE t (a int)")
    with dumping(database) as conn:
        with pytest.raises(RestoreFailed, match="invalid input syntax") as caught:
            copy_in(conn, ("public", "t"), ["a"], [b"1\nnonsense\n"])
        assert caught.value.details["sqlstate"] == "22P02"
        assert count_rows(conn, ("public", "t")) == 0


def test_blocks_that_fail_end_the_copy_with_their_own_error(database: Database) -> None:
    database.execute("CREATE TABLE t (a int)")

    def blocks() -> Iterator[bytes]:
        yield b"1\n"
        raise RepositoryDamaged("pack 1234 is broken")

    with dumping(database) as conn:
        with pytest.raises(RepositoryDamaged, match="pack 1234"):
            copy_in(conn, ("public", "t"), ["a"], blocks())
        assert count_rows(conn, ("public", "t")) == 0


def test_a_sink_that_fails_ends_the_reading_with_its_own_error(database: Database) -> None:
    database.execute("CREATE TABLE t AS SELECT i FROM generate_series(1, 100000) i")

    def full(view: memoryview) -> None:
        raise RepositoryDamaged(f"no room for {len(view)} bytes")

    with dumping(database) as conn, pytest.raises(RepositoryDamaged, match="no room"):
        copy_out(conn, ("public", "t"), ["i"], full, chunk_bytes=65536)


def test_a_row_larger_than_the_chunk_comes_out_whole(database: Database) -> None:
    rows_of_5_mb = "SELECT i, repeat('z', 5000000) AS b FROM generate_series(1, 3) i"
    database.execute(f"CREATE TABLE t AS {rows_of_5_mb}")
    with dumping(database) as conn:
        (table,) = list_tables(conn)
        data, rows = read_all(conn, table)
    assert (len(data), rows) == (3 * 5000003, 3)


MODEST_ROLE = """
CREATE ROLE {role} LOGIN;
CREATE SCHEMA hidden;
CREATE TABLE hidden.t (a serial);
CREATE TABLE shown (a int); GRANT SELECT ON shown TO {role};
CREATE TABLE some_columns (a int, b int); GRANT SELECT (a) ON some_columns TO {role};
CREATE TABLE parted (a int) PARTITION BY LIST (a);
CREATE TABLE guarded (a int); GRANT SELECT ON guarded TO {role};
ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;
SELECT lo_create(101), lo_create(102), lo_create(103);
GRANT SELECT ON LARGE OBJECT 102 TO {role};
GRANT SELECT ON LARGE OBJECT 103 TO public;
"""
HIDDEN_FROM_IT = [
    "schema hidden",
    "table hidden.t",
    "sequence hidden.t_a_seq",
    "partitioned table public.parted",
    "table public.some_columns",
    "table public.guarded (row security)",
    "large object 101",
]


@pytest.mark.pg_majors(*ALL_MAJORS)
def test_all_that_a_role_may_not_read_is_named_at_once(database: Database) -> None:
    role = f"reader_{database.name}"
    database.execute(MODEST_ROLE.format(role=role))
    ((guarded,),) = database.execute("SELECT 'guarded'::regclass::oid::bigint")
    try:
        with dumping(database, user=role) as conn:
            found = unreadable(conn)
            without = unreadable(conn, without_rows=[guarded])
        with dumping(database) as conn:
            assert unreadable(conn) == []
    finally:
        database.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")
    assert list(map(str, found)) == HIDDEN_FROM_IT
    assert set(found) - set(without) == {Unreadable("row security", "public.guarded")}


@pytest.mark.pg_majors(14, 15, 16, 17, 18)
def test_pg_read_all_data_is_enough_without_row_security_and_large_objects(
    database: Database,
) -> None:
    role = f"reader_{database.name}"
    database.execute(f"CREATE ROLE {role} LOGIN; GRANT pg_read_all_data TO {role}")
    try:
        database.execute(CORPUS)
        with dumping(database, user=role) as conn:
            assert unreadable(conn) == []
        database.execute("SELECT lo_create(55)")
        with dumping(database, user=role) as conn:
            assert list(map(str, unreadable(conn))) == ["large object 55"]
    finally:
        database.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


def test_an_unlogged_table_is_left_to_nobody_on_a_standby(
    private_postgres: PostgresFactory, pg_major: int
) -> None:
    primary = private_postgres(pg_major)
    primary.execute("CREATE UNLOGGED TABLE quick (a int); CREATE TABLE kept (a int)")
    standby = primary.standby()
    try:
        standby.wait_for_replay(primary)
        database = Database(standby, "postgres")
        found = tables_by_name(database)
        expected = {"public.quick": False, "public.kept": True}
        assert {
            name: has_rows_in_dump(table, in_recovery=True) for name, table in found.items()
        } == expected
        assert dumped_tables(database) == {("public", "kept")}
    finally:
        standby.close()
