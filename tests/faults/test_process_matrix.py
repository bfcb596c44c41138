# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The failure matrix over the processes of a real backup: coordinator, workers, pg_dump, and the
keeper of the lock.

The workers save packs, the coordinator writes the index and the snapshot, the keeper removes the
lock: an operation of the storage says which process a fault strikes.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import shutil
import signal
import typing as t
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import GranaryError
from ansible_collections.granary.postgres.plugins.module_utils._repository.snapshot import (
    list_snapshots,
)
from tests.faults import runs
from tests.faults.clocks import ShiftedClock
from tests.faults.interposed import Listener, Operation, interpose
from tests.faults.journal import Journal
from tests.faults.matrix import land
from tests.faults.oracle import restic_complaints
from tests.faults.placement import (
    OF_CHANGES,
    ON_OWN_DISK,
    Kind,
    Point,
    Strike,
    mend,
    own_disk,
    shorten_patience,
)
from tests.faults.site import Child, Site, in_child
from tests.fix_backup import back_up_server
from tests.fix_faults import SiteFactory
from tests.fix_postgres import PostgresFactory
from tests.fix_repository import read_files
from tests.process_tree import programs
from tests.testbed.postgres import PostgresServer
from tests.waiting import wait_for

if t.TYPE_CHECKING:
    from ansible_collections.granary.postgres.plugins.module_utils._storage.base import Backend

_LEAST_CELLS = 100
_SHOP = """
CREATE TABLE big AS SELECT i AS id, md5(i::text) || md5((i * 7)::text) AS note
  FROM generate_series(1, 100000) i;
CREATE TABLE second AS SELECT i AS id, md5((i * 11)::text) AS note FROM generate_series(1, 90000) i;
CREATE TABLE small AS SELECT 1 AS a;
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A process, the operation at which the fault strikes, and the fault; `signals` instead of one
    are sent to every pg_dump while the rest of the run stands still.
    """

    process: str
    point: Point
    kind: Kind | None
    signals: tuple[signal.Signals, ...] = ()

    def __str__(self) -> str:
        sent = " ".join(number.name for number in self.signals)
        return f"{self.process} / {self.point} / {self.kind or sent}"


_POINTS = (
    ("coordinator", Point("write", "locks", 1)),
    ("worker", Point("write", "data", 1)),
    ("worker", Point("write", "data", 3)),
    ("coordinator", Point("write", "index", 1)),
    ("coordinator", Point("write", "snapshots", 1)),
    ("keeper", Point("delete", "locks", 1)),
)
CELLS = [
    *(
        Cell(process=process, point=point, kind=kind)
        for process, point in _POINTS
        for kind in OF_CHANGES
    ),
    *(
        Cell(process="pg_dump", point=Point("write", "data", 1), kind=None, signals=signals)
        for signals in (
            (signal.SIGKILL,),
            (signal.SIGTERM,),
            (signal.SIGSTOP, signal.SIGCONT),
        )
    ),
]


@pytest.fixture(scope="module")
def shop(postgres: PostgresFactory) -> Iterator[PostgresServer]:
    """A server whose database `processes` has tables for both workers."""
    server = postgres(15)
    server.execute("DROP DATABASE IF EXISTS processes")
    server.execute("CREATE DATABASE processes")
    server.execute(_SHOP, database="processes")
    yield server
    server.execute("DROP DATABASE processes WITH (FORCE)")


class _Pause(Listener):
    """Stops the whole run once, at the first pack that is written."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def before(self, backend: Backend, operation: Operation) -> None:
        """Stop, and go on when told."""
        if (operation.verb, operation.folder) != ("write", "data"):
            return
        if not self._journal.count("struck"):
            self._journal.append("struck")
            os.killpg(0, signal.SIGSTOP)


def _back_up(site: Site, server: PostgresServer, run: str) -> None:
    site.journal.append("begun", run=run)
    with site.told(run, "acknowledged") as told:
        made = back_up_server(
            server,
            site.place,
            databases=["processes"],
            segment_threshold=0,
            pack_size=64 * 1024,
        )
        assert made.snapshot.id is not None
        told.fields["snapshot"] = made.snapshot.id


def _tables(site: Site, snapshot: str) -> dict[str, str]:
    """Digest of each file of rows in a snapshot; the other files by their names alone."""
    with site.open() as repository:
        (found,) = [one for one in list_snapshots(repository) if one.id.hex() == snapshot]
        return {
            path: hashlib.sha256(data).hexdigest() if "/tables/" in path else ""
            for path, data in read_files(repository, found).items()
        }


def _snapshots(site: Site) -> set[str]:
    return {path.name for path in site.folder.glob("snapshots/*")}


def test_there_are_enough_of_them() -> None:
    assert len(CELLS) >= _LEAST_CELLS


@pytest.mark.sampled("cell", CELLS, 4)
def test_no_fault_in_a_process_of_a_backup_makes_a_false_success(
    cell: Cell, shop: PostgresServer, sites: SiteFactory
) -> None:
    site = sites("cell")
    disk = site.folder.parent
    if cell.kind not in ON_OWN_DISK:
        assert _play(cell, site, shop) == []
        return
    with own_disk(disk):
        assert _play(cell, site, shop) == []
        shutil.rmtree(site.folder)


def _play(cell: Cell, site: Site, server: PostgresServer) -> list[str]:
    runs.create(site, "creation")
    clock = ShiftedClock()
    child = Child(partial(_live, cell, site, server, clock))
    while not child.ended_or_stopped():
        for pid, number in itertools.product(programs("pg_dump"), cell.signals):
            os.kill(pid, number)
        child.send(signal.SIGCONT)
    wait_for(child.group_ended, f"the end of {cell}")
    struck = [line for line in site.journal.lines() if line.word == "struck"]
    if not struck:
        return ["the fault did not strike"]
    if cell.kind in {"late", "doubled"}:
        land(site, struck[0])
    if cell.kind in ON_OWN_DISK:
        mend(site.folder.parent)
    return _judge(cell, site, server, clock)


def _live(cell: Cell, site: Site, server: PostgresServer, clock: ShiftedClock) -> None:
    shorten_patience()
    clock.install()
    disk = site.folder.parent
    if cell.kind is None:
        interpose(_Pause(site.journal))
    else:
        interpose(Strike(cell.point, cell.kind, journal=site.journal, clock=clock, disk=disk))
    _back_up(site, server, "run")


def _judge(cell: Cell, site: Site, server: PostgresServer, clock: ShiftedClock) -> list[str]:
    acknowledged = [line for line in site.journal.lines() if line.word == "acknowledged"]
    failed = site.journal.count("failed", run="run")
    there = _snapshots(site)
    if acknowledged and there != {acknowledged[0]["snapshot"]}:
        return [f"acknowledged, but there are the snapshots {there}"]
    if failed and there:
        return [f"failed, but there are the snapshots {there}"]
    if cell.kind == "hour behind":
        clock = ShiftedClock()

    def next_run() -> None:
        clock.install()
        _back_up(site, server, "next")

    in_child(next_run)
    ended = [line for line in site.journal.lines() if line.word == "acknowledged"]
    if not ended or ended[-1].fields["run"] != "next":
        return [f"the next run did not succeed: {site.journal.lines()[-1]}"]
    reference = _tables(site, ended[-1]["snapshot"])
    try:
        unequal = [one for one in there if _tables(site, one) != reference]
    except GranaryError as exc:
        return [f"a snapshot cannot be restored: {exc.message}"]
    found = [f"the snapshot {one} is not what the next one is" for one in unequal]
    return found or restic_complaints(site, "0.19")
