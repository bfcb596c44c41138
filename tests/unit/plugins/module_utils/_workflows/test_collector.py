# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import hashlib

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import DumpFailed
from ansible_collections.granary.postgres.plugins.module_utils._postgres.model import (
    PartitionRoot,
    Table,
)
from ansible_collections.granary.postgres.plugins.module_utils._workflows.collector import (
    TableCollector,
)
from ansible_collections.granary.postgres.plugins.module_utils._workflows.work_units import (
    SegmentDone,
    StoredBytes,
)

TABLE = Table(
    oid=1,
    schema="public",
    name="t",
    kind="r",
    persistence="p",
    access_method="heap",
    file_node=1,
    extension=None,
    is_extension_config=False,
    size_bytes=1 << 30,
    pages=1 << 17,
    toast_bytes=0,
    columns=("a", "b"),
    column_count=2,
    is_leaf=True,
    root=PartitionRoot(schema="public", name="top", strategies=("range", "hash")),
    inherits=True,
    row_security=False,
    index_count=0,
)


def blob(*numbers: int) -> bytes:
    return b"".join(hashlib.sha256(b"%d" % number).digest() for number in numbers)


def done(segment: int, *parts: StoredBytes, rows: int = 10) -> SegmentDone:
    return SegmentDone(0, segment, rows, parts or (StoredBytes(100 + segment, blob(segment)),))


def collect(count: int) -> TableCollector:
    return TableCollector(TABLE, segment_pages=1024, count=count)


def test_segments_in_any_order_make_files_of_128_in_theirs() -> None:
    collected = collect(300)
    for segment in sorted(range(300), key=lambda number: number * 7 % 300):
        collected.add(done(segment))

    files = dict(collected.files("shop"))
    folder = "/postgres/databases/shop/tables/public/t/000"
    assert list(files) == [f"{folder}/{number:06}.copy" for number in range(3)]
    assert [len(file.blobs) for file in files.values()] == [128, 128, 44]
    assert [blob for file in files.values() for blob in file.blobs] == [blob(n) for n in range(300)]
    assert sum(file.size for file in files.values()) == collected.size


def test_the_entry_says_what_was_stored() -> None:
    collected = collect(2)
    collected.add(done(1, StoredBytes(7, blob(1, 2)), rows=3))
    collected.add(done(0, StoredBytes(0, b""), rows=0))
    entry = collected.entry()

    assert (entry.rows, entry.size, entry.segment_pages) == (3, 7, 1024)
    assert entry.segments == ((0, 0, 0), (3, 7, 2))
    assert entry.files == ((7, 2),)
    assert entry.columns == ("a", "b")
    assert entry.root is not None
    assert entry.root.hashed
    assert entry.taken_over


def test_one_segment_may_fill_several_files() -> None:
    collected = TableCollector(TABLE, segment_pages=None, count=1)
    collected.add(done(0, StoredBytes(5, blob(1)), StoredBytes(6, blob(2, 3)), rows=9))
    entry = collected.entry()

    assert entry.segments == ((9, 11, 3),)
    assert entry.files == ((5, 1), (6, 2))
    assert [file.size for dummy, file in collected.files("shop")] == [5, 6]


def test_a_segment_that_is_missing_or_comes_twice_is_no_table() -> None:
    collected = collect(3)
    collected.add(done(0))
    with pytest.raises(DumpFailed, match=r"Segment 0 of public\.t was read twice"):
        collected.add(done(0))
    with pytest.raises(DumpFailed, match=r"2 of 3 segments of public\.t were not read"):
        collected.entry()
    with pytest.raises(DumpFailed, match=r"2 of 3 segments of public\.t were not read"):
        list(collected.files("shop"))


def test_a_table_without_a_root_has_none() -> None:
    alone = dataclasses.replace(TABLE, root=None)
    collected = TableCollector(alone, segment_pages=1024, count=1)
    collected.add(done(0))
    assert collected.entry().root is None
