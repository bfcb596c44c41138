# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Many at once on one repository for a bounded time: writers, some of them killed, prune, restore,
and stock restic, each a process of its own, with a seed of its own.
"""

from __future__ import annotations

import random
import subprocess
import time
import typing as t
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from tests.faults import runs
from tests.faults.clocks import ShiftedClock
from tests.faults.interposed import interpose
from tests.faults.journal import Journal, Line
from tests.faults.placement import Kind, Point, Strike
from tests.faults.site import Child, Site, in_child
from tests.testbed.restic import VERSIONS

WRITERS = 3
_KILLED = 0.15  # of the writers' runs
# The longest pauses between two turns: whoever needs the repository for himself must get his turn.
_WRITERS_PAUSE, _READERS_PAUSE, _PAUSE = 4.0, 1.5, 0.3
_LOCK_WAITS = (0.0, 2.0, 10.0)
_RESTIC_LOCKED = 11
_KILLS: tuple[Kind, ...] = ("kill before", "kill after", "crash before", "crash after")
_PLACES = (
    Point("write", "data", 1),
    Point("write", "data", 3),
    Point("write", "index", 1),
    Point("write", "snapshots", 1),
    Point("delete", "locks", 1),
)


@dataclass(slots=True)
class Figures:
    """What a model run came to."""

    backups: int = 0
    killed: int = 0
    restores: int = 0
    prunes: int = 0
    refused: int = 0
    restic_commands: int = 0
    complaints: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, lines: list[Line]) -> t.Self:
        """Count a journal."""
        done = [line for line in lines if line.word == "done"]
        return cls(
            backups=sum(line.word == "acknowledged" for line in lines),
            killed=sum(line.word == "struck" and "kind" in line.fields for line in lines),
            restores=sum(line["run"].startswith("restore") for line in done),
            prunes=sum(_deleted_packs(line) for line in done),
            refused=sum(line.word == "refused" for line in lines),
            restic_commands=sum(line["run"].startswith("restic") for line in done),
            complaints=[f"{line['run']}: {line.fields}" for line in lines if line.word == "failed"],
        )


def _deleted_packs(line: Line) -> bool:
    return any(line.fields.get(name, 0) > 0 for name in ("packs_deleted", "packs_repacked"))


def play(site: Site, seed: int, seconds: float) -> Figures:
    """Let all run until the time is over and the last of them has ended."""
    runs.create(site, "creation")
    deadline = time.monotonic() + seconds
    parts: list[tuple[_Part, float]] = [
        *((partial(_write, number), _WRITERS_PAUSE) for number in range(WRITERS)),
        (_prune, _PAUSE),
        (_prune, _PAUSE),
        (_restore, _READERS_PAUSE),
        (_restic, _READERS_PAUSE),
        (_restic, _PAUSE),
    ]
    children = [
        Child(partial(_repeat, part, pause, site, f"{seed}-{number}", deadline))
        for number, (part, pause) in enumerate(parts)
    ]
    statuses = [child.wait() for child in children]
    figures = Figures.of(site.journal.lines())
    figures.complaints += [
        f"process {number} of the model ended with {status}"
        for number, status in enumerate(statuses)
        if status
    ]
    return figures


@dataclass(frozen=True, slots=True)
class _Turn:
    """One turn of one participant."""

    site: Site
    name: str
    chance: random.Random


_Part: t.TypeAlias = Callable[[_Turn], None]


def _repeat(part: _Part, pause: float, site: Site, seed: str, deadline: float) -> None:
    chance = random.Random(seed)
    number = 0
    while time.monotonic() < deadline:
        number += 1
        waiting = Site(place=site.place, journal=site.journal, lock_wait=chance.choice(_LOCK_WAITS))
        part(_Turn(waiting, f"{seed}-{number}", chance))
        time.sleep(chance.uniform(0, pause))


def _write(number: int, turn: _Turn) -> None:
    kill = turn.chance.random() < _KILLED
    point, kind = turn.chance.choice(_PLACES), turn.chance.choice(_KILLS)

    def live() -> None:
        if kill:
            # Its own journal says that it struck; ours must not grow by what it would have written.
            noted = Journal(turn.site.journal.path.with_name(f"strike-{turn.name}"))
            interpose(
                Strike(point, kind, journal=noted, clock=ShiftedClock(), disk=turn.site.folder)
            )
            turn.site.journal.append("struck", run=turn.name, kind=kind)
        runs.back_up(turn.site, turn.name, host=f"db{number}")

    _must_live(in_child(live), unless=kill)


def _must_live(status: int, *, unless: bool = False) -> None:
    assert status == 0 or unless, f"a run ended with {status}"


def _prune(turn: _Turn) -> None:
    _must_live(in_child(partial(runs.forget_and_prune, turn.site, f"prune {turn.name}")))


def _restore(turn: _Turn) -> None:
    _must_live(in_child(partial(runs.restore, turn.site, f"restore {turn.name}")))


_COMMANDS: tuple[tuple[str, ...], ...] = (
    ("snapshots",),
    ("ls", "latest", "--host", "db1"),
    ("stats",),
    ("check",),
    ("check", "--read-data"),
    ("backup", "/etc/hostname"),
    ("tag", "--add", "seen", "--host", "db2"),
    ("prune", "--max-unused", "0"),
    ("forget", "--host", "nobody", "--keep-last", "1", "--prune"),
)


def _restic(turn: _Turn) -> None:
    """One command of stock restic; that a lock is in its way is fine, anything else is not."""
    words = turn.chance.choice(_COMMANDS)
    restic = turn.site.place.restic(turn.chance.choice(VERSIONS))
    done = subprocess.run(
        [restic.program, *words, "--no-cache", "--retry-lock", "5s"],
        env=restic.env(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    run = f"restic {restic.version} {' '.join(words)} {turn.name}"
    nothing_yet = words[0] == "ls" and "no snapshot found" in done.stderr
    if done.returncode == 0:
        turn.site.journal.append("done", run=run)
    elif done.returncode != _RESTIC_LOCKED and not nothing_yet:
        turn.site.journal.append("failed", run=run, error=done.stderr[-1500:])
