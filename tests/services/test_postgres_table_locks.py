# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Table locks against real servers whose sessions alter, truncate, create and drop meanwhile."""

from __future__ import annotations

import contextlib
import threading
import typing as t
from collections.abc import Callable, Iterator

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import (
    PostgresError,
    RightsMissing,
    ServerUnreachable,
    TableLocksRefused,
)
from ansible_collections.granary.postgres.plugins.module_utils._postgres.catalog import (
    list_table_files,
)
from ansible_collections.granary.postgres.plugins.module_utils._postgres.connection import (
    PROGRAM_SUFFIX,
    connect,
)
from ansible_collections.granary.postgres.plugins.module_utils._postgres.copying import count_rows
from ansible_collections.granary.postgres.plugins.module_utils._postgres.lock_capacity import (
    check_lock_capacity,
)
from ansible_collections.granary.postgres.plugins.module_utils._postgres.lock_queue import LockQueue
from ansible_collections.granary.postgres.plugins.module_utils._postgres.model import (
    ConnectionSettings,
)
from ansible_collections.granary.postgres.plugins.module_utils._postgres.relation_wait import (
    end_programs,
)
from ansible_collections.granary.postgres.plugins.module_utils._postgres.server import read_server
from ansible_collections.granary.postgres.plugins.module_utils._postgres.session import (
    execute,
    fetch,
    prepare_dump_session,
)
from ansible_collections.granary.postgres.plugins.module_utils._postgres.table_locks import (
    LockedDatabase,
    acquire_table_locks,
    join_snapshot,
    lock_tables,
)
from tests.fix_postgres import Database, PostgresFactory
from tests.waiting import wait_for

if t.TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection

    from ansible_collections.granary.postgres.plugins.module_utils._core.events import Field

ROUNDS = 30


class Recorded:
    """Keeps what the engine tells."""

    def __init__(self) -> None:
        self.reasons: list[str] = []

    def progress(self, event: str, **fields: Field) -> None:
        self.reasons.append(f"{event}: {fields.get('reason')}")

    def warn(self, message: str) -> None:
        self.reasons.append(message)


def settings_of(database: Database, user: str | None = None) -> ConnectionSettings:
    server = database.server
    return ConnectionSettings(host=server.host, port=server.port, user=user or server.user)


@contextlib.contextmanager
def locked(database: Database, **options: t.Any) -> Iterator[LockedDatabase]:
    held = acquire_table_locks(settings_of(database), database.name, **options)
    try:
        yield held
    finally:
        held.connection.close()


@contextlib.contextmanager
def session(database: Database, name: str = "an application") -> Iterator[Connection]:
    conn = connect(settings_of(database), database.name, application_name=name)
    try:
        yield conn
    finally:
        conn.close()


@contextlib.contextmanager
def in_background(work: Callable[[], None]) -> Iterator[threading.Thread]:
    failures: list[BaseException] = []

    def guarded() -> None:
        try:
            work()
        except BaseException as exc:  # shown by the test's own thread
            failures.append(exc)

    thread = threading.Thread(target=guarded)
    thread.start()
    try:
        yield thread
    finally:
        thread.join()
    if failures:
        raise failures[0]


def waits_for_a_lock(database: Database, application: str) -> bool:
    return bool(
        database.execute(
            "SELECT 1 FROM pg_stat_activity"
            " WHERE application_name = %s AND wait_event_type = 'Lock'",
            [application],
        )
    )


@pytest.mark.pg_majors(13, 14, 15, 16, 17, 18)
def test_a_worker_sees_the_snapshot_and_what_comes_later_is_not_in_it(database: Database) -> None:
    database.execute("CREATE TABLE t AS SELECT 1 AS a")
    database.execute('CREATE TABLE "p\'q" (a int) PARTITION BY LIST (a)')
    with locked(database) as held, session(database) as conn:
        database.execute("INSERT INTO t VALUES (2); CREATE TABLE later (a int)")
        assert sorted(table.name for table in held.tables) == ["p'q", "t"]
        assert held.lsn != "0/0"
        prepare_dump_session(conn)
        join_snapshot(conn, held.snapshot_id)
        lock_tables(conn, held.tables)
        assert count_rows(conn, ("public", "t")) == 1


def test_a_locked_table_is_waited_for_with_empty_hands(database: Database) -> None:
    database.execute("CREATE TABLE a (i int); CREATE TABLE b (i int)")
    events = Recorded()
    with session(database, "migration") as conn:
        execute(conn, "BEGIN; ALTER TABLE public.b ADD COLUMN more int")

        def back_up() -> None:
            with locked(database, application_name="backup", events=events) as held:
                columns = {table.name: table.columns for table in held.tables}
                assert columns == {"a": ("i",), "b": ("i", "more")}

        with in_background(back_up):
            wait_for(lambda: waits_for_a_lock(database, "backup"), "a wait")
            # Nobody is kept from anything by a backup that waits.
            database.execute("SET lock_timeout = '1s'; ALTER TABLE a ADD COLUMN free int; ")
            database.execute("ALTER TABLE a DROP COLUMN free")
            execute(conn, "COMMIT")
    assert events.reasons == ["table_locks_retry: table public.b was locked by others"]


def test_who_holds_the_lock_is_named(database: Database) -> None:
    database.execute("CREATE TABLE busy (i int)")
    with session(database, "night migration") as conn:
        holder = conn.info.backend_pid
        execute(conn, "BEGIN; LOCK TABLE public.busy IN ACCESS EXCLUSIVE MODE")
        with (
            pytest.raises(TableLocksRefused) as caught,
            locked(database, lock_timeout_seconds=0.2),
        ):
            pass
    message = str(caught.value)
    assert "Table public.busy stayed locked for 0.2 s" in message
    assert f"pid {holder} (application night migration" in message
    assert "LOCK TABLE public.busy" in message
    assert caught.value.retryable


def test_a_session_that_waits_for_its_own_lock_counts_as_the_holder(database: Database) -> None:
    database.execute("CREATE TABLE busy (i int)")
    with session(database, "reader") as reader, session(database, "ddl") as ddl:
        execute(reader, "BEGIN; SELECT * FROM public.busy")
        with in_background(lambda: execute(ddl, "ALTER TABLE public.busy ADD COLUMN x int")):
            wait_for(lambda: waits_for_a_lock(database, "ddl"), "a wait")
            with (
                pytest.raises(TableLocksRefused, match=r"application ddl.*waiting itself"),
                locked(database, lock_timeout_seconds=0.2),
            ):
                pass
            execute(reader, "COMMIT")


def test_a_prepared_transaction_is_named(private_postgres: PostgresFactory, pg_major: int) -> None:
    server = private_postgres(pg_major, settings={"max_prepared_transactions": "2"})
    database = Database(server, "postgres")
    database.execute("CREATE TABLE busy (i int)")
    with session(database) as conn:
        execute(conn, "BEGIN; LOCK TABLE public.busy IN ACCESS EXCLUSIVE MODE")
        execute(conn, "PREPARE TRANSACTION 'x'")
    with (
        pytest.raises(TableLocksRefused, match="by a prepared transaction"),
        locked(database, lock_timeout_seconds=0.2),
    ):
        pass


def test_a_worker_does_not_queue_behind_ddl(database: Database) -> None:
    database.execute("CREATE TABLE t (i int)")
    with (
        locked(database) as held,
        session(database, "ddl") as ddl,
        session(database) as worker,
        in_background(lambda: execute(ddl, "ALTER TABLE public.t ADD COLUMN x int")),
    ):
        wait_for(lambda: waits_for_a_lock(database, "ddl"), "a wait")
        prepare_dump_session(worker)
        join_snapshot(worker, held.snapshot_id)
        with pytest.raises(TableLocksRefused, match=r"public\.t"):
            lock_tables(worker, held.tables)
        held.connection.close()


@pytest.mark.pg_majors(13, 18)
def test_the_longest_wait_behind_us_is_known(database: Database) -> None:
    database.execute("CREATE TABLE t (i int)")
    with locked(database, application_name="run 7") as held, session(database, "ddl") as ddl:
        queue = LockQueue(held.connection, "run 7")
        others = LockQueue(held.connection, "run 8")
        assert queue.longest_wait_seconds() == 0
        with in_background(lambda: execute(ddl, "TRUNCATE public.t")):
            wait_for(lambda: queue.longest_wait_seconds() > 0.3, "a long wait")
            assert queue.longest_wait_seconds() < 20
            assert others.longest_wait_seconds() == 0
            held.connection.close()


@pytest.mark.pg_majors(13, 18)
def test_no_lock_of_a_killed_program_outlives_the_attempt(database: Database) -> None:
    database.execute("CREATE TABLE t (i int)")
    with (
        locked(database, application_name="run 7") as held,
        session(database, f"run 7{PROGRAM_SUFFIX}") as dump,
        session(database, f"run 8{PROGRAM_SUFFIX}") as other,
    ):
        for program in (dump, other):
            execute(program, "BEGIN; LOCK TABLE public.t IN ACCESS SHARE MODE")
        end_programs(held.connection, "run 7")
        with pytest.raises(PostgresError, match="terminat"):
            execute(dump, "SELECT 1")
        execute(other, "SELECT 1")


def test_a_table_that_may_not_be_read_is_a_question_of_rights(database: Database) -> None:
    database.execute("DROP ROLE IF EXISTS locker; CREATE ROLE locker LOGIN; CREATE TABLE t (i int)")
    with pytest.raises(RightsMissing, match="permission denied"):
        acquire_table_locks(settings_of(database, "locker"), database.name)


def test_the_lock_table_is_computed_with_numbers(database: Database) -> None:
    database.execute("CREATE TABLE t (i int PRIMARY KEY)")
    with session(database) as conn:
        facts = read_server(conn)
        tables = list(list_table_files(conn).values())
    check_lock_capacity(facts, tables, workers=4)
    many = tables * facts.lock_table_entries
    with pytest.raises(TableLocksRefused, match="max_locks_per_transaction") as caught:
        check_lock_capacity(facts, many, workers=4)
    assert caught.value.details == {
        "needed": len(many) * (3 + 4) + len(many) * (1 + 4),
        "available": 2 * facts.lock_table_entries,
    }


def test_a_standby_is_locked_and_read(private_postgres: PostgresFactory, pg_major: int) -> None:
    primary = private_postgres(pg_major)
    primary.execute("CREATE TABLE t AS SELECT 1 AS a")
    standby = primary.standby()
    try:
        standby.wait_for_replay(primary)
        database = Database(standby, "postgres")
        with locked(database) as held, session(database) as worker:
            prepare_dump_session(worker)
            join_snapshot(worker, held.snapshot_id)
            lock_tables(worker, held.tables)
            assert count_rows(worker, ("public", "t")) == 1
    finally:
        standby.close()


def test_a_server_that_is_killed_ends_the_attempt(private_postgres: PostgresFactory) -> None:
    server = private_postgres(18)
    database = Database(server, "postgres")
    database.execute("CREATE TABLE t (i int)")
    with session(database) as conn:
        execute(conn, "BEGIN; LOCK TABLE public.t IN ACCESS EXCLUSIVE MODE")

        def back_up() -> None:
            with pytest.raises(ServerUnreachable), locked(database, application_name="backup"):
                pass

        with in_background(back_up):
            wait_for(lambda: waits_for_a_lock(database, "backup"), "a wait")
            server.kill()


CHANGES = (
    "ALTER TABLE public.rewritten ALTER COLUMN a TYPE {kind}",
    "TRUNCATE public.refilled; INSERT INTO public.refilled SELECT generate_series(1, 1000)",
    "DROP TABLE public.volatile; CREATE TABLE public.volatile AS SELECT generate_series(1, 1000)",
    "VACUUM FULL public.rewritten",
)


def test_no_row_is_missed_while_others_rewrite_truncate_create_and_drop(database: Database) -> None:
    database.execute(
        "CREATE TABLE rewritten AS SELECT generate_series(1, 1000)::int AS a;"
        "CREATE TABLE refilled AS SELECT generate_series(1, 1000) AS a;"
        "CREATE TABLE volatile AS SELECT generate_series(1, 1000) AS a"
    )
    done = threading.Event()
    changes = 0

    def change() -> None:
        nonlocal changes
        with session(database, "churn") as conn:
            while not done.is_set():
                for change in CHANGES:
                    kind = "bigint" if changes % 2 else "int"
                    one_transaction = not change.startswith("VACUUM")
                    sql = change.format(kind=kind)
                    execute(conn, f"BEGIN; {sql}; COMMIT" if one_transaction else sql)
                changes += 1

    events = Recorded()
    with in_background(change):
        try:
            for dummy in range(ROUNDS):
                with locked(database, events=events) as held:
                    counts = {
                        table.name: count_rows(held.connection, table.key) for table in held.tables
                    }
                assert counts == {"rewritten": 1000, "refilled": 1000, "volatile": 1000}
                wait_for(next_change(lambda: changes), "a change")
            wait_for(lambda: refused_at_once(database), "a refusal")
        finally:
            done.set()
    assert changes >= ROUNDS
    assert fetch_deadlocks(database) == 0


def refused_at_once(database: Database) -> bool:
    try:
        with locked(database, attempts=1, lock_timeout_seconds=0.001):
            return False
    except TableLocksRefused as exc:
        return "meanwhile" in str(exc) or "locked" in str(exc)


def next_change(count: Callable[[], int]) -> Callable[[], bool]:
    before = count()
    return lambda: count() > before


def fetch_deadlocks(database: Database) -> int:
    with session(database) as conn:
        sql = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
        return int(fetch(conn, sql)[0][0])
