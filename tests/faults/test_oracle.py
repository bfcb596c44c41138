# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The harness itself: runs that do the known wrong things are found out."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._repository.deletion import (
    delete_objects,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.pack import pack_name
from ansible_collections.granary.postgres.plugins.module_utils._repository.prune import (
    execute_prune,
    plan_prune,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.snapshot import SNAPSHOTS
from ansible_collections.granary.postgres.plugins.module_utils._storage.base import Backend
from tests.faults import runs
from tests.faults.crash_states import Recorder, crash_states, read_objects
from tests.faults.interposed import Listener, Operation, interpose
from tests.faults.journal import Journal
from tests.faults.oracle import Oracle, restic_complaints
from tests.faults.site import Site, in_child
from tests.faults.works import Act, backups_and_forgotten, three_backups
from tests.fix_faults import SiteFactory


class _SnapshotFirst(Listener):
    """Lets the last packs and the index land only after the snapshot."""

    def __init__(self, journal: Journal) -> None:
        self._recorder = Recorder(journal)
        self._late: list[Operation] = []

    def before(self, backend: Backend, operation: Operation) -> None:
        """Hold back what is to be late; let it go once the snapshot is there."""
        if operation.verb == "write" and operation.folder in {"data", "index"}:
            self._late.append(operation)
            return
        self._recorder.before(backend, operation)

    def after(self, backend: Backend, operation: Operation) -> None:
        """Journal in the wrong order."""
        if operation not in self._late:
            self._recorder.after(backend, operation)
        if operation.folder == SNAPSHOTS:
            for late in self._late:
                self._recorder.before(backend, late)
                self._recorder.after(backend, late)


def _prune_that_deletes_first(site: Site, run: str) -> None:
    """The packs go before the index forgets them, and before their blobs are copied."""
    with (
        site.told(run),
        site.open() as repository,
        repository.lock(exclusive=True) as lock,
    ):
        plan = plan_prune(repository, max_unused_percent=0)
        packs = plan.index.packs()
        wrong = [*plan.choice.unneeded, *(packs[number] for number in plan.choice.repacked[:1])]
        delete_objects(repository, lock, map(pack_name, wrong))
        execute_prune(repository, lock, plan)


def _wrong(site: Site, act: Act, listener: Listener, sites: SiteFactory) -> int:
    """In how many crash states of a recorded run something is not as it must be."""
    start, begin = read_objects(site.folder), len(site.journal.lines())

    def recorded() -> None:
        interpose(listener)
        act(site, "run")

    in_child(recorded)
    lines = site.journal.lines()
    count = 0
    for number, state in enumerate(crash_states(start, lines[begin:], chance=random.Random(1))):
        crashed = sites(f"state-{number}")
        state.lay_out(crashed.folder)
        oracle = Oracle(lines[: begin + state.lines])
        count += bool(oracle.complaints(crashed) or restic_complaints(crashed, "0.19"))
        shutil.rmtree(crashed.folder.parents[1])
    return count


def test_a_snapshot_before_its_packs_is_found_out(sites: SiteFactory) -> None:
    site = sites("origin")
    three_backups(site)
    assert _wrong(site, runs.back_up, _SnapshotFirst(site.journal), sites) >= 2


def test_packs_deleted_before_the_index_are_found_out(sites: SiteFactory) -> None:
    site = sites("origin")
    backups_and_forgotten(site)
    assert _wrong(site, _prune_that_deletes_first, Recorder(site.journal), sites) >= 2


def test_the_right_order_is_not(sites: SiteFactory) -> None:
    site = sites("origin")
    three_backups(site)
    assert _wrong(site, runs.back_up, Recorder(site.journal), sites) == 0


def _lose_a_snapshot(site: Site) -> None:
    next(site.folder.glob("snapshots/*")).unlink()


def _lose_a_pack(site: Site) -> None:
    next(site.folder.glob("data/*/*")).unlink()


def _tell_of_a_snapshot_that_is_none(site: Site) -> None:
    site.journal.append("begun", run="liar")
    site.journal.append("acknowledged", run="liar", snapshot="0" * 64)


def _tell_of_a_failure_that_is_none(site: Site) -> None:
    site.journal.append("failed", run="before-1")


def _store_something_else(site: Site) -> None:
    shutil.rmtree(site.folder)
    site.folder.mkdir()
    runs.create(site, "creation")
    for run in ("before-0", "before-1", "before-2"):
        other = Site.at(site.folder, site.folder.parent / "other")
        other.journal.append("begun", run=run)
        runs.back_up(other, run[::-1])


@pytest.mark.parametrize(
    "lie",
    [
        _lose_a_snapshot,
        _lose_a_pack,
        _tell_of_a_snapshot_that_is_none,
        _tell_of_a_failure_that_is_none,
        _store_something_else,
    ],
)
def test_what_is_not_as_it_was_told_is_found_out(
    sites: SiteFactory, lie: Callable[[Site], None]
) -> None:
    site = sites("origin")
    three_backups(site)
    assert Oracle.of(site).complaints(site) == []
    lie(site)
    assert Oracle.of(site).complaints(site) != []
