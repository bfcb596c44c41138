# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The clocks of one run, which a fault may shift: in its own process and in those it forks."""

from __future__ import annotations

import mmap
import struct
import time
from unittest import mock

_OFFSETS = struct.Struct("=dd")


class ShiftedClock:
    """Offsets of the wall clock and of the time since boot, in seconds, in shared memory."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, mmap.PAGESIZE)

    def shift(self, *, wall: float, boot: float) -> None:
        """Shift them from now on."""
        old_wall, old_boot = _OFFSETS.unpack_from(self._memory, 0)
        _OFFSETS.pack_into(self._memory, 0, old_wall + wall, old_boot + boot)

    def install(self) -> None:
        """Let this process read these clocks, for good."""
        wall_ns, clock = time.time_ns, time.clock_gettime

        def wall_offset() -> float:
            return float(_OFFSETS.unpack_from(self._memory, 0)[0])

        def shifted(number: int) -> float:
            by_wall, by_boot = map(float, _OFFSETS.unpack_from(self._memory, 0))
            by = {time.CLOCK_REALTIME: by_wall, time.CLOCK_BOOTTIME: by_boot}
            return clock(number) + by.get(number, 0.0)

        for name, replaced in (
            ("time_ns", lambda: wall_ns() + int(wall_offset() * 1e9)),
            ("time", lambda: wall_ns() / 1e9 + wall_offset()),
            ("clock_gettime", shifted),
        ):
            mock.patch.object(time, name, replaced).start()
