# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The databases that are measured: rows as applications have them, compressing threefold."""

from __future__ import annotations

from tests.testbed.postgres import PostgresServer

# Bytes of COPY text of one row, nearly: what a size in bytes is divided by.
ROW_BYTES = 209

TABLE = """
CREATE TABLE {name} (
    id bigint PRIMARY KEY, customer integer, reference uuid, placed timestamptz, state text,
    name text, street text, amount numeric(10, 2), active boolean, note text, details jsonb
)
"""
ROWS = """
INSERT INTO {name}
SELECT n, n % 50000, md5(n::text)::uuid, timestamptz '2020-01-01+00' + n * interval '7 seconds',
       (ARRAY['open', 'paid', 'sent', 'returned'])[n % 4 + 1],
       'Customer ' || n % 50000, 'Street ' || n % 977 || ', ' || n % 31, n % 100000 / 100.0,
       n % 3 = 0, md5((n * 31)::text), jsonb_build_object('colour', n % 17, 'size', n % 1000)
FROM generate_series({first}, {last}) n
"""


def make_database(server: PostgresServer, name: str, size_bytes: int, *, tables: int = 2) -> None:
    """Make a database with ``size_bytes`` of COPY text in ``tables`` tables of equal size."""
    server.execute(f"CREATE DATABASE {name}")
    rows = size_bytes // ROW_BYTES // tables
    for number in range(tables):
        table = f"orders_{number}"
        server.execute(TABLE.format(name=table), database=name)
        first = number * rows
        server.execute(ROWS.format(name=table, first=first + 1, last=first + rows), database=name)
    server.execute("VACUUM ANALYZE", database=name)
    server.execute("CHECKPOINT")
