# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""restore.sh on a folder as `restic restore` would write it, with nothing but client programs."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import subprocess
import typing as t
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._core.redaction import Secret
from ansible_collections.granary.postgres.plugins.module_utils._postgres import (
    database_definition,
    layout,
    manifest,
)
from ansible_collections.granary.postgres.plugins.module_utils._postgres.by_hand import (
    restore_md,
    restore_sh,
)
from ansible_collections.granary.postgres.plugins.module_utils._postgres.catalog import list_tables
from ansible_collections.granary.postgres.plugins.module_utils._postgres.connection import connect
from ansible_collections.granary.postgres.plugins.module_utils._postgres.copying import (
    copy_out,
    count_rows,
)
from ansible_collections.granary.postgres.plugins.module_utils._postgres.dump_programs import (
    DumpTarget,
    data_dump,
    globals_dump,
    schema_dump,
)
from ansible_collections.granary.postgres.plugins.module_utils._postgres.model import (
    ConnectionSettings,
    Table,
)
from ansible_collections.granary.postgres.plugins.module_utils._postgres.programs import (
    Program,
    find_program,
)
from ansible_collections.granary.postgres.plugins.module_utils._postgres.session import (
    database_encoding,
    execute,
    fetch,
    prepare_dump_session,
)
from tests.fix_postgres import PostgresFactory
from tests.testbed.postgres import PostgresServer, client_bin, client_major_for

NAME = "x=y dbname=z 'q'\n$(touch /tmp/granary-injected)"
EMPTY = manifest.FileEntry(0, 0)

OBJECTS = """
CREATE SCHEMA "a.b/c";
CREATE TABLE "a.b/c"."it's ""odd""\n`x`" (id serial PRIMARY KEY, "tëxt" text, n int DEFAULT 7);
INSERT INTO "a.b/c"."it's ""odd""\n`x`" ("tëxt")
    SELECT CASE WHEN i % 10 = 0 THEN NULL WHEN i % 10 = 1 THEN E'\\\\.' ELSE 'ä\tb' || i END
    FROM generate_series(1, 3000) i;
CREATE TYPE colour AS ENUM ('red', 'green', 'blue');
CREATE TABLE hashed (c colour, i int) PARTITION BY HASH (c);
CREATE TABLE hashed_0 PARTITION OF hashed FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE hashed_1 PARTITION OF hashed FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO hashed SELECT (ARRAY['red', 'green', 'blue']::colour[])[1 + i % 3], i
    FROM generate_series(1, 3000) i;
CREATE TABLE refers (id int REFERENCES "a.b/c"."it's ""odd""\n`x`", note text);
INSERT INTO refers SELECT i, 'small' FROM generate_series(1, 100) i;
CREATE TABLE empty ();
CREATE MATERIALIZED VIEW totals AS SELECT c, count(*) FROM hashed GROUP BY c;
SELECT lo_from_bytea(0, 'large object');
"""


@dataclasses.dataclass(frozen=True, slots=True)
class Snapshot:
    folder: Path
    server: PostgresServer
    manifest: manifest.Manifest

    def restore(
        self, server: PostgresServer, *arguments: str, major: int | None = None
    ) -> subprocess.CompletedProcess[str]:
        programs = client_bin(major or client_major_for(self.server.major))
        return subprocess.run(
            ["/bin/sh", str(self.folder / "postgres/restore.sh"), *arguments],
            env={
                **{name: value for name, value in os.environ.items() if not name.startswith("PG")},
                **server.environment(),
                "PATH": f"{programs}:{os.environ['PATH']}",
            },
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture(scope="module")
def snapshot(pg_major: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Snapshot]:
    """A snapshot's files, written without a repository."""
    with PostgresServer(pg_major) as server:
        server.execute("CREATE ROLE \"al ice\" LOGIN PASSWORD 'hers'")
        server.execute(
            f'CREATE DATABASE "{NAME}" OWNER "al ice" TEMPLATE template0 ENCODING \'LATIN1\' '
            "LOCALE 'C' CONNECTION LIMIT 9"
        )
        server.execute(OBJECTS, database=NAME)
        server.execute("CREATE TABLE beside AS SELECT i FROM generate_series(1, 50) i")
        server.execute("ALTER DATABASE postgres SET my.thing = 'kept'")
        quoted = '"' + NAME + '"'
        server.execute(f"ALTER DATABASE {quoted} SET default_transaction_read_only = on")
        server.execute(f"COMMENT ON DATABASE {quoted} IS 'with :db and :\"db\"'")
        server.execute(f'GRANT CREATE ON DATABASE {quoted} TO "al ice" WITH GRANT OPTION')
        folder = tmp_path_factory.mktemp("restored")
        yield Snapshot(folder, server, write_snapshot(server, folder))


def settings_of(server: PostgresServer) -> ConnectionSettings:
    password = Secret(server.password) if server.password else None
    return ConnectionSettings(
        host=server.host, port=server.port, user=server.user, password=password
    )


def write(folder: Path, path: str, data: bytes) -> None:
    file = folder / path.removeprefix("/")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)


def write_snapshot(server: PostgresServer, folder: Path) -> manifest.Manifest:
    settings = settings_of(server)
    bin_dir = str(client_bin(client_major_for(server.major)))
    dumper = find_program("pg_dump", at_least_major=server.major, bin_dir=bin_dir)
    entries = [write_database(settings, folder, dumper, name) for name in (NAME, "postgres")]
    all_program = find_program("pg_dumpall", at_least_major=server.major, bin_dir=bin_dir)
    with globals_dump(all_program, settings, role_passwords=True) as child:
        write(folder, layout.GLOBALS, child.stdout.read())
        child.wait()
    whole = manifest.Manifest(
        program="granary",
        server=manifest.ServerEntry(
            version=str(server.major),
            version_num=server.major * 10000,
            system_identifier=None,
            lsn="0/0",
            in_recovery=False,
        ),
        settings=manifest.Settings(segment_threshold=0, dump_program=f"pg_dump {dumper.version}"),
        globals=None,
        databases=tuple(entries),
    )
    write(folder, layout.RESTORE_SH, restore_sh(whole).encode("utf-8", "surrogateescape"))
    return whole


def write_database(
    settings: ConnectionSettings, folder: Path, dumper: Program, name: str
) -> manifest.DatabaseEntry:
    with contextlib.closing(connect(settings, name)) as conn:
        prepare_dump_session(conn)
        execute(conn, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        target = DumpTarget(
            program=dumper,
            settings=settings,
            database=name,
            encoding=database_encoding(conn),
            snapshot_id=fetch(conn, "SELECT pg_catalog.pg_export_snapshot()")[0][0],
            lock_wait_seconds=10,
        )
        tables = [table for table in list_tables(conn) if table.kind == "r"]
        large = [table for table in tables if table.columns and table.name != "refers"]
        with schema_dump(target) as child:
            write(folder, layout.schema_dump(name), child.stdout.read())
            child.wait()
        with data_dump(target, [table.key for table in large]) as child:
            write(folder, layout.data_dump(name), child.stdout.read())
            child.wait()
        for table in large:
            data = bytearray()
            copy_out(conn, table.key, table.columns, data.extend)
            half = data.index(b"\n", len(data) // 2) + 1
            for number, part in enumerate((data[:half], data[half:])):
                write(folder, layout.table_file(name, *table.key, number), bytes(part))
        return manifest.DatabaseEntry(
            definition=database_definition.read_definition(conn, name),
            lsn="0/0",
            schema_dump=EMPTY,
            data_dump=EMPTY,
            archive_version=(1, 14),
            tables=tuple(table_entry(conn, table, table in large) for table in tables),
        )


def table_entry(conn: t.Any, table: Table, taken_over: bool) -> manifest.TableEntry:
    root = None
    if table.root:
        root = manifest.RootEntry(
            schema=table.root.schema, name=table.root.name, strategies=table.root.strategies
        )
    return manifest.TableEntry(
        schema=table.schema,
        name=table.name,
        taken_over=taken_over,
        rows=count_rows(conn, table.key),
        columns=table.columns if taken_over else (),
        root=root,
    )


def schema_of(server: PostgresServer, database: str) -> str:
    text = server.client("pg_dump", "--schema-only", "-d", server.dsn(database))
    return "\n".join(line for line in text.splitlines() if "restrict" not in line)


def rows_of(server: PostgresServer, database: str) -> list[list[tuple[t.Any, ...]]]:
    odd = '"a.b/c"."it\'s ""odd""\n`x`"'
    return [
        server.execute(f"SELECT * FROM {table} ORDER BY 1, 2", database=database)
        for table in (odd, "hashed", "refers", "totals")
    ] + [
        server.execute(
            "SELECT convert_from(lo_get(oid), 'LATIN1') FROM pg_largeobject_metadata",
            database=database,
        ),
        server.execute(
            'SELECT last_value FROM "a.b/c"."it\'s ""odd""\n`x`_id_seq"', database=database
        ),
    ]


def test_a_new_server_becomes_equal(snapshot: Snapshot, private_postgres: PostgresFactory) -> None:
    server = private_postgres(snapshot.server.major, auth="scram-sha-256")
    done = snapshot.restore(server, "-j", "3")
    assert done.returncode == 0, done.stderr
    assert "is restored and its rows are counted" in done.stderr
    assert rows_of(server, NAME) == rows_of(snapshot.server, NAME)
    assert schema_of(server, NAME) == schema_of(snapshot.server, NAME)
    with (
        contextlib.closing(connect(settings_of(server))) as here,
        contextlib.closing(connect(settings_of(snapshot.server))) as there,
    ):
        assert database_definition.read_definition(
            here, NAME
        ) == database_definition.read_definition(there, NAME)
    # A database that every server has is filled where it stands.
    assert server.execute("SELECT count(*) FROM beside") == [(50,)]
    assert server.execute("SHOW my.thing") == [("kept",)]
    # The password of the connecting role is what it was: the server still lets us in.
    assert server.execute("SELECT rolname FROM pg_roles WHERE rolname = 'al ice'")
    assert not Path("/tmp/granary-injected").exists()


def test_under_another_name_beside_the_source_through_the_roots(
    snapshot: Snapshot,
) -> None:
    server = snapshot.server
    server.execute("DROP DATABASE IF EXISTS other")
    done = snapshot.restore(server, "-d", NAME, "-n", "other", "-R", "-j", "1")
    assert done.returncode == 0, done.stderr
    assert rows_of(server, "other") == rows_of(server, NAME)
    again = snapshot.restore(server, "-d", NAME, "-n", "other")
    assert again.returncode != 0
    assert 'database "other" already exists' in again.stderr
    server.execute("DROP DATABASE other")


def test_newer_programs_load_into_an_older_server(
    snapshot: Snapshot,
) -> None:
    server = snapshot.server
    server.execute("DROP DATABASE IF EXISTS other")
    done = snapshot.restore(server, "-d", NAME, "-n", "other", "-G", "-O", "-x", "-T", major=18)
    assert done.returncode == 0, done.stderr
    assert rows_of(server, "other") == rows_of(server, NAME)
    owner = (
        "SELECT pg_get_userbyid(datdba), datacl IS NULL FROM pg_database WHERE datname = 'other'"
    )
    assert server.execute(owner) == [("postgres", True)]
    server.execute("DROP DATABASE other")


def test_a_missing_file_is_found_by_the_number_of_rows(snapshot: Snapshot, tmp_path: Path) -> None:
    server = snapshot.server
    copy = dataclasses.replace(snapshot, folder=tmp_path / "copy")
    shutil.copytree(snapshot.folder, copy.folder)
    (victim,) = copy.folder.rglob("hashed_0/000/000001.copy")
    victim.unlink()
    server.execute("DROP DATABASE IF EXISTS other")
    done = copy.restore(server, "-d", NAME, "-n", "other", "-G")
    assert done.returncode != 0
    assert '"public"."hashed": 3000 rows were backed up, found' in done.stderr
    server.execute("DROP DATABASE other")


def test_the_first_error_stops_it(snapshot: Snapshot, tmp_path: Path) -> None:
    server = snapshot.server
    copy = dataclasses.replace(snapshot, folder=tmp_path / "copy")
    shutil.copytree(snapshot.folder, copy.folder)
    (victim,) = copy.folder.rglob("hashed_1/000/000000.copy")
    victim.write_bytes(b"purple\t1\n" + victim.read_bytes())
    server.execute("DROP DATABASE IF EXISTS other")
    done = copy.restore(server, "-d", NAME, "-n", "other", "-G")
    assert done.returncode != 0
    assert 'invalid input value for enum public.colour: "purple"' in done.stderr
    assert "definitions after the rows" not in done.stderr
    server.execute("DROP DATABASE other")


def test_it_lists_and_explains_without_a_server(snapshot: Snapshot) -> None:
    listed = snapshot.restore(snapshot.server, "-l")
    assert (listed.returncode, listed.stdout) == (0, NAME + "\npostgres\n")
    usage = snapshot.restore(snapshot.server, "-h")
    assert usage.returncode == 0
    assert "usage: sh restore.sh" in usage.stdout
    missing = snapshot.restore(snapshot.server, "-G", "-d", "nothing")
    assert missing.returncode != 0
    assert "this snapshot holds no database nothing" in missing.stderr


def test_shellcheck_has_nothing_to_say(snapshot: Snapshot) -> None:
    script = snapshot.folder / "postgres/restore.sh"
    done = subprocess.run(
        # Single quotes that keep `$` and backquotes from the shell are what they are there for.
        ["shellcheck", "--shell=sh", "--exclude=SC2016", str(script)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "pg_dump" in restore_md(snapshot.manifest)
