# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""Durations, sizes and moments as Go programs write them in objects, and back.

Durations are seconds here, sizes bytes.
"""

from __future__ import annotations

import datetime
import re
from decimal import Decimal

from .._core.errors import InvalidObject

_MICRO = "\N{MICRO SIGN}s"  # Go writes this one, and reads the Greek letter too
_NANOSECOND = {
    "ns": 1,
    "us": 1_000,
    _MICRO: 1_000,
    "\N{GREEK SMALL LETTER MU}s": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
_PART = re.compile(rf"(\d+(?:\.\d*)?|\.\d+)({'|'.join(_NANOSECOND)})", re.ASCII)
_LONGEST_NS = 2**63 - 1
_SIZES = (("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10))
_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?(TiB|GiB|MiB|KiB|B)", re.ASCII)


def parse_go_duration(text: str) -> float:
    """Return the seconds of a duration such as ``1h30m`` or ``1.5s``; Go knows no days.

    Raises ``InvalidObject``.
    """
    sign = -1 if text.startswith("-") else 1
    rest = text[1:] if text[:1] in {"-", "+"} else text
    if rest == "0":
        return 0.0
    nanoseconds, end = 0, 0
    while match := _PART.match(rest, end):
        nanoseconds += int(Decimal(match[1]) * _NANOSECOND[match[2]])
        end = match.end()
    if end == 0 or end != len(rest) or nanoseconds > _LONGEST_NS:
        raise InvalidObject(
            f"{text!r} is not a duration; write hours, minutes and seconds as in 1h30m or 90s."
        )
    return sign * nanoseconds / _NANOSECOND["s"]


def format_go_duration(seconds: float, *, whole_seconds: bool = False) -> str:
    """Return a duration as Go's ``String`` does: ``1m21s``, ``1.5s``, ``300ms``, ``0s``."""
    nanoseconds = round(abs(seconds) * _NANOSECOND["s"])
    if whole_seconds:
        nanoseconds = round(abs(seconds)) * _NANOSECOND["s"]
    sign = "-" if seconds < 0 and nanoseconds else ""
    if nanoseconds < _NANOSECOND["s"]:
        for unit in ("ms", _MICRO, "ns"):
            if nanoseconds >= _NANOSECOND[unit]:
                return f"{sign}{_decimal(nanoseconds, _NANOSECOND[unit])}{unit}"
        return "0s"
    minutes, rest = divmod(nanoseconds, _NANOSECOND["m"])
    hours, minutes = divmod(minutes, 60)
    text = f"{_decimal(rest, _NANOSECOND['s'])}s"
    if hours:
        return f"{sign}{hours}h{minutes}m{text}"
    return f"{sign}{minutes}m{text}" if minutes else f"{sign}{text}"


def _decimal(value: int, unit: int) -> str:
    whole, rest = divmod(value, unit)
    digits = f"{rest:0{len(str(unit)) - 1}d}".rstrip("0") if rest else ""
    return f"{whole}.{digits}" if digits else str(whole)


def format_processing_time(seconds: float) -> str:
    """Return a processing time as restic shows it: ``m:ss`` or ``h:mm:ss``."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def format_size(size: int) -> str:
    """Return bytes as Stash shows them: three decimals of the largest unit that they exceed."""
    for unit, factor in _SIZES:
        if size > factor:
            return f"{size / factor:.3f} {unit}"
    return f"{size} B"


def parse_size(text: str) -> float:
    """Return the bytes of a size that ``format_size`` wrote, as exact as its three decimals.

    Raises ``InvalidObject``.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise InvalidObject(f"{text!r} is not a size such as 1.500 MiB.")
    return float(match[1]) * dict(_SIZES).get(match[2], 1)


def now() -> datetime.datetime:
    """Return this moment, in UTC."""
    return datetime.datetime.now(datetime.UTC)


def format_time(moment: datetime.datetime) -> str:
    """Return a moment as the API server keeps it: RFC 3339, whole seconds, UTC."""
    return moment.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_time(text: str) -> datetime.datetime:
    """Read a moment of an object, fractions or not. Raises ``InvalidObject``."""
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError as exc:
        raise InvalidObject(f"{text!r} is not a time of RFC 3339.") from exc
    return moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)
