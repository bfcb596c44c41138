# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The databases that are measured: rows as applications have them, compressing threefold."""

from __future__ import annotations

from tests.testbed.postgres import PostgresServer

ORDERS = """
CREATE TABLE {name} (
    id bigint PRIMARY KEY, customer integer, reference uuid, placed timestamptz, state text,
    name text, street text, amount numeric(10, 2), active boolean, note text, details jsonb
)
"""
ORDER_ROWS = """
INSERT INTO {name}
SELECT n, n % 50000, md5(n::text)::uuid, timestamptz '2020-01-01+00' + n * interval '7 seconds',
       (ARRAY['open', 'paid', 'sent', 'returned'])[n % 4 + 1],
       'Customer ' || n % 50000, 'Street ' || n % 977 || ', ' || n % 31, n % 100000 / 100.0,
       n % 3 = 0, md5((n * 31)::text), jsonb_build_object('colour', n % 17, 'size', n % 1000)
FROM generate_series(1, {rows}) n
"""
MESSAGES = """
CREATE TABLE {name} (
    id bigint PRIMARY KEY, author integer, sent timestamptz, subject text, body text
)
"""
# Each of two texts of 20 to 80 words, which come back only after megabytes, so that zstd shrinks
# them about as it shrinks real ones.
MESSAGE_ROWS = """
CREATE TEMPORARY TABLE texts AS
SELECT t AS number,
       (SELECT string_agg(substr(md5((hashint8(t * 1000 + k) % 2000)::text), 1, 2 + k % 9), ' ')
          FROM generate_series(1, 20 + t % 60) k) AS words
FROM generate_series(0, 14998) t;
INSERT INTO {name}
SELECT n, n % 9973, timestamptz '2021-01-01+00' + n * interval '11 seconds',
       'About number ' || n % 5000, one.words || ' ' || n || ' ' || other.words
FROM generate_series(1, {rows}) n
JOIN texts one ON one.number = n % 5000
JOIN texts other ON other.number = (n * 7) % 9999 + 5000
ORDER BY n
"""
# Table -> definition, rows, and about how many bytes of COPY text a row has.
TABLES = {
    "orders": (ORDERS, ORDER_ROWS, 175),
    "messages": (MESSAGES, MESSAGE_ROWS, 750),
}


def make_database(server: PostgresServer, name: str, size_bytes: int) -> None:
    """Make a database of ``size_bytes`` of COPY text: half of it narrow rows, half of it texts."""
    server.execute(f"CREATE DATABASE {name}")
    for table, (definition, rows, row_bytes) in TABLES.items():
        server.execute(definition.format(name=table), database=name)
        count = size_bytes // len(TABLES) // row_bytes
        server.execute(rows.format(name=table, rows=count), database=name)
    server.execute("VACUUM ANALYZE", database=name)
    server.execute("CHECKPOINT")
