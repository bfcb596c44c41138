# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.granary.postgres.plugins.module_utils._postgres.quoting import (
    SessionText,
    conninfo_value,
    program_dbname,
)

SERVER_ENCODINGS = (
    "UTF8",
    "SQL_ASCII",
    "LATIN1",
    "LATIN2",
    "LATIN9",
    "WIN1252",
    "WIN1251",
    "KOI8R",
    "ISO_8859_5",
    "EUC_JP",
    "EUC_CN",
    "EUC_KR",
    "EUC_TW",
    "EUC_JIS_2004",
    "JOHAB",
    "MULE_INTERNAL",
    "WIN874",
    "WIN1258",
)


@pytest.mark.parametrize("encoding", SERVER_ENCODINGS)
@given(st.binary(max_size=80))
def test_any_bytes_survive_the_way_to_text_and_back(encoding: str, data: bytes) -> None:
    text = SessionText(encoding)
    assert text.encode(text.decode(data)) == data


def test_names_are_readable_where_the_encoding_is_known() -> None:
    assert SessionText("LATIN1").decode(b"caf\xe9") == "café"
    assert SessionText("EUC_JP").decode("表".encode("euc_jp")) == "表"
    assert SessionText("SQL_ASCII").decode("表".encode()) == "表"


def test_an_identifier_is_quoted_in_the_bytes_of_the_session() -> None:
    assert SessionText("UTF8").identifier('a"b.c\n') == b'"a""b.c\n"'
    assert SessionText("LATIN1").qualified("é", "t") == b'"\xe9"."t"'
    assert SessionText("UTF8").column_list(["a", 'b"']) == b'"a", "b"""'


def test_a_literal_means_the_same_whatever_the_string_setting() -> None:
    text = SessionText("UTF8")
    assert text.literal("it's") == b"'it''s'"
    assert text.literal("a\\'b") == b" E'a\\\\''b'"


def test_a_nul_in_a_name_is_refused() -> None:
    with pytest.raises(ValueError, match="NUL"):
        SessionText("UTF8").identifier("a\0b")
    with pytest.raises(ValueError, match="NUL"):
        conninfo_value("a\0b")


def test_client_only_encodings_are_refused_because_quoting_is_not_safe_in_them() -> None:
    with pytest.raises(ValueError, match="SJIS"):
        SessionText("SJIS")


def test_a_database_name_is_one_value_of_a_connection_string() -> None:
    assert program_dbname("x=y dbname=z") == "dbname='x=y dbname=z'"
    assert program_dbname("it's \\") == "dbname='it\\'s \\\\'"
