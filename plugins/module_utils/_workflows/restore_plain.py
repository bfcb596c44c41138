# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""A plain SQL dump (Stash's, stock restic's, or ours of ``format: plain``) into a server.

It has no manifest, so nothing can be proved of its rows: only that it is whole, and that the server
took every statement.
"""

from __future__ import annotations

import contextlib
import typing as t

from .._core.errors import ConfigError, GranaryError, RepositoryDamaged, TargetNotEmpty
from .._core.units import listed, plural
from .._postgres.connection import MAINTENANCE_DATABASE, connect, connect_server
from .._postgres.layout import PLAIN_DUMP
from .._postgres.plain_stream import (
    TAIL_BYTES,
    PlainKind,
    check_rows_end,
    check_trailer,
    load_plain,
)
from .._postgres.restore_programs import find_script_program
from .._postgres.server import read_server
from .._postgres.session import execute, session_text
from .._postgres.target import (
    drop_database,
    is_empty,
    mark_restoring,
    read_target,
    unmark_restoring,
)
from .database_making import not_whole
from .pace import Pace
from .requests import RestoreResult, Stats

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from .._core.events import Events
    from .._postgres.model import ServerFacts
    from .._postgres.target import TargetServer
    from .requests import Plain, RestoreRequest
    from .restore_snapshot import Source

_HEAD_BYTES = 1 << 16
_SHOWN_ERRORS = 5
# How a dump says that it drops what it makes, or makes its database itself.
_MAKES_ITS_PLACE = (b"\nDROP ", b"\nCREATE DATABASE ", b"\n\\connect ")


class PlainRestore:
    """One dump on its way into a server."""

    def __init__(self, request: RestoreRequest, source: Source, events: Events) -> None:
        self._request = request
        self._source = source
        self._events = events
        self._settings = request.connection
        self._kind, self._head = self._look_at_ends()
        self._psql = find_script_program(self._request.bin_dir)

    def _look_at_ends(self) -> tuple[PlainKind, bytes]:
        files = self._source.files
        if files.missing_bytes(PLAIN_DUMP):
            raise RepositoryDamaged(
                f"Parts of {PLAIN_DUMP} are not in the repository any more; nothing was restored, "
                "choose another snapshot."
            )
        head = files.read_start(PLAIN_DUMP, _HEAD_BYTES)
        kind = check_trailer(head, files.read_end(PLAIN_DUMP, TAIL_BYTES))
        check_rows_end(files.blocks_from_end(PLAIN_DUMP))
        return kind, head

    @property
    def database(self) -> str:
        """Where psql connects to: the target itself for a dump of one database."""
        return self._request.into or self._settings.dbname or MAINTENANCE_DATABASE

    @property
    def _fills_a_database(self) -> bool:
        return self._kind is PlainKind.DATABASE and not any(
            word in self._head for word in _MAKES_ITS_PLACE
        )

    def plan(self) -> tuple[ServerFacts, TargetServer]:
        """Refuse what cannot work; raises ``TargetNotEmpty``, ``ConfigError``."""
        if self._request.into is not None and self._kind is PlainKind.CLUSTER:
            raise ConfigError(
                "The snapshot is a dump of a whole cluster, which names its databases itself; "
                "leave into out."
            )
        besides = self.database if self._request.clean else None
        with contextlib.closing(connect_server(self._settings, besides=besides)) as conn:
            facts, target = read_server(conn), read_target(conn)
        there = target.databases.get(self.database)
        if self._fills_a_database and there and not self._request.clean and not there.restoring:
            with contextlib.closing(connect(self._settings, self.database)) as conn:
                if not is_empty(conn):
                    raise TargetNotEmpty(
                        f"Database {self.database!r} is not empty; use clean to drop it and make "
                        "it anew, or name another one by into."
                    )
        return facts, target

    def diff(self, target: TargetServer) -> dict[str, Plain]:
        """Return the database that the dump goes to, before and after; the script names no more."""
        before = [self.database] if self.database in target.databases else []
        return {"before": {"databases": [*before]}, "after": {"databases": [self.database]}}

    def load(self, facts: ServerFacts, target: TargetServer) -> None:
        """Load the dump; its database is marked meanwhile, if it is one that we can name."""
        if self._fills_a_database:
            self._make_place(target)
        try:
            forgiven = load_plain(
                self._psql,
                self._settings,
                self._blocks(),
                kind=self._kind,
                role=facts.role,
                server_major=facts.major,
                database=self.database,
                allow_errors=self._request.allow_errors,
            )
        except GranaryError:
            self._events.warn(self._not_whole())
            raise
        for words in forgiven:
            self._events.progress("forgiven", words=words)
        if forgiven and self._request.allow_errors:
            self._events.warn(
                f"The server refused {plural(len(forgiven), 'statement')} of the dump, which "
                f"allow_errors forgives: {listed(forgiven, _SHOWN_ERRORS, '; ')}."
            )
        if self._fills_a_database:
            with contextlib.closing(connect_server(self._settings)) as conn:
                unmark_restoring(conn, self.database)

    def _blocks(self) -> Iterator[bytes]:
        """Yield the dump, and say now and then how much of it is loaded."""
        pace, size = Pace(), 0
        for block in self._source.files.stream(PLAIN_DUMP):
            yield block
            size += len(block)
            if pace.due():
                whole = self._source.files[PLAIN_DUMP].size
                self._events.progress("dump_loaded", bytes=size, of_bytes=whole)

    def _not_whole(self) -> str:
        if self._fills_a_database:
            return not_whole(self.database)
        return (
            "The server holds a part of the dump, in databases that the dump itself has made: drop "
            "them before the same restore is made again."
        )

    def _make_place(self, target: TargetServer) -> None:
        there = target.databases.get(self.database)
        stays = there is not None and not (self._request.clean or there.restoring)
        besides = None if stays else self.database
        with contextlib.closing(connect_server(self._settings, besides=besides)) as conn:
            if not stays:
                if there is not None:
                    drop_database(conn, self.database)
                name = session_text(conn).identifier(self.database)
                doing = f"Could not make database {self.database!r}"
                execute(conn, b"CREATE DATABASE %b TEMPLATE template0" % name, doing)
            mark_restoring(conn, self.database, self._source.snapshot.id.hex())


def restore_plain(
    request: RestoreRequest, source: Source, events: Events, check_mode: bool
) -> RestoreResult:
    """Restore the snapshot's SQL dump; ``verified`` is always False.

    Raises ``RestoreFailed`` for a dump that is cut, before anything is loaded, and at the first
    error of the server that counts.
    """
    restore = PlainRestore(request, source, events)
    facts, target = restore.plan()
    if not check_mode:
        restore.load(facts, target)
    size = source.files[PLAIN_DUMP].size
    return RestoreResult(
        snapshot=source.summary(),
        verified=False,
        restore={"databases": [], "globals": False, "database": restore.database},
        diff=restore.diff(target),
        stats=Stats(read_bytes=size),
    )
