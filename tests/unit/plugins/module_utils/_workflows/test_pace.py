# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How often a long step says something."""

from __future__ import annotations

from ansible_collections.granary.postgres.plugins.module_utils._workflows.pace import Pace


def test_nothing_is_said_before_its_time() -> None:
    pace = Pace(3600)
    assert [pace.due() for dummy in range(3)] == [False] * 3


def test_without_a_wait_it_is_always_time() -> None:
    pace = Pace(0)
    assert [pace.due() for dummy in range(3)] == [True] * 3
