# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""Calendars as Go's package ``time`` keeps them, since retention has to come to the same decisions.

Knows times and spans of time, nothing of snapshots and policies.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import re
import typing as t
import zoneinfo
from pathlib import Path

from .._core.errors import ConfigError

if t.TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .timestamp import Timestamp

    Zone = Callable[[int], int]
    """Seconds east of UTC at a moment, which is given in seconds since 1970."""

_SECOND_NS = 1_000_000_000
_HOUR, _DAY = 3600, 86400
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
# A day inside what datetime holds, whatever the offset. Before its first change a zone has one
# offset.
_EARLIEST, _LATEST = -62_135_510_400, 253_402_214_400
_NEVER = -62_135_596_800 * _SECOND_NS
_PART = re.compile(r"(-?)([0-9]*)(.?)", re.DOTALL)
# restic counts hours in a signed 64-bit number of nanoseconds, and comes out elsewhere beyond it.
_MOST_HOURS = (1 << 63) // (_HOUR * _SECOND_NS)
_MOST, _MOST_DIGITS = 10**9, 20
# Where Go looks for zones on Unix.
_ZONE_FOLDERS = (
    "/usr/share/zoneinfo",
    "/usr/share/lib/zoneinfo",
    "/usr/lib/locale/TZ",
    "/etc/zoneinfo",
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A span of the calendar; none of its parts is negative. All at 0 is no span: false."""

    years: int = 0
    months: int = 0
    days: int = 0
    hours: int = 0

    @classmethod
    def parse(cls, text: str) -> Span:
        """Read ``1y5m7d2h``: any of the four units, in any order, the last one of a unit counts.

        Raises ``ConfigError`` that says what is wrong with it.
        """
        units = {"y": "years", "m": "months", "d": "days", "h": "hours"}
        parts: dict[str, int] = {}
        rest = text.strip()
        while rest:
            sign, digits, unit = t.cast("re.Match[str]", _PART.match(rest)).groups()
            if not digits or unit not in units:
                raise ConfigError(
                    f"{text!r} is no span of time; give numbers with the units y, m, d and h, such "
                    "as 1y6m or 36h."
                )
            most = _MOST_HOURS if unit == "h" else _MOST
            if sign or len(digits) > _MOST_DIGITS or int(digits) > most:
                raise ConfigError(
                    f"{text!r} is no span of time that can be counted; each number in it goes from "
                    f"0 to {most} where its unit is {unit}."
                )
            parts[units[unit]] = int(digits)
            rest = rest[len(sign) + len(digits) + 1 :]
        return cls(**parts)

    def __bool__(self) -> bool:
        return any((self.years, self.months, self.days, self.hours))

    def __str__(self) -> str:
        """The parts that are not 0, the largest unit first."""
        parts = {"y": self.years, "m": self.months, "d": self.days, "h": self.hours}
        return "".join(f"{count}{unit}" for unit, count in parts.items() if count)


def moment_before(time: Timestamp | None, span: Span, zone: Zone) -> int:
    """Return the moment that lies ``span`` before ``time``, in nanoseconds since 1970; None stands
    for the beginning of year 1.

    Years, months and days go by the calendar and the clock on the wall, and what that month lacks
    runs into the next one (a month before 31 March is 3 March); then hours are counted exactly. The
    wall is that of ``zone`` if it had the offset of ``time`` at that time, else that of this offset
    at all times.
    """
    unix_ns = _NEVER if time is None else time.unix_ns
    seconds, nanoseconds = divmod(unix_ns, _SECOND_NS)
    offset = 0 if time is None else (time.offset_minutes or 0) * 60
    local = time is not None and time.offset_minutes is not None and zone(seconds) == offset
    days, clock = divmod(seconds + offset, _DAY)
    date = _civil(days)
    wall = _days(date.year - span.years, date.month - span.months, date.day - span.days) * _DAY
    wall += clock
    before = wall - zone(wall - zone(wall)) if local else wall - offset
    return (before - span.hours * _HOUR) * _SECOND_NS + nanoseconds


def _civil(days: int) -> datetime.date:
    """Return the date that lies so many days after 1 January 1970."""
    return datetime.date(1970, 1, 1) + datetime.timedelta(days=days)


def _days(year: int, month: int, day: int) -> int:
    """Return the days from 1 January 1970 to a date, whose year, month and day may be any
    integers.
    """
    years, month_before = divmod(month - 1, 12)
    # Four hundred years of the calendar are 146,097 days; datetime knows no year before 1.
    cycles, year_of_cycle = divmod(year + years, 400)
    first = datetime.date(year_of_cycle + 400, month_before + 1, 1)
    return (first - datetime.date(1970, 1, 1)).days + (cycles - 1) * 146_097 + day - 1


class Wall(t.NamedTuple):
    """The clock on the wall where a time was written, with the number of the week as in ISO 8601
    and the year to which that week belongs.
    """

    year: int
    month: int
    day: int
    hour: int
    week_year: int
    week: int

    @classmethod
    def of(cls, time: Timestamp) -> Wall:
        """Return what the clock showed at ``time``, by the offset that is stored with it."""
        seconds = time.unix_ns // _SECOND_NS + (time.offset_minutes or 0) * 60
        days, clock = divmod(seconds, _DAY)
        date = _civil(days)
        week = date.isocalendar()
        return cls(
            year=date.year,
            month=date.month,
            day=date.day,
            hour=clock // _HOUR,
            week_year=week.year,
            week=week.week,
        )


def utc(seconds: int) -> int:
    """Return 0: the zone of those who have none."""
    return 0


def process_zone(environment: Mapping[str, str]) -> Zone:
    """Return the zone in which a restic with this environment would run: of ``TZ``, where there is
    none that of the machine, and UTC where neither can be read.

    Go takes names and files of zones; a rule such as ``CET-1CEST`` is UTC to it.
    """
    name = environment.get("TZ")
    if name is None:
        return _read_zone(Path("/etc/localtime"))
    name = name.removeprefix(":")
    if name.startswith("/"):
        return _read_zone(Path(name))
    if not name or name == "UTC":
        return utc
    return _read_zone(*(Path(folder, name) for folder in _ZONE_FOLDERS))


def _read_zone(*paths: Path) -> Zone:
    for path in paths:
        with contextlib.suppress(OSError, ValueError), path.open("rb") as file:
            return _offsets(zoneinfo.ZoneInfo.from_file(file))
    return utc


def _offsets(zone: zoneinfo.ZoneInfo) -> Zone:
    def offset(seconds: int) -> int:
        inside = min(max(seconds, _EARLIEST), _LATEST)
        moment = _EPOCH + datetime.timedelta(seconds=inside)
        found = moment.astimezone(zone).utcoffset() or datetime.timedelta()
        return int(found.total_seconds())

    return offset
