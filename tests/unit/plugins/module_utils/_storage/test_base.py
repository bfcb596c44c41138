# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import StorageError
from ansible_collections.granary.postgres.plugins.module_utils._storage.base import (
    Backend,
    check_name,
    check_prefix,
    check_range,
    is_name,
)

ID = "0123456789abcdef" * 4


@pytest.mark.parametrize("name", ["config", f"keys/{ID}", f"data/01/{ID}", "a/b/c/d", "A.b_c-d"])
def test_names_that_can_be_stored(name: str) -> None:
    assert is_name(name)
    check_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/config",
        "config/",
        "data//x",
        ".",
        "..",
        "data/../config",
        ".hidden",
        "data/.x",
        "a b",
        "config\n",
        "a\0b",
        "ä",
        "a\\b",
        "a/b/c/d/e",
        "x" * 201,
        f"locks/{ID}-tmp-7",
    ],
)
def test_names_that_cannot_be_stored(name: str) -> None:
    assert not is_name(name)
    with pytest.raises(StorageError, match="cannot be the name"):
        check_name(name)


@pytest.mark.parametrize("prefix", ["", "data/", "data/01/"])
def test_prefixes_of_listings(prefix: str) -> None:
    check_prefix(prefix)


@pytest.mark.parametrize("prefix", ["data", "/", "../", "/data/", "data//"])
def test_refused_prefixes(prefix: str) -> None:
    with pytest.raises(StorageError, match="cannot be the prefix"):
        check_prefix(prefix)


@pytest.mark.parametrize(("offset", "length"), [(-1, None), (-1, 4), (0, -1)])
def test_refused_ranges(offset: int, length: int | None) -> None:
    with pytest.raises(StorageError, match="cannot be read"):
        check_range("config", offset, length)


def test_the_contract_stays_small() -> None:
    assert len(Backend.__abstractmethods__) <= 12
