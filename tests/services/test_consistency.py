# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Backups of a database that an application alters all the time: one moment of it, and whole.

Backups are restored and compared with the rules that hold at each moment; of the long form's every
fourth, and the others' manifests.
"""

from __future__ import annotations

import collections
import json
import random
import statistics
import time
import typing as t
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ansible_collections.granary.postgres.plugins.module_utils._core.events import (
    Field,
    RecordedEvents,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.snapshot import (
    read_snapshot,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.tree import find_node
from ansible_collections.granary.postgres.plugins.module_utils._workflows.requests import (
    RestoreRequest,
)
from ansible_collections.granary.postgres.plugins.module_utils._workflows.restore import run_restore
from tests.concurrent_ddl import LARGE, SMALL, Application, schema
from tests.fix_backup import MANIFEST, access, back_up_server, connection, tables_of
from tests.fix_postgres import PostgresFactory, drop_database, quoted
from tests.fix_repository import Place
from tests.fix_sample import Sampler
from tests.pgbench import ACCOUNTS, TELLERS, Facts, make_tables, pgbench, read_facts
from tests.testbed.postgres import PostgresServer, client_bin, client_major_for

LONG, SHORT = 204, 8
MAJORS = (13, 14, 15, 16, 17, 18)
RESTORED_EVERY = 4
"""Of the long form; of the short one all are restored."""

_RATE = 60
_POKES, _POKED_RETRIES = 6, 3
# A pg_dump waits for a lock while it holds others for at most 2 s, then everything is given up.
_WAIT_BOUND_SECONDS = 3.0


class PokingEvents(RecordedEvents):
    """Lets the application alter tables whenever a backup is about to lock them."""

    def __init__(self, application: Application) -> None:
        super().__init__()
        self.retries: list[str] = []
        self._application = application

    def progress(self, event: str, **fields: Field) -> None:
        """Poke the application."""
        if event == "table_locks_retry":
            self.retries.append(str(fields["reason"]))
            if len(self.retries) <= _POKED_RETRIES:
                self._application.poke(1)
        if event == "database_begun":
            self._application.poke(_POKES)


@dataclass(slots=True)
class Figures:
    """What the closing note says."""

    retries: list[int] = field(default_factory=list)
    reasons: collections.Counter[str] = field(default_factory=collections.Counter)
    seconds: list[float] = field(default_factory=list)
    tables: int = 0
    unchanged_bytes: int = 0
    restored: int = 0
    wrong: list[str] = field(default_factory=list)

    def shown(self) -> str:
        """All in one line."""
        return (
            f"begun again {sum(self.retries)} times (median {statistics.median(self.retries)},"
            f" most {max(self.retries)}), {self.tables} tables,"
            f" {self.unchanged_bytes / 1e6:,.0f} MB not read again,"
            f" {self.restored} restored, {len(self.wrong)} wrong,"
            f" {statistics.median(self.seconds):.1f} s (most {max(self.seconds):.1f} s) a backup"
        )


Ledger: t.TypeAlias = dict[str, tuple[int, int]]


def _ledger(server: PostgresServer, database: str) -> Ledger:
    rows = server.execute("SELECT name, rows, mark FROM ledger", database=database)
    return {name: (count, mark) for name, count, mark in rows}


def _found(server: PostgresServer, database: str) -> dict[str, tuple[t.Any, ...]]:
    """Rows, least and greatest mark of every table that the ledger could know."""
    tables = server.execute(
        "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        " AND relname NOT LIKE 'pgbench%' AND relname NOT IN ('ledger', 'rest')",
        database=database,
    )
    parts = [
        f"SELECT '{name}', count(*), min(mark)::bigint, max(mark)::bigint FROM ONLY {quoted(name)}"
        for (name,) in tables
    ]
    rows = server.execute(" UNION ALL ".join(parts), database=database)
    return {row[0]: row[1:] for row in rows}


def _compare(server: PostgresServer, database: str) -> Iterator[str]:
    """Say what contradicts itself in a restored database."""
    ledger, found = _ledger(server, database), _found(server, database)
    for name in sorted(ledger.keys() | found.keys()):
        count, mark = ledger.get(name, (None, None))
        wanted = (count, mark, mark) if count else (count, None, None)
        if found.get(name) != wanted:
            yield f"{name}: rows and marks {found.get(name)}, the ledger says {wanted}"
    facts = read_facts(server, database)
    if not facts.right:
        yield f"pgbench: {facts}"


def _compare_moment(restored: Ledger, before: Ledger, after: Ledger) -> Iterator[str]:
    """Say what is older than the beginning of the backup, or younger than its end."""
    for name in before.keys() & after.keys():
        if name not in restored:
            yield f"{name} was there before and after, and is missing"
        elif not before[name][1] <= restored[name][1] <= after[name][1]:
            yield f"{name}: mark {restored[name][1]} of {before[name][1]} to {after[name][1]}"


@dataclass(slots=True)
class Bench:
    """One server with its application, a place for backups, a server for restores."""

    source: PostgresServer
    target: PostgresServer
    place: Place
    host: str
    chance: random.Random
    figures: Figures

    def back_up_and_compare(self, application: Application, name: str, *, restored: bool) -> None:
        """Back up once, restore it if asked to, and note what is wrong."""
        before, first = _ledger(self.source, "shop"), read_facts(self.source, "shop")
        events = PokingEvents(application)
        started = time.monotonic()
        result = back_up_server(
            self.source,
            self.place,
            events=events,
            host=self.host,
            databases=["shop"],
            jobs=self.chance.choice([1, 2, 3]),
            segment_threshold=self.chance.choice([0, 400_000, 400_000, 8 << 20]),
            skip_unchanged=self.chance.choice([False, True, True]),
        )
        self.figures.seconds.append(time.monotonic() - started)
        after, last = _ledger(self.source, "shop"), read_facts(self.source, "shop")
        self.figures.retries.append(len(events.retries))
        self.figures.reasons.update(events.retries)
        self.figures.tables += result.stats.tables
        self.figures.unchanged_bytes += result.stats.unchanged_bytes
        wrong = [*self._compare_manifest(str(result.snapshot.id), before, after, (first, last))]
        if restored:
            self.figures.restored += 1
            self._restore(str(result.snapshot.id), name)
            wrong += [
                *_compare(self.target, name),
                *_compare_moment(_ledger(self.target, name), before, after),
                *_compare_history(read_facts(self.target, name).history, first, last),
            ]
            drop_database(self.target, name)
        self.figures.wrong += [f"backup {name}: {what}" for what in wrong]
        print(f"{self.host} {name}: {self.figures.shown()}", flush=True)

    def _compare_manifest(
        self, snapshot: str, before: Ledger, after: Ledger, moments: tuple[Facts, Facts]
    ) -> Iterator[str]:
        """Compare the numbers of rows with what is true at every moment."""
        with self.place.open() as repository:
            reader = repository.reader(repository.load_index_for_reading())
            node = find_node(
                reader, read_snapshot(repository, bytes.fromhex(snapshot)).tree, MANIFEST
            )
            assert node is not None
            manifest = json.loads(b"".join(reader.stream(node.content)))
        rows = {name: table["rows"] for name, table in tables_of(manifest, "shop").items()}
        for name in before.keys() & after.keys():
            found, always = rows.get(f"public.{name}"), {before[name][0], after[name][0]}
            if name.startswith("emptied"):
                always |= {0, LARGE if name.endswith("large") else SMALL}
            if found not in always:
                yield f"{name}: {found} rows in the manifest, not one of {always}"
        fixed = (rows["public.pgbench_accounts"], rows["public.pgbench_tellers"])
        if (*fixed, rows["public.pgbench_branches"]) != (ACCOUNTS, TELLERS, 1):
            yield f"pgbench: {fixed} rows in the manifest"
        yield from _compare_history(rows["public.pgbench_history"], *moments)

    def _restore(self, snapshot: str, name: str) -> None:
        request = RestoreRequest(
            repository=access(self.place),
            connection=connection(self.target),
            snapshot=snapshot,
            rename={"shop": name},
            globals=False,
            jobs=2,
            bin_dir=str(client_bin(client_major_for(self.target.major))),
        )
        result = run_restore(request, events=RecordedEvents(), check_mode=False)
        assert result.verified


def _compare_history(transactions: int, first: Facts, last: Facts) -> Iterator[str]:
    if not first.history <= transactions <= last.history:
        yield f"pgbench: {transactions} transactions of {first.history} to {last.history}"


def _run(bench: Bench, count: int, seed: str, folder: Path) -> None:
    with (
        pgbench(bench.source, "shop", folder, rate=_RATE) as words,
        Application(bench.source.dsn("shop"), seed) as application,
    ):
        for number in range(count):
            restored = number % RESTORED_EVERY == 0 or count == SHORT
            bench.back_up_and_compare(application, f"r{number}", restored=restored)
    report = application.report
    print(
        f"PostgreSQL {bench.source.major}: {count} backups, {report.turns} turns of the"
        f" application, {bench.figures.shown()}, {report.waits}"
    )
    assert bench.figures.wrong == []
    assert report.errors == []
    assert "ERROR" not in words.read_text(encoding="utf-8")
    log = bench.source.log.read_text(encoding="utf-8", errors="replace")
    assert "deadlock detected" not in log
    assert report.turns >= count
    assert report.waits.both < _WAIT_BOUND_SECONDS


def test_each_backup_is_one_moment_and_whole(
    private_postgres: PostgresFactory,
    local_place: Place,
    tmp_path: Path,
    sampler: Sampler,
    seed: int,
) -> None:
    majors = sampler(MAJORS, 1)
    count = len(sampler(range(LONG // len(MAJORS)), SHORT))
    local_place.create().close()
    for major in majors:
        source, target = private_postgres(major), private_postgres(major)
        source.execute("CREATE DATABASE shop")
        make_tables(source, "shop")
        source.execute(";".join(schema()), database="shop")
        bench = Bench(source, target, local_place, f"pg{major}", random.Random(seed), Figures())
        _run(bench, count, f"{seed} {major}", tmp_path)
