# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is in the golden repositories, and how it is compared."""

from __future__ import annotations

import hashlib
import typing as t

from ansible_collections.granary.postgres.plugins.module_utils._repository.repository import (
    Repository,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.snapshot import (
    list_snapshots,
)
from tests.fix_repository import read_files
from tests.testbed.postgres import PostgresServer

DATABASE = "golden shop"
SECOND_PASSWORD = "second password"
SHOP = """
CREATE SCHEMA "odd schema";
CREATE TYPE mood AS ENUM ('glad', 'sad');
CREATE TABLE customers (id int PRIMARY KEY, name text NOT NULL, mood mood, seen timestamptz);
INSERT INTO customers SELECT n, 'customer ' || n || E'\\t\\u00fc\\u20ac\\\\',
    CASE WHEN n % 3 = 0 THEN 'sad'::mood ELSE 'glad' END,
    '2026-01-01Z'::timestamptz + n * '1h'::interval
    FROM generate_series(1, 60) n;
CREATE TABLE "odd schema"."Orders/2" (
    id serial PRIMARY KEY, customer int REFERENCES customers, price numeric(10, 2), raw bytea
);
INSERT INTO "odd schema"."Orders/2" (customer, price, raw)
    SELECT n % 60 + 1, n / 7.0, decode(md5(n::text), 'hex') FROM generate_series(1, 150) n;
CREATE TABLE events (at date, line text) PARTITION BY RANGE (at);
CREATE TABLE events_2025 PARTITION OF events FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE events_2026 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
INSERT INTO events SELECT '2025-07-01'::date + n * 3, 'event ' || n FROM generate_series(1, 90) n;
CREATE TABLE parts (id int, note text) PARTITION BY HASH (id);
CREATE TABLE parts_0 PARTITION OF parts FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO parts SELECT n, CASE WHEN n % 5 > 0 THEN 'part ' || n END FROM generate_series(1, 40) n;
CREATE INDEX ON customers (name);
CREATE VIEW sad_customers AS SELECT * FROM customers WHERE mood = 'sad';
SELECT lo_from_bytea(4711, 'a large object');
"""
CHANGES = """
UPDATE customers SET name = 'changed' WHERE id = 7;
DELETE FROM "odd schema"."Orders/2" WHERE id > 140;
INSERT INTO events VALUES ('2026-06-01', NULL);
"""
_TABLES = ("customers", '"odd schema"."Orders/2"', "events", "parts")


def rows_of(server: PostgresServer, database: str) -> dict[str, list[t.Any]]:
    """Number and digest of the rows of each table, in any order, and of a large object."""
    found = {}
    for table in _TABLES:
        text = "md5(string_agg(x::text, E'\\n' ORDER BY x::text COLLATE \"C\"))"
        ((count, digest),) = server.execute(
            f"SET TimeZone = 'UTC'; SELECT count(*), {text} FROM {table} x", database=database
        )
        found[table] = [count, digest]
    ((content,),) = server.execute("SELECT md5(lo_get(4711))", database=database)
    found["large object"] = [1, content]
    ((last,),) = server.execute(
        """SELECT last_value FROM "odd schema"."Orders/2_id_seq" """, database=database
    )
    found["sequence"] = [1, str(last)]
    return found


def facts_of(repository: Repository) -> list[dict[str, t.Any]]:
    """Each snapshot with the SHA-256 of each of its files."""
    return [
        {
            "id": snapshot.id.hex(),
            "time": str(snapshot.time),
            "host": snapshot.hostname,
            "paths": list(snapshot.paths),
            "tags": list(snapshot.tags),
            "files": {
                path: hashlib.sha256(data).hexdigest()
                for path, data in sorted(read_files(repository, snapshot).items())
            },
        }
        for snapshot in list_snapshots(repository)
    ]
