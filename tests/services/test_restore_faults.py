# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Restores that meet trouble: each ends with its cause, says that the database is not whole, leaves
the mark on it and nothing else, and the same restore made again succeeds.

A restore is stopped in its tracks by a lock that it has to wait for; trouble comes when it waits.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import signal
import subprocess
import tempfile
import typing as t
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import (
    Cancelled,
    GranaryError,
    PostgresError,
    ProgramError,
    RepositoryDamaged,
    RestoreFailed,
    SnapshotMissing,
    StorageUnavailable,
)
from ansible_collections.granary.postgres.plugins.module_utils._storage.model import S3Settings
from tests.fix_backup import HookedEvents, access, back_up_server, connection, files_of
from tests.fix_postgres import PostgresFactory, drop_database
from tests.fix_proxy import TcpProxyFactory
from tests.fix_repository import Place
from tests.fix_restore import (
    mark_of,
    restore_server,
    wait_for,
    workers_of,
)
from tests.process_tree import below, programs
from tests.restore_trouble import (
    BEGINS,
    HOLDS,
    RENAME,
    ROWS,
    SOURCE,
    Hold,
    Trouble,
    fails,
    is_whole,
    nothing_left,
)
from tests.testbed import folders
from tests.testbed.http_proxy import Fault, HttpProxy
from tests.testbed.postgres import PostgresServer
from tests.testbed.process import give_to, server_user
from tests.testbed.s3 import S3Server


@pytest.fixture(scope="module")
def server(postgres: PostgresFactory) -> PostgresServer:
    """Source and target at once."""
    server = postgres(15, settings={"cluster_name": "restore faults"})
    server.execute("CREATE ROLE app")
    server.execute("CREATE DATABASE origin")
    server.execute(SOURCE, database="origin")
    return server


@pytest.fixture(autouse=True)
def after_each(server: PostgresServer) -> Iterator[None]:
    yield
    server.start()
    drop_database(server, "shop")


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the engine keeps its temporary files."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture(scope="module")
def local(server: PostgresServer) -> Iterator[Place]:
    folder = folders.make_scratch()
    place = Place(where=folder / "repository", cache_dir=folder / "cache")
    _store(server, place)
    yield place
    folders.remove(folder)


@pytest.fixture(scope="module")
def remote(server: PostgresServer, s3_server: S3Server, tmp_path_factory: t.Any) -> Iterator[Place]:
    bucket = s3_server.make_bucket("restore-faults")
    place = Place(where=bucket, cache_dir=tmp_path_factory.mktemp("restic-cache"))
    _store(server, place)
    yield place
    s3_server.drop_bucket(bucket.name)


def _store(server: PostgresServer, place: Place) -> None:
    place.create().close()
    options: dict[str, t.Any] = {"segment_threshold": 1 << 20, "pack_size": 1 << 20}
    back_up_server(server, place, databases=["origin"], **options)


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
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in processes))
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


REFUSALS = [
    ("database_begun", "CREATE VIEW big_a AS SELECT 1", r'relation "big_a" already exists'),
    (
        "definitions_loaded",
        "ALTER TABLE big_a ADD CONSTRAINT first_rows CHECK (id > 10)",
        r"Could not load rows into table public\.big_a: .*constraint \"first_rows\"",
    ),
    (
        "definitions_loaded",
        f"ALTER TABLE big_b ADD CONSTRAINT last_row CHECK (id < {ROWS})",
        r"Could not load rows into table public\.big_b: .*constraint \"last_row\"",
    ),
    (
        "definitions_loaded",
        "ALTER TABLE small ADD CONSTRAINT of_small CHECK (id < 40)",
        r"the small tables' rows of database 'shop' failed: .*constraint \"of_small\"",
    ),
    (
        "rows_loaded",
        "DELETE FROM big_a WHERE id = 7",
        r"after the rows of database 'shop' failed: .*violates foreign key constraint",
    ),
    (
        "rows_loaded",
        "INSERT INTO big_a SELECT * FROM big_a WHERE id = 7",
        r"after the rows of database 'shop' failed: .*could not create unique index",
    ),
]


@pytest.mark.sampled("refusal", REFUSALS, 2, ids=lambda row: f"{row[0]}-{row[1][:24]}")
def test_the_servers_refusal_is_named_and_marked(
    server: PostgresServer,
    local: Place,
    scratch: Path,
    refusal: tuple[str, str, str],
) -> None:
    event, sql, words = refusal
    events = HookedEvents(event, lambda: server.execute(sql, database="shop"))
    fails(server, local, RestoreFailed, words, events)
    nothing_left(local, scratch)
    is_whole(server, local)


@pytest.fixture
def small_disk(server: PostgresServer) -> Iterator[Callable[[int], None]]:
    """Gives a function that moves the database of the restore to a disk of so many MiB."""
    folder = folders.make_scratch()

    def move(megabytes: int) -> None:
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", folder], check=True
        )
        give_to(folder, server_user())
        folder.chmod(0o700)
        server.execute(f"CREATE TABLESPACE small_disk LOCATION '{folder}'")
        server.execute("ALTER DATABASE shop SET TABLESPACE small_disk")

    yield move
    drop_database(server, "shop")
    server.execute("DROP TABLESPACE IF EXISTS small_disk")
    subprocess.run(["umount", folder], check=False)
    folders.remove(folder)


@pytest.mark.parametrize(
    ("megabytes", "table"), [(11, "rows"), pytest.param(26, "index", marks=pytest.mark.slow)]
)
def test_a_full_disk_is_named_and_marked(
    server: PostgresServer,
    local: Place,
    scratch: Path,
    small_disk: Callable[[int], None],
    *,
    megabytes: int,
    table: str,
) -> None:
    events = HookedEvents("database_begun", lambda: small_disk(megabytes))
    fails(server, local, RestoreFailed, "No space left on device", events)
    assert ("rows_loaded" in events.names) is (table == "index")
    nothing_left(local, scratch)
    # The retry makes the database anew, where the snapshot says.
    is_whole(server, local)


@contextlib.contextmanager
def _spoilt(place: Place, *, flip: bool) -> Iterator[Callable[[], None]]:
    """Gives a function that takes the packs away, or changes every byte; undone at the end."""
    assert isinstance(place.where, Path)
    data, kept = place.where / "data", place.where.parent / "kept"

    def spoil() -> None:
        data.rename(kept)
        if flip:
            shutil.copytree(kept, data)
            for pack in data.rglob("*"):
                if pack.is_file():
                    pack.chmod(0o600)
                    pack.write_bytes(bytes(255 - byte for byte in pack.read_bytes()))

    try:
        yield spoil
    finally:
        if kept.exists():
            shutil.rmtree(data, ignore_errors=True)
            kept.rename(data)


SPOILT = [(flip, phase) for flip in (False, True) for phase in ("early", "half of the rows")]


@pytest.mark.sampled("spoilt", SPOILT, 1, ids=lambda row: f"{row[0]}-{row[1]}")
def test_packs_that_spoil_meanwhile_are_named_and_marked(
    server: PostgresServer,
    local: Place,
    scratch: Path,
    spoilt: tuple[bool, str],
) -> None:
    flip, phase = spoilt
    with _spoilt(local, flip=flip) as spoil:
        if phase == "early":
            events = HookedEvents("database_begun", spoil)
            fails(server, local, RepositoryDamaged, r"data/[0-9a-f]{2}/[0-9a-f]{64}", events)
        else:
            trouble = Trouble(server, phase, lambda server: spoil(), release=True)
            fails(server, local, RepositoryDamaged, r"data/[0-9a-f]{2}/[0-9a-f]{64}", trouble)
    nothing_left(local, scratch)
    is_whole(server, local)


def test_packs_that_are_gone_before_are_found_before_anything_is_made(
    server: PostgresServer, local: Place
) -> None:
    assert isinstance(local.where, Path)
    largest = max((local.where / "data").rglob("*"), key=lambda path: path.stat().st_size)
    aside = local.where.parent / "aside"
    largest.rename(aside)
    events = HookedEvents()
    try:
        with pytest.raises(SnapshotMissing, match="None of 1 snapshot is whole"):
            restore_server(server, local, rename=RENAME, events=events)
    finally:
        aside.rename(largest)
    assert [said for said in events.warnings if "is not what was backed up: " in said]
    assert server.execute("SELECT datname FROM pg_database WHERE datname = 'shop'") == []


S3_FAULTS = [
    Fault(kind="answer", status=500),
    Fault(kind="answer", status=503),
    Fault(kind="cut"),
    Fault(kind="short_body"),
    Fault(kind="stall"),
]
UNREACHABLE = [(fault, phase) for fault in S3_FAULTS for phase in ("early", "late")]


@pytest.mark.sampled(
    "unreachable", UNREACHABLE, 2, ids=lambda row: f"{row[0].kind}-{row[0].status}-{row[1]}"
)
def test_an_unreachable_repository_is_named_and_marked(
    server: PostgresServer,
    remote: Place,
    scratch: Path,
    s3_proxy: HttpProxy,
    unreachable: tuple[Fault, str],
) -> None:
    fault, phase = unreachable
    settings = remote.settings
    assert isinstance(settings, S3Settings)
    through = dataclasses.replace(settings, endpoint=s3_proxy.endpoint, read_timeout_s=1.0, tries=2)
    repository = dataclasses.replace(access(remote), settings=through)

    def arm() -> None:
        s3_proxy.add(
            dataclasses.replace(
                fault, method="GET", path="/data/", skip=2 if phase == "late" else 0
            )
        )

    events = HookedEvents("database_begun" if phase == "early" else "definitions_loaded", arm)
    fails(server, remote, StorageUnavailable, r"data/", events, repository=repository)
    assert ("definitions_loaded" in events.names) is (phase == "late")
    s3_proxy.clear()
    nothing_left(remote, scratch)
    is_whole(server, remote, repository=repository)


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


def test_a_plain_dump_that_the_server_refuses_leaves_the_mark(
    server: PostgresServer, local_place: Place
) -> None:
    local_place.create().close()
    back_up_server(server, local_place, databases=["origin"], format="plain")
    server.execute("ALTER ROLE app RENAME TO somebody")
    events = HookedEvents()
    try:
        with pytest.raises(RestoreFailed, match='role "app" does not exist'):
            restore_server(server, local_place, into="shop", events=events)
    finally:
        server.execute("ALTER ROLE somebody RENAME TO app")
    assert mark_of(server, "shop") is not None
    assert [said for said in events.warnings if "'shop' is not whole" in said]
    assert not restore_server(server, local_place, into="shop").verified
    assert mark_of(server, "shop") is None
    assert server.execute("SELECT count(*) FROM big_b", database="shop") == [(ROWS,)]


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
            wait_for(lambda: server.execute(sql))
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
