# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ids that forked workers share."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import signal

from ansible_collections.granary.postgres.plugins.module_utils._repository.model import BlobKind
from ansible_collections.granary.postgres.plugins.module_utils._repository.shared_ids import (
    SharedIds,
)

FORK = multiprocessing.get_context("fork")


def ids(count: int) -> list[bytes]:
    return [hashlib.sha256(str(number).encode()).digest() for number in range(count)]


def test_claimed_once_and_by_kind() -> None:
    shared = SharedIds(4000)
    for blob_id in ids(500):
        assert shared.add(BlobKind.DATA, blob_id)
        assert not shared.add(BlobKind.DATA, blob_id)
        assert shared.add(BlobKind.TREE, blob_id)
        assert not shared.add(BlobKind.TREE, blob_id)


def test_a_full_set_never_says_known_wrongly() -> None:
    shared = SharedIds(64)
    first = [shared.add(BlobKind.DATA, blob_id) for blob_id in ids(1000)]
    assert all(first)
    again = [shared.add(BlobKind.DATA, blob_id) for blob_id in ids(1000)]
    assert again.count(False) == 64


def test_ids_that_begin_alike() -> None:
    shared = SharedIds(1024)
    alike = [bytes(24) + blob_id[:8] for blob_id in ids(64)]
    assert all(shared.add(BlobKind.DATA, blob_id) for blob_id in alike)
    assert not any(shared.add(BlobKind.DATA, blob_id) for blob_id in alike)


def claim_all(shared: SharedIds, count: int, reverse: bool) -> int:
    order = ids(count)[::-1] if reverse else ids(count)
    return sum(shared.add(BlobKind.DATA, blob_id) for blob_id in order)


def test_workers_share_what_they_claim() -> None:
    count = 20_000
    shared = SharedIds.for_bytes(count << 20)
    answers = FORK.SimpleQueue()

    def work(number: int) -> None:
        answers.put(claim_all(shared, count, reverse=bool(number % 2)))

    workers = [FORK.Process(target=work, args=(number,)) for number in range(4)]
    for worker in workers:
        worker.start()
    claims = sum(answers.get() for dummy in workers)
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    # Nobody is turned away from what nobody has; what two have claimed in the same instant is rare.
    assert count <= claims <= count * 1.02
    assert claim_all(shared, count, reverse=False) <= count * 0.001


def test_a_killed_worker_blocks_nobody() -> None:
    shared = SharedIds(1 << 16)
    started = FORK.Event()

    def work() -> None:
        started.set()
        while True:
            claim_all(shared, 1000, reverse=False)

    worker = FORK.Process(target=work)
    worker.start()
    assert started.wait(30)
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGKILL)
    worker.join()
    claim_all(shared, 2000, reverse=False)
    assert claim_all(shared, 2000, reverse=False) == 0


def test_sizes() -> None:
    assert SharedIds.for_bytes(0).add(BlobKind.DATA, bytes([1]) * 32)
    assert SharedIds.for_bytes(100 << 40).add(BlobKind.DATA, bytes([1]) * 32)
