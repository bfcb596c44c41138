# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The failure matrix, made and played: each kind of run x where in it x what happens there."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from ansible_collections.granary.postgres.plugins.module_utils._storage.registry import open_backend
from tests.faults import runs
from tests.faults.clocks import ShiftedClock
from tests.faults.crash_states import Recorder
from tests.faults.interposed import Listener, interpose
from tests.faults.journal import Line
from tests.faults.oracle import Oracle, readable_blobs, restic_complaints
from tests.faults.placement import (
    ON_OWN_DISK,
    SLEEP,
    Kind,
    Point,
    Strike,
    mend,
    move_elsewhere,
    own_disk,
    points_of,
    shorten_patience,
)
from tests.faults.site import Child, Site, in_child
from tests.faults.works import Work
from tests.waiting import wait_for


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One field of the matrix."""

    work: Work
    point: Point
    kind: Kind

    def __str__(self) -> str:
        return f"{self.work} / {self.point} / {self.kind}"


def cells_of(work: Work, site: Site) -> list[Cell]:
    """All fields of one kind of run: the points are those that a run without trouble has.

    `site` holds what is there before such a run.
    """
    begin = len(site.journal.lines())
    assert _run(work.act, site, "run", Recorder(site.journal, reads=work.reads)) == 0
    lines = site.journal.lines()[begin:]
    assert lines[-1].word in {"acknowledged", "done"}, lines[-1]
    return [
        Cell(work=work, point=point, kind=kind)
        for point in points_of(lines)
        if (point.verb == "read") == work.reads
        for kind in work.kinds
    ]


def lay_out(history: Site, site: Site) -> None:
    """Copy one site over another, journal and all."""
    shutil.copytree(history.folder, site.folder, dirs_exist_ok=True)
    if history.journal.path.exists():
        shutil.copy(history.journal.path, site.journal.path)


@contextlib.contextmanager
def disk_for(cell: Cell, site: Site) -> Iterator[None]:
    """A file system of its own for the faults that need one."""
    if cell.kind in ON_OWN_DISK:
        with own_disk(site.folder.parent):
            yield
    else:
        yield


def play(cell: Cell, site: Site) -> list[str]:
    """Run it, strike, let all end, and judge; then the next run, and judge again."""
    readable = readable_blobs(site) if cell.work.keeps_readable else frozenset()
    clock = ShiftedClock()
    strike = Strike(
        cell.point, cell.kind, journal=site.journal, clock=clock, disk=site.folder.parent
    )
    child = Child(partial(_live, cell.work.act, site, "run", clock, strike))
    complaints = []
    while not child.ended_or_stopped():
        complaints += _meanwhile(cell, site)
        child.send(signal.SIGCONT)
    wait_for(child.group_ended, f"the end of {cell}")
    if child.wait() == 1:
        return ["the run ended with an error that the engine does not know, see its output"]
    struck = [
        line for line in site.journal.lines() if line.word == "struck" and "kind" in line.fields
    ]
    if len(struck) != 1:
        return [f"the fault struck {len(struck)} times"]
    if cell.kind in ON_OWN_DISK:
        mend(site.folder.parent)
    if cell.kind in {"late", "doubled"}:
        land(site, struck[0])
    complaints = complaints or _lost(readable, site) or _judge(cell, site, struck[0], clock)
    return complaints or _lost(readable, site)


def _live(
    act: Callable[[Site, str], None], site: Site, run: str, clock: ShiftedClock, strike: Listener
) -> None:
    shorten_patience()
    clock.install()
    interpose(strike)
    act(site, run)


def _run(act: Callable[[Site, str], None], site: Site, run: str, listener: Listener) -> int:
    def live() -> None:
        interpose(listener)
        act(site, run)

    return in_child(live)


def _meanwhile(cell: Cell, site: Site) -> list[str]:
    """While a run stands still somebody else wants the repository for himself."""
    locks = [*site.folder.glob("locks/*")]
    if cell.kind == "sleep":
        for lock in locks:
            long_ago = time.time() - SLEEP
            os.utime(lock, (long_ago, long_ago))
    in_child(partial(_rival, cell, site))
    if cell.kind == "sleep":
        refused = site.journal.count("refused", run="rival")
        return ["a lock that is 31 minutes old is in the way"] if refused else []
    went_in = locks and site.journal.count("done", run="rival")
    return ["somebody else went in beside a live lock"] if went_in else []


def _rival(cell: Cell, site: Site) -> None:
    if cell.kind == "sleep":
        move_elsewhere()  # beside us he would see that the sleeper lives
    cell.work.rival(site, "rival")


def _lost(readable: frozenset[bytes], site: Site) -> list[str]:
    missing = readable - readable_blobs(site) if readable else ()
    return [f"{len(missing)} of {len(readable)} blobs can be read no more"] if missing else []


def land(site: Site, struck: Line) -> None:
    """What the storage was asked for happens now, whoever knows of it."""
    with open_backend(site.place.settings) as backend:
        if struck["verb"] == "delete":
            backend.delete(struck["name"])
        else:
            backend.write(struck["name"], struck.data)


def _judge(cell: Cell, site: Site, struck: Line, clock: ShiftedClock) -> list[str]:
    complaints = Oracle.of(site).complaints(site) if cell.work.made_before else []
    begin = len(site.journal.lines())
    if cell.kind == "hour behind":
        clock = ShiftedClock()  # set right; one that is ahead stays so, or its host must wait
    in_child(partial(_live, cell.work.again, site, "next", clock, Listener()))
    last = site.journal.lines()[begin:][-1:]
    if not last or last[0].word not in {"acknowledged", "done"}:
        complaints.append(f"the next run did not succeed: {last}")
    if cell.kind == "doubled" and cell.work.made_after:
        # Once more, long after. A file of the index then names packs that are gone; the next prune
        # drops such names.
        land(site, struck)
        complaints += Oracle.of(site).complaints(site)
        assert in_child(partial(runs.prune, site, "after the doubled one")) == 0
    if cell.work.made_after:
        complaints += Oracle.of(site).complaints(site)
        complaints += restic_complaints(site, cell.work.checked_by(str(cell)))
    return complaints
