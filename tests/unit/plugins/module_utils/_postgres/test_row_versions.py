# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._postgres.row_versions import (
    UNKNOWN_VERSIONS,
    RowVersions,
)

LAP = 2**32


@pytest.mark.parametrize(
    ("before", "xmin", "xmax", "reach"),
    [
        (100, 100, 100, True),
        (100, 100, 5000, True),
        (5 * LAP + 7, 5 * LAP + 9, 5 * LAP + 9, True),
        # Half a lap: from there on an old number could look like a young one.
        (100, 100 + LAP // 2, 100 + LAP // 2, False),
        (100, 200, 100 + LAP // 2, False),
        (100, 100 + LAP, 100 + LAP, False),
        # The server was set back to a moment before.
        (101, 100, 100, False),
    ],
)
def test_how_far_back_transactions_can_be_told_apart(
    before: int, xmin: int, xmax: int, reach: bool
) -> None:
    assert RowVersions(xmin=xmin, xmax=xmax, lineages={}).reach(before) is reach


def test_nothing_is_told_by_a_server_that_said_nothing() -> None:
    assert not UNKNOWN_VERSIONS.reach(0)
