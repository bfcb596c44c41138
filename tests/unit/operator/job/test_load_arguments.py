# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What `args` of a restore become."""

from __future__ import annotations

import pytest

from ansible_collections.granary.postgres.operator.job.load_arguments import (
    LoadChoice,
    choose_load,
)
from ansible_collections.granary.postgres.plugins.module_utils._core.errors import InvalidObject


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-q -X --no-password",
        "--set=ON_ERROR_STOP=on",
        "-v ON_ERROR_STOP=1",
        "-vON_ERROR_STOP=1",
        "--variable FETCH_COUNT=10",
    ],
)
def test_what_changes_nothing_is_taken(text: str) -> None:
    assert choose_load(text) == LoadChoice()


@pytest.mark.parametrize("text", ["shop", "-d shop", "-dshop", "--dbname=shop", "--dbname shop"])
def test_a_database(text: str) -> None:
    assert choose_load(text) == LoadChoice(database="shop")


@pytest.mark.parametrize(
    "text", ["--allow-errors", "-v ON_ERROR_STOP=0", "--set=ON_ERROR_STOP=off"]
)
def test_errors_that_are_allowed(text: str) -> None:
    assert choose_load(text) == LoadChoice(allow_errors=True)


def test_the_last_word_on_errors_counts() -> None:
    assert choose_load("-v ON_ERROR_STOP=0 -v ON_ERROR_STOP=1") == LoadChoice()


def test_a_target_that_is_dropped_first() -> None:
    assert choose_load("--clean shop") == LoadChoice(database="shop", clean=True)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("--single-transaction", "--single-transaction"),
        ("-1", "-1"),
        ("--host=elsewhere", "--host elsewhere"),
        ("-d 'host=elsewhere'", "--?d(bname)? host=elsewhere"),
        ("-f x.sql", "-f"),
        ("postgres://elsewhere/x", "elsewhere"),
        ("-d", "-d"),
    ],
)
def test_what_psql_alone_could_do_is_refused(text: str, shown: str) -> None:
    with pytest.raises(InvalidObject, match=f"{shown}.*which a restore cannot heed"):
        choose_load(text)
