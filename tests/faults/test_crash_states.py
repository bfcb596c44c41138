# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Crash states: in every state in which a crash can leave a repository, stock restic finds nothing
wrong, every acknowledged snapshot is whole, and the next runs succeed unattended.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import pytest

from tests.faults import runs
from tests.faults.crash_states import Recorder, State, crash_states, read_objects
from tests.faults.interposed import interpose, many_at_once
from tests.faults.matrix import lay_out
from tests.faults.oracle import Oracle, readable_blobs, restic_complaints
from tests.faults.site import NEW_PASSWORD, Child, Site, in_child
from tests.faults.works import (
    Act,
    backups_and_forgotten,
    backups_and_leftovers,
    damaged_everywhere,
    no_history,
    three_backups,
    two_keys,
)
from tests.fix_faults import SiteFactory
from tests.fix_sample import Sampler
from tests.testbed.restic import VERSIONS

_LEAST_STATES = 500
SMALL_PACKS = 4 * 1024  # about one blob each: every upload is a state of its own


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """What is there before, what then runs (all of it at once), and what must hold in each state.

    `least` is the number of distinct states that it has at least; the long form looks at up to
    `most` of them, the short form at `short`.
    """

    name: str
    history: Callable[[Site], None]
    acts: tuple[Act, ...]
    judge: Callable[[Site, Oracle], list[str]]
    least: int
    most: int = 150
    short: int = 4
    version: int = 2

    def __str__(self) -> str:
        return self.name


def _back_up_beside(site: Site, run: str) -> None:
    runs.back_up(site, f"{run} beside", host="db7")


def _healthy(site: Site, oracle: Oracle) -> list[str]:
    """restic is content, nothing promised is lost, and backup and prune go on unattended."""
    found = [*restic_complaints(site, *VERSIONS), *oracle.complaints(site)]
    for act in (runs.back_up, runs.prune):
        found = found or _succeeds(site, act)
    return found or [*restic_complaints(site, VERSIONS[-1]), *Oracle.of(site).complaints(site)]


def _succeeds(site: Site, act: Act) -> list[str]:
    run = f"the next {act.__name__}"
    in_child(partial(act, site, run))
    last = site.journal.lines()[-1]
    succeeded = last.word in {"acknowledged", "done"} and last.fields.get("run") == run
    return [] if succeeded else [f"{run} did not succeed: {last}"]


def _completed(site: Site, oracle: Oracle) -> list[str]:
    """A second creation completes the first, and what it made can be used."""
    return _succeeds(site, runs.create) or _healthy(site, oracle)


def _exchanged(site: Site, oracle: Oracle) -> list[str]:
    """Some password opens it always; the same run once more completes it."""
    found = _healthy(site, oracle) or _succeeds(site, runs.exchange_key)
    return found or ([] if site.password() == NEW_PASSWORD else ["the old password still opens it"])


def _key_removed(site: Site, oracle: Oracle) -> list[str]:
    return _healthy(site, oracle) or _succeeds(site, runs.remove_key)


def _removed(site: Site, oracle: Oracle) -> list[str]:
    """A second removal completes the first, and another repository can be made there."""
    return _succeeds(site, runs.remove) or _succeeds(site, runs.create)


def _nothing_more_lost(readable: frozenset[bytes], site: Site, oracle: Oracle) -> list[str]:
    """A repair may die anywhere: what could be read before can be read still, and the next repair
    and backup succeed.
    """
    missing = readable - readable_blobs(site)
    if missing:
        return [f"{len(missing)} of {len(readable)} blobs can be read no more"]
    found = _succeeds(site, runs.repair) or _succeeds(site, runs.back_up)
    missing = readable - readable_blobs(site)
    return (
        found or [f"{len(missing)} blobs were lost by the second repair" for dummy in missing][:1]
    )


SCENARIOS = [
    Scenario(
        name="creation",
        history=no_history,
        acts=(runs.create, runs.create, runs.create),
        judge=_completed,
        least=3,  # those of one creation: the others may come when it has ended
    ),
    Scenario(
        name="backup",
        history=three_backups,
        acts=(runs.back_up,),
        judge=_healthy,
        least=15,
    ),
    Scenario(
        name="two backups at once, version 1",
        history=three_backups,
        acts=(runs.back_up, _back_up_beside),
        judge=_healthy,
        least=140,
        version=1,
    ),
    Scenario(
        name="forget",
        history=backups_and_leftovers,
        acts=(runs.forget,),
        judge=_healthy,
        least=10,
    ),
    Scenario(
        name="prune",
        history=backups_and_forgotten,
        acts=(runs.prune,),
        judge=_healthy,
        least=140,
    ),
    Scenario(
        name="forget and prune, version 1",
        history=backups_and_leftovers,
        acts=(runs.forget_and_prune,),
        judge=_healthy,
        least=140,
        version=1,
    ),
    Scenario(
        name="retention",
        history=backups_and_leftovers,
        acts=(runs.retain,),
        judge=_healthy,
        least=140,
        short=2,
    ),
    Scenario(
        name="exchange of the key",
        history=three_backups,
        acts=(runs.exchange_key,),
        judge=_exchanged,
        least=4,
        short=3,
    ),
    Scenario(
        name="removal",
        history=backups_and_leftovers,
        acts=(runs.remove,),
        judge=_removed,
        least=140,
    ),
    Scenario(
        name="removal of a key",
        history=two_keys,
        acts=(runs.remove_key,),
        judge=_key_removed,
        least=3,
        short=2,
    ),
]


def test_there_are_enough_of_them() -> None:
    assert sum(scenario.least for scenario in SCENARIOS) >= _LEAST_STATES


@pytest.mark.timeout(3600)
def test_no_crash_of_a_repair_loses_what_can_be_read(
    sites: SiteFactory,
    sampler: Sampler,
    seed: int,
    record_property: Callable[[str, object], None],
) -> None:
    damaged = sites("damaged")
    assert in_child(partial(damaged_everywhere, damaged)) == 0
    readable = readable_blobs(damaged)
    assert readable
    scenario = Scenario(
        name="repair",
        history=partial(lay_out, damaged),
        acts=(runs.repair,),
        judge=partial(_nothing_more_lost, readable),
        least=15,
        short=6,
    )
    _look_at(scenario, sites, sampler, random.Random(seed), record_property)


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
def test_no_crash_loses_anything(
    scenario: Scenario,
    sites: SiteFactory,
    sampler: Sampler,
    seed: int,
    record_property: Callable[[str, object], None],
) -> None:
    _look_at(scenario, sites, sampler, random.Random(seed), record_property)


def _look_at(
    scenario: Scenario,
    sites: SiteFactory,
    sampler: Sampler,
    chance: random.Random,
    record_property: Callable[[str, object], None],
) -> None:
    states = _states_of(scenario, sites, chance)
    states = chance.sample(states, min(scenario.most, len(states)))
    drawn = sampler(states, scenario.short)
    distinct = _distinct(states)
    record_property("distinct crash states judged", f"{_distinct(drawn)} of {distinct}")
    assert distinct >= scenario.least
    wrong = {}
    for number, (state, journal) in enumerate(drawn):
        complaints = _judge(scenario, sites(f"{number}"), state, journal)
        if complaints:
            wrong[str(state)] = complaints
    assert wrong == {}


def _distinct(states: list[tuple[State, bytes]]) -> int:
    return len({state.digest for state, dummy in states})


def _states_of(
    scenario: Scenario, sites: SiteFactory, chance: random.Random
) -> list[tuple[State, bytes]]:
    """Run it once, recorded; the states, each with what the journal promised by then."""
    site = sites("origin", uploads=2, version=scenario.version, pack_size=SMALL_PACKS)
    assert in_child(lambda: scenario.history(site)) == 0
    start = read_objects(site.folder)
    begin = len(site.journal.lines())

    def recorded(act: Act) -> None:
        many_at_once()
        interpose(Recorder(site.journal))
        act(site, "run")

    children = [Child(partial(recorded, act)) for act in scenario.acts]
    assert [child.wait() for child in children] == [0] * len(children)
    assert site.journal.count("failed") == 0, site.journal.lines()[-1]
    lines = site.journal.lines()
    raw = site.journal.path.read_bytes().splitlines(keepends=True)
    found = crash_states(start, lines[begin:], chance=chance)
    return [(state, _promises(raw[: begin + state.lines])) for state in found]


def _promises(raw: list[bytes]) -> bytes:
    """The lines of a journal without those of the storage's operations."""
    return b"".join(line for line in raw if not line.startswith((b'["begin"', b'["end"')))


def _judge(scenario: Scenario, site: Site, state: State, journal: bytes) -> list[str]:
    site.journal.path.write_bytes(journal)
    site.folder.mkdir(parents=True)
    state.lay_out(site.folder)
    try:
        return scenario.judge(site, Oracle.of(site))
    finally:
        shutil.rmtree(site.folder.parents[1])
