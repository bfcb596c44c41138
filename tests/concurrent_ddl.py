# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An application that alters, truncates, creates and drops tables while it is backed up.

Each actor keeps a row in the table `ledger`, written in the same transaction as its table: how
many rows the table holds and which `mark` all of them carry. Whatever a snapshot shows, table and
ledger must agree.

It runs in a process of its own, since the engine forks: `Application` is the test's end of it.
"""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import queue
import random
import threading
import time
import typing as t
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from tests.lock_watch import LockWatch, WaitReport

if t.TYPE_CHECKING:
    from multiprocessing.connection import Connection

    import psycopg2.extensions

APPLICATION = "the application"
SMALL, LARGE = 200, 9_000
"""Rows of a table; a large one has about 1.3 MB, a small one 30 KB."""

_PATIENCE_SECONDS = 60.0
_MADE_AT_MOST = 6
Turn = Callable[[random.Random], Iterator[str]]


def large(table: str) -> bool:
    """Whether it is one of the large tables, by its name."""
    return table.endswith("_large")


def _fill(table: str, rows: int, mark: str) -> str:
    return (
        f"INSERT INTO {table} (id, mark, note)"
        f" SELECT i, {mark}, repeat(md5(i::text), 4) FROM generate_series(1, {rows}) i"
    )


def _mark(table: str) -> str:
    return f"(SELECT mark + 1 FROM ledger WHERE name = '{table}')"


def _write_down(table: str, rows: int | None = None) -> str:
    count = "" if rows is None else f", rows = {rows}"
    return f"UPDATE ledger SET mark = mark + 1{count} WHERE name = '{table}'"


def rewrite(table: str) -> Turn:
    """ALTER TABLE that rewrites it."""

    def turn(chance: random.Random) -> Iterator[str]:
        kind = chance.choice(["int", "bigint", "numeric"])
        yield "BEGIN"
        yield f"ALTER TABLE {table} ALTER COLUMN mark TYPE {kind} USING mark + 1"
        yield _write_down(table)
        yield "COMMIT"

    return turn


def refill(table: str) -> Turn:
    """TRUNCATE and new rows in one transaction: nobody may ever see it empty."""

    def turn(chance: random.Random) -> Iterator[str]:
        yield "BEGIN"
        yield f"TRUNCATE {table} RESTART IDENTITY"
        yield _fill(table, LARGE if large(table) else SMALL, _mark(table))
        yield _write_down(table)
        yield chance.choice(["COMMIT", "COMMIT", "ROLLBACK"])

    return turn


def empty(table: str) -> Turn:
    """TRUNCATE in one transaction, new rows in the next."""

    def turn(chance: random.Random) -> Iterator[str]:
        yield "BEGIN"
        yield f"TRUNCATE {table}"
        yield _write_down(table, 0)
        yield "COMMIT"
        rows = LARGE if large(table) else SMALL
        yield "BEGIN"
        yield _fill(table, rows, _mark(table))
        yield _write_down(table, rows)
        yield "COMMIT"

    return turn


def compact(table: str) -> Turn:
    """VACUUM FULL or CLUSTER."""

    def turn(chance: random.Random) -> Iterator[str]:
        yield chance.choice([f"VACUUM FULL {table}", f"CLUSTER {table} USING {table}_pkey"])

    return turn


def replace(table: str) -> Turn:
    """A table of the same name in its place: dropped and made anew, or by renaming."""

    def turn(chance: random.Random) -> Iterator[str]:
        columns = f"(LIKE {table} INCLUDING ALL)"
        rows = LARGE if large(table) else SMALL
        yield "BEGIN"
        yield f"CREATE TABLE {table}_new {columns}"
        yield _fill(f"{table}_new", rows, _mark(table))
        if chance.random() < 0.5:
            yield f"ALTER TABLE {table} RENAME TO {table}_old"
            yield f"ALTER TABLE {table}_new RENAME TO {table}"
            yield f"DROP TABLE {table}_old"
        else:
            yield f"DROP TABLE {table}"
            yield f"ALTER TABLE {table}_new RENAME TO {table}"
        yield _write_down(table)
        yield "COMMIT"

    return turn


def make_and_drop(prefix: str) -> Turn:
    """New tables, and old ones dropped."""
    numbers = itertools.count(1)
    made: list[str] = []

    def turn(chance: random.Random) -> Iterator[str]:
        if made and (len(made) >= _MADE_AT_MOST or chance.random() < 0.4):
            table = made.pop(chance.randrange(len(made)))
            yield "BEGIN"
            yield f"DROP TABLE {table}"
            yield f"DELETE FROM ledger WHERE name = '{table}'"
            yield "COMMIT"
            return
        number = next(numbers)
        table = f"{prefix}_{number}" + chance.choice(["", "_large"])
        rows = LARGE if large(table) else chance.randrange(SMALL)
        yield "BEGIN"
        yield f"CREATE TABLE {table} (id int PRIMARY KEY, mark int, note text)"
        yield _fill(table, rows, str(number))
        yield f"INSERT INTO ledger VALUES ('{table}', {rows}, {number})"
        yield "COMMIT"
        made.append(table)

    return turn


def together(*tables: str) -> Turn:
    """Several tables rewritten in one transaction, in any order, slowly."""

    def turn(chance: random.Random) -> Iterator[str]:
        yield "BEGIN"
        for table in chance.sample(tables, len(tables)):
            yield f"ALTER TABLE {table} ALTER COLUMN mark TYPE bigint USING mark + 1"
            yield f"ALTER TABLE {table} ALTER COLUMN mark TYPE int"
            yield _write_down(table)
            yield f"SELECT pg_sleep({chance.uniform(0, 0.1)})"
        yield "COMMIT"

    return turn


def attach_and_detach(root: str, leaf: str) -> Turn:
    """A partition that comes and goes; its rows stay in it."""
    attached = itertools.cycle([True, False])

    def turn(chance: random.Random) -> Iterator[str]:
        yield "BEGIN"
        if next(attached):
            yield f"ALTER TABLE {root} DETACH PARTITION {leaf}"
        else:
            yield f"ALTER TABLE {root} ATTACH PARTITION {leaf} FOR VALUES FROM (1) TO (1000000)"
        yield f"UPDATE {leaf} SET mark = mark + 1"
        yield _write_down(leaf)
        yield "COMMIT"

    return turn


def around(table: str) -> Turn:
    """What pg_dump and queries look at besides tables, held while the table itself is wanted: a
    view, a sequence, an index.
    """

    def turn(chance: random.Random) -> Iterator[str]:
        yield "BEGIN"
        yield chance.choice([
            f"CREATE OR REPLACE VIEW {table}_seen AS SELECT id, {chance.random()}::float8 AS x"
            f" FROM {table}",
            f"ALTER SEQUENCE {table}_numbers OWNER TO CURRENT_USER",
            f"REINDEX TABLE {table}",
        ])  # fmt: skip
        yield f"SELECT pg_sleep({chance.uniform(0, 0.3)})"
        yield f"ALTER TABLE {table} ALTER COLUMN note SET NOT NULL"
        yield f"UPDATE {table} SET mark = mark + 1"
        yield _write_down(table)
        yield "COMMIT"

    return turn


_BOTH = ("small", "large")
TURNS: dict[str, Turn] = {
    **{f"rewritten_{size}": rewrite(f"rewritten_{size}") for size in _BOTH},
    **{f"refilled_{size}": refill(f"refilled_{size}") for size in _BOTH},
    **{f"emptied_{size}": empty(f"emptied_{size}") for size in _BOTH},
    **{f"compacted_{size}": compact(f"compacted_{size}") for size in _BOTH},
    **{f"replaced_{size}": replace(f"replaced_{size}") for size in _BOTH},
    **{f"around_{size}": around(f"around_{size}") for size in _BOTH},
    "made": make_and_drop("made"),
    "together": together("together_small", "together_large", "together_2_small"),
    "leaf": attach_and_detach("root", "leaf_small"),
    "pgbench": compact("pgbench_accounts"),
}


def schema() -> Iterator[str]:
    """What the actors begin with."""
    yield "CREATE TABLE ledger (name text PRIMARY KEY, rows bigint NOT NULL, mark bigint NOT NULL)"
    tables = [name for name in TURNS if name.endswith(("_small", "_large"))]
    for table in (*tables, "together_small", "together_large", "together_2_small", "leaf_small"):
        key = "id int" if table == "leaf_small" else "id int PRIMARY KEY"
        rows = LARGE if large(table) else SMALL
        yield f"CREATE TABLE {table} ({key}, mark bigint, note text)"
        yield _fill(table, rows, "1")
        yield f"INSERT INTO ledger VALUES ('{table}', {rows}, 1)"
    for table in ("around_small", "around_large"):
        yield f"CREATE VIEW {table}_seen AS SELECT id, random() AS x FROM {table}"
        yield f"CREATE SEQUENCE {table}_numbers"
    yield "CREATE TABLE root (id int, mark bigint, note text) PARTITION BY RANGE (id)"
    yield "CREATE TABLE rest PARTITION OF root DEFAULT"
    yield "ALTER TABLE root ATTACH PARTITION leaf_small FOR VALUES FROM (1) TO (1000000)"


@dataclass(slots=True)
class Report:
    """What the application saw."""

    turns: int = 0
    errors: list[str] = field(default_factory=list)
    waits: WaitReport = field(default_factory=WaitReport)


class _Actor(threading.Thread):
    """Takes its turn when poked, and now and then by itself."""

    def __init__(self, name: str, turn: Turn, dsn: str, seed: str) -> None:
        super().__init__(name=name, daemon=True)
        self.pokes: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self.errors: list[str] = []
        self.turns = 0
        self._turn = turn
        self._dsn = dsn
        self._chance = random.Random(seed)

    def run(self) -> None:
        """Take turns until told to stop."""
        with contextlib.closing(_connect(self._dsn)) as conn, conn.cursor() as cursor:
            while self._goes_on():
                self._take_turn(conn, cursor)

    def _goes_on(self) -> bool:
        with contextlib.suppress(queue.Empty):
            if not self.pokes.get(timeout=self._chance.uniform(5, 20)):
                return False
            # At the snapshot, or soon after it: pg_dump needs 0.2 s to get its locks.
            with contextlib.suppress(queue.Empty):
                return self.pokes.get(
                    timeout=self._chance.choice([0.02, 0.2, 1]) * self._chance.random()
                )
        return True

    def _take_turn(
        self, conn: psycopg2.extensions.connection, cursor: psycopg2.extensions.cursor
    ) -> None:
        import psycopg2

        sql = ""
        try:
            for sql in self._turn(self._chance):
                cursor.execute(sql)
        except psycopg2.Error as exc:
            self.errors.append(f"{self.name}: {sql}: {exc.pgcode} {exc}")
            if not conn.closed:
                cursor.execute("ROLLBACK")
        self.turns += 1


def _connect(dsn: str) -> psycopg2.extensions.connection:
    import psycopg2

    conn = psycopg2.connect(dsn, application_name=APPLICATION)
    conn.autocommit = True
    return conn


def _run(dsn: str, seed: str, link: Connection) -> None:
    """Be the application until the test says stop, or is gone."""
    actors = [_Actor(name, turn, dsn, f"{seed} {name}") for name, turn in TURNS.items()]
    chance = random.Random(seed)
    watch = LockWatch(_connect(dsn), ours="granary%")
    for thread in (watch, *actors):
        thread.start()
    with contextlib.suppress(EOFError):
        while (pokes := link.recv()) is not None:
            for actor in chance.sample(actors, pokes):
                actor.pokes.put(True)
    for actor in actors:
        actor.pokes.put(False)
    deadline = time.monotonic() + _PATIENCE_SECONDS
    for actor in actors:
        actor.join(max(0.0, deadline - time.monotonic()))
    errors = [error for actor in actors for error in actor.errors]
    errors += [f"{actor.name} hangs" for actor in actors if actor.is_alive()]
    with contextlib.suppress(OSError):
        turns = sum(actor.turns for actor in actors)
        link.send(Report(turns=turns, errors=errors, waits=watch.finish()))


class Application:
    """A running application; a context manager that ends it. `report` is there afterwards."""

    def __init__(self, dsn: str, seed: str) -> None:
        """Start it on a database with our `schema`."""
        context = multiprocessing.get_context("spawn")
        self._link, theirs = context.Pipe()
        self._process = context.Process(target=_run, args=(dsn, seed, theirs), daemon=True)
        self._process.start()
        theirs.close()
        self.report = Report()

    def poke(self, actors: int) -> None:
        """Let some of the actors take their turns within a second."""
        self._link.send(actors)

    def __enter__(self) -> Application:
        """It runs already."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Let every actor end its turn."""
        try:
            self._link.send(None)
            if not self._link.poll(_PATIENCE_SECONDS * 2):
                raise EOFError("it hangs")
            self.report = self._link.recv()
        except (OSError, EOFError) as ended:
            self.report.errors.append(f"the application did not end as it should: {ended!r}")
        self._link.close()
        self._process.join(_PATIENCE_SECONDS)
        if self._process.is_alive():
            self._process.kill()
