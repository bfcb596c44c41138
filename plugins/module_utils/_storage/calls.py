# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""One request in words, and what its failure means: shared by all stores that speak HTTP.

Three readers act on the class of an error: the retry policy (``retryable``), the layers above
(missing, full, outcome unknown) and the user, who gets one sentence with the store's own code and
message in it and nothing secret.
"""

from __future__ import annotations

import dataclasses
import re
import typing as t

from .._core.errors import GranaryError, OutcomeUnknown, StorageError, StorageUnavailable
from .._core.redaction import Secret, redact

if t.TYPE_CHECKING:
    from collections.abc import Iterable

_TEXT_LIMIT = 256
GATEWAY_STATUS = frozenset({502, 504})
"""A gateway speaks here, not the store: what the store did with the request is not known."""
TLS_BROKE = ("EOF", "timed out", "reset", "bad record mac", "shutdown")
"""Words of TLS that broke on the way, as against TLS that cannot work with these settings."""
# Stores say several sentences; ours is one.
_SENTENCE_END = re.compile(r"\. +(?=[A-Z])")


@dataclasses.dataclass(frozen=True, slots=True)
class Rule:
    """A store's error codes, and HTTP statuses of other codes, that mean one thing to us."""

    kind: type[GranaryError]
    codes: frozenset[str]
    statuses: frozenset[int]
    advice: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request: ``doing`` completes "Could not"; ``changes`` tells writes and deletes from
    reads.

    ``silent``: the answer has no body (HEAD), so an error comes without the store's own words.
    """

    doing: str
    secrets: tuple[Secret | None, ...]
    changes: bool = False
    silent: bool = False

    def sentence(self, why: str, advice: str = "") -> str:
        """Return the sentence of an error: what could not be done, why, what to do."""
        words = _SENTENCE_END.sub("; ", " ".join(why.split()))
        short = redact(words, *self.secrets)[:_TEXT_LIMIT].rstrip(".")
        return f"Could not {self.doing}: {short}{f'; {advice}' if advice else ''}."


def judge(
    rules: Iterable[Rule], code: str, status: int, *, otherwise: str
) -> tuple[type[GranaryError], str]:
    """Return the class of a store's error and what the user can do; codes are asked before
    statuses.
    """
    for rule in rules:
        if code in rule.codes:
            return rule.kind, rule.advice
    for rule in rules:
        if status in rule.statuses:
            return rule.kind, rule.advice
    return StorageError, otherwise


def no_answer(call: Call, why: str) -> StorageError:
    """Return the error for a request of which nobody knows what became."""
    if call.changes:
        return OutcomeUnknown(call.sentence(f"{why}, so it may have happened or may still happen"))
    advice = "look after the store, and whether it wants http or https, then run it again"
    return StorageUnavailable(call.sentence(why, advice))


def innermost_words(exc: BaseException) -> str:
    """Return the operating system's words behind layers of HTTP libraries, if there are any."""
    words = str(exc)
    seen: BaseException | None = exc
    while seen is not None:
        if isinstance(seen, OSError) and seen.strerror:
            words = str(seen.strerror)
        seen = seen.__cause__ or seen.__context__
    return words
