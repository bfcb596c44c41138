# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import threading
import time

from ansible_collections.granary.postgres.operator.controller.queue import KeyedQueue
from tests.waiting import wait_for


def drain(queue: KeyedQueue[str]) -> list[str]:
    """Take everything that is due now."""
    taken = []
    while not queue.is_idle():
        key = queue.take()
        assert key is not None
        taken.append(key)
        queue.done(key)
    return taken


def test_a_key_is_given_once_however_often_it_was_added() -> None:
    queue: KeyedQueue[str] = KeyedQueue()
    for key in ("a", "b", "a", "a"):
        queue.add(key)

    assert drain(queue) == ["a", "b"]


def test_a_key_that_is_worked_on_is_given_again_only_afterwards() -> None:
    queue: KeyedQueue[str] = KeyedQueue()
    queue.add("a")
    assert queue.take() == "a"
    queue.add("a")
    queue.add("b")

    assert queue.take() == "b"
    queue.done("a")
    assert queue.take() == "a"


def test_a_later_time_does_not_put_off_an_earlier_one() -> None:
    queue: KeyedQueue[str] = KeyedQueue()
    queue.add("a")
    queue.add("a", 60)
    queue.add("b", 60)
    queue.add("b")

    assert drain(queue) == ["a", "b"]
    assert queue.is_idle()


def test_a_delayed_key_comes_when_it_is_due() -> None:
    queue: KeyedQueue[str] = KeyedQueue()
    begun = time.monotonic()
    queue.add("late", 0.2)
    queue.add("early", 0.1)

    assert [queue.take(), queue.take()] == ["early", "late"]
    assert time.monotonic() - begun >= 0.2


def test_failures_put_a_key_off_longer_each_time_until_it_is_forgotten() -> None:
    queue: KeyedQueue[str] = KeyedQueue(first_backoff_s=1)

    assert [queue.add_failed("a") for dummy in range(4)] == [1, 2, 4, 8]
    assert max(queue.add_failed("a") for dummy in range(200)) == 300
    queue.forget("a")
    assert queue.add_failed("a") == 1


def test_news_come_before_the_end_of_a_pause() -> None:
    queue: KeyedQueue[str] = KeyedQueue(first_backoff_s=60)
    queue.add_failed("a")
    assert queue.is_idle()
    queue.add("a")

    assert drain(queue) == ["a"]


def test_whoever_waits_is_let_go_when_it_closes() -> None:
    queue: KeyedQueue[str] = KeyedQueue()
    taken: list[str | None] = []
    waiter = threading.Thread(target=lambda: taken.append(queue.take()))
    waiter.start()
    queue.close()
    waiter.join(5)

    assert taken == [None]


def test_many_workers_never_share_a_key_and_lose_none() -> None:
    queue: KeyedQueue[int] = KeyedQueue()
    guard, busy, steps = threading.Lock(), set[int](), dict.fromkeys(range(7), 0)
    shared: list[int] = []

    def work() -> None:
        while (key := queue.take()) is not None:
            with guard:
                shared.extend({key} & busy)
                busy.add(key)
            time.sleep(0.0005)
            with guard:
                steps[key] += 1
                busy.discard(key)
            queue.done(key)

    workers = [threading.Thread(target=work) for dummy in range(6)]
    for worker in workers:
        worker.start()
    for number in range(700):
        queue.add(number % 7, 0.001 * (number % 3))
    wait_for(lambda: queue.is_idle() and all(steps.values()), "all steps")
    queue.close()
    for worker in workers:
        worker.join(5)

    assert shared == []
    assert all(steps.values())
