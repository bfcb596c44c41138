# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The model test: three writers, prune, restore and stock restic at once."""

from __future__ import annotations

import typing as t

import pytest

from tests.faults.model import play
from tests.faults.oracle import Oracle, restic_complaints
from tests.fix_faults import SiteFactory

_SHORT_SECONDS = 60
_LONG_SECONDS = 20 * 60


@pytest.mark.timeout(_LONG_SECONDS + 600)
def test_nothing_is_lost_where_many_work_at_once(
    sites: SiteFactory, seed: int, request: pytest.FixtureRequest, record_property: t.Any
) -> None:
    whole = bool(request.config.getoption("--long"))
    site = sites("model")
    figures = play(site, seed, _LONG_SECONDS if whole else _SHORT_SECONDS)
    record_property("figures", str(figures))
    assert figures.complaints == []
    assert Oracle.of(site).complaints(site) == []
    assert restic_complaints(site) == []
    least = 30 if whole else 2
    assert min(figures.prunes, figures.refused, figures.restic_commands) >= least, figures
    assert min(figures.backups, figures.restores, figures.killed) >= least, figures
