# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the tests of faults let run: each with what is there before it, and how it is run again."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from tests.faults import runs
from tests.faults.clocks import ShiftedClock
from tests.faults.interposed import interpose
from tests.faults.journal import Journal
from tests.faults.placement import OF_CHANGES, OF_READS, Kind, Point, Strike
from tests.faults.site import Site, in_child
from tests.testbed.restic import VERSIONS

Act = Callable[[Site, str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """A kind of run.

    `again` is what must succeed unattended after whatever happened to it, `rival` what somebody
    else tries while it stands still. `made_before` and `made_after` say whether there is a
    repository to judge before `again` and after it, `keeps_readable` that it may be damaged, and
    that whatever can be read of it stays so. `least_cells` is how many fields of the matrix
    there are at least, `short` how many of them the short form plays.
    """

    name: str
    history: Callable[[Site], None]
    act: Act
    again: Act
    rival: Act = runs.rival
    kinds: tuple[Kind, ...] = OF_CHANGES
    reads: bool = False
    made_before: bool = True
    made_after: bool = True
    keeps_readable: bool = False
    least_cells: int = 5
    short: int = 3

    def __str__(self) -> str:
        return self.name

    def checked_by(self, cell: str) -> str:
        """Which release of stock restic judges a cell: each about half of them."""
        return VERSIONS[zlib.crc32(cell.encode()) % len(VERSIONS)]


def no_history(site: Site) -> None:
    """Not even the repository is there."""
    site.folder.mkdir(parents=True, exist_ok=True)


def three_backups(site: Site) -> None:
    """A repository with a snapshot of one host and two of another."""
    runs.create(site, "creation")
    for number in range(3):
        runs.back_up(site, f"before-{number}", host=f"db{number % 2}")


def backups_and_leftovers(site: Site) -> None:
    """Six snapshots of two hosts, and packs that a killed backup left."""
    runs.create(site, "creation")
    for number in range(6):
        runs.back_up(site, f"before-{number}", host=f"db{number % 2}")
    in_child(partial(_killed_before_its_index, site))
    runs.rival(site, "sweeper")  # takes the dead one's lock away


def _killed_before_its_index(site: Site) -> None:
    interpose(
        Strike(
            Point("write", "index", 1),
            "crash before",
            journal=Journal(site.journal.path.with_name("leftovers")),
            clock=ShiftedClock(),
            disk=site.folder,
        )
    )
    runs.back_up(site, "killed", host="db3")


def backups_and_forgotten(site: Site) -> None:
    """The same, and the older snapshots are forgotten, not yet pruned."""
    backups_and_leftovers(site)
    runs.forget(site, "forget before")


def two_keys(site: Site) -> None:
    """Three snapshots, and two passwords that open them."""
    three_backups(site)
    runs.add_key(site, "addition of a key")


def damaged_everywhere(site: Site) -> None:
    """Six snapshots, leftovers of a killed backup, and of each kind of damage some: packs with a
    flipped byte, cut, gone; an index file that is torn, one that is gone.
    """
    backups_and_leftovers(site)
    packs = sorted(site.folder.glob("data/*/*"))
    for number, pack in enumerate(packs[:9]):
        pack.chmod(0o600)
        data = pack.read_bytes()
        if number % 3 == 0:
            pack.write_bytes(bytes((data[0] ^ 1,)) + data[1:])
        elif number % 3 == 1:
            pack.write_bytes(data[: len(data) // 2])
        else:
            pack.unlink()
    torn, gone, *dummy_rest = sorted(site.folder.glob("index/*"))
    torn.chmod(0o600)
    torn.write_bytes(torn.read_bytes()[:100])
    gone.unlink()


WORKS = [
    Work(
        name="create",
        history=no_history,
        act=runs.create,
        again=runs.create,
        least_cells=30,
        made_before=False,
    ),
    Work(
        name="back up",
        history=three_backups,
        act=runs.back_up,
        again=runs.back_up,
        least_cells=80,
        short=6,
    ),
    Work(
        name="restore",
        history=three_backups,
        act=runs.restore,
        again=runs.restore,
        least_cells=20,
        kinds=OF_READS,
        reads=True,
    ),
    Work(
        name="forget",
        history=backups_and_leftovers,
        act=runs.forget,
        again=runs.forget,
        least_cells=50,
    ),
    Work(
        name="prune",
        history=backups_and_forgotten,
        act=runs.prune,
        again=runs.prune,
        least_cells=150,
    ),
    Work(
        name="retention",
        history=backups_and_leftovers,
        act=runs.retain,
        again=runs.retain,
        least_cells=100,
    ),
    Work(
        name="add a key",
        history=three_backups,
        act=runs.add_key,
        again=runs.add_key,
        least_cells=40,
    ),
    Work(
        name="exchange the key",
        history=three_backups,
        act=runs.exchange_key,
        again=runs.exchange_key,
        least_cells=40,
    ),
    Work(
        name="remove a key",
        history=two_keys,
        act=runs.remove_key,
        again=runs.remove_key,
        least_cells=40,
    ),
    Work(
        name="remove",
        history=backups_and_leftovers,
        act=runs.remove,
        again=runs.remove,
        made_before=False,
        made_after=False,
        least_cells=100,
    ),
    Work(
        name="repair",
        history=damaged_everywhere,
        act=runs.repair,
        again=runs.repair,
        keeps_readable=True,
        made_before=False,
        made_after=False,
        least_cells=100,
    ),
    Work(
        name="check",
        history=backups_and_leftovers,
        act=runs.check,
        again=runs.check,
        least_cells=20,
        kinds=OF_READS,
        reads=True,
    ),
    Work(
        name="back up while somebody prunes",
        history=backups_and_forgotten,
        act=runs.back_up,
        again=runs.forget_and_prune,
        least_cells=20,
        rival=runs.prune,
        kinds=("stop", "sleep", "late", "doubled"),
    ),
]
