# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sites for the tests of faults: a folder, a journal, and keys that open in milliseconds."""

from __future__ import annotations

import typing as t
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._repository import keys
from tests.faults.site import Site
from tests.testbed import folders


class SiteFactory(t.Protocol):
    """Gives an empty site of its own; `more` are fields of `Site`."""

    def __call__(self, name: str, **more: t.Any) -> Site: ...


@pytest.fixture
def cheap_keys() -> Iterator[None]:
    """Key files made now, and in processes forked now, cost milliseconds; all can read them."""
    with mock.patch.object(keys, "_N", 1024), mock.patch.object(keys, "_P", 1):
        yield


@pytest.fixture
def sites(cheap_keys: None) -> Iterator[SiteFactory]:
    """Makes sites in folders, removed at the end."""
    scratch = folders.make_scratch()

    def give(name: str, **more: t.Any) -> Site:
        return Site.at(scratch / name / "disk" / "repository", scratch / name, **more)

    yield give
    folders.remove(scratch)


@pytest.fixture
def fault_scratch() -> Iterator[Path]:
    """A folder for what a test of faults needs, removed at the end."""
    scratch = folders.make_scratch()
    yield scratch
    folders.remove(scratch)
