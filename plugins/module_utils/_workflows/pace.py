# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""How often a long step tells how far it is: for people who watch a log, not for every segment."""

from __future__ import annotations

import time

PACE_SECONDS = 30.0


class Pace:
    """Comes due once in ``seconds``, the first time after as many."""

    def __init__(self, seconds: float = PACE_SECONDS) -> None:
        self._seconds = seconds
        self._next = time.monotonic() + seconds

    def due(self) -> bool:
        """Tell whether it is time to say something; asking when it is begins the next wait."""
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + self._seconds
        return True
