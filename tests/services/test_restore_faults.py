# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Restores whose processes or sessions end: each ends with its cause, says that the database is not
whole, leaves the mark on it and nothing else, and the same restore made again succeeds.

A restore is stopped in its tracks by a lock that it has to wait for; trouble comes when it waits.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import typing as t
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import (
    Cancelled,
    GranaryError,
    PostgresError,
    ProgramError,
    RestoreFailed,
)
from tests.fix_backup import HookedEvents, connection, files_of
from tests.fix_proxy import TcpProxyFactory
from tests.fix_repository import Place
from tests.fix_restore import mark_of, restore_server, workers_of
from tests.fix_restore_trouble import (
    BEGINS,
    HOLDS,
    RENAME,
    ROWS,
    Hold,
    Trouble,
    fails,
    is_whole,
    nothing_left,
)
from tests.process_tree import below, programs
from tests.testbed.postgres import PostgresServer
from tests.waiting import wait_for

pytestmark = pytest.mark.usefixtures("shop_dropped")


@pytest.fixture(scope="module")
def server(origin: PostgresServer) -> PostgresServer:
    return origin


@pytest.fixture(scope="module")
def local(origin_place: Place) -> Place:
    return origin_place


@pytest.fixture
def scratch(engine_scratch: Path) -> Path:
    return engine_scratch


def _signal_pg_restore(number: signal.Signals) -> Callable[[PostgresServer], None]:
    return lambda server: os.kill(min(programs("pg_restore")), number)


def _signal_worker(number: signal.Signals) -> Callable[[PostgresServer], None]:
    return lambda server: os.kill(workers_of(os.getpid())[-1], number)


def _ask_to_stop(server: PostgresServer) -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def _stop_server(server: PostgresServer) -> None:
    server.stop("immediate")


def _end_sessions(server: PostgresServer) -> None:
    server.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'shop'"
        " AND wait_event_type = 'Lock'"
    )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    phase: str
    action: Callable[[PostgresServer], None]
    error: type[GranaryError]
    words: str
    name: str

    def __str__(self) -> str:
        return f"{self.phase}-{self.name}"


KILL, TERM = signal.SIGKILL, signal.SIGTERM
_ENDED = (
    r"(server closed the connection|terminating connection|connection to the server broke|lost)"
)
CASES = [
    *(
        Case(
            phase=phase,
            action=_signal_pg_restore(number),
            error=RestoreFailed,
            words=rf"Restoring .* of database 'shop' failed: .*({number.name}|terminated by user)",
            name=f"pg_restore {number.name}",
        )
        for phase in ("definitions", "first rows", "indexes")
        for number in (KILL, TERM)
    ),
    *(
        Case(
            phase=phase,
            action=_signal_worker(number),
            error=ProgramError,
            words=rf"A worker process \(pid \d+\) was ended by {number.name}",
            name=f"worker {number.name}",
        )
        for phase in ("first rows", "half of the rows", "proof")
        for number in (KILL, TERM)
    ),
    *(
        Case(phase=phase, action=action, error=error, words=words, name=name)
        for phase in HOLDS
        for action, error, words, name in (
            (_ask_to_stop, Cancelled, "asked to stop by SIGTERM", "coordinator SIGTERM"),
            (_stop_server, PostgresError, _ENDED, "server stopped"),
            (_end_sessions, PostgresError, _ENDED, "session ended"),
        )
    ),
]


@pytest.mark.sampled("case", CASES, 3)
def test_trouble_is_named_and_marked(
    server: PostgresServer, local: Place, scratch: Path, case: Case
) -> None:
    trouble = Trouble(server, case.phase, case.action)
    fails(server, local, case.error, case.words, trouble)
    nothing_left(local, scratch)
    is_whole(server, local)
    nothing_left(local, scratch)


@pytest.mark.parametrize("phase", ["first rows", pytest.param("indexes", marks=pytest.mark.slow)])
def test_a_cut_connection_is_named_and_marked(
    server: PostgresServer, local: Place, scratch: Path, tcp_proxy: TcpProxyFactory, phase: str
) -> None:
    proxy = tcp_proxy(server.port)
    through = dataclasses.replace(connection(server), port=proxy.port)
    trouble = Trouble(server, phase, lambda server: proxy.cut())
    fails(server, local, PostgresError, _ENDED + "|reset", trouble, connection=through)
    nothing_left(local, scratch)
    is_whole(server, local, connection=through)


KILLED_IN = ["definitions", "half of the rows", "indexes"]


@pytest.mark.sampled("phase", KILLED_IN, 1)
def test_a_killed_coordinator_leaves_no_process_and_no_lock(
    server: PostgresServer, local: Place, scratch: Path, phase: str
) -> None:
    reached, told = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:

        def pause() -> None:
            os.write(reached[1], b".")
            os.read(told[0], 1)

        with contextlib.suppress(BaseException):
            events = HookedEvents(BEGINS[phase], pause)
            restore_server(server, local, rename=RENAME, events=events)
        os._exit(0)
    os.read(reached[0], 1)
    hold = Hold(server, phase)
    os.write(told[1], b".")
    hold.wait()
    processes = list(below(child))
    assert len(processes) >= 3  # the lock's keeper and two workers
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    for descriptor in (*reached, *told):
        os.close(descriptor)
    hold.release()
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in processes), "their end")
    assert files_of(local, "locks") == {}
    assert list(scratch.iterdir()) == []
    assert mark_of(server, "shop") is not None
    is_whole(server, local)


def test_what_a_killed_restore_left_running_is_ended_by_the_next(
    server: PostgresServer, local: Place
) -> None:
    events = HookedEvents("rows_loaded", lambda: os.kill(os.getpid(), signal.SIGTERM))
    fails(server, local, Cancelled, "SIGTERM", events)
    orphan = server.connect("shop", application_name="granary program")
    with contextlib.closing(orphan):
        is_whole(server, local)


def test_sessions_of_others_in_a_marked_database_are_counted_not_ended(
    server: PostgresServer, local: Place
) -> None:
    events = HookedEvents("rows_loaded", lambda: os.kill(os.getpid(), signal.SIGTERM))
    fails(server, local, Cancelled, "SIGTERM", events)
    with contextlib.closing(server.connect("shop", application_name="psql")) as other:
        with pytest.raises(PostgresError, match=r"There is 1 other session using the database"):
            restore_server(server, local, rename=RENAME)
        with other.cursor() as cursor:
            cursor.execute("SHOW granary.restoring")
    assert mark_of(server, "shop") is not None
    is_whole(server, local)


def test_tables_beside_others_are_dropped_again(server: PostgresServer, local: Place) -> None:
    server.execute("CREATE DATABASE shop")
    server.execute("CREATE TABLE theirs AS SELECT 1 AS a", database="shop")
    before = _relations(server)
    options: dict[str, t.Any] = {"into": "shop", "databases": ("origin",)}
    tables = ("public.big_a", "public.small", "public.big_b")
    for phase in ("first rows", "indexes"):
        trouble = Trouble(server, phase, _signal_pg_restore(signal.SIGKILL), release=True)
        with pytest.raises(RestoreFailed, match="SIGKILL"):
            restore_server(server, local, tables=tables, events=trouble.events, **options)
        trouble.end()
        assert trouble.events.warnings == []
        assert _relations(server) == before
        assert mark_of(server, "shop") is None
    renamed = {"public.big_a": "new.a", "public.small": "public.also_new"}
    result = restore_server(server, local, tables=tables, rename_tables=renamed, **options)
    assert result.verified
    assert server.execute("SELECT count(*) FROM new.a", database="shop") == [(ROWS,)]


def _relations(server: PostgresServer) -> list[t.Any]:
    return server.execute(
        "SELECT nspname, relname FROM pg_namespace n LEFT JOIN pg_class c ON relnamespace = n.oid"
        " WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' ORDER BY 1, 2",
        database="shop",
    )


def test_a_table_that_somebody_makes_meanwhile_is_not_dropped(
    server: PostgresServer, local: Place
) -> None:
    server.execute("CREATE DATABASE shop")
    hold = server.connect("shop")
    with contextlib.closing(hold), hold.cursor() as cursor, ThreadPoolExecutor(1) as pool:
        # Seen by nobody until it is committed, but the same name has to wait for it.
        cursor.execute("BEGIN; CREATE TABLE small AS SELECT 4711 AS theirs")
        sql = "SELECT pid FROM pg_stat_activity WHERE datname = 'shop' AND wait_event_type = 'Lock'"

        def commit() -> None:
            wait_for(lambda: server.execute(sql), "a wait")
            cursor.execute("COMMIT")

        done = pool.submit(commit)
        with pytest.raises(RestoreFailed, match=r'"small" already exists|duplicate key'):
            restore_server(
                server,
                local,
                databases=("origin",),
                tables=("public.big_a", "public.small"),
                into="shop",
            )
        done.result(60)
    assert server.execute("SELECT theirs FROM small", database="shop") == [(4711,)]
    assert [name for dummy, name in _relations(server)] == ["small"]
