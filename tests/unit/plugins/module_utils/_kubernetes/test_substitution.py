# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import InvalidObject
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.substitution import (
    substitute,
    substituted,
)

VARIABLES = {"NAME": "pg", "EMPTY": "", "FILE": "/path/to/bash.string.txt", "abc": "aBcABC1abc"}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("plain", "plain"),
        ("$NAME and $(NAME)", "$NAME and $(NAME)"),
        ("--host=${NAME}.${NAME}", "--host=pg.pg"),
        ("${EMPTY}", ""),
        ("$${NAME}", "${NAME}"),
        ("$$(NAME)", "$$(NAME)"),
        ("${NAME", None),
        ("${}", None),
        ("${NAME!x}", None),
        ("${UNKNOWN:=a}", "a"),
        ("${UNKNOWN:-a}", "a"),
        ("${UNKNOWN=a}", "a"),
        ("${UNKNOWN:=}", ""),
        ("${EMPTY:=a}", ""),
        ("${NAME:=a}", "pg"),
        ("${UNKNOWN:=a:b=c/d}", "a:b=c/d"),
        ("${UNKNOWN:=${NAME}-x}", "pg-x"),
        ("${UNKNOWN:=${ALSO:=deep}}", "deep"),
        (r"${UNKNOWN:=C:\temp}", r"C:\temp"),
        ("${#NAME}", "2"),
        ("${NAME^}", "Pg"),
        ("${NAME^^}", "PG"),
        ("${abc,}", "aBcABC1abc"),
        ("${abc,,}", "abcabc1abc"),
        ("${abc^}", "ABcABC1abc"),
        ("${FILE#*/}", "path/to/bash.string.txt"),
        ("${FILE##*/}", "bash.string.txt"),
        ("${FILE%.*}", "/path/to/bash.string"),
        ("${FILE%%.*}", "/path/to/bash"),
        ("${FILE#none}", "/path/to/bash.string.txt"),
        ("${FILE:6:2}", "to"),
        ("${FILE:21}", "txt"),
        ("${FILE:-99}", "/path/to/bash.string.txt"),
        ("${FILE:x}", None),
        ("${abc/abc/x}", "aBcABC1x"),
        ("${abc//B/-}", "a-cA-C1abc"),
        ("${abc/#aB/x}", "xcABC1abc"),
        ("${abc/%abc/x}", "aBcABC1x"),
        ("${abc/#zz/x}", "aBcABC1abc"),
        (r"${FILE//\//-}", "-path-to-bash.string.txt"),
        ("${abc/1/}", "aBcABCabc"),
        ("${abc//${UNKNOWN:=1}/${NAME}}", "aBcABCpgabc"),
    ],
)
def test_variables_are_read_as_envsubst_reads_them(text: str, wanted: str | None) -> None:
    if wanted is None:
        with pytest.raises(InvalidObject):
            substituted(text, VARIABLES)
    else:
        assert substituted(text, VARIABLES) == wanted


@pytest.mark.parametrize(
    "text", ["${MISSING}", "${#MISSING}", "${MISSING^^}", "${NAME}${MISSING/a/b}"]
)
def test_an_unknown_variable_is_named(text: str) -> None:
    with pytest.raises(InvalidObject, match=r"The variable MISSING in .* is not known"):
        substituted(text, VARIABLES)


def test_an_object_is_walked_and_left_as_it_was() -> None:
    before: dict[str, t.Any] = {
        "${NAME}": ["${NAME}", {"deep": "${NAME}"}],
        "number": 5,
        "truth": True,
        "nothing": None,
    }
    after = substitute(before, VARIABLES)
    assert after == {"pg": ["pg", {"deep": "pg"}], "number": 5, "truth": True, "nothing": None}
    assert before["${NAME}"] == ["${NAME}", {"deep": "${NAME}"}]


@given(st.text())
def test_a_value_arrives_as_it_is_whatever_stands_in_it(value: str) -> None:
    assert substitute({"args": ["--x=${V}"]}, {"V": value}) == {"args": [f"--x={value}"]}


@given(st.text(alphabet=st.characters(exclude_characters="$")))
def test_text_without_variables_stays(text: str) -> None:
    assert substituted(f"${{NAME}}{text}", VARIABLES) == f"pg{text}"
