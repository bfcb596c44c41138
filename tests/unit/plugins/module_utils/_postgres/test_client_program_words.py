# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import ConfigError
from ansible_collections.granary.postgres.plugins.module_utils._postgres.dump_programs import (
    dump_warnings,
    plain_dump,
)
from ansible_collections.granary.postgres.plugins.module_utils._postgres.load_programs import (
    program_words,
)
from ansible_collections.granary.postgres.plugins.module_utils._postgres.model import (
    ConnectionSettings,
)
from ansible_collections.granary.postgres.plugins.module_utils._postgres.programs import Program


@pytest.mark.parametrize(
    ("line", "loses"),
    [
        (
            "pg_dump: warning: subscriptions not dumped because current user is not a superuser",
            True,
        ),
        ("pg_dump: warning: aggregate function f could not be dumped correctly; ignored", True),
        ('pg_dumpall: warning: role name starting with "pg_" skipped (pg_x)', True),
        ("pg_dump: warning: could not find operator with OID 12", True),
        ("pg_dump: warning: could not resolve dependency loop among these items:", False),
        ("pg_dump: warning: there are circular foreign-key constraints on this table:", False),
        ('WARNING:  database "x" has a collation version mismatch', False),
    ],
)
def test_warnings_that_say_that_something_is_missing(line: str, loses: bool) -> None:
    (warning,) = dump_warnings([line])
    assert warning.loses is loses
    assert warning.text == line


def test_details_and_hints_belong_to_their_warning() -> None:
    warnings = dump_warnings(
        [
            "pg_dump: warning: there are circular foreign-key constraints on this table:",
            "pg_dump: detail: t",
            "pg_dump: hint: You might not be able to restore the dump.",
            "",
            "pg_dump: warning: another",
        ]
    )
    assert [warning.text[-5:] for warning in warnings] == ["dump.", "other"]
    assert dump_warnings([]) == ()


@pytest.mark.parametrize(
    "argument",
    [
        "-f",
        "--file=x",
        "-fx",
        "-Fc",
        "--format=d",
        "-j4",
        "--jobs=2",
        "-Z9",
        "--dbname=x",
        "-hx",
        "--host=x",
        "-U",
        "-W",
        "--password",
        "--encoding=LATIN1",
        "--snapshot=1",
    ],
)
def test_arguments_that_are_not_the_users(argument: str, tmp_path: Path) -> None:
    # The program is not there: had the argument passed, that would be the error.
    program = Program(name="pg_dump", path=str(tmp_path / "none"), major=15, version="15.1")
    with pytest.raises(ConfigError, match="dump_args cannot hold"):
        plain_dump(program, ConnectionSettings(), database="x", arguments=["-O", argument])


def test_words_of_a_failure_are_its_first_error_without_the_statement() -> None:
    words = program_words(
        [
            "pg_restore: while PROCESSING TOC:",
            "pg_restore: from TOC entry 5; 1417 16390 USER MAPPING bob postgres",
            'pg_restore: error: could not execute query: ERROR:  server "s" does not exist',
            "DETAIL:  of course.",
            "Command was: CREATE USER MAPPING FOR bob SERVER s OPTIONS (password 'hush');",
            "pg_restore: error: another",
        ]
    )
    assert words.startswith("pg_restore: from TOC entry 5;")
    assert 'server "s" does not exist; DETAIL:  of course' in words
    assert "hush" not in words
    assert "another" not in words


def test_words_without_an_error_are_the_last_ones() -> None:
    assert program_words(["one", "LINE 1: ALTER ROLE x PASSWORD 'hush'", "two."]) == "one; two"
    assert program_words([]) == ""
