# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Connection poolers before servers as a fixture."""

from __future__ import annotations

import contextlib
import typing as t
from collections.abc import Callable, Iterator

import pytest

from tests.testbed.pgbouncer import PgBouncer
from tests.testbed.postgres import PostgresServer

PoolerFactory = Callable[[PostgresServer, t.Literal["transaction", "session"]], PgBouncer]


@pytest.fixture(scope="module")
def pooler() -> Iterator[PoolerFactory]:
    """Starts PgBouncer before a server, in transaction or session mode."""
    with contextlib.ExitStack() as stack:
        yield lambda server, mode: stack.enter_context(PgBouncer(server, mode))
