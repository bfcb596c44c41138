# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Waiting for a condition of other threads, processes and servers."""

from __future__ import annotations

import time
import typing as t
from collections.abc import Callable

PATIENCE_S = 60.0
_SHORTEST_PAUSE_S = 0.005
_LONGEST_PAUSE_S = 0.05

T = t.TypeVar("T")


def wait_for(
    look: Callable[[], T | None],
    what: str,
    explain: Callable[[], object] = str,
    *,
    timeout_s: float = PATIENCE_S,
) -> T:
    """Return what `look` gives once it gives something; fails with `explain` after the time.

    A look that costs much is taken less often: those who are waited for share the processors.
    """
    until = time.monotonic() + timeout_s
    while True:
        began = time.monotonic()
        found = look()
        if found:
            return found
        now = time.monotonic()
        assert now < until, f"waited {timeout_s:.0f} s in vain for {what}: {explain()}"
        time.sleep(min(_LONGEST_PAUSE_S, max(_SHORTEST_PAUSE_S, 4 * (now - began))))
