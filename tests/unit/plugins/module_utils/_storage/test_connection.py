# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import multiprocessing
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._storage.connection import Connection

THREADS = 4


class Recorded:
    """A client that says when it was closed."""

    def __init__(self) -> None:
        self.closed = 0

    def close(self) -> None:
        self.closed += 1


def test_threads_share_the_one_that_is_made() -> None:
    all_there = threading.Barrier(THREADS)
    connection = Connection(Recorded)

    def ask(_number: int) -> Recorded:
        all_there.wait(timeout=10)
        return connection.client()

    with ThreadPoolExecutor(THREADS) as pool:
        assert len({id(client) for client in pool.map(ask, range(THREADS))}) == 1


def test_a_closed_one_is_made_anew() -> None:
    connection = Connection(Recorded)
    connection.close()
    first = connection.client()
    connection.close()
    connection.close()
    assert first.closed == 1
    assert connection.client() is not first


def test_a_fork_neither_uses_nor_closes_its_parents() -> None:
    connection = Connection(Recorded)
    client = connection.client()

    def child() -> None:
        connection.close()
        if client.closed:
            raise SystemExit(2)
        with pytest.raises(RuntimeError, match="after a fork"):
            connection.client()

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join(timeout=60)
    assert process.exitcode == 0
