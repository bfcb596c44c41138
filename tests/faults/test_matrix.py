# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The failure matrix: nobody is told of a success that is none, no snapshot that was acknowledged
is lost, and the next run needs nobody's help.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable

from tests.faults.matrix import cells_of, disk_for, histories, lay_out, play
from tests.faults.works import WORKS
from tests.fix_faults import SiteFactory
from tests.fix_sample import Sampler

_LEAST_CELLS = 200
_SHORT = 30


def test_no_fault_makes_a_false_success_or_loses_a_snapshot(
    sites: SiteFactory, sampler: Sampler, record_property: Callable[[str, object], None]
) -> None:
    before = histories(WORKS, sites)
    cells = []
    for work in WORKS:
        reference = sites(f"reference-{work}")
        lay_out(before[work.name], reference)
        cells += cells_of(work, reference)
    record_property("cells", len(cells))
    assert len(cells) >= _LEAST_CELLS
    wrong: dict[str, list[str]] = {}
    for number, cell in enumerate(sampler(cells, _SHORT)):
        site = sites(f"cell-{number}")
        with disk_for(cell, site):
            lay_out(before[cell.work.name], site)
            complaints = play(cell, site)
        if complaints:
            wrong[str(cell)] = complaints
        shutil.rmtree(site.folder.parents[1])
    assert wrong == {}
