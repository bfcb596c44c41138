# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import itertools
import typing as t

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import DumpFailed
from ansible_collections.granary.postgres.plugins.module_utils._postgres.archive import (
    ArchiveToc,
    TocEntry,
)
from ansible_collections.granary.postgres.plugins.module_utils._postgres.model import (
    PartitionRoot,
    Table,
)
from ansible_collections.granary.postgres.plugins.module_utils._workflows.table_choice import (
    TableChoice,
    choose_tables,
)

MIB = 1 << 20
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
    size_bytes=MIB,
    pages=128,
    toast_bytes=0,
    columns=("a",),
    column_count=1,
    is_leaf=False,
    root=None,
    inherits=False,
    row_security=False,
    index_count=0,
)


OIDS = itertools.count(1)


def table(name: str, **changes: t.Any) -> Table:
    return dataclasses.replace(TABLE, oid=next(OIDS), name=name, **changes)


def choose(*tables: Table, threshold: int = 8 * MIB, exclude: tuple[str, ...] = ()) -> TableChoice:
    return choose_tables(tables, threshold_bytes=threshold, in_recovery=False, exclude=exclude)


def names(tables: tuple[Table, ...]) -> list[str]:
    return [one.name for one in tables]


def toc(*keys: tuple[str, str]) -> ArchiveToc:
    entries = tuple(
        TocEntry(
            dump_id=number,
            catalog_id=(0, 0),
            tag=name,
            namespace=schema,
            desc="TABLE DATA",
            section="data",
            owner=None,
            tablespace=None,
            access_method=None,
            defn="",
            dependencies=(),
            has_data=True,
        )
        for number, (schema, name) in enumerate(keys)
    )
    return ArchiveToc(
        version=(1, 14),
        encoding="UTF8",
        database="shop",
        server_version="15",
        program_version="15",
        entries=entries,
        end=0,
    )


def test_large_tables_are_taken_over_the_largest_first() -> None:
    chosen = choose(table("small"), table("b", size_bytes=9 * MIB), table("c", size_bytes=90 * MIB))
    assert names(chosen.taken_over) == ["c", "b"]
    assert names(chosen.dumped) == ["small"]


def test_what_has_no_rows_of_its_own_is_nobodys() -> None:
    chosen = choose(table("p", kind="p"), table("m", kind="m"), table("f", kind="f"))
    assert (chosen.taken_over, chosen.dumped, chosen.excluded) == ((), (), ())


@pytest.mark.parametrize(
    ("strategies", "sorts_text", "moves"),
    [
        (("list", "hash"), False, True),
        (("range", "list"), True, True),
        (("range", "list"), False, False),
    ],
)
def test_small_leaves_are_taken_over_where_their_rows_may_move(
    strategies: tuple[str, ...], *, sorts_text: bool, moves: bool
) -> None:
    root = PartitionRoot(schema="public", name="root", strategies=strategies, sorts_text=sorts_text)
    chosen = choose(table("leaf", root=root, is_leaf=True))
    assert names(chosen.taken_over if moves else chosen.dumped) == ["leaf"]


def test_excluded_tables_are_left_out_by_name_or_by_their_partitioned_table() -> None:
    parts = table("parts", kind="p")
    low = table("low", kind="p", parent=parts.oid)
    high = table("high", kind="p", parent=parts.oid)
    leaves = [table(f"{one.name}_leaf", parent=one.oid, is_leaf=True) for one in (low, high)]
    rest = [table("a"), table("b"), parts, low, high]
    chosen = choose(*leaves, *rest, exclude=("public.a", "public.parts"))
    assert names(chosen.excluded) == ["low_leaf", "high_leaf", "a"]
    assert chosen.without_rows == [("public", name) for name in ("low_leaf", "high_leaf", "a")]
    chosen = choose(*leaves, *rest, exclude=("public.high",))
    assert names(chosen.excluded) == ["high_leaf"]


def test_members_of_extensions_are_not_counted() -> None:
    member = table("config", extension="x", is_extension_config=True)
    assert names(tuple(choose(table("t"), member).counted)) == ["t"]


def test_an_archive_with_exactly_the_small_tables_is_proof() -> None:
    chosen = choose(table("a"), table("b"), table("c", size_bytes=9 * MIB))
    chosen.prove(toc(("public", "b"), ("public", "a")))


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ([("public", "a")], "lacks the rows of public.b"),
        ([("public", "a"), ("public", "b"), ("public", "c")], "holds rows of public.c"),
        ([("public", "a"), ("public", "b"), ("public", "b")], "holds rows of public.b"),
        ([("other", "a"), ("public", "b")], "lacks .* public.a and holds rows of other.a"),
    ],
)
def test_any_other_archive_is_refused(keys: list[tuple[str, str]], words: str) -> None:
    chosen = choose(table("a"), table("b"), table("c", size_bytes=9 * MIB))
    with pytest.raises(DumpFailed, match=words):
        chosen.prove(toc(*keys))


def test_a_long_list_of_tables_is_cut() -> None:
    chosen = choose(*(table(f"t{number}") for number in range(9)))
    with pytest.raises(DumpFailed, match=r"public.t4, and 4 more"):
        chosen.prove(toc())
