# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Azure Blob Storage as fixtures."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from tests.testbed.emulators import AzureServer, Place
from tests.testbed.http_proxy import HttpProxy

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def azure_server() -> Iterator[AzureServer]:
    """The emulator of this session."""
    with AzureServer() as server:
        yield server


@pytest.fixture
def azure_place(azure_server: AzureServer) -> Place:
    """A place of its own for each test, not made yet."""
    return azure_server.place(f"test-{next(_numbers)}")


@pytest.fixture
def azure_proxy(azure_server: AzureServer) -> Iterator[HttpProxy]:
    """A proxy before the emulator that can fail single requests."""
    with HttpProxy(azure_server.port) as proxy:
        yield proxy
