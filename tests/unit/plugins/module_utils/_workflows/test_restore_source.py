# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A table's segments, cut into pieces of work."""

from __future__ import annotations

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import (
    RepositoryDamaged,
)
from ansible_collections.granary.postgres.plugins.module_utils._postgres.manifest import (
    SegmentEntry,
    TableEntry,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.model import split_ids
from ansible_collections.granary.postgres.plugins.module_utils._workflows.restore_source import (
    load_units,
)


def table(*segments: SegmentEntry) -> TableEntry:
    return TableEntry(schema="s", name="t", taken_over=True, rows=0, segments=segments)


def ids(count: int) -> bytes:
    return b"".join(bytes([number]) * 32 for number in range(count))


def test_neighbours_are_joined_up_to_the_size() -> None:
    cut = list(
        load_units(
            table(
                SegmentEntry(1, 60, 1),
                SegmentEntry(2, 60, 2),
                SegmentEntry(0, 0, 0),
                SegmentEntry(4, 10, 1),
                SegmentEntry(0, 0, 0),
            ),
            ids(4),
            100,
        )
    )
    assert [(unit.rows, len(split_ids(unit.ids))) for unit in cut] == [(3, 3), (4, 1)]
    assert b"".join(unit.ids for unit in cut) == ids(4)


def test_an_empty_table_is_no_work() -> None:
    assert list(load_units(table(SegmentEntry(0, 0, 0)), b"", 100)) == []
    assert list(load_units(table(), b"", 100)) == []


def test_segments_that_do_not_make_the_files_are_damage() -> None:
    with pytest.raises(RepositoryDamaged, match=r"table s\.t do not add up"):
        list(load_units(table(SegmentEntry(1, 60, 1)), ids(2), 100))
