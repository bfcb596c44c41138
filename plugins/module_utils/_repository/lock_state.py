# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""What the keeper of a lock and the processes that rely on it know in common: shared memory and
times.

One process writes (the keeper), many read. Nothing here touches the storage.
"""

from __future__ import annotations

import dataclasses
import mmap
import struct
import time
import typing as t

from .model import ID_BYTES

_MINUTE = 60.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LockTiming:
    """Intervals of the lock protocol, in seconds.

    ``refresh``, ``settle`` and ``freeze`` are restic's, so that both judge each other alike: a lock
    is refreshed every 5 minutes; a new file counts once it was seen 0.2 s after it was written;
    past 22.5 minutes without a refresh nothing is written, which leaves 7.5 minutes for what is
    under way before others may take the lock for dead, at 30.

    ``retry``: after a refresh that failed. ``give_up``: a run that stood still for so long holds
    table locks for nothing. ``poll``: how often at most somebody who waits for others looks again.
    ``tick``: the longest wait without a look at the clocks, since a machine that sleeps stretches
    every wait.
    """

    refresh: float = 5 * _MINUTE
    settle: float = 0.2
    freeze: float = 22.5 * _MINUTE
    retry: float = 30.0
    give_up: float = 120 * _MINUTE
    poll: float = 2.0
    tick: float = 15.0


@dataclasses.dataclass(frozen=True, slots=True)
class Moment:
    """One moment by two clocks, in seconds: since boot (suspended time counts), and wall clock."""

    boot: float
    wall: float


class Clock(t.Protocol):
    """Where moments come from."""

    def now(self) -> Moment:
        """Return this moment."""


class SystemClock:
    """The clocks of this machine."""

    def now(self) -> Moment:
        """Return this moment."""
        return Moment(time.clock_gettime(time.CLOCK_BOOTTIME), time.time())


class LockState:
    """The lock as its keeper last left it, in memory shared by all processes forked afterwards.

    It holds two file ids, the current one and another (the previous one, or the one just being
    written), so that whoever releases knows all that may be there. Numbers are written with one
    store each, ids before the number that makes them current.
    """

    _NUMBERS = struct.Struct("=dd")
    _FLAGS_AT = 16  # lost, place of the current id, length of the reason
    _IDS_AT = 32
    _REASON_AT = _IDS_AT + 2 * ID_BYTES
    _REASON_ROOM = 400

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._memory = mmap.mmap(-1, mmap.PAGESIZE)

    def current(self) -> bytes:
        """Return the id of the file that is our lock."""
        return self._id(self._memory[self._FLAGS_AT + 1])

    def other(self) -> bytes | None:
        """Return the id of the other file that may be there, or None."""
        other = self._id(1 - self._memory[self._FLAGS_AT + 1])
        return other if any(other) else None

    def files(self) -> list[bytes]:
        """Return the ids of all files that may be there."""
        return [lock_id for lock_id in map(self._id, range(2)) if any(lock_id)]

    def _id(self, place: int) -> bytes:
        start = self._IDS_AT + place * ID_BYTES
        return bytes(self._memory[start : start + ID_BYTES])

    def announce(self, lock_id: bytes) -> None:
        """Note a file that is about to be written."""
        start = self._IDS_AT + (1 - self._memory[self._FLAGS_AT + 1]) * ID_BYTES
        self._memory[start : start + ID_BYTES] = lock_id

    def renew(self, moment: Moment) -> None:
        """Make the announced file the current one; its age counts from ``moment``, before it was
        written.
        """
        self._memory[self._FLAGS_AT + 1] = 1 - self._memory[self._FLAGS_AT + 1]
        self._NUMBERS.pack_into(self._memory, 0, moment.boot, moment.wall)

    def age(self) -> float:
        """Return the seconds since the last refresh: the larger of both clocks', since either may
        stand still.
        """
        now = self._clock.now()
        then = Moment(*self._NUMBERS.unpack_from(self._memory, 0))
        return max(now.boot - then.boot, now.wall - then.wall)

    def now(self) -> Moment:
        """Return this moment by the clock that ages are measured with."""
        return self._clock.now()

    def note(self, reason: str) -> None:
        """Keep the newest reason why a refresh failed."""
        data = reason.encode()[: self._REASON_ROOM]
        self._memory[self._REASON_AT : self._REASON_AT + len(data)] = data
        struct.pack_into("=H", self._memory, self._FLAGS_AT + 2, len(data))

    def lose(self, reason: str) -> None:
        """Declare the lock lost, for good."""
        self.note(reason)
        self._memory[self._FLAGS_AT] = 1

    @property
    def lost(self) -> bool:
        """Whether the lock is lost."""
        return self._memory[self._FLAGS_AT] == 1

    def reason(self) -> str:
        """Return why the lock is lost or the last refresh failed; may be empty."""
        (length,) = struct.unpack_from("=H", self._memory, self._FLAGS_AT + 2)
        return self._memory[self._REASON_AT : self._REASON_AT + length].decode("utf-8", "replace")
