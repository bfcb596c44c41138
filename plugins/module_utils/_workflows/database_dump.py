# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""One database of a backup: everybody in one snapshot with all table locks, then rows, then proof.

No row is read before the coordinator, both pg_dump and every worker hold their table locks; if one
of them does not get its locks everything is given up and begun again, since whoever waits while
another holds locks can hang for ever.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import functools
import re
import select
import time
import typing as t

from .._core.errors import DumpFailed, GranaryError, PostgresError, ProgramError, TableLocksRefused
from .._postgres.dump_programs import (
    DumpTarget,
    DumpWarning,
    data_dump,
    dump_warnings,
    schema_dump,
)
from .._postgres.relation_wait import Obstacle, end_programs, end_waiting_programs
from .._postgres.rights import hidden_mappings
from .._postgres.table_locks import lock_indexes
from .pace import Pace
from .segment_work import SegmentWork
from .snapshot_holder import SnapshotHolder
from .stop_signals import interruptible
from .table_choice import TableChoice
from .work_units import (
    Closed,
    CloseDatabase,
    OpenDatabase,
    ReadSegment,
    ReadStream,
    Ready,
    Refused,
    SegmentDone,
    SegmentUnchanged,
    StreamDone,
)

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from .._core.process import Child
    from .._postgres.table_locks import LockedDatabase
    from .backup_plan import DatabasePlan
    from .coordinator import Coordinator

T = t.TypeVar("T")

ATTEMPTS = 10
# While it waits for a lock pg_dump holds others, and so does the coordinator: it is ended at once.
# Should nobody see it wait, it ends itself; for other locks than those of tables it would not.
PROGRAM_LOCK_WAIT_SECONDS = 2.0
_LOOK_SECONDS = 0.1
SCHEMA, DATA = "schema.dump", "data.dump"
_IN_HAND = 2
_NOT_SEEN = "options of the user mapping of {} not dumped: the role may not see them"
# How pg_dump ends when it could not get a lock (its --lock-wait-timeout is a statement_timeout),
# and when a view, a type or a function of its snapshot was dropped by the time it is described.
_BEGIN_AGAIN = re.compile(
    r"lock timeout|statement timeout|could not obtain lock|deadlock detected|cache lookup failed"
    r"|could not open relation with OID|administrator command|does not exist"
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DumpedDatabase:
    """What the workers stored of one database."""

    plan: DatabasePlan
    locked: LockedDatabase
    choice: TableChoice
    rows: SegmentWork
    counts: dict[tuple[str, str], int]
    streams: dict[str, StreamDone]
    warnings: list[DumpWarning]


class _ProgramWaited(TableLocksRefused):
    """pg_dump wanted what somebody else locks; ``obstacle`` is to be waited for."""

    def __init__(self, obstacle: Obstacle) -> None:
        super().__init__(f"{obstacle.name} was locked by others when pg_dump wanted it")
        self.obstacle = obstacle


class DatabaseDump:
    """One attempt at one database."""

    def __init__(
        self, coordinator: Coordinator, plan: DatabasePlan, locked: LockedDatabase
    ) -> None:
        self._coordinator = coordinator
        self._pool = coordinator.pool
        self._plan = plan
        self._locked = locked
        self._choice = plan.choose(locked.tables)
        self._programs: dict[str, Child] = {}
        self._rows = SegmentWork(plan, locked.connection, self._choice.taken_over)
        self._streams: dict[str, StreamDone] = {}
        self._warnings = [
            DumpWarning(text=_NOT_SEEN.format(mapping), loses=True)
            for mapping in hidden_mappings(locked.connection)
        ]

    def run(self) -> DumpedDatabase:
        """Get everybody ready, read everything, prove that it is everything.

        Raises ``TableLocksRefused`` when somebody did not get his locks; everything is then given
        up again.
        """
        with contextlib.ExitStack() as stack:
            stack.push(self._end_programs)
            # Before the programs, so that they find nothing locked that a query needs later.
            lock_indexes(self._locked.connection, self._choice.counted)
            self._start_programs(stack)
            self._await_ready()
            holder = SnapshotHolder(
                self._locked.connection, self._choice.counted, self._plan.connection
            )
            holder.start()
            stack.callback(holder.stop)
            self._coordinator.add_chore(holder.check)
            stack.callback(self._coordinator.remove_chore, holder.check)
            try:
                self._read(holder)
            except PostgresError as exc:
                self._raise_program_error(exc)
                if isinstance(exc, TableLocksRefused):
                    # Too late to begin again: the worker that waited has ended.
                    raise DumpFailed(exc.message) from exc
                raise
        self._choice.prove(self._streams[DATA].toc)
        return DumpedDatabase(
            plan=self._plan,
            locked=self._locked,
            choice=self._choice,
            rows=self._rows,
            counts=holder.counts,
            streams=self._streams,
            warnings=self._warnings,
        )

    def _start_programs(self, stack: contextlib.ExitStack) -> None:
        target = DumpTarget(
            program=self._plan.program,
            settings=self._plan.connection,
            database=self._plan.database.name,
            encoding=self._plan.database.encoding,
            snapshot_id=self._locked.snapshot_id,
            lock_wait_seconds=PROGRAM_LOCK_WAIT_SECONDS,
        )
        self._programs[SCHEMA] = stack.enter_context(schema_dump(target))
        self._programs[DATA] = stack.enter_context(data_dump(target, self._choice.without_rows))

    def _end_programs(self, kind: type[BaseException] | None, *dummy: object) -> None:
        """See that nothing of programs that were killed goes on in the server."""
        if kind is not None:
            with contextlib.suppress(GranaryError):  # what ended the run says more
                end_programs(self._locked.connection, self._run_name)

    def _await_ready(self) -> None:
        tables = tuple(self._choice.taken_over)
        opening = OpenDatabase(self._plan.database.name, self._locked.snapshot_id, tables)
        for number in range(len(self._pool)):
            self._pool.send(number, opening)
        waiting = set(range(len(self._pool)))
        silent = {child.stdout.fileno(): child for child in self._programs.values()}
        refused: GranaryError | None = None
        # To the last worker's answer, since one that has not joined the snapshot yet would find it
        # gone.
        while waiting or (silent and refused is None):
            messages, readable = self._coordinator.receive(() if refused else silent, _LOOK_SECONDS)
            for number, message in messages:
                if isinstance(message, Refused):
                    refused = refused or message.error
                if isinstance(message, Ready | Refused):
                    waiting.discard(number)
            refused = refused or self._program_refused(readable, silent)
        if refused:
            end_waiting_programs(self._locked.connection, self._run_name)
            raise refused

    def _program_refused(
        self, readable: Iterable[int], silent: dict[int, Child]
    ) -> GranaryError | None:
        """Say why a program will not begin; those that began are taken out of ``silent``."""
        for descriptor in readable:
            child = silent.pop(descriptor)
            if not _has_output(descriptor):
                return self._start_failure(child)
        if not silent:
            return None
        obstacle = end_waiting_programs(self._locked.connection, self._run_name)
        return _ProgramWaited(obstacle) if obstacle else None

    @property
    def _run_name(self) -> str:
        return self._plan.connection.application_name

    def _start_failure(self, child: Child) -> GranaryError:
        """Return why a program ended before its first byte."""
        name = self._plan.database.name
        try:
            child.wait()
        except ProgramError as exc:
            if _BEGIN_AGAIN.search(exc.message):
                return TableLocksRefused(
                    f"Database {name} is being altered: {exc.message}; run the backup when fewer "
                    "tables are altered, created or dropped."
                )
            return DumpFailed(f"Could not dump database {name}: {exc.message}")
        return DumpFailed(f"Could not dump database {name}: {child.name} wrote nothing.")

    def _raise_program_error(self, cause: GranaryError) -> None:
        """Raise the failure of a program that has ended, since what it said comes before what we
        saw of it.
        """
        for name, child in self._programs.items():
            if name in self._streams or child.running():
                continue
            try:
                child.wait()
            except ProgramError as exc:
                database = self._plan.database.name
                raise DumpFailed(
                    f"{name} of database {database} is not whole: {exc.message}"
                ) from cause

    def _read(self, holder: SnapshotHolder) -> None:
        """Keep every worker busy until all is read; each has at most two units, or one stream."""
        units = self._units()
        in_hand: list[collections.Counter[str]] = []
        pace = Pace()
        for number in range(len(self._pool)):
            in_hand.append(collections.Counter())
            self._hand_out(number, in_hand[number], units)
        while any(hand.total() for hand in in_hand) or not holder.counted:
            messages, dummy_ready = self._coordinator.receive()
            for number, message in messages:
                in_hand[number][self._take(message)] -= 1
                self._hand_out(number, in_hand[number], units)
            if pace.due():
                self._tell()

    def _tell(self) -> None:
        """Say how much is read of the tables that are taken over."""
        self._plan.events.progress(
            "rows_read",
            database=self._plan.database.name,
            segments=self._rows.arrived,
            of_segments=self._rows.count,
            bytes=self._rows.size,
        )

    def _units(self) -> Iterator[ReadStream | ReadSegment]:
        """Yield streams first, since each is read by one worker alone; then tables, as they were
        sorted.
        """
        yield ReadStream(DATA, archive=True)
        yield ReadStream(SCHEMA, archive=True)
        yield from self._rows.units()

    def _hand_out(
        self,
        number: int,
        hand: collections.Counter[str],
        units: Iterator[ReadStream | ReadSegment],
    ) -> None:
        while hand.total() < _IN_HAND and not hand["stream"]:
            unit = next(units, None)
            if unit is None:
                return
            if isinstance(unit, ReadSegment):
                self._pool.send(number, unit)
                hand["segment"] += 1
            else:
                pipe = self._programs[unit.name].stdout
                self._pool.send(number, unit, descriptor=pipe.fileno())
                # With our end closed, a worker that dies ends the program too.
                pipe.close()
                hand["stream"] += 1

    def _take(self, message: object) -> str:
        if isinstance(message, SegmentDone | SegmentUnchanged):
            self._rows.take(message)
            return "segment"
        if isinstance(message, StreamDone):
            self._finish_stream(message)
            return "stream"
        raise GranaryError(f"A worker sent {type(message).__name__} out of turn; please report it.")

    def _finish_stream(self, done: StreamDone) -> None:
        child = self._programs[done.name]
        try:
            lines = child.wait()
        except ProgramError as exc:
            name = self._plan.database.name
            raise DumpFailed(f"{done.name} of database {name} is not whole: {exc.message}") from exc
        self._warnings += dump_warnings(lines)
        self._streams[done.name] = done


def _has_output(descriptor: int) -> bool:
    """Tell whether a readable pipe holds bytes, not just its end."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return any(event & select.POLLIN for dummy, event in poll.poll(0))


def dump_database(
    coordinator: Coordinator, plan: DatabasePlan, describe: Callable[[DumpedDatabase], T]
) -> T:
    """Dump one database, in as many attempts as its table locks take: 10, and more while
    ``lock_timeout`` is not over.

    Returns what ``describe`` makes of it while the snapshot is still open.

    Raises ``TableLocksRefused``, ``DumpFailed``, ``BackupYielded``, or whatever ends a run.
    """
    attempt = 0
    deadline = time.monotonic() + plan.request.lock_timeout
    while True:
        attempt += 1
        obstacle: Obstacle | None = None
        locked = interruptible(plan.lock_tables)
        with contextlib.closing(locked.connection):
            dump = DatabaseDump(coordinator, plan, locked)
            try:
                described = describe(dump.run())
            except TableLocksRefused as exc:
                if attempt >= ATTEMPTS and time.monotonic() >= deadline:
                    raise
                refused: str | None = exc.message
                obstacle = exc.obstacle if isinstance(exc, _ProgramWaited) else None
            else:
                refused = None
        # Only now, with nothing locked any more, can what was in the way go on.
        coordinator.ask_all(CloseDatabase(), Closed)
        if refused is None:
            return described
        plan.events.progress("table_locks_retry", attempt=attempt, reason=refused)
        if obstacle is not None:
            interruptible(functools.partial(plan.await_relation, obstacle))
