# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._postgres import database_definition


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ('"$user", public', ["$user", "public"]),
        ('"a,b",c', ["a,b", "c"]),
        ('"say ""x""", d', ['say "x"', "d"]),
        ('""', [""]),
        ("", [""]),
        ("one", ["one"]),
        ('"never closed', ["never closed"]),
    ],
)
def test_lists_of_names_in_settings(value: str, names: list[str]) -> None:
    assert database_definition.split_list(value) == names
