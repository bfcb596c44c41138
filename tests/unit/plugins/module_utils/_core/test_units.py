# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ansible_collections.granary.postgres.plugins.module_utils._core.units import (
    listed,
    plural,
    quoted,
)


def test_counts_have_their_noun() -> None:
    assert plural(1, "table") == "1 table"
    assert plural(2500, "table") == "2,500 tables"
    assert plural(0, "index", "indexes") == "0 indexes"


def test_lists_say_how_many_more_there_are() -> None:
    assert listed([], 3) == ""
    assert listed(["b", "a"], 2) == "b, a"
    assert listed(iter(["b", "a", "c"]), 2) == "b, a, and 1 more"
    assert listed(map(str, range(1500)), 1, "; ") == "0; and 1,499 more"


def test_names_are_sorted_and_quoted() -> None:
    assert quoted({"b", "a"}) == "'a', 'b'"
    assert quoted(map(str, range(10, 32))).endswith("'29', and 2 more")
