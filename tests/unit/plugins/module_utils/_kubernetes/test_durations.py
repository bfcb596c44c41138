# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import InvalidObject
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes import durations as d


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("90s", 90),
        ("1h30m", 5400),
        ("1.5h", 5400),
        (".5s", 0.5),
        ("1m0.25s", 60.25),
        ("-1m", -60),
        ("+1m", 60),
        ("100ms", 0.1),
        ("1\N{MICRO SIGN}s", 1e-6),
        ("1\N{GREEK SMALL LETTER MU}s", 1e-6),
        ("7ns", 7e-9),
    ],
)
def test_durations_are_read_as_go_reads_them(text: str, seconds: float) -> None:
    assert d.parse_go_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "5", "1d", "1h 30m", "h", "1hm", "abc", "-", "9999999h", "1½s"]
)
def test_what_go_does_not_read_is_refused(text: str) -> None:
    with pytest.raises(InvalidObject, match="is not a duration"):
        d.parse_go_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (81, "1m21s"),
        (33, "33s"),
        (1.147010638, "1.147010638s"),
        (3600, "1h0m0s"),
        (0.3, "300ms"),
        (0.0015, "1.5ms"),
        (1e-6, "1\N{MICRO SIGN}s"),
        (-90, "-1m30s"),
    ],
)
def test_durations_are_written_as_go_writes_them(seconds: float, text: str) -> None:
    assert d.format_go_duration(seconds) == text


def test_sessions_show_whole_seconds() -> None:
    assert d.format_go_duration(80.7, whole_seconds=True) == "1m21s"
    assert d.format_go_duration(0.2, whole_seconds=True) == "0s"


@given(st.integers(min_value=-(10**15), max_value=10**15))
def test_a_duration_comes_back_as_it_was_written(microseconds: int) -> None:
    seconds = microseconds / 1_000_000
    assert d.parse_go_duration(d.format_go_duration(seconds)) == pytest.approx(seconds, abs=2e-6)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1024, "1024 B"),
        (1025, "1.001 KiB"),
        (1536 * 1024, "1.500 MiB"),
        (2**30 + 1, "1.000 GiB"),
        (3 * 2**40, "3.000 TiB"),
    ],
)
def test_sizes_are_shown_as_stash_shows_them(size: int, text: str) -> None:
    assert d.format_size(size) == text


@given(st.integers(min_value=0, max_value=2**50))
def test_a_size_comes_back_within_its_three_decimals(size: int) -> None:
    assert d.parse_size(d.format_size(size)) == pytest.approx(size, rel=0.0005, abs=0.5)


def test_a_size_without_a_unit_is_refused() -> None:
    with pytest.raises(InvalidObject, match="is not a size"):
        d.parse_size("12")


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (65.9, "1:05"), (3661, "1:01:01")])
def test_processing_times_are_shown_as_restic_shows_them(seconds: float, text: str) -> None:
    assert d.format_processing_time(seconds) == text


def test_moments_are_whole_seconds_of_utc() -> None:
    zone = datetime.timezone(datetime.timedelta(hours=2))
    moment = datetime.datetime(2026, 1, 2, 5, 4, 3, 999999, tzinfo=zone)
    assert d.format_time(moment) == "2026-01-02T03:04:03Z"
    assert d.parse_time("2026-01-02T03:04:03Z") == moment.replace(microsecond=0)
    assert d.parse_time("2026-01-02T03:04:03.999999Z") == moment
    with pytest.raises(InvalidObject, match="is not a time"):
        d.parse_time("yesterday")
