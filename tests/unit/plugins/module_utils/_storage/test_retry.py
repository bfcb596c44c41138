# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import (
    AccessDenied,
    ConfigError,
    GranaryError,
    OutcomeUnknown,
    StorageUnavailable,
)
from ansible_collections.granary.postgres.plugins.module_utils._core.events import Field
from ansible_collections.granary.postgres.plugins.module_utils._storage.retry import Retry


class Heard:
    """Keeps the names and attempts of the events."""

    def __init__(self) -> None:
        self.attempts: list[Field] = []

    def progress(self, event: str, **fields: Field) -> None:
        assert event == "storage_retry"
        self.attempts.append(fields["attempt"])

    def warn(self, message: str) -> None:
        raise AssertionError(message)


def _script(*outcomes: GranaryError | str) -> t.Callable[[], str]:
    """Return an attempt that raises or returns these, one after the other."""
    left = list(outcomes)

    def attempt() -> str:
        outcome = left.pop(0)
        if isinstance(outcome, GranaryError):
            raise outcome
        return outcome

    return attempt


def _retry(heard: Heard, tries: int = 3) -> Retry:
    return Retry(events=heard, tries=tries, first_wait_s=0.001, longest_wait_s=0.002)


def test_what_may_help_is_tried_again() -> None:
    heard = Heard()
    script = _script(StorageUnavailable("1"), OutcomeUnknown("2"), "done")
    assert _retry(heard).run(script, "write x") == "done"
    assert heard.attempts == [1, 2]


def test_tries_are_bounded_and_the_last_error_is_told() -> None:
    heard = Heard()
    script = _script(StorageUnavailable("1"), StorageUnavailable("2"), StorageUnavailable("3"))
    with pytest.raises(StorageUnavailable, match="3"):
        _retry(heard).run(script, "read x")
    assert heard.attempts == [1, 2]


def test_a_refusal_is_final() -> None:
    heard = Heard()
    with pytest.raises(AccessDenied):
        _retry(heard).run(_script(AccessDenied("no")), "read x")
    assert heard.attempts == []


@pytest.mark.parametrize("later", [AccessDenied("no"), ConfigError("no"), StorageUnavailable("no")])
def test_a_request_without_an_answer_stays_unknown_whatever_comes_later(
    later: GranaryError,
) -> None:
    script = _script(OutcomeUnknown("silence."), later)
    with pytest.raises(OutcomeUnknown, match=r"silence\. A later try ended so: no"):
        _retry(Heard(), tries=2).run(script, "write x")


def test_silence_to_the_end_is_unknown() -> None:
    script = _script(StorageUnavailable("1"), OutcomeUnknown("2"), OutcomeUnknown("3"))
    with pytest.raises(OutcomeUnknown, match="3"):
        _retry(Heard()).run(script, "write x")


def test_one_try_means_one() -> None:
    heard = Heard()
    with pytest.raises(StorageUnavailable):
        _retry(heard, tries=1).run(_script(StorageUnavailable("1")), "read x")
    assert heard.attempts == []
