# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ansible_collections.granary.postgres.operator.controller.dependants import Dependants
from ansible_collections.granary.postgres.operator.controller.keys import Key

REPOSITORY = Key("Repository", "a", "r")
BINDING = Key("AppBinding", "a", "b")
FIRST = Key("BackupConfiguration", "a", "1")
SECOND = Key("BackupConfiguration", "a", "2")


def test_all_who_need_an_object_are_known() -> None:
    dependants = Dependants()
    dependants.note(FIRST, [REPOSITORY, BINDING])
    dependants.note(SECOND, [REPOSITORY])

    assert dependants.of(REPOSITORY) == {FIRST, SECOND}
    assert dependants.of(BINDING) == {FIRST}


def test_what_is_noted_replaces_what_was() -> None:
    dependants = Dependants()
    dependants.note(FIRST, [REPOSITORY])
    dependants.note(FIRST, [BINDING])
    dependants.forget(SECOND)

    assert dependants.of(REPOSITORY) == frozenset()
    assert dependants.of(BINDING) == {FIRST}
    dependants.forget(FIRST)
    assert dependants.of(BINDING) == frozenset()
