# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ansible_collections.granary.postgres.plugins.module_utils._postgres.sql_text import (
    StatementScanner,
    body,
    split_statements,
    unquote_identifier,
    unquote_literal,
)

PIECES = [
    b"CREATE ROLE a;",
    b"ALTER ROLE \"x;y\"\"z\" WITH NOLOGIN PASSWORD 'it''s; \\';",
    b"COMMENT ON ROLE a IS E'x\\'; y\nE''z';",
    b"-- a comment; with 'quotes\nSELECT $q$ ; 'x $q$, $1, a$b, '' , $$;$$;",
    b"\n\\connect -reuse-previous=on \"dbname='a;b'\"\n",
    b"/* block; ' */ SELECT a-b, a/b, name'x';",
    b"\\restrict abc\n",
    b"\n\n;",
    b"SELECT 'K\xf6ln', k\xf6ln;",
]
scripts = st.lists(st.sampled_from(PIECES), max_size=12).map(b"\n".join)


def test_each_piece_is_one_statement() -> None:
    for piece in PIECES:
        assert split_statements(piece + b"\n") in ([piece + b"\n"], [piece, b"\n"])


@example(b"\n-- a comment; with 'quotes\n;", [13])
@given(scripts, st.lists(st.integers(0, 400), max_size=6))
def test_statements_do_not_depend_on_how_the_bytes_arrive(script: bytes, cuts: list[int]) -> None:
    whole = split_statements(script)
    assert b"".join(whole) == script
    scanner = StatementScanner()
    found = []
    places = sorted({0, len(script), *(min(cut, len(script)) for cut in cuts)})
    for start, end in itertools.pairwise(places):
        found += scanner.feed(script[start:end])
    assert found + ([scanner.rest] if scanner.rest else []) == whole


@given(st.binary(max_size=200))
def test_no_byte_is_ever_lost(script: bytes) -> None:
    assert b"".join(split_statements(script)) == script


def test_an_open_literal_waits_for_its_end() -> None:
    scanner = StatementScanner()
    assert scanner.feed(b"SELECT 'a; b") == []
    assert scanner.feed(b"'; SELECT 1") == [b"SELECT 'a; b';"]
    assert scanner.rest == b" SELECT 1"


def test_body_takes_comments_and_blanks_off() -> None:
    assert body(b"\n--\n-- Roles\n--\n\nCREATE ROLE a;\n") == b"CREATE ROLE a;"


@pytest.mark.parametrize(
    ("raw", "name"), [(b"plain", b"plain"), (b'"a ""b"""', b'a "b"'), (b'"x;y"', b"x;y")]
)
def test_identifiers(raw: bytes, name: bytes) -> None:
    assert unquote_identifier(raw) == name


@pytest.mark.parametrize(
    ("raw", "text"), [(b"'it''s'", b"it's"), (b"E'a\\\\b\\'c'''", b"a\\b'c'"), (b"''", b"")]
)
def test_literals(raw: bytes, text: bytes) -> None:
    assert unquote_literal(raw) == text
