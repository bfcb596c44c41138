# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Backups of real servers, read again by stock restic."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import (
    ConfigError,
    DatabaseMissing,
    ProgramMissing,
    RepositoryError,
    RightsMissing,
    WrongPassword,
)
from ansible_collections.granary.postgres.plugins.module_utils._core.events import RecordedEvents
from ansible_collections.granary.postgres.plugins.module_utils._workflows.repository import (
    describe_repository,
)
from tests.fix_backup import (
    access,
    back_up_server,
    dumped,
    files_of,
    read_manifest,
    tables_of,
)
from tests.fix_postgres import Database, DatabaseFactory, PostgresFactory, quoted
from tests.fix_repository import Place, in_a_place
from tests.testbed.postgres import PostgresServer, client_bin

PAGE = 8192
SHOP = r"""
CREATE TABLE big AS SELECT i AS id, md5(i::text) || repeat('x', 150) AS note
  FROM generate_series(1, 40000) i;
CREATE TABLE small (id int PRIMARY KEY, note text, twice int GENERATED ALWAYS AS (id * 2) STORED);
INSERT INTO small SELECT i, E'tab\t new line\n back\\slash' FROM generate_series(1, 300) i;
CREATE TABLE empty (a int, b text);
CREATE TABLE no_columns ();
INSERT INTO no_columns DEFAULT VALUES;
CREATE TABLE "odd . ""name/" ("a b" text);
INSERT INTO "odd . ""name/" VALUES (NULL), ('\.');
CREATE TABLE parts (id int, v text) PARTITION BY HASH (id);
CREATE TABLE parts_0 PARTITION OF parts FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO parts SELECT i, 'v' FROM generate_series(1, 1000) i;
CREATE MATERIALIZED VIEW view AS SELECT * FROM small;
CREATE SEQUENCE numbers;
SELECT lo_from_bytea(0, 'bytes of a large object');
"""
ROWS = {
    "public.big": 40000,
    "public.small": 300,
    "public.empty": 0,
    "public.no_columns": 1,
    'public.odd . "name/': 2,
}


def _text(server: PostgresServer, database: str, table: str, columns: str) -> bytes:
    sql = f"COPY (SELECT {columns} FROM ONLY {table} ORDER BY ctid) TO STDOUT"
    return server.client("psql", "-XAtq", "-d", database, "-c", sql).encode()


@pytest.fixture
def shop(database: Database) -> Database:
    database.execute(SHOP)
    return database


@in_a_place
def test_a_backup_is_whole_and_stock_restic_reads_it(shop: Database, place: Place) -> None:
    place.create().close()
    result = back_up_server(
        shop.server, place, databases=[shop.name], segment_threshold=0, tags=["nightly"]
    )

    assert result.snapshot.paths == ("/postgres",)
    assert result.snapshot.tags == ("granary", "nightly")
    assert result.stats.databases == 1
    assert result.stats.rows == sum(ROWS.values()) + 1000
    assert result.stats.tables == len(ROWS) + 2
    restic = place.restic("0.19")
    restic.run("check", "--read-data")
    (snapshot,) = restic.json("snapshots")
    assert snapshot["id"] == result.snapshot.id
    assert snapshot["hostname"] == "main"
    tables = tables_of(read_manifest(place), shop.name)
    assert {name: table["rows"] for name, table in tables.items() if name in ROWS} == ROWS
    assert {name for name, table in tables.items() if not table["taken_over"]} == {
        "public.no_columns"
    }
    assert tables["public.parts_0"]["root"]["strategies"] == ["hash"]
    for table, folder, columns in (
        ("big", "big", "id, note"),
        ("small", "small", "id, note"),
        ('"odd . ""name/"', 'odd . "name%2F', '"a b"'),
    ):
        path = f"/postgres/databases/{shop.name}/tables/public/{folder}/000/000000.copy"
        assert dumped(place, path) == _text(shop.server, shop.name, table, columns)
    assert files_of(place, "locks") == {}


def test_the_manifest_describes_every_file(shop: Database, local_place: Place) -> None:
    local_place.create().close()
    back_up_server(shop.server, local_place, databases=[shop.name], segment_threshold=0)

    manifest = read_manifest(local_place)
    said = {f"/postgres/{name}": entry for name, entry in manifest["files"].items()}
    said["/postgres/globals.sql"] = manifest["globals"]["file"]
    (database,) = manifest["databases"]
    folder = f"/postgres/databases/{shop.name}"
    said[f"{folder}/schema.dump"] = database["schema_dump"]
    said[f"{folder}/data.dump"] = database["data_dump"]
    for table in database["tables"]:
        for number, entry in enumerate(table["files"]):
            name = table["name"].replace("/", "%2F")
            path = f"{folder}/tables/{table['schema']}/{name}/000/{number:06}.copy"
            said[path] = entry
    listed = local_place.restic("0.19").json("ls", "latest")
    found = {node["path"]: node.get("size", 0) for node in listed if node.get("type") == "file"}
    del found["/postgres/manifest.json"]
    assert {path: size for path, (size, dummy_blobs) in said.items()} == found
    assert database["large_objects"] == 1
    big = tables_of(manifest, shop.name)["public.big"]
    assert sum(rows for rows, dummy_size, dummy_blobs in big["segments"]) == big["rows"]
    assert sum(size for dummy_rows, size, dummy_blobs in big["segments"]) == big["size"]


def test_an_unchanged_second_backup_stores_next_to_nothing(
    shop: Database, local_place: Place
) -> None:
    # Most of it in data.dump, to prove that its table of contents does not spoil what follows.
    shop.execute(
        "CREATE TABLE dumped AS SELECT md5(i::text) AS note FROM generate_series(1, 150000) i"
    )
    local_place.create().close()
    options: dict[str, t.Any] = {"databases": [shop.name], "segment_threshold": 8 * PAGE * 1024}
    first = back_up_server(shop.server, local_place, **options)
    before = files_of(local_place)
    second = back_up_server(shop.server, local_place, **options)
    after = files_of(local_place)

    assert first.stats.stored_bytes > 2_000_000
    assert second.stats.stored_bytes <= 100_000
    assert second.stats.rows == first.stats.rows
    new = sorted(name.split("/")[0] for name in set(after) - set(before))
    assert new == ["data", "data", "index", "snapshots"]


def test_one_updated_row_stores_about_one_segment(shop: Database, local_place: Place) -> None:
    local_place.create().close()
    shop.execute("CREATE INDEX ON big (id)")
    options: dict[str, t.Any] = {"databases": [shop.name], "segment_threshold": 0}
    back_up_server(shop.server, local_place, **options)
    shop.execute("DELETE FROM big WHERE id = 20000")
    second = back_up_server(shop.server, local_place, **options)

    tables = tables_of(read_manifest(local_place), shop.name)
    assert tables["public.big"]["rows"] == 39999
    # A blob of about 1 MiB of text, and the trees above it.
    assert 0 < second.stats.new_blobs <= 16


def test_segment_borders_are_kept_when_a_table_grows_wide(
    shop: Database, local_place: Place
) -> None:
    local_place.create().close()
    options: dict[str, t.Any] = {"databases": [shop.name], "segment_threshold": 0}
    back_up_server(shop.server, local_place, **options)
    shop.execute(
        "ALTER TABLE big ALTER note SET STORAGE EXTERNAL;"
        "INSERT INTO big SELECT i, repeat('y', 100000) FROM generate_series(1, 300) i"
    )
    back_up_server(shop.server, local_place, **options)
    back_up_server(shop.server, local_place, host="other", **options)

    assert tables_of(read_manifest(local_place), shop.name)["public.big"]["segment_pages"] < 1024
    snapshot = local_place.restic("0.19").json("snapshots", "--host", "main")[-1]["id"]
    kept = tables_of(read_manifest(local_place, snapshot), shop.name)["public.big"]
    assert kept["segment_pages"] == 1024


def test_equal_tables_in_three_databases_are_stored_once(
    pg: PostgresServer, fresh_database: DatabaseFactory, local_place: Place
) -> None:
    names = [fresh_database(pg) for dummy in range(3)]
    for name in names:
        pg.execute(SHOP, database=name)
    local_place.create().close()
    one = back_up_server(pg, local_place, databases=names[:1], segment_threshold=0, host="one")
    all_of_them = back_up_server(pg, local_place, databases=names, segment_threshold=0)

    assert all_of_them.stats.databases == 3
    assert all_of_them.stats.rows == 3 * one.stats.rows
    assert all_of_them.stats.stored_bytes < one.stats.stored_bytes / 10


def test_databases_of_any_name(
    postgres: PostgresFactory, fresh_database: DatabaseFactory, local_place: Place
) -> None:
    server = postgres(18)
    names = ["x=y dbname=z", "globals.sql", 'it\'s "quoted"', "new\nline", "a/b", "\U0001f418"]
    for rows, name in enumerate(names, 1):
        fresh_database(server, name=name)
        server.execute(f"CREATE TABLE t AS SELECT generate_series(1, {rows})", database=name)
    local_place.create().close()
    result = back_up_server(server, local_place, databases=names, segment_threshold=0)

    assert result.stats.rows == 1 + 2 + 3 + 4 + 5 + 6
    manifest = read_manifest(local_place)
    found = [tables_of(manifest, name)["public.t"]["rows"] for name in names]
    assert found == [1, 2, 3, 4, 5, 6]


@pytest.mark.sampled("encoding", ["LATIN1", "SQL_ASCII"], 1)
def test_other_encodings(
    postgres: PostgresFactory, fresh_database: DatabaseFactory, local_place: Place, encoding: str
) -> None:
    server = postgres(15)
    name = fresh_database(server, f"TEMPLATE template0 ENCODING {encoding} LOCALE 'C'")
    for statement in (
        'CREATE TABLE "café" AS SELECT 1 AS "été"',
        "CREATE TABLE é AS SELECT 1 AS a",
    ):
        server.client("psql", "-Xq", "-d", name, "-c", statement, PGCLIENTENCODING="UTF8")
    local_place.create().close()
    back_up_server(server, local_place, databases=[name], segment_threshold=0)
    taken_over = tables_of(read_manifest(local_place), name)
    back_up_server(server, local_place, databases=[name])
    small = tables_of(read_manifest(local_place), name)

    assert [table["taken_over"] for table in taken_over.values()] == [True, True]
    assert [(table["taken_over"], table["rows"]) for table in small.values()] == [(False, 1)] * 2
    assert set(taken_over) == set(small)


def test_an_old_server_is_read_table_by_table(
    postgres: PostgresFactory, fresh_database: DatabaseFactory, local_place: Place
) -> None:
    server = postgres(13)
    name = fresh_database(server)
    server.execute(SHOP, database=name)
    local_place.create().close()
    back_up_server(server, local_place, databases=[name], segment_threshold=0)

    big = tables_of(read_manifest(local_place), name)["public.big"]
    assert big["segment_pages"] is None
    assert [segment[0] for segment in big["segments"]] == [40000]


def test_a_hot_standby_is_a_fine_source(
    private_postgres: PostgresFactory, local_place: Place
) -> None:
    primary = private_postgres(17)
    primary.execute(SHOP)
    primary.execute("CREATE UNLOGGED TABLE quick AS SELECT 1 AS a")
    standby = primary.standby()
    try:
        standby.wait_for_replay(primary)
        local_place.create().close()
        result = back_up_server(standby, local_place, segment_threshold=0)
    finally:
        standby.close()

    manifest = read_manifest(local_place)
    assert manifest["server"]["in_recovery"]
    assert result.stats.rows == sum(ROWS.values()) + 1000
    assert "public.quick" not in tables_of(manifest, "postgres")


def test_check_mode_writes_nothing_and_says_the_same(shop: Database, local_place: Place) -> None:
    local_place.create().close()
    before = files_of(local_place)
    planned = back_up_server(shop.server, local_place, databases=[shop.name], check_mode=True)
    assert files_of(local_place) == before
    done = back_up_server(shop.server, local_place, databases=[shop.name])

    assert planned.snapshot.id is None
    assert planned.stats.tables == done.stats.tables
    assert planned.stats.databases == done.stats.databases
    said, made = planned.to_return(), done.to_return()
    assert said.keys() == made.keys()
    assert planned.snapshot.to_return().keys() == done.snapshot.to_return().keys()
    assert planned.stats.to_return().keys() == done.stats.to_return().keys()


def test_excluded_tables_have_a_definition_and_no_rows(shop: Database, local_place: Place) -> None:
    shop.execute(
        "CREATE TABLE ordered (small int REFERENCES small); CREATE TABLE other (a int PRIMARY KEY);"
        "CREATE TABLE another (a int REFERENCES other)"
    )
    local_place.create().close()
    excluded = ["public.big", "public.parts", "public.small"]
    back_up_server(shop.server, local_place, databases=[shop.name], exclude_tables=excluded)

    (entry,) = read_manifest(local_place)["databases"]
    names = {f"{schema}.{name}" for schema, name in entry["excluded"]}
    assert names == {"public.big", "public.small", "public.parts_0", "public.parts_1"}
    assert len(entry["excluded_keys"]) == 1
    tables = {table["name"]: table for table in entry["tables"]}
    assert tables["big"]["rows"] is None
    assert tables["no_columns"]["rows"] == 1
    with pytest.raises(ConfigError, match=r"No database has the table public\.bigg"):
        back_up_server(shop.server, local_place, exclude_tables=["public.bigg"])


def test_policies_on_partitions_of_an_excluded_table_are_no_matter(
    database: Database, local_place: Place
) -> None:
    database.execute(
        "CREATE TABLE parts (a int) PARTITION BY RANGE (a);"
        "CREATE TABLE low PARTITION OF parts FOR VALUES FROM (0) TO (9) PARTITION BY LIST (a);"
        "CREATE TABLE leaf PARTITION OF low FOR VALUES IN (1); INSERT INTO leaf VALUES (1);"
        "ALTER TABLE leaf ENABLE ROW LEVEL SECURITY;"
        "DROP ROLE IF EXISTS modest; CREATE ROLE modest LOGIN; GRANT pg_read_all_data TO modest"
    )
    local_place.create().close()
    options: dict[str, t.Any] = {"databases": [database.name], "user": "modest"}
    with pytest.raises(RightsMissing, match=r"table public\.leaf \(row security\)"):
        back_up_server(database.server, local_place, **options)
    for excluded in ("public.parts", "public.low"):
        back_up_server(database.server, local_place, exclude_tables=[excluded], **options)
        (entry,) = read_manifest(local_place)["databases"]
        assert entry["excluded"] == [["public", "leaf"]]


def test_a_role_without_rights_hears_of_all_it_may_not_read(
    pg: PostgresServer, fresh_database: DatabaseFactory, local_place: Place
) -> None:
    names = [fresh_database(pg), fresh_database(pg)]
    for name in names:
        pg.execute(f"CREATE TABLE {name}_secret (a int)", database=name)
    pg.execute("DROP ROLE IF EXISTS nobody_much; CREATE ROLE nobody_much LOGIN")
    local_place.create().close()
    before = files_of(local_place)
    with pytest.raises(RightsMissing) as caught:
        back_up_server(pg, local_place, databases=names, user="nobody_much")

    for name in names:
        assert f"in database {name}: table public.{name}_secret" in str(caught.value)
    assert files_of(local_place) == before


def test_a_role_that_may_read_all_data_is_enough(pg: PostgresServer, local_place: Place) -> None:
    pg.execute("DROP ROLE IF EXISTS reader; CREATE ROLE reader LOGIN")
    pg.execute("GRANT pg_read_all_data TO reader")
    local_place.create().close()
    assert back_up_server(pg, local_place, user="reader").snapshot.id


def test_role_passwords_are_left_out_where_they_may_not_be_read(
    database: Database, local_place: Place
) -> None:
    database.execute("CREATE TABLE t AS SELECT 1 AS a")
    database.execute("DROP ROLE IF EXISTS modest; CREATE ROLE modest LOGIN")
    database.execute("GRANT SELECT ON t TO modest; ALTER ROLE modest PASSWORD 'secret'")
    events = RecordedEvents()
    local_place.create().close()
    names = [database.name]
    back_up_server(database.server, local_place, databases=names, user="modest", events=events)

    assert any("may not read the passwords of roles" in said for said in events.warnings)
    assert b"PASSWORD '" not in dumped(local_place, "/postgres/globals.sql")
    assert read_manifest(local_place)["settings"]["role_passwords"] is False


def test_two_servers_cannot_share_a_host(postgres: PostgresFactory, local_place: Place) -> None:
    local_place.create().close()
    back_up_server(postgres(14), local_place)
    before = files_of(local_place)
    with pytest.raises(ConfigError, match="another database system"):
        back_up_server(postgres(18), local_place)
    assert files_of(local_place) == before
    back_up_server(postgres(18), local_place, host="another")
    back_up_server(postgres(18), local_place, new_system=True)


def test_a_snapshot_of_the_future_is_in_the_way(
    pg: PostgresServer, local_place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    local_place.create().close()
    restic = local_place.restic("0.19")
    restic.run("backup", "--host", "main", "--time", "2099-01-01 00:00:00", __file__)
    with pytest.raises(RepositoryError, match=r"newest snapshot of host main is of 2099"):
        back_up_server(pg, local_place)
    back_up_server(pg, local_place, host="another")


def test_bad_input_writes_nothing(pg: PostgresServer, local_place: Place) -> None:
    local_place.create().close()
    before = files_of(local_place)
    for error, words, options in (
        (DatabaseMissing, "databases nowhere, x do not exist", {"databases": ["nowhere", "x"]}),
        (ConfigError, "empty list", {"databases": []}),
        (ConfigError, "database template0 does not allow", {"databases": ["template0"]}),
        (ConfigError, "jobs is 0", {"jobs": 0}),
        (ConfigError, "pack_size", {"pack_size": 1}),
        (ConfigError, "dump_args", {"dump_args": ["--clean"]}),
        (WrongPassword, "password", {"repository": access(local_place, "wrong")}),
    ):
        with pytest.raises(error, match=words):
            back_up_server(pg, local_place, **options)
    assert files_of(local_place) == before


def test_an_older_client_is_not_used(postgres: PostgresFactory, local_place: Place) -> None:
    local_place.create().close()
    with pytest.raises(ProgramMissing, match="No pg_dump of version 18 or newer"):
        back_up_server(postgres(18), local_place, bin_dir=str(client_bin(15)))


def test_many_small_tables(
    postgres: PostgresFactory, fresh_database: DatabaseFactory, local_place: Place
) -> None:
    server = postgres(15)
    name = fresh_database(server)
    server.execute(
        "DO $$ BEGIN FOR i IN 1..500 LOOP EXECUTE format("
        "'CREATE TABLE %I AS SELECT %s AS a', 'small ' || i, i); END LOOP; END $$",
        database=name,
    )
    local_place.create().close()
    result = back_up_server(server, local_place, databases=[name], jobs=4)

    assert (result.stats.tables, result.stats.rows) == (500, 500)


def test_the_repository_is_described(pg: PostgresServer, local_place: Place) -> None:
    local_place.create().close()
    for host in ("main", "other", "main"):
        back_up_server(pg, local_place, host=host, tags=["x"])
    described = describe_repository(
        access(local_place), host="main", tags=["x"], limit=1, events=RecordedEvents()
    )

    (snapshot,) = described.snapshots
    newest = local_place.restic("0.19").json("snapshots", "--host", "main")[-1]
    assert snapshot["id"] == newest["id"]
    assert described.stats["snapshots"] == 2
    shown = {"repository", "snapshots", "locks", "last_check", "last_data_check", "stats"}
    assert described.to_return().keys() == shown


def test_a_database_name_is_no_pattern(
    pg: PostgresServer, fresh_database: DatabaseFactory, local_place: Place
) -> None:
    name = fresh_database(pg)
    schema = quoted("a*")
    pg.execute(
        f"CREATE SCHEMA {schema}; CREATE TABLE {schema}.{quoted('t?')} AS SELECT 1 AS a;"
        f"CREATE SCHEMA ab; CREATE TABLE ab.tx AS SELECT 2 AS a",
        database=name,
    )
    local_place.create().close()
    back_up_server(pg, local_place, databases=[name], exclude_tables=["a*.t?"])

    tables = tables_of(read_manifest(local_place), name)
    assert tables["a*.t?"]["rows"] is None
    assert tables["ab.tx"]["rows"] == 1
