# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""The work of a restore that runs in parallel: tasks, the worker that does them, and how they are
handed out.

A task is a plain value that is sent to a worker; its ``run`` does it there and returns its answer.
Each worker owns one connection to the target database and one storage client.
"""

from __future__ import annotations

import collections
import dataclasses
import typing as t

from .._core.errors import RestoreFailed, VerifyFailed
from .._postgres.connection import connect
from .._postgres.copying import copy_in
from .._postgres.load_programs import load_data
from .._postgres.session import execute, fetch, prepare_restore_session, session_text
from .._repository.model import split_ids

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from .._postgres.connection import Connection
    from .._postgres.load_programs import Loader
    from .._postgres.model import ConnectionSettings
    from .._repository.index import Index
    from .._repository.reader import BlobReader
    from .._repository.repository import Repository
    from .worker_pool import WorkerLink, WorkerPool


class LoadWorker:
    """One worker's own connection, reader and way to notice that it should stop."""

    def __init__(self, link: WorkerLink, reader: BlobReader, settings: ConnectionSettings) -> None:
        self._link = link
        self._settings = settings
        self._connection: Connection | None = None
        self.reader = reader

    @property
    def connection(self) -> Connection:
        """The connection to the database that was opened last."""
        if self._connection is None:
            raise RestoreFailed("A worker was given rows before a database; please report it.")
        return self._connection

    def open(self, database: str, encoding: str) -> None:
        """Connect to ``database`` for rows in ``encoding``, in place of the connection before."""
        self.close()
        self._connection = connect(self._settings, database)
        prepare_restore_session(self._connection, encoding)

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def blocks(self, ids: bytes) -> Iterator[bytes]:
        """Yield the blobs of ``ids``; raises ``Cancelled`` between two of them when the run has
        begun to stop."""
        for block in self.reader.stream(split_ids(ids)):
            self._link.check()
            yield block


class Task(t.Protocol):
    """What a worker is asked to do; picklable."""

    def run(self, worker: LoadWorker) -> object:
        """Do it and return a picklable answer."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class OpenTarget:
    """Connect to the target database; every worker gets one of these."""

    database: str
    encoding: str

    def run(self, worker: LoadWorker) -> None:
        """Connect."""
        worker.open(self.database, self.encoding)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CloseTarget:
    """Leave the target database."""

    def run(self, worker: LoadWorker) -> None:
        """Disconnect."""
        worker.close()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LoadArchive:
    """Feed the archive with the small tables' rows, sequences and large objects to pg_restore.

    ``entries`` are the dump ids to load; None is all.
    """

    loader: Loader
    ids: bytes
    entries: frozenset[int] | None = None

    def run(self, worker: LoadWorker) -> None:
        """Load it; raises ``RestoreFailed`` with pg_restore's words."""
        blocks = worker.blocks(self.ids)
        load_data(self.loader, blocks, only=self.entries)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LoadRows:
    """COPY the segments in ``ids`` into ``schema.name``, which is the table or its partition
    root."""

    schema: str
    name: str
    columns: tuple[str, ...]
    ids: bytes
    rows: int

    def run(self, worker: LoadWorker) -> None:
        """Load them; raises ``VerifyFailed`` when the server counts other rows than the
        manifest."""
        loaded = copy_in(
            worker.connection, (self.schema, self.name), self.columns, worker.blocks(self.ids)
        )
        if loaded != self.rows:
            raise VerifyFailed(
                f"Table {self.schema}.{self.name} took {loaded} rows where {self.rows} were backed "
                "up; the target is not whole."
            )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Analyze:
    """Collect the planner's statistics of one table."""

    schema: str
    name: str

    def run(self, worker: LoadWorker) -> None:
        """ANALYZE it."""
        table = session_text(worker.connection).qualified(self.schema, self.name)
        execute(
            worker.connection,
            b"ANALYZE " + table,
            f"Could not analyze table {self.schema}.{self.name}",
        )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CountRows:
    """Count the rows of a table; ``only`` leaves out those of its children."""

    schema: str
    name: str
    only: bool

    def run(self, worker: LoadWorker) -> int:
        """Return the number of rows."""
        table = session_text(worker.connection).qualified(self.schema, self.name)
        only = b"ONLY " if self.only else b""
        rows = fetch(
            worker.connection,
            b"SELECT count(*) FROM " + only + table,
            f"Could not count the rows of table {self.schema}.{self.name}",
        )
        return int(rows[0][0])


def worker_main(
    repository: Repository, index: Index, settings: ConnectionSettings
) -> Callable[[WorkerLink], None]:
    """Return the main function of a worker: tasks in, answers out, until there are no more."""

    def main(link: WorkerLink) -> None:
        worker = LoadWorker(link, repository.reopen().reader(index), settings)
        while (task := link.receive()) is not None:
            link.send(t.cast("Task", task).run(worker))
        worker.close()

    return main


def in_turns(tables: Iterable[Sequence[Task]]) -> list[Task]:
    """Mix the tasks of tables evenly, so that all of them begin and end at about the same time.

    Two workers then seldom load one table, where each waits for the other to make its file longer.
    """
    placed = [
        ((number + 0.5) / len(tasks), task) for tasks in tables for number, task in enumerate(tasks)
    ]
    return [task for dummy_place, task in sorted(placed, key=lambda one: one[0])]


def run_everywhere(pool: WorkerPool, task: Task) -> None:
    """Have every worker do ``task`` once, and wait for all of them."""
    for number in range(len(pool)):
        pool.send(number, task)
    waiting = len(pool)
    while waiting:
        messages, dummy = pool.receive(None)
        waiting -= len(messages)


def run_all(pool: WorkerPool, tasks: Iterable[Task], done: Callable[[Task, t.Any], None]) -> None:
    """Hand out ``tasks`` in their order, one at a time to each worker, and call ``done`` with each
    answer.

    Raises the first error of any worker; what the others do then is ended by closing the pool.
    """
    waiting = collections.deque(tasks)
    idle = list(range(len(pool)))
    busy: dict[int, Task] = {}
    while waiting or busy:
        while waiting and idle:
            number = idle.pop()
            busy[number] = waiting.popleft()
            pool.send(number, busy[number])
        messages, dummy = pool.receive(None)
        for number, answer in messages:
            done(busy.pop(number), answer)
            idle.append(number)


def nothing_more(task: Task, answer: object) -> None:
    """Take an answer that says nothing but that the task is done."""
