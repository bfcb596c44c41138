# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.granary.postgres.plugins.module_utils._postgres import layout

# Names as the server may give them: any bytes but NUL, read with surrogateescape.
names = st.binary(min_size=1, max_size=63).map(
    lambda raw: raw.replace(b"\0", b"x").decode("utf-8", "surrogateescape")
)
long_names = st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=400
)


@given(names | long_names)
def test_a_name_becomes_a_file_name_that_every_file_system_takes(name: str) -> None:
    raw = os.fsencode(layout.escape(name))
    assert 0 < len(raw) <= 255
    assert not raw.startswith(b".")
    assert b"/" not in raw
    assert not any(byte < 0x20 or byte == 0x7F for byte in raw)


@given(names)
def test_escape_turns_back(name: str) -> None:
    assert layout.unescape(layout.escape(name)) == name


@given(long_names, long_names)
def test_different_names_never_meet(one: str, other: str) -> None:
    assert (layout.escape(one) == layout.escape(other)) is (one == other)


@given(long_names)
def test_no_character_is_cut_in_two(name: str) -> None:
    layout.escape(name).encode("utf-8")


@pytest.mark.parametrize(
    ("name", "escaped"),
    [
        ("orders", "orders"),
        ("x=y dbname=z", "x=y dbname=z"),
        ("globals.sql", "globals.sql"),
        ("a/b", "a%2Fb"),
        ("50%", "50%25"),
        (".", "%2E"),
        ("..", "%2E."),
        (".hidden", "%2Ehidden"),
        ("line\nbreak\x7f", "line%0Abreak%7F"),
        ('"quoted" \\ name', '"quoted" \\ name'),
        ("köln 🐘", "köln 🐘"),
        ("k\udcf6ln", "k\udcf6ln"),
    ],
)
def test_only_what_must_be_is_escaped(name: str, escaped: str) -> None:
    assert layout.escape(name) == escaped


def test_a_long_name_is_shortened_with_a_hash_and_told_apart() -> None:
    one, other = layout.escape("ü" * 200), layout.escape("ü" * 201)
    assert one != other
    assert one.startswith("üüü")
    assert len(one.encode()) <= 255
    assert layout.unescape(one) is None


def test_paths_are_those_of_the_documentation() -> None:
    assert layout.schema_dump("a/b") == "/postgres/databases/a%2Fb/schema.dump"
    assert layout.data_dump("globals.sql") == "/postgres/databases/globals.sql/data.dump"
    assert (
        layout.table_file("shop", "public", "order.items", 17)
        == "/postgres/databases/shop/tables/public/order.items/001/000017.copy"
    )
    assert layout.segment_file(0) == "000/000000.copy"
    assert layout.segment_file(15_999) == "999/015999.copy"
