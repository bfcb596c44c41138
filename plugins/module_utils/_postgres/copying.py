# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""Rows out of and into one table, by COPY text, with the server's own count.

psycopg2 calls Python once a row when it reads. So rows go through the C code of
``io.BufferedWriter``, and Python is called once per several MiB. What the bytes become is the
caller's business.
"""

from __future__ import annotations

import io
import typing as t

from .._core.errors import DumpFailed, RestoreFailed
from .connection import translated
from .segments import WHOLE_TABLE
from .session import fetch, session_text

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from psycopg2.extensions import connection as Connection
    from typing_extensions import Buffer

    from .segments import PageRange

CHUNK_BYTES = 4 * 1024 * 1024


class _Sink(io.RawIOBase):
    """Hands every full buffer to a callable."""

    def __init__(self, take: Callable[[memoryview], None]) -> None:
        super().__init__()
        self._take = take

    def writable(self) -> bool:
        return True

    def write(self, data: Buffer, /) -> int:
        view = memoryview(data)
        self._take(view)
        return view.nbytes


class _Source:
    """What psycopg2 reads a COPY from: one block for each call, whatever size it asks for.

    The driver turns an exception of ``read`` into a server error and forgets it; here it is kept.
    """

    def __init__(self, blocks: Iterable[bytes]) -> None:
        self._blocks = iter(blocks)
        self.failure: BaseException | None = None

    def read(self, dummy: int = -1) -> bytes:
        try:
            for block in self._blocks:
                if block:  # an empty answer would mean the end
                    return block
        except BaseException as exc:
            self.failure = exc
            raise
        return b""


def copy_out(
    conn: Connection,
    table: tuple[str, str],
    columns: Sequence[str],
    sink: Callable[[memoryview], None],
    *,
    pages: PageRange = WHOLE_TABLE,
    chunk_bytes: int = CHUNK_BYTES,
) -> int:
    """Read the rows of ``table`` (schema, name) that lie in ``pages``; return their number.

    The number is the server's own, from the end of the COPY.
    ``sink`` gets the COPY text in order, in pieces of about ``chunk_bytes`` that end anywhere; a
    piece is valid only during the call. After an exception, the sink's own included, the connection
    is of no more use.

    Raises ``DumpFailed`` for what the server says, or what ``connection.translate`` finds more
    exact.
    """
    text = session_text(conn)
    sql = b"COPY (SELECT " + text.column_list(columns) + b" FROM ONLY " + text.qualified(*table)
    sql += where_pages(pages) + b") TO STDOUT"
    doing = f"Could not read the rows of table {table[0]}.{table[1]}"
    raw = _Sink(sink)
    with translated(doing, otherwise=DumpFailed), conn.cursor() as cursor:
        # Not closed on an error: closing would flush, and so call the sink that has just failed.
        writer = io.BufferedWriter(raw, chunk_bytes)
        try:
            cursor.copy_expert(sql, writer)
            writer.flush()
        except BaseException:
            raw.close()
            raise
        rows = int(cursor.rowcount)
    if rows < 0:
        raise DumpFailed(f"{doing}: the server gave no count of rows.")
    return rows


def where_pages(pages: PageRange) -> bytes:
    """Return the condition that a row lies in ``pages``, as it follows the name of a table."""
    bounds = []
    if pages.first is not None:
        bounds.append(f"ctid >= '({pages.first},0)'")
    if pages.end is not None:
        bounds.append(f"ctid < '({pages.end},0)'")
    return f" WHERE {' AND '.join(bounds)}".encode() if bounds else b""


def copy_in(
    conn: Connection, table: tuple[str, str], columns: Sequence[str], blocks: Iterable[bytes]
) -> int:
    """Write COPY text into ``table`` (schema, name); return the server's own count of rows.

    ``blocks`` are ``bytes`` of any size, sent one by one as they come; what their iterator raises
    ends the COPY and comes out of here as it is. The text is in the session's client_encoding.

    Raises ``RestoreFailed`` for what the server says, or what ``connection.translate`` finds more
    exact.
    """
    import psycopg2

    text = session_text(conn)
    named = b" (%b)" % text.column_list(columns) if columns else b""
    sql = b"COPY %b%b FROM STDIN" % (text.qualified(*table), named)
    doing = f"Could not load rows into table {table[0]}.{table[1]}"
    source = _Source(blocks)
    with translated(doing, otherwise=RestoreFailed), conn.cursor() as cursor:
        try:
            cursor.copy_expert(sql, t.cast("t.IO[bytes]", source))
        except psycopg2.Error:
            if source.failure is not None:
                raise source.failure from None
            raise
        rows = int(cursor.rowcount)
    if rows < 0:
        raise RestoreFailed(f"{doing}: the server gave no count of rows.")
    return rows


def count_rows(conn: Connection, table: tuple[str, str]) -> int:
    """Count the rows that the transaction sees in the table itself, children not included."""
    sql = b"SELECT count(*) FROM ONLY " + session_text(conn).qualified(*table)
    doing = f"Could not count the rows of table {table[0]}.{table[1]}"
    return int(fetch(conn, sql, doing)[0][0])
