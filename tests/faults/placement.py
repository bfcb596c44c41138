# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Faults, each placed by event: at the first, the middle or the last operation of a kind in a run.

A fault strikes once, in whichever process of the run comes to that operation.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
import signal
import typing as t
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from unittest import mock

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import (
    OutcomeUnknown,
    StorageError,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository import (
    deletion,
    locks,
    stale_locks,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.lock_state import (
    LockTiming,
)
from ansible_collections.granary.postgres.plugins.module_utils._workflows import snapshot_writer
from tests.faults.clocks import ShiftedClock
from tests.faults.interposed import Listener, Operation, Verb
from tests.faults.journal import Journal, Line
from tests.testbed.process import run

if t.TYPE_CHECKING:
    from ansible_collections.granary.postgres.plugins.module_utils._storage.base import Backend

HOUR = 3600.0
SLEEP = 31 * 60.0  # past the life of a lock
Kind = t.Literal[
    "kill before",
    "kill after",
    "crash before",
    "crash after",
    "stop",
    "sleep",
    "sleep alone",
    "hour ahead",
    "hour behind",
    "lost request",
    "lost reply",
    "late",
    "doubled",
    "fsync once",
    "fsync for good",
    "full disk",
    "read-only",
    "unreadable",
]
OF_CHANGES: tuple[Kind, ...] = tuple(kind for kind in t.get_args(Kind) if kind != "unreadable")
OF_READS: tuple[Kind, ...] = ("kill before", "crash before", "stop", "hour ahead", "unreadable")
# The storage is a file system of its own, so that it can be filled, and mounted anew.
ON_OWN_DISK = frozenset(("full disk", "read-only"))


@dataclass(frozen=True, slots=True)
class Point:
    """The operation at which a fault strikes: the `nth` of its kind, from 1."""

    verb: Verb
    folder: str
    nth: int

    def __str__(self) -> str:
        return f"{self.verb} {self.folder} {self.nth}"


def points_of(lines: Sequence[Line]) -> list[Point]:
    """First, middle and last operation of each kind in a recorded run, in the order of the first
    ones.
    """
    counts: dict[tuple[Verb, str], int] = {}
    for line in lines:
        if line.word == "begin":
            kind = line["verb"], line["name"].partition("/")[0]
            counts[kind] = counts.get(kind, 0) + 1
    return [
        Point(verb, folder, nth)
        for (verb, folder), count in counts.items()
        for nth in sorted({1, (count + 1) // 2, count})
    ]


class Strike(Listener):
    """Places one fault, and journals it as `struck`."""

    def __init__(
        self, point: Point, kind: Kind, *, journal: Journal, clock: ShiftedClock, disk: Path
    ) -> None:
        self._point = point
        self._kind = kind
        self._journal = journal
        self._clock = clock
        self._disk = disk
        self._seen = 0
        self._at: Operation | None = None

    def before(self, backend: Backend, operation: Operation) -> None:
        """Strike, or not yet."""
        if (operation.verb, operation.folder) != (self._point.verb, self._point.folder):
            return
        self._seen += 1
        if self._seen != self._point.nth or self._journal.count("struck", kind=self._kind):
            return
        self._at = operation
        self._journal.append(
            "struck",
            data=operation.data,
            kind=self._kind,
            verb=operation.verb,
            name=operation.name,
        )
        action = self._before().get(self._kind)
        if action:
            action()

    def after(self, backend: Backend, operation: Operation) -> None:
        """Strike once it has happened."""
        if operation is not self._at:
            return
        if self._kind == "kill after":
            os.kill(os.getpid(), signal.SIGKILL)
        elif self._kind == "crash after":
            os.killpg(0, signal.SIGKILL)
        elif self._kind == "lost reply":
            raise OutcomeUnknown(f"The answer about {operation.name} was lost.")

    def _before(self) -> dict[Kind, Callable[[], object]]:
        return {
            "kill before": partial(os.kill, os.getpid(), signal.SIGKILL),
            "crash before": partial(os.killpg, 0, signal.SIGKILL),
            "stop": partial(os.killpg, 0, signal.SIGSTOP),
            "sleep": self._sleep,
            "sleep alone": partial(self._clock.shift, wall=SLEEP, boot=SLEEP),
            "hour ahead": partial(self._set_clock, HOUR),
            "hour behind": partial(self._set_clock, -HOUR),
            "lost request": self._lose,
            "late": self._lose,
            "fsync once": partial(_break_fsync, 1),
            "fsync for good": partial(_break_fsync, 1 << 30),
            "full disk": partial(fill, self._disk),
            "read-only": partial(_mount, self._disk, "ro"),
            "unreadable": self._unreadable,
        }

    def _sleep(self) -> None:
        self._clock.shift(wall=SLEEP, boot=SLEEP)
        os.killpg(0, signal.SIGSTOP)

    def _set_clock(self, by: float) -> None:
        self._clock.shift(wall=by, boot=0)
        os.killpg(0, signal.SIGSTOP)

    def _lose(self) -> None:
        raise OutcomeUnknown(f"No answer came about {self._point}.")

    def _unreadable(self) -> None:
        raise StorageError(f"Could not read {self._point}: Input/output error.")


def _break_fsync(times: int) -> None:
    """The next syncs of this process fail as a dying disk's do."""
    real = os.fsync
    left = times

    def broken(descriptor: int) -> None:
        nonlocal left
        if left > 0:
            left -= 1
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        real(descriptor)

    mock.patch.object(os, "fsync", broken).start()


def fill(disk: Path) -> None:
    """Leave no room on a file system."""
    with contextlib.suppress(OSError), (disk / "filler").open("ab", buffering=0) as file:
        while True:
            file.write(bytes(1 << 16))
    with contextlib.suppress(OSError), (disk / "filler").open("ab", buffering=0) as file:
        while True:
            file.write(bytes(512))


def _mount(disk: Path, mode: t.Literal["ro", "rw"]) -> None:
    run(["mount", "-o", f"remount,{mode}", disk], doing=f"mounting {disk} {mode}")


def mend(disk: Path) -> None:
    """Take back what `full disk` and `read-only` did."""
    _mount(disk, "rw")
    (disk / "filler").unlink(missing_ok=True)


@contextlib.contextmanager
def own_disk(folder: Path) -> Iterator[None]:
    """Make `folder` a file system of its own for a while."""
    folder.mkdir(parents=True, exist_ok=True)
    run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", folder], doing="mounting a tmpfs")
    try:
        yield
    finally:
        run(["umount", "--lazy", folder], doing="unmounting a tmpfs")


def move_elsewhere() -> None:
    """Let this process judge locks as one of another machine does, for good."""
    here = stale_locks.this_place()
    origin = dataclasses.replace(here.origin, boot_id="another", machine_id="another")
    there = dataclasses.replace(here, origin=origin, hostname="elsewhere")
    mock.patch.object(stale_locks, "this_place", return_value=there).start()


def shorten_patience() -> None:
    """Let this process, and those it forks, wait a little where the engine waits minutes for a
    storage that does not answer, and look at the clocks often; the lock's life stays what it is.
    """
    timing = LockTiming(tick=0.2, retry=0.5, settle=0.05)
    mock.patch.object(locks, "LockTiming", return_value=timing).start()
    for module in (snapshot_writer, deletion):
        mock.patch.object(module, "_SETTLE_SECONDS", 1.0).start()
        mock.patch.object(module, "_SETTLE_PAUSE_SECONDS", 0.1).start()
