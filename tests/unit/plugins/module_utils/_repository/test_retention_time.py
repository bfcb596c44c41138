# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Spans of time, walls and zones as Go has them."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import ConfigError
from ansible_collections.granary.postgres.plugins.module_utils._repository.retention_time import (
    Span,
    Wall,
    moment_before,
    process_zone,
    utc,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.timestamp import (
    Timestamp,
)

BERLIN = process_zone({"TZ": "Europe/Berlin"})


def before(time: str, span: str, offset_minutes: int | None = None, zone: str = "UTC") -> str:
    """The moment a span before a time, in a process of a zone, written with an offset."""
    parsed = Timestamp.parse(time)
    moment = moment_before(parsed, Span.parse(span), process_zone({"TZ": zone}))
    return str(Timestamp(unix_ns=moment, offset_minutes=offset_minutes))


class TestSpan:
    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ("1y5m7d2h", "1y5m7d2h"),
            ("2h7d", "7d2h"),
            (" 3d ", "3d"),
            ("1d2d", "2d"),
            ("007d", "7d"),
            ("0d", ""),
            ("", ""),
            ("2562047h", "2562047h"),
        ],
    )
    def test_is_read_and_shown_as_restic_does(self, text: str, shown: str) -> None:
        span = Span.parse(text)
        assert str(span) == shown
        assert bool(span) == bool(shown)

    @pytest.mark.parametrize(
        "text", ["3", "d", "3w", "3d 2h", "1.5d", "3D", "unlimited", "٣d", "3-d"]
    )
    def test_what_is_none_is_refused(self, text: str) -> None:
        with pytest.raises(ConfigError, match="is no span of time; give numbers with the units"):
            Span.parse(text)

    @pytest.mark.parametrize("text", ["-3d", "1y-1m", "2562048h", "9" * 30 + "y", "1" * 5000 + "d"])
    def test_what_cannot_be_counted_is_refused(self, text: str) -> None:
        with pytest.raises(ConfigError, match="goes from 0 to"):
            Span.parse(text)


class TestMomentBefore:
    @pytest.mark.parametrize(
        ("time", "span", "found"),
        [
            ("2026-03-31T12:00:00Z", "1m", "2026-03-03T12:00:00Z"),
            ("2024-03-31T12:00:00Z", "1m", "2024-03-02T12:00:00Z"),
            ("2024-02-29T12:00:00Z", "1y", "2023-03-01T12:00:00Z"),
            ("2026-01-15T00:00:00.5Z", "25m", "2023-12-15T00:00:00.5Z"),
            ("2026-01-01T00:00:00Z", "1d25h", "2025-12-29T23:00:00Z"),
            ("2026-05-31T00:00:00Z", "3m31d", "2026-01-31T00:00:00Z"),
        ],
    )
    def test_months_run_over_as_in_go(self, time: str, span: str, found: str) -> None:
        assert before(time, span) == found

    def test_the_zone_counts_where_it_agrees_with_the_offset(self) -> None:
        summer = "2026-04-02T12:00:00+02:00"
        assert before(summer, "7d", 60, "Europe/Berlin") == "2026-03-26T12:00:00+01:00"
        assert before(summer, "7d", 120, "America/New_York") == "2026-03-26T12:00:00+02:00"
        assert before("2026-04-02T10:00:00Z", "7d", None, "Europe/Berlin") == "2026-03-26T10:00:00Z"

    def test_a_clock_that_shows_no_such_time_or_two_of_them(self) -> None:
        # As Go's time.Date: 02:30 does not exist, and is there twice.
        gap = before("2026-04-28T02:30:00+02:00", "30d", 120, "Europe/Berlin")
        assert gap == "2026-03-29T03:30:00+02:00"
        twice = before("2026-11-24T02:30:00+01:00", "30d", 60, "Europe/Berlin")
        assert twice == "2026-10-25T02:30:00+01:00"

    def test_nothing_before_means_everything_is_later(self) -> None:
        first = Timestamp.parse("0001-01-01T00:00:01Z").unix_ns
        assert moment_before(None, Span.parse("5000y3m"), BERLIN) < first
        assert moment_before(None, Span.parse("1h"), BERLIN) < first

    @given(
        st.datetimes(datetime.datetime(2, 1, 1), datetime.datetime(9998, 1, 1)),
        st.integers(0, 300_000),
    )
    def test_days_are_days(self, moment: datetime.datetime, days: int) -> None:
        time = Timestamp.parse(moment.replace(microsecond=0).isoformat() + "Z")
        found = moment_before(time, Span(days=days), utc)
        assert found == time.unix_ns - days * 86400 * 10**9

    @given(st.integers(-62_000_000_000, 250_000_000_000), st.integers(0, 10**9))
    def test_any_span_can_be_counted(self, seconds: int, count: int) -> None:
        time = Timestamp(unix_ns=seconds * 10**9, offset_minutes=60)
        for span in (Span(years=count), Span(months=count), Span(days=count)):
            assert moment_before(time, span, BERLIN) <= time.unix_ns + 3600 * 10**9


class TestWall:
    def test_is_that_of_the_offset_in_the_snapshot(self) -> None:
        assert Wall.of(Timestamp.parse("2026-01-01T00:30:00+01:00"))[:4] == (2026, 1, 1, 0)
        assert Wall.of(Timestamp.parse("2025-12-31T23:30:00Z"))[:4] == (2025, 12, 31, 23)

    def test_a_week_belongs_to_the_year_of_its_thursday(self) -> None:
        assert Wall.of(Timestamp.parse("2021-01-03T12:00:00Z"))[4:] == (2020, 53)
        assert Wall.of(Timestamp.parse("2024-12-30T12:00:00Z"))[4:] == (2025, 1)


class TestProcessZone:
    @pytest.mark.parametrize(
        "name", ["", "UTC", ":", "CET-1CEST", "Nowhere/Land", "Europe", "/dev/null"]
    )
    def test_what_go_cannot_read_is_utc(self, name: str) -> None:
        assert process_zone({"TZ": name})(1_790_000_000) == 0

    @pytest.mark.parametrize("name", ["Europe/Berlin", ":Europe/Berlin"])
    def test_names_are_looked_up(self, name: str) -> None:
        assert process_zone({"TZ": name})(1_790_000_000) == 7200

    def test_a_file_may_be_named(self) -> None:
        path = Path("/usr/share/zoneinfo/Asia/Kathmandu")
        assert process_zone({"TZ": str(path)})(1_790_000_000) == 20_700

    def test_without_a_name_it_is_the_machines(self) -> None:
        machine = process_zone({"TZ": "/etc/localtime"})
        assert process_zone({})(1_790_000_000) == machine(1_790_000_000)

    def test_moments_beyond_the_calendar_have_the_first_offset(self) -> None:
        assert BERLIN(-(10**14)) == BERLIN(-62_000_000_000)
