# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The failure matrix: nobody is told of a success that is none, no snapshot that was acknowledged
is lost, and the next run needs nobody's help.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable

import pytest

from tests.faults.matrix import cells_of, disk_for, lay_out, play
from tests.faults.works import WORKS, Work
from tests.fix_faults import SiteFactory
from tests.fix_sample import Sampler

_LEAST_CELLS = 200


def test_the_matrix_is_large_enough() -> None:
    assert sum(work.least_cells for work in WORKS) >= _LEAST_CELLS


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("work", WORKS, ids=str)
def test_no_fault_makes_a_false_success_or_loses_a_snapshot(
    work: Work,
    sites: SiteFactory,
    sampler: Sampler,
    record_property: Callable[[str, object], None],
) -> None:
    before, reference = sites("before"), sites("reference")
    work.history(before)
    lay_out(before, reference)
    cells = cells_of(work, reference)
    assert len(cells) >= work.least_cells
    drawn = sampler(cells, work.short)
    record_property("cells played", f"{len(drawn)} of {len(cells)}")
    wrong: dict[str, list[str]] = {}
    for number, cell in enumerate(drawn):
        site = sites(f"cell-{number}")
        with disk_for(cell, site):
            lay_out(before, site)
            complaints = play(cell, site)
        if complaints:
            wrong[str(cell)] = complaints
        shutil.rmtree(site.folder.parents[1])
    assert wrong == {}
