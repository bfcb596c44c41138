# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Prunes of repositories with a past: stock restic finds nothing wrong, every snapshot restores."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._repository.prune import plan_prune
from ansible_collections.granary.postgres.plugins.module_utils._repository.snapshot import (
    list_snapshots,
)
from tests.fix_quick_key import make_key_quick
from tests.fix_repository import Place, read_files
from tests.histories import History, restored
from tests.testbed.restic import VERSIONS

_SEEDS = range(60)
_ROUNDS = 2


@pytest.mark.sampled("seed_of_history", _SEEDS, 4)
def test_every_kept_snapshot_restores(
    local_place: Place, seed_of_history: int, tmp_path: Path
) -> None:
    with local_place.create(version=1 if seed_of_history % 7 == 0 else 2) as repository:
        make_key_quick(repository)
        history = History(local_place, repository, seed_of_history)
        for number in range(_ROUNDS):
            history.grow(4)
            history.forget_and_prune()
            restic = local_place.restic(VERSIONS[number % len(VERSIONS)])
            said = restic.run("check", "--read-data")
            assert "no errors were found" in said
            assert "not referenced in any index" not in said
        assert {one.id for one in list_snapshots(repository)} == set(history.expected)
        for snapshot in list_snapshots(repository):
            assert read_files(repository, snapshot) == history.expected[snapshot.id]
            target = tmp_path / snapshot.id.hex()
            restic.run("restore", snapshot.id.hex(), "--target", target)
            assert restored(target) == history.expected[snapshot.id]
        again = plan_prune(repository, max_unused_percent=90)
        assert (again.choice.unneeded, again.choice.unreferenced) == ((), ())
