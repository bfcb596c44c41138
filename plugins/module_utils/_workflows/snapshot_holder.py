# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""The connection that owns an exported snapshot, kept busy and alive while others read.

It counts the small tables: it holds their locks already, so that workers need none (the server's
lock table is bounded), and a count costs less than pg_dump's reading of the same rows, which goes
on meanwhile.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import typing as t

from .._core.errors import GranaryError
from .._postgres.connection import connect
from .._postgres.copying import count_rows
from .._postgres.session import execute

if t.TYPE_CHECKING:
    from collections.abc import Sequence

    from .._postgres.connection import Connection
    from .._postgres.model import ConnectionSettings, Table

ALIVE_SECONDS = 30.0
STOP_SECONDS = 5.0


class SnapshotHolder:
    """A thread that owns ``connection`` from ``start`` until ``stop``."""

    def __init__(
        self, connection: Connection, tables: Sequence[Table], settings: ConnectionSettings
    ) -> None:
        self._connection = connection
        self._settings = settings
        self._dbname = connection.info.dbname
        self._pid = connection.info.backend_pid
        self._tables = tables
        self._counts: dict[tuple[str, str], int] = {}
        self._counted = threading.Event()
        self._stopping = threading.Event()
        self._error: GranaryError | None = None
        self._thread = threading.Thread(target=self._run, name="snapshot-holder", daemon=True)

    def start(self) -> None:
        """Begin to count."""
        self._thread.start()

    def _run(self) -> None:
        try:
            for table in self._tables:
                if self._stopping.is_set():
                    return
                self._counts[table.key] = count_rows(self._connection, table.key)
            self._counted.set()
            while not self._stopping.wait(ALIVE_SECONDS):
                execute(self._connection, "SELECT 1", "Could not keep the snapshot's connection")
        except GranaryError as exc:
            self._error = exc

    def check(self) -> None:
        """Raise what ended the thread too early: then the snapshot is lost as well."""
        if self._error is not None and not self._stopping.is_set():
            raise self._error

    @property
    def counted(self) -> bool:
        """Whether all tables are counted."""
        return self._counted.is_set()

    @property
    def counts(self) -> dict[tuple[str, str], int]:
        """Rows by schema and name; whole once ``counted``."""
        return self._counts

    def stop(self) -> None:
        """End a count that is running, and the thread; the connection is the caller's again, or is
        cut when it does not answer.
        """
        self._stopping.set()
        if self._thread.is_alive():
            if not self._counted.is_set():
                # In a thread, since it waits for the server without end.
                cancelling = threading.Thread(target=self._cancel, daemon=True)
                cancelling.start()
                cancelling.join(STOP_SECONDS)
            self._thread.join(STOP_SECONDS)
            if self._thread.is_alive():
                self._cut()
                self._thread.join()

    def _cancel(self) -> None:
        # Not by the driver's cancel(), which keeps the interpreter's lock while it waits.
        sql = f"SELECT pg_catalog.pg_cancel_backend({self._pid})"
        # A server that is gone has nothing to cancel.
        with (
            contextlib.suppress(GranaryError),
            contextlib.closing(connect(self._settings, self._dbname)) as conn,
        ):
            execute(conn, sql, "Could not cancel a count")

    def _cut(self) -> None:
        # Closing it would wait for the thread that uses it; this ends that thread's wait.
        with socket.socket(fileno=os.dup(self._connection.fileno())) as ours:
            ours.shutdown(socket.SHUT_RDWR)
