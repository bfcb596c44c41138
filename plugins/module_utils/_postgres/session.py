# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""Statements on a connection, and the settings that make a session read and write as pg_dump."""

from __future__ import annotations

import typing as t

from .connection import translated
from .quoting import SessionText

if t.TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection
    from psycopg2.extensions import cursor as Cursor

# What a value of a row can be here: names and texts are decoded, the rest is as the driver gives
# it.
Value = t.Any
Row = tuple[Value, ...]

# Setting, value, the version that has it.
_NO_TIMEOUTS = (
    ("statement_timeout", "0", 0),
    ("lock_timeout", "0", 90300),
    ("idle_in_transaction_session_timeout", "0", 90600),
    ("idle_session_timeout", "0", 140000),
    ("transaction_timeout", "0", 170000),
)
_SAME_TEXT = (
    ("DateStyle", "ISO", 0),
    ("IntervalStyle", "postgres", 80400),
    ("extra_float_digits", "3", 0),
    ("row_security", "off", 90500),
    ("search_path", "", 0),
)
_DUMP = (
    *_SAME_TEXT,
    ("synchronize_seqscans", "off", 80300),
    *_NO_TIMEOUTS,
    # A segment is read by its TID range, in one process, in the order of its pages.
    ("enable_tidscan", "on", 0),
    ("jit", "off", 110000),
    ("max_parallel_workers_per_gather", "0", 90600),
    # Not pg_dump's, but bytes must be the same from one backup to the next whatever the role's
    # settings are.
    ("bytea_output", "hex", 90000),
)
_RESTORE = (
    *_SAME_TEXT,
    *_NO_TIMEOUTS,
    ("check_function_bodies", "off", 0),
    ("xmloption", "content", 80300),
    ("standard_conforming_strings", "on", 0),
    ("default_transaction_read_only", "off", 0),
    ("client_min_messages", "warning", 0),
)


def session_text(conn: Connection) -> SessionText:
    """Return the encoding that the session talks at this moment."""
    return SessionText(conn.info.parameter_status("client_encoding") or "SQL_ASCII")


def database_encoding(conn: Connection) -> str:
    """Return PostgreSQL's name of the encoding of the session's database."""
    return conn.info.parameter_status("server_encoding") or "SQL_ASCII"


def text_cursor(conn: Connection) -> Cursor:
    """Return a cursor whose texts and names arrive as ``bytes``, as the server sent them."""
    from psycopg2 import extensions

    cursor = conn.cursor()
    extensions.register_type(extensions.BYTES, cursor)
    return cursor


def fetch(
    conn: Connection, sql: str | bytes, doing: str = "Could not read the catalog"
) -> list[Row]:
    """Run one statement and return its rows, texts and names as ``str`` by ``session_text``.

    ``sql`` as ``str`` is encoded for the session; names inside must be quoted by ``SessionText``.
    ``doing`` begins the message of an error.

    Raises what ``connection.translate`` makes of the driver's errors.
    """
    text = session_text(conn)
    statement = text.encode(sql) if isinstance(sql, str) else sql
    with translated(doing), text_cursor(conn) as cursor:
        cursor.execute(statement)
        if cursor.description is None:
            return []
        return [
            tuple(text.decode(value) if isinstance(value, bytes) else value for value in row)
            for row in cursor
        ]


def execute(conn: Connection, sql: str | bytes, doing: str = "Could not run a statement") -> None:
    """Run a statement whose rows, if any, nobody wants; raises as ``fetch``."""
    fetch(conn, sql, doing)


def rollback(conn: Connection) -> None:
    """End the transaction that is open, if there is one and the connection lives."""
    from psycopg2.extensions import TRANSACTION_STATUS_IDLE, TRANSACTION_STATUS_UNKNOWN

    if conn.closed or conn.info.transaction_status in {
        TRANSACTION_STATUS_IDLE,
        TRANSACTION_STATUS_UNKNOWN,
    }:
        return
    execute(conn, "ROLLBACK", "Could not roll back")


def prepare_dump_session(conn: Connection) -> None:
    """Set the session as pg_dump sets its own: the same rows give the same bytes every time.

    Must run before a transaction begins: settings made inside one are lost when it is rolled back.
    From here on statements and rows are in the database's own encoding.
    """
    _set_encoding(conn, database_encoding(conn))
    _set(conn, _DUMP)


def prepare_restore_session(conn: Connection, encoding: str) -> None:
    """Set the session as a dump's own header would; rows and names are in the source's encoding."""
    _set_encoding(conn, encoding)
    _set(conn, _RESTORE)


def _set_encoding(conn: Connection, encoding: str) -> None:
    from psycopg2 import extensions

    known = extensions.encodings
    if encoding != "SQL_ASCII" and (encoding in known or encoding.replace("_", "") in known):
        with translated(f"Could not set the session to the encoding {encoding}"):
            conn.set_client_encoding(encoding)
        return
    # The driver refuses encodings for which it has no codec, and would read messages as ASCII in
    # SQL_ASCII. So it does not hear of these and goes on reading messages as UTF-8, with
    # replacement characters at worst.
    statement = b"SET client_encoding TO " + SessionText(encoding).literal(encoding)
    execute(conn, statement, f"Could not set the session to the encoding {encoding}")


def _set(conn: Connection, settings: tuple[tuple[str, str, int], ...]) -> None:
    statements = [
        f"SET {name} = '{value}'" for name, value, since in settings if conn.server_version >= since
    ]
    execute(conn, "; ".join(statements), "Could not set up the session")
