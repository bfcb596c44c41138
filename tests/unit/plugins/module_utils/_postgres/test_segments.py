# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.granary.postgres.plugins.module_utils._postgres.model import Table
from ansible_collections.granary.postgres.plugins.module_utils._postgres.segments import (
    WHOLE_TABLE,
    PageRange,
    plan_segments,
    segment_pages,
)

MIB = 1024 * 1024


def table(pages: int, toast_bytes: int = 0) -> Table:
    return Table(
        oid=1,
        schema="public",
        name="t",
        kind="r",
        persistence="p",
        access_method="heap",
        file_node=1,
        extension=None,
        is_extension_config=False,
        size_bytes=pages * 8192 + toast_bytes,
        pages=pages,
        toast_bytes=toast_bytes,
        columns=("a",),
        column_count=1,
        is_leaf=False,
        root=None,
        inherits=False,
        row_security=False,
        index_count=0,
    )


@pytest.mark.parametrize(
    ("pages", "toast_bytes", "expected"),
    [
        (0, 0, 1024),
        (5000, 0, 1024),
        (39, 500 * MIB, 1),
        (1000, 1000 * 8192, 512),
        (1000, 1, 512),
        (2000, 2000 * 3 * 8192, 256),
    ],
)
def test_a_segment_stays_within_8_mib(pages: int, toast_bytes: int, expected: int) -> None:
    assert segment_pages(pages, toast_bytes) == expected


@given(st.integers(0, 10**7), st.integers(0, 10**12), st.none() | st.sampled_from([1, 64, 1024]))
def test_segments_cover_every_page_once_and_the_last_is_open(
    pages: int, toast_bytes: int, previous: int | None
) -> None:
    plan = plan_segments(table(pages, toast_bytes), previous_pages=previous)
    assert len(plan) >= 1
    assert plan[0].first == 0
    last = plan[len(plan) - 1]
    assert last.end is None
    assert last.first is not None
    assert last.first <= max(pages - 1, 0)
    middle = len(plan) // 2
    if middle:
        assert plan[middle - 1].end == plan[middle].first


def test_the_previous_borders_stay() -> None:
    assert plan_segments(table(100), previous_pages=16).pages_per_segment == 16


def test_an_empty_table_is_one_open_segment() -> None:
    assert list(plan_segments(table(0))) == [PageRange(0, None)]


def test_without_tid_range_scans_a_table_is_one_segment() -> None:
    plan = plan_segments(table(5000), previous_pages=64, whole=True)
    assert list(plan) == [WHOLE_TABLE]
    assert plan.pages_per_segment is None


def test_a_segment_beyond_the_last_is_an_error() -> None:
    with pytest.raises(IndexError):
        plan_segments(table(10))[1]
