# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How long we wait before we look again for what nothing tells us about. Pure."""

from __future__ import annotations

import typing as t

from ansible_collections.granary.postgres.plugins.module_utils._kubernetes import conditions as c
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.durations import (
    parse_time,
)

if t.TYPE_CHECKING:
    import datetime

    from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.objects import Object

SHORTEST_S = 5.0
"""Stash's own rhythm for what is missing."""
LONGEST_S = 60.0
_PART_OF_AGE = 0.25


def look_again_s(status: Object, now: datetime.datetime) -> float:
    """Return when to look again: the later, the longer a condition has not been met.

    What an invoker refers to is watched, but for Secrets, which we may only read by name.
    """
    unmet = [
        (now - parse_time(each["lastTransitionTime"])).total_seconds()
        for each in status.get("conditions") or []
        if each.get("status") != c.TRUE and each.get("lastTransitionTime")
    ]
    return min(max(SHORTEST_S, _PART_OF_AGE * max(unmet, default=0.0)), LONGEST_S)
