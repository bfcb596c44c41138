# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import datetime

import pytest

from ansible_collections.granary.postgres.operator.controller.patience import look_again_s

NOW = datetime.datetime(2026, 1, 1, 1, tzinfo=datetime.UTC)


@pytest.mark.parametrize(("age_s", "wait_s"), [(0, 5), (20, 5), (40, 10), (100, 25), (9000, 60)])
def test_what_is_missing_for_long_is_looked_for_less_often(age_s: int, wait_s: float) -> None:
    since = (NOW - datetime.timedelta(seconds=age_s)).isoformat()
    met = {"type": "A", "status": "True", "lastTransitionTime": "2020-01-01T00:00:00Z"}
    unmet = {"type": "B", "status": "Unknown", "lastTransitionTime": since}

    assert look_again_s({"conditions": [met, unmet]}, NOW) == wait_s
    assert look_again_s({"conditions": [met]}, NOW) == 5
