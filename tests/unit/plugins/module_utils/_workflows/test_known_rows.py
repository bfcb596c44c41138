# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import hashlib
import typing as t

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import (
    RepositoryDamaged,
)
from ansible_collections.granary.postgres.plugins.module_utils._postgres.manifest import (
    SegmentEntry,
    TableEntry,
)
from ansible_collections.granary.postgres.plugins.module_utils._postgres.model import Table
from ansible_collections.granary.postgres.plugins.module_utils._postgres.row_versions import (
    RowsBefore,
    RowVersions,
)
from ansible_collections.granary.postgres.plugins.module_utils._postgres.segments import SegmentPlan
from ansible_collections.granary.postgres.plugins.module_utils._workflows.known_rows import (
    KnownRows,
    KnownTable,
)
from ansible_collections.granary.postgres.plugins.module_utils._workflows.work_units import (
    SegmentDone,
    StoredBytes,
)

ENTRY = TableEntry(
    schema="public",
    name="t",
    taken_over=True,
    rows=30,
    size=300,
    segment_pages=1024,
    segments=(SegmentEntry(20, 200, 2), SegmentEntry(0, 0, 0), SegmentEntry(10, 100, 1)),
    lineage="as it was",
)
TABLE = Table(
    oid=7,
    schema="public",
    name="t",
    kind="r",
    persistence="p",
    access_method="heap",
    file_node=7,
    extension=None,
    is_extension_config=False,
    size_bytes=0,
    pages=3 * 1024,
    toast_bytes=0,
    columns=("a",),
    column_count=1,
    is_leaf=False,
    root=None,
    inherits=False,
    row_security=False,
    index_count=0,
)
PLAN = SegmentPlan(pages_per_segment=1024, count=3)
VERSIONS = RowVersions(xmin=100, xmax=100, lineages={7: "as it was"})


def blobs(*numbers: int) -> bytes:
    return b"".join(hashlib.sha256(b"%d" % number).digest() for number in numbers)


def known() -> KnownTable:
    return KnownTable(ENTRY, blobs(1, 2, 3), xmin=90)


def test_a_segment_is_kept_as_if_it_had_been_read() -> None:
    assert known().kept(5, 0) == SegmentDone(5, 0, 20, (StoredBytes(200, blobs(1, 2)),))
    assert known().kept(5, 1) == SegmentDone(5, 1, 0, (StoredBytes(0, b""),))
    assert known().kept(5, 2) == SegmentDone(5, 2, 10, (StoredBytes(100, blobs(3)),))


def test_only_segments_that_were_there_are_compared() -> None:
    assert known().rows_before(0) == RowsBefore(90, 20)
    assert known().rows_before(2) == RowsBefore(90, 10)
    assert known().rows_before(3) is None


def test_segments_that_are_not_made_of_the_blobs_are_damage() -> None:
    with pytest.raises(RepositoryDamaged, match="do not add up"):
        KnownTable(ENTRY, blobs(1, 2), xmin=90)


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({}, True),
        ({"table": dataclasses.replace(TABLE, name="u")}, False),
        ({"plan": SegmentPlan(pages_per_segment=512, count=6)}, False),
        ({"plan": SegmentPlan(pages_per_segment=1024, count=9)}, True),
        ({"versions": dataclasses.replace(VERSIONS, lineages={7: "another"})}, False),
        ({"versions": dataclasses.replace(VERSIONS, lineages={})}, False),
        ({"versions": dataclasses.replace(VERSIONS, xmin=89)}, False),
        ({"versions": dataclasses.replace(VERSIONS, xmin=None)}, False),
    ],
)
def test_a_table_is_compared_with_itself_alone(changes: dict[str, t.Any], found: bool) -> None:
    rows = KnownRows(xmin=90, tables={("public", "t"): known()})
    asked: dict[str, t.Any] = {"table": TABLE, "plan": PLAN, "versions": VERSIONS} | changes
    assert (rows.find(**asked) is not None) is found
