# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""DDL that comes while a backup reads: it waits, harms nothing, can make the backup give way."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import time
import typing as t
from collections.abc import Callable, Iterator

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import (
    BackupYielded,
    TableLocksRefused,
)
from ansible_collections.granary.postgres.plugins.module_utils._postgres.connection import (
    PROGRAM_SUFFIX,
)
from ansible_collections.granary.postgres.plugins.module_utils._postgres.model import (
    ConnectionSettings,
)
from tests.fix_backup import (
    HookedEvents,
    back_up_server,
    connection,
    files_of,
    in_background,
    read_manifest,
    tables_of,
)
from tests.fix_postgres import Database, DatabaseFactory
from tests.fix_proxy import TcpProxyFactory
from tests.fix_repository import Place
from tests.testbed.postgres import PostgresServer
from tests.testbed.tcp_proxy import TcpProxy
from tests.waiting import wait_for

_PATIENCE = 25.0
_ROWS, _BIG = 200, 120_000
_SLOW_BYTES_PER_S = 2 << 20
_APPLICATION = "the application"
YIELD_AFTER, MARGIN = 2, 3

WAITING = {
    "altered": "ALTER TABLE altered ALTER COLUMN mark TYPE bigint",
    "truncated": "TRUNCATE truncated",
    "dropped": "DROP TABLE dropped",
    "compacted": "VACUUM FULL compacted",
    "reindexed": "REINDEX TABLE reindexed",
    "big": "REINDEX TABLE big",
}
"""What must wait for the end of the backup, by the table it is about."""


def _fill(database: Database) -> None:
    for table in WAITING:
        rows = _BIG if table == "big" else _ROWS
        database.execute(
            f"CREATE TABLE {table} (id int PRIMARY KEY, mark int, note text);"
            f"INSERT INTO {table} SELECT i, 1, repeat(md5(i::text), 4)"
            f" FROM generate_series(1, {rows}) i"
        )


def _reading(server: PostgresServer, database: str) -> bool:
    sql = (
        "SELECT 1 FROM pg_stat_activity WHERE datname = %s AND state = 'active'"
        " AND query LIKE 'COPY (SELECT%%'"
    )
    return bool(server.execute(sql, [database]))


def _waiting(server: PostgresServer) -> int:
    ((count,),) = server.execute(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE application_name = %s AND wait_event_type = 'Lock'",
        [_APPLICATION],
    )
    return int(count)


def _through(port: int, server: PostgresServer) -> ConnectionSettings:
    return ConnectionSettings(host=server.host, port=port, user=server.user)


class Statement:
    """One statement of the application's in a session of its own; an error fails the test."""

    def __init__(self, server: PostgresServer, database: str, sql: str) -> None:
        self._conn = server.connect(database, application_name=_APPLICATION)
        self._sql = sql
        self.seconds = 0.0
        self.error: str | None = "did not end"
        self._thread = in_background(self._run)

    def _run(self) -> None:
        import psycopg2

        started = time.monotonic()
        try:
            with contextlib.closing(self._conn), self._conn.cursor() as cursor:
                cursor.execute(self._sql)
            self.error = None
        except psycopg2.Error as exc:
            self.error = f"{exc.pgcode} {exc}"
        self.seconds = time.monotonic() - started

    def finish(self) -> Statement:
        """Wait for its end, which must be a good one."""
        self._thread.join(_PATIENCE)
        assert self.error is None, f"{self._sql}: {self.error}"
        return self


@contextlib.contextmanager
def _stalled(proxy: TcpProxy) -> Iterator[None]:
    """Let nothing through meanwhile, and afterwards everything at full speed."""
    proxy.stall()
    try:
        yield
    finally:
        proxy.slow(1e9)
        proxy.resume()


@contextlib.contextmanager
def _meanwhile(work: Callable[[], None]) -> Iterator[None]:
    """Run a thread beside the block; what it raises fails the test."""
    failures: list[BaseException] = []

    def guarded() -> None:
        try:
            work()
        except BaseException as exc:  # raised again by the test's own thread
            failures.append(exc)

    thread = threading.Thread(target=guarded)
    thread.start()
    try:
        yield
    finally:
        thread.join(_PATIENCE)
    if failures:
        raise failures[0]


@pytest.mark.sampled(
    "threshold", [0, 1 << 20], 1, ids=lambda size: f"{'big' if size else 'all'} taken over"
)
def test_ddl_in_mid_backup_waits_and_every_row_is_there(
    database: Database, local_place: Place, tcp_proxy: TcpProxyFactory, threshold: int
) -> None:
    server = database.server
    _fill(database)
    local_place.create().close()
    proxy = tcp_proxy(server.port)
    proxy.slow(_SLOW_BYTES_PER_S)
    statements: list[Statement] = []
    made: list[Statement] = []

    def alter() -> None:
        wait_for(lambda: _reading(server, database.name), "the reading")
        with _stalled(proxy):
            statements.extend(Statement(server, database.name, sql) for sql in WAITING.values())
            wait_for(lambda: _waiting(server) == len(WAITING), "all to wait")
            made.append(Statement(server, database.name, "CREATE TABLE made AS SELECT 1").finish())

    with _meanwhile(alter):
        back_up_server(
            server,
            local_place,
            connection=_through(proxy.port, server),
            databases=[database.name],
            segment_threshold=threshold,
        )
    for statement in statements:
        statement.finish()
    tables = tables_of(read_manifest(local_place), database.name)
    assert {name: table["rows"] for name, table in tables.items()} == {
        f"public.{table}": _BIG if table == "big" else _ROWS for table in WAITING
    }
    assert tables["public.altered"]["taken_over"] == (threshold == 0)
    assert database.execute("SELECT count(*) FROM truncated") == [(0,)]
    assert len(made) == 1


def test_a_backup_gives_way_within_its_time(
    database: Database, local_place: Place, tcp_proxy: TcpProxyFactory
) -> None:
    server = database.server
    _fill(database)
    local_place.create().close()
    proxy = tcp_proxy(server.port)
    proxy.slow(_SLOW_BYTES_PER_S)
    statements: list[Statement] = []

    def alter() -> None:
        wait_for(lambda: _reading(server, database.name), "the reading")
        proxy.slow(_SLOW_BYTES_PER_S / 8)
        statements.append(Statement(server, database.name, WAITING["altered"]))

    with _meanwhile(alter), pytest.raises(BackupYielded, match="gave way"):
        back_up_server(
            server,
            local_place,
            connection=_through(proxy.port, server),
            databases=[database.name],
            yield_after=YIELD_AFTER,
        )
    seconds = statements[0].finish().seconds
    print(f"yield_after {YIELD_AFTER} s: the ALTER TABLE took {seconds:.1f} s")
    assert YIELD_AFTER <= seconds < YIELD_AFTER + MARGIN
    assert files_of(local_place, "snapshots") == {}
    assert files_of(local_place, "locks") == {}
    back_up_server(server, local_place, databases=[database.name], yield_after=YIELD_AFTER)


def test_who_waits_for_another_backup_is_not_ours_to_give_way_to(
    database: Database,
    fresh_database: DatabaseFactory,
    local_place: Place,
    tcp_proxy: TcpProxyFactory,
) -> None:
    server = database.server
    other = Database(server, fresh_database(server))
    _fill(database)
    _fill(other)
    local_place.create().close()
    proxy = tcp_proxy(server.port)
    proxy.slow(_SLOW_BYTES_PER_S)
    another = multiprocessing.get_context("fork").Process(
        target=back_up_server,
        args=(server, local_place),
        kwargs={
            "connection": _through(proxy.port, server),
            "databases": [other.name],
            "host": "another",
        },
    )
    another.start()
    wait_for(lambda: _reading(server, other.name), "the reading")
    with _stalled(proxy):
        statement = Statement(server, other.name, WAITING["altered"])
        wait_for(lambda: _waiting(server) == 1, "one to wait")
        result = back_up_server(server, local_place, databases=[database.name], yield_after=0)
        assert _waiting(server) == 1
    another.join(_PATIENCE)
    assert another.exitcode == 0
    statement.finish()
    assert result.stats.rows == (len(WAITING) - 1) * _ROWS + _BIG
    assert len(files_of(local_place, "snapshots")) == 2


@contextlib.contextmanager
def _holding(database: Database, sql: str) -> Iterator[t.Any]:
    """A transaction of the application that has run `sql` and stays open."""
    conn = database.server.connect(database.name, application_name=_APPLICATION)
    with contextlib.closing(conn), conn.cursor() as cursor:
        cursor.execute(f"BEGIN; SET deadlock_timeout = '100ms'; {sql}")
        yield cursor


HELD = {
    "view": "CREATE OR REPLACE VIEW seen AS SELECT id FROM altered",
    "sequence": "ALTER SEQUENCE numbers OWNER TO CURRENT_USER",
    "index": "REINDEX TABLE altered",
    "table": "ALTER TABLE reindexed ADD COLUMN x int",
}


@pytest.mark.sampled("held", list(HELD), 2)
def test_a_transaction_that_wants_more_is_no_deadlocks_victim(
    database: Database, local_place: Place, held: str
) -> None:
    _fill(database)
    database.execute("CREATE VIEW seen AS SELECT id FROM altered; CREATE SEQUENCE numbers")
    local_place.create().close()
    seen = threading.Event()
    events = HookedEvents("table_locks_retry", seen.set)

    with _holding(database, HELD[held]) as cursor:

        def alter() -> None:
            assert seen.wait(_PATIENCE)
            cursor.execute("ALTER TABLE altered ADD COLUMN more int; COMMIT")

        with _meanwhile(alter):
            result = back_up_server(
                database.server,
                local_place,
                databases=[database.name],
                events=events,
                segment_threshold=0,
            )
    assert result.stats.rows == (len(WAITING) - 1) * _ROWS + _BIG


def _program_sessions(server: PostgresServer) -> list[int]:
    """The processes that serve our client programs."""
    sql = "SELECT pid FROM pg_stat_activity WHERE right(application_name, %s) = %s"
    return [pid for (pid,) in server.execute(sql, [len(PROGRAM_SUFFIX), PROGRAM_SUFFIX])]


def _awaited(server: PostgresServer) -> bool:
    """Tell whether a backup waits for the end of a session."""
    sql = "SELECT 1 FROM pg_stat_activity WHERE query LIKE 'SELECT pg_catalog.pg_sleep(%'"
    return bool(server.execute(sql))


def test_an_attempt_is_over_only_when_its_programs_sessions_are(
    database: Database, local_place: Place
) -> None:
    server = database.server
    database.execute("CREATE TABLE altered (id int); CREATE VIEW seen AS SELECT id FROM altered")
    local_place.create().close()
    given_up = threading.Event()
    left: list[int] = []

    def hold_one_up() -> None:
        pid = wait_for(lambda: _program_sessions(server), "a session of pg_dump")[0]
        os.kill(pid, signal.SIGSTOP)
        try:
            wait_for(lambda: given_up.is_set() or _awaited(server), "the end of the attempt")
        finally:
            os.kill(pid, signal.SIGCONT)

    with _holding(database, HELD["view"]) as cursor, _meanwhile(hold_one_up):

        def look() -> None:
            left.extend(_program_sessions(server))
            given_up.set()
            cursor.execute("COMMIT")

        events = HookedEvents("table_locks_retry", look)
        back_up_server(server, local_place, databases=[database.name], events=events)
    assert given_up.is_set()
    assert left == []


@pytest.mark.sampled("held", list(HELD), 2)
def test_who_is_in_the_way_for_too_long_is_named(
    database: Database, local_place: Place, held: str
) -> None:
    database.execute(
        "CREATE TABLE altered (id int PRIMARY KEY, note text); CREATE TABLE reindexed ();"
        "CREATE VIEW seen AS SELECT id FROM altered; CREATE SEQUENCE numbers"
    )
    local_place.create().close()
    with (
        _holding(database, HELD[held]),
        pytest.raises(TableLocksRefused, match=rf"stayed locked for 1 s by .*{_APPLICATION}"),
    ):
        back_up_server(database.server, local_place, databases=[database.name], lock_timeout=1)
    assert files_of(local_place, "snapshots") == {}
    assert connection(database.server).application_name == "granary"
