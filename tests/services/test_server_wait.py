# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Waiting for a server: one that comes up, one that refuses us, one that never comes."""

from __future__ import annotations

import dataclasses
import threading
import time

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import ServerUnreachable
from ansible_collections.granary.postgres.plugins.module_utils._postgres.model import (
    ConnectionSettings,
)
from ansible_collections.granary.postgres.plugins.module_utils._workflows.server_wait import (
    wait_for_server,
)
from tests.fix_backup import HookedEvents, connection, in_background
from tests.fix_postgres import PostgresFactory
from tests.testbed.ports import HOST, free_port


def test_it_returns_once_the_server_is_up(private_postgres: PostgresFactory) -> None:
    server = private_postgres(18)
    server.stop()
    somebody_waits = threading.Event()
    events = HookedEvents("server_waiting", somebody_waits.set)
    waiting = in_background(lambda: wait_for_server(connection(server), 60, events=events))
    assert somebody_waits.wait(30)
    assert waiting.is_alive()
    server.start()
    waiting.join(30)
    assert not waiting.is_alive()
    assert events.names == ["server_waiting"]


def test_a_server_that_refuses_us_is_up(private_postgres: PostgresFactory) -> None:
    server = private_postgres(18)
    stranger = dataclasses.replace(connection(server), user="nobody_here", password=None)
    began = time.monotonic()
    wait_for_server(stranger, 60, events=HookedEvents())
    assert time.monotonic() - began < 10


def test_it_says_how_long_it_waited_in_vain() -> None:
    nobody = ConnectionSettings(host=HOST, port=free_port(), user="x")
    with pytest.raises(ServerUnreachable, match=r"refused.*; waited 2 seconds for it\.$"):
        wait_for_server(nobody, 2, events=HookedEvents())
