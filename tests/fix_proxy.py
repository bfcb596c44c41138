# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A TCP proxy before any server as a fixture, and folders for repositories."""

from __future__ import annotations

import contextlib
import typing as t
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.testbed import folders
from tests.testbed.tcp_proxy import TcpProxy


class TcpProxyFactory(t.Protocol):
    """Gives a proxy before a port of 127.0.0.1, closed when the test ends."""

    def __call__(self, target_port: int) -> TcpProxy: ...


@pytest.fixture
def tcp_proxy() -> Iterator[TcpProxyFactory]:
    """Makes TCP proxies."""
    with contextlib.ExitStack() as stack:
        yield lambda target_port: stack.enter_context(TcpProxy(target_port))


@pytest.fixture
def repository_dir() -> Iterator[Path]:
    """The path of a repository folder that is not there yet: on disk, outside the work tree."""
    folder = folders.make_scratch()
    yield folder / "repository"
    folders.remove(folder)
