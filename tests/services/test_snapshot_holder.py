# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The connection that owns a snapshot, when the network to its server is silent."""

from __future__ import annotations

import contextlib
import time

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import (
    ServerUnreachable,
)
from ansible_collections.granary.postgres.plugins.module_utils._postgres.connection import connect
from ansible_collections.granary.postgres.plugins.module_utils._postgres.model import (
    ConnectionSettings,
)
from ansible_collections.granary.postgres.plugins.module_utils._postgres.session import execute
from ansible_collections.granary.postgres.plugins.module_utils._postgres.table_locks import (
    acquire_table_locks,
)
from ansible_collections.granary.postgres.plugins.module_utils._workflows.snapshot_holder import (
    STOP_SECONDS,
    SnapshotHolder,
)
from tests.fix_postgres import Database
from tests.fix_proxy import TcpProxyFactory


def test_a_silent_network_does_not_keep_a_run_from_ending(
    database: Database, tcp_proxy: TcpProxyFactory
) -> None:
    database.execute("CREATE TABLE counted AS SELECT generate_series(1, 10) AS id")
    server = database.server
    proxy = tcp_proxy(server.port)
    settings = ConnectionSettings(host=server.host, port=proxy.port, user=server.user)
    locked = acquire_table_locks(settings, database.name)
    with contextlib.closing(locked.connection):
        holder = SnapshotHolder(locked.connection, locked.tables, settings)
        proxy.stall()
        holder.start()
        started = time.monotonic()
        holder.stop()
        assert time.monotonic() - started < 3 * STOP_SECONDS
        assert not holder.counted
        with pytest.raises(ServerUnreachable):
            execute(locked.connection, "SELECT 1")
        proxy.resume()
    with contextlib.closing(connect(settings, database.name)) as conn:
        execute(conn, "SELECT 1")
