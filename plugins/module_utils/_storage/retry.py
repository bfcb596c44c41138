# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""When a request is made again: one policy, bounded, with jitter.

It reads ``retryable`` of the error tree and nothing else; which error a failure is, the backend
says.
"""

from __future__ import annotations

import dataclasses
import random
import time
import typing as t

from .._core.errors import GranaryError, OutcomeUnknown

if t.TYPE_CHECKING:
    from collections.abc import Callable

    from .._core.events import Events

T = t.TypeVar("T")

# Not the module's own generator: forked workers would share its state and all wait equally long.
_RANDOM = random.SystemRandom()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """Up to ``tries`` attempts; before each new one a random wait of at most the doubled last
    bound.

    The bounds are 0.5, 1, 2 ... seconds, never above ``longest_wait_s``.
    """

    events: Events
    tries: int
    first_wait_s: float = 0.5
    longest_wait_s: float = 8.0

    def run(self, attempt: Callable[[], T], doing: str) -> T:
        """Return what the first successful attempt returns.

        An attempt without an answer (``OutcomeUnknown``) is made again: the same name gets the same
        content, so a later success settles it. If none succeeds, ``OutcomeUnknown`` is raised even
        when the last answer was a refusal, because the early request may still take effect;
        otherwise the last error is raised.
        """
        unknown: OutcomeUnknown | None = None
        number = 1
        while True:
            try:
                return attempt()
            except GranaryError as exc:
                last = exc
            if isinstance(last, OutcomeUnknown):
                unknown = last
            if number >= self.tries or not (last.retryable or last is unknown):
                break
            self._wait(number, doing, last)
            number += 1
        if unknown is None or last is unknown:
            raise last
        raise OutcomeUnknown(
            f"{unknown.message} A later try ended so: {last.message}", **unknown.details
        ) from last

    def _wait(self, number: int, doing: str, exc: GranaryError) -> None:
        self.events.progress("storage_retry", doing=doing, attempt=number, error=exc.message)
        bound = min(self.longest_wait_s, self.first_wait_s * 2 ** (number - 1))
        time.sleep(_RANDOM.uniform(0, bound))
