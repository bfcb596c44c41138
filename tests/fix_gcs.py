# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Google Cloud Storage as fixtures."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from tests.testbed.emulators import GcsServer, Place
from tests.testbed.http_proxy import HttpProxy

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def gcs_server() -> Iterator[GcsServer]:
    """The emulator of this session."""
    with GcsServer() as server:
        yield server


@pytest.fixture
def gcs_place(gcs_server: GcsServer) -> Place:
    """A place of its own for each test, not made yet."""
    return gcs_server.place(f"test-{next(_numbers)}")


@pytest.fixture
def gcs_proxy(gcs_server: GcsServer) -> Iterator[HttpProxy]:
    """A proxy before the emulator that can fail single requests."""
    with HttpProxy(gcs_server.port) as proxy:
        yield proxy
