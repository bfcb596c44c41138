# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A prune's plan against that of stock restic: the same packs, or with copies no worse ones."""

from __future__ import annotations

import random
import re
from collections.abc import Collection

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._repository.prune import plan_prune
from ansible_collections.granary.postgres.plugins.module_utils._repository.prune_plan import (
    PackChoice,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.repository import (
    Repository,
)
from tests.fix_quick_key import make_key_quick
from tests.fix_repository import Place
from tests.made_up_packs import MIB, MadeUp, Shape
from tests.testbed.restic import VERSIONS, Restic

_SHORT_ID = 8  # hex digits that restic prints of an id
_ROUNDS = 5  # restic takes copies in a random order
_SEEDS = range(100)
_HEADLINES = {
    "repacked": "Would have repacked and removed the following packs:",
    "unneeded": "Would have removed the following no longer used packs:",
    "unreferenced": "Would have removed the following unreferenced packs:",
}


def _shape(seed: int, *, doubled: bool) -> Shape:
    chance = random.Random(seed)
    return Shape(
        packs=chance.choice([3, 9, 25, 60, 150, 250]),
        largest=chance.choice([64 * 1024, 5 * MIB, 16 * MIB, 40 * MIB]),
        used=chance.choice([0.5, 0.9, 0.97, 0.995]),
        doubled=chance.choice([0.05, 0.3, 1.0]) if doubled else 0.0,
        odd=chance.random() < 0.5,
    )


def _plan_of_restic(restic: Restic) -> dict[str, set[str]]:
    """What restic would do, by the first digits of the packs' ids."""
    said = restic.run("prune", "--dry-run", "-v")
    plan = {}
    for name, headline in _HEADLINES.items():
        parts = re.search(re.escape(headline) + r"\n\{(.*)\}", said)
        plan[name] = set(parts[1].split()) if parts else set()
    assert any(plan.values()) or "to delete:" in said
    return plan


def _plan_of_ours(repository: Repository) -> tuple[PackChoice, dict[str, set[bytes]]]:
    plan = plan_prune(repository)
    packs = plan.index.packs()
    choice = plan.choice
    return choice, {
        "repacked": {packs[number] for number in choice.repacked},
        "unneeded": set(choice.unneeded),
        "unreferenced": set(choice.unreferenced),
    }


def _shortened(ids: Collection[bytes]) -> set[str]:
    return {one.hex()[:_SHORT_ID] for one in ids}


@pytest.mark.sampled("seed_of_packs", _SEEDS, 4)
def test_is_that_of_restic(local_place: Place, seed_of_packs: int) -> None:
    with local_place.create() as repository:
        make_key_quick(repository)
        made_up = MadeUp(repository, seed_of_packs, _shape(seed_of_packs, doubled=False))
        made_up.fill()
        choice, ours = _plan_of_ours(repository)
    theirs = _plan_of_restic(local_place.restic(VERSIONS[-1]))
    assert {name: _shortened(packs) for name, packs in ours.items()} == theirs
    gone = ours["repacked"] | ours["unneeded"]
    assert choice.unused_bytes_after == made_up.unused_after(gone)


@pytest.mark.sampled("seed_of_packs", _SEEDS, 2)
def test_with_copies_is_no_worse_than_that_of_restic(
    local_place: Place, seed_of_packs: int
) -> None:
    shape = _shape(seed_of_packs, doubled=True)
    with local_place.create() as repository:
        make_key_quick(repository)
        made_up = MadeUp(repository, seed_of_packs, shape)
        made_up.fill()
        choice, ours = _plan_of_ours(repository)
    restic = local_place.restic(VERSIONS[-1])
    theirs = [_plan_of_restic(restic) for _round in range(_ROUNDS)]
    by_short_id = {pack.hex()[:_SHORT_ID]: pack for pack in made_up.packs}
    worst = max(
        made_up.unused_after({by_short_id[one] for one in plan["repacked"] | plan["unneeded"]})
        for plan in theirs
    )
    after = made_up.unused_after(ours["repacked"] | ours["unneeded"])
    assert after <= worst + max(pack.size for pack in made_up.packs.values())
    # What lies in a pack that is kept is not copied, though another copy may have been chosen.
    assert after <= choice.unused_bytes_after
    assert _shortened(ours["unreferenced"]) == theirs[0]["unreferenced"]
