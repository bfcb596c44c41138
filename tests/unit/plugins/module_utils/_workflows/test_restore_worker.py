# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from ansible_collections.granary.postgres.plugins.module_utils._workflows.restore_worker import (
    in_turns,
)


def order(*tables: str) -> str:
    return "".join(t.cast("list[str]", in_turns(t.cast("t.Any", tables))))


def test_tables_of_one_size_alternate() -> None:
    assert order("aaaa", "bbbb") == "abababab"


def test_a_small_table_does_not_end_before_a_large_one() -> None:
    assert order("aaaaaa", "bb") == "aabaaaba"
    assert order("aaaa", "b", "c") == "aabcaa"


def test_one_table_keeps_its_order_and_none_is_none() -> None:
    assert "".join(t.cast("list[str]", in_turns(t.cast("t.Any", ["abc", ""])))) == "abc"
    assert in_turns([]) == []
