# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""JSON and names as Go writes them; expectations come from Go 1.26's strconv and encoding/json."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import RepositoryDamaged
from ansible_collections.granary.postgres.plugins.module_utils._repository.go_printable import (
    is_printable,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.tree_json import (
    encode,
    quote_name,
    unquote_name,
)

# Bytes of the name in hex, strconv.Quote without its quotes, json.Marshal of that.
GO = [
    ("706c61696e2e747874", "plain.txt", r'"plain.txt"'),
    ("6122625c63", r"a\"b\\c", r'"a\\\"b\\\\c"'),
    (
        "746162096e6c0a62656c6c07080c0b0d",
        r"tab\tnl\nbell\a\b\f\v\r",
        r'"tab\\tnl\\nbell\\a\\b\\f\\v\\r"',
    ),
    ("6e756c017f", r"nul\x01\x7f", r'"nul\\x01\\x7f"'),
    ("737020616365", "sp ace", '"sp ace"'),
    ("6e627370c2a0", r"nbsp\u00a0", r'"nbsp\\u00a0"'),
    ("736879c2ad", r"shy\u00ad", r'"shy\\u00ad"'),
    ("6c73e280a87073e280a9", r"ls\u2028ps\u2029", r'"ls\\u2028ps\\u2029"'),
    ("746167f3a08081", r"tag\U000e0001", r'"tag\\U000e0001"'),
    ("626164fffe", r"bad\xff\xfe", r'"bad\\xff\\xfe"'),
    ("7472756e63e28241", r"trunc\xe2\x82A", r'"trunc\\xe2\\x82A"'),
    ("737572eda080", r"sur\xed\xa0\x80", r'"sur\\xed\\xa0\\x80"'),
    ("656d6f6a69f09f9098", "emoji\U0001f418", '"emoji\U0001f418"'),
    ("6e65773136f09faba9", r"new16\U0001fae9", r'"new16\\U0001fae9"'),
    ("6e65773135f09faba8", "new15\U0001fae8", '"new15\U0001fae8"'),
    ("3c613e26276227", "<a>&'b'", r'''"\u003ca\u003e\u0026'b'"'''),
    ("efbfbd", "\ufffd", '"\ufffd"'),
    ("c3a9", "\u00e9", '"\u00e9"'),
    ("65cc81", "e\u0301", '"e\u0301"'),
    ("70726976ee8080", r"priv\ue000", r'"priv\\ue000"'),
    ("f4908080", r"\xf4\x90\x80\x80", r'"\\xf4\\x90\\x80\\x80"'),
    ("efbbbf626f6d", r"\ufeffbom", r'"\\ufeffbom"'),
    ("e2808d", r"\u200d", r'"\\u200d"'),
]


@pytest.mark.parametrize(("raw", "quoted", "encoded"), GO)
def test_names_are_quoted_as_go_does(raw: str, quoted: str, encoded: str) -> None:
    name = bytes.fromhex(raw).decode("utf-8", "surrogateescape")
    assert quote_name(name) == quoted
    assert encode(quote_name(name)) == encoded.encode()
    assert unquote_name(quoted) == name


@given(st.binary())
def test_any_bytes_come_back(raw: bytes) -> None:
    name = raw.decode("utf-8", "surrogateescape")
    quoted = json.loads(encode(quote_name(name)))
    assert unquote_name(quoted).encode("utf-8", "surrogateescape") == raw


@pytest.mark.parametrize(
    ("quoted", "raw"),
    [(r"\303\251", b"\xc3\xa9"), (r"\xc3\xa9", b"\xc3\xa9"), (r"\u00e9\'", b"\xc3\xa9'")],
)
def test_escapes_that_go_reads_but_does_not_write(quoted: str, raw: bytes) -> None:
    assert unquote_name(quoted).encode("utf-8", "surrogateescape") == raw


@pytest.mark.parametrize("quoted", [r"\q", r"\x1", "end\\", r"\777", r"\ud800", r"\U00110000"])
def test_what_is_no_escape_is_damage(quoted: str) -> None:
    with pytest.raises(RepositoryDamaged, match="escapes"):
        unquote_name(quoted)


def test_json_is_compact_keeps_order_and_escapes_as_go() -> None:
    value = {"b": "x\udcff\udce2\udc82 <\b\f\x7f\u2028>", "a": [1, True, None], "c": []}
    text = (
        r'{"b":"x\ufffd\ufffd\ufffd \u003c\b\f'
        + "\x7f"
        + r'\u2028\u003e","a":[1,true,null],"c":[]}'
    )
    assert encode(value) == text.encode()


def test_printable_follows_the_categories_of_unicode() -> None:
    # Python's table may be older or newer than Unicode 15.0: compared is what both must know.
    newer = unicodedata.unidata_version > "15.0.0"
    wrong = [
        point
        for point in range(0x110000)
        if (category := unicodedata.category(chr(point))) != "Cn"
        and (is_printable(chr(point)) or not newer)
        and is_printable(chr(point)) != (category[0] in "LMNPS" or point == ord(" "))
    ]
    assert wrong == []


def test_printable_is_not_the_table_of_this_python() -> None:
    assert is_printable("\U0001fae8")  # of Unicode 15.0: unknown to Python 3.11
    assert not is_printable("\U0001fae9")  # of Unicode 16.0: known to Python 3.14
