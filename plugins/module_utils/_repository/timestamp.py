# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""Times as the repository stores them: RFC 3339 with nanoseconds and the zone in which they were
written.

``datetime`` holds microseconds only, and retention needs the writer's wall clock, so neither may be
lost on reading.
"""

from __future__ import annotations

import dataclasses
import datetime
import functools
import re

_FORM = re.compile(
    r"(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2})(?:\.(\d{1,9})\d*)?(?:Z|([+-])(\d{2}):(\d{2}))", re.ASCII
)
_SECOND = 1_000_000_000
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


@functools.total_ordering
@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Timestamp:
    """A moment, in nanoseconds since 1970, and the zone it was written in (minutes east of UTC;
    None: ``Z``).

    Ordered and equal by the moment alone.
    """

    unix_ns: int
    offset_minutes: int | None = None

    @classmethod
    def of_unix_seconds(cls, seconds: float) -> Timestamp:
        """Return the moment so many seconds after 1970, exact to a microsecond or so."""
        return cls(unix_ns=round(seconds * _SECOND))

    @classmethod
    def parse(cls, text: str) -> Timestamp:
        """Read RFC 3339 as Go writes it. Raises ``ValueError`` for anything else."""
        match = _FORM.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} is not a time of RFC 3339")
        wall, fraction, sign, hours, minutes = match.groups()
        moment = datetime.datetime.fromisoformat(wall).replace(tzinfo=datetime.UTC)
        seconds = (moment - _EPOCH) // datetime.timedelta(seconds=1)
        offset = None
        if sign is not None:
            offset = (int(hours) * 60 + int(minutes)) * (-1 if sign == "-" else 1)
            seconds -= offset * 60
        nanoseconds = int((fraction or "").ljust(9, "0"))
        return cls(unix_ns=seconds * _SECOND + nanoseconds, offset_minutes=offset)

    def __str__(self) -> str:
        """RFC 3339 as Go's ``RFC3339Nano`` writes it: no zeros at the end of the fraction."""
        seconds, nanoseconds = divmod(self.unix_ns, _SECOND)
        wall = _EPOCH + datetime.timedelta(seconds=seconds, minutes=self.offset_minutes or 0)
        text = wall.strftime("%m-%dT%H:%M:%S")
        fraction = f".{nanoseconds:09d}".rstrip("0") if nanoseconds else ""
        return f"{wall.year:04d}-{text}{fraction}{self._zone()}"

    def _zone(self) -> str:
        if self.offset_minutes is None:
            return "Z"
        hours, minutes = divmod(abs(self.offset_minutes), 60)
        return f"{'-' if self.offset_minutes < 0 else '+'}{hours:02d}:{minutes:02d}"

    def __eq__(self, other: object) -> bool:
        return self.unix_ns == other.unix_ns if isinstance(other, Timestamp) else NotImplemented

    def __lt__(self, other: Timestamp) -> bool:
        return self.unix_ns < other.unix_ns

    def __hash__(self) -> int:
        return hash(self.unix_ns)
