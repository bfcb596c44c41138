# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""Reads that go on in threads while what came before is worked on, in the order of the request.

For stores where a read is mostly waiting. The threads end with the iteration, so that nothing of
them is left for a later fork; whoever may leave it early closes it.
"""

from __future__ import annotations

import collections
import concurrent.futures
import typing as t

if t.TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

_Item = t.TypeVar("_Item")
_Result = t.TypeVar("_Result")


def read_ahead(
    items: Iterable[tuple[_Item, int]],
    fetch: Callable[[_Item], _Result],
    *,
    threads: int,
    ahead: int,
    ahead_bytes: int,
) -> Generator[tuple[_Item, concurrent.futures.Future[_Result]], None, None]:
    """Yield each item with the finished ``fetch(item)``, in the order of ``items``; ``result()``
    raises what fetch raised.

    Each item comes with its weight in bytes. At most ``ahead`` items, and of at most
    ``ahead_bytes``, are being fetched or wait to be taken; one item always may.
    """
    waiting: collections.deque[tuple[_Item, int, concurrent.futures.Future[_Result]]]
    waiting = collections.deque()
    weight_ahead = 0
    with concurrent.futures.ThreadPoolExecutor(threads, "read-ahead") as pool:
        try:
            for item, weight in items:
                while waiting and (len(waiting) >= ahead or weight_ahead + weight > ahead_bytes):
                    done, done_weight, outcome = waiting.popleft()
                    weight_ahead -= done_weight
                    concurrent.futures.wait([outcome])
                    yield done, outcome
                waiting.append((item, weight, pool.submit(fetch, item)))
                weight_ahead += weight
            while waiting:
                done, dummy, outcome = waiting.popleft()
                concurrent.futures.wait([outcome])
                yield done, outcome
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
