# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A server whose tables are of many kinds, backed up once, and a server to restore into."""

from __future__ import annotations

import typing as t
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.fix_backup import back_up_server
from tests.fix_postgres import PostgresFactory
from tests.fix_repository import Place
from tests.fix_restore import clear, restore_server
from tests.testbed import folders
from tests.testbed.postgres import PostgresServer

SHOP = """
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE TABLE big (id serial PRIMARY KEY, note text NOT NULL,
                  size int GENERATED ALWAYS AS (length(note)) STORED);
INSERT INTO big (note) SELECT repeat(md5(i::text), 3) FROM generate_series(1, 6000) i;
CREATE TABLE log (id int PRIMARY KEY, line text);
INSERT INTO log SELECT i, 'line ' || i FROM generate_series(1, 500) i;
CREATE TABLE items (id int PRIMARY KEY, big_id int REFERENCES big, log_id int REFERENCES log);
INSERT INTO items SELECT i, i, i FROM generate_series(1, 300) i;
CREATE INDEX ON items (big_id);
CREATE TABLE feelings (mood mood, note text) PARTITION BY HASH (mood, note);
CREATE TABLE feelings_0 PARTITION OF feelings FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE feelings_1 PARTITION OF feelings FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO feelings
  SELECT (ARRAY['sad', 'ok', 'happy'])[i % 3 + 1]::mood, 'é ' || repeat('x', 60) || i
  FROM generate_series(1, 4000) i;
CREATE TABLE years (year int, note text) PARTITION BY RANGE (year);
CREATE TABLE years_1 PARTITION OF years FOR VALUES FROM (0) TO (100);
CREATE TABLE years_2 PARTITION OF years FOR VALUES FROM (100) TO (200);
INSERT INTO years SELECT i, repeat('y', 500) FROM generate_series(0, 199) i;
CREATE TABLE empty_parts (a int) PARTITION BY LIST (a);
CREATE TABLE circle_a (id int PRIMARY KEY, b int);
CREATE TABLE circle_b (id int PRIMARY KEY, a int REFERENCES circle_a);
ALTER TABLE circle_a ADD FOREIGN KEY (b) REFERENCES circle_b;
CREATE SCHEMA "odd ""name\U0001f418";
CREATE TABLE "odd ""name\U0001f418"."ta.ble" ("col""umn" int);
INSERT INTO "odd ""name\U0001f418"."ta.ble" VALUES (1), (2);
CREATE MATERIALIZED VIEW summary AS SELECT count(*) AS all_of_them FROM big;
CREATE VIEW notes AS SELECT note FROM big;
GRANT SELECT ON items TO reader;
ALTER TABLE items OWNER TO app;
SELECT lo_from_bytea(4711, 'abc');
"""
THRESHOLD = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Shop:
    """A server that was backed up, where to, and a server to restore into."""

    source: PostgresServer
    place: Place
    target: PostgresServer

    def restore(self, **options: t.Any) -> t.Any:
        """Restore into the target."""
        return restore_server(self.target, self.place, **options)

    def count(self, table: str, database: str = "shop") -> int:
        """Count the rows of a table of the target."""
        return int(self.target.execute(f"SELECT count(*) FROM {table}", database=database)[0][0])

    def databases(self) -> set[str]:
        """The databases of the target that initdb did not make."""
        rows = self.target.execute("SELECT datname FROM pg_database WHERE oid >= 16384")
        return {name for (name,) in rows}


@pytest.fixture(scope="session")
def shop_source(postgres: PostgresFactory) -> PostgresServer:
    """The server that was backed up; nobody changes it."""
    server = postgres(15, settings={"cluster_name": "restore source"})
    server.execute("CREATE ROLE app LOGIN; CREATE ROLE reader; GRANT reader TO app")
    server.execute("CREATE DATABASE shop OWNER app")
    server.execute("CREATE DATABASE books")
    server.execute("CREATE TABLE book AS SELECT 1 AS id", database="books")
    server.execute(SHOP, database="shop")
    server.execute(
        "ALTER DATABASE shop SET work_mem = '7MB'; COMMENT ON DATABASE shop IS 'it''s';"
        "ALTER ROLE app IN DATABASE shop SET work_mem = '9MB';"
        "GRANT CONNECT ON DATABASE shop TO reader"
    )
    return server


def stored(source: PostgresServer, place: Place) -> Place:
    """Back it up there, with large tables in segments."""
    place.create().close()
    back_up_server(source, place, segment_threshold=THRESHOLD)
    return place


@pytest.fixture(scope="session")
def shop_place(shop_source: PostgresServer) -> Iterator[Place]:
    """A folder with the one backup of the server."""
    folder = folders.make_scratch()
    yield stored(shop_source, Place(where=folder / "repository", cache_dir=folder / "cache"))
    folders.remove(folder)


@pytest.fixture
def shop_target(postgres: PostgresFactory) -> Iterator[PostgresServer]:
    """A server that is cleared of databases and roles when the test ends."""
    server = postgres(15, settings={"cluster_name": "restore target"})
    yield server
    clear(server)


@pytest.fixture
def shop(shop_source: PostgresServer, shop_place: Place, shop_target: PostgresServer) -> Shop:
    """Both servers and the backup."""
    return Shop(source=shop_source, place=shop_place, target=shop_target)
