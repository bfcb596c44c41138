# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import datetime
import re

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._kubernetes import conditions as c

FIRST = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
LATER = datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC)


def test_a_condition_has_the_reason_of_its_type_and_status() -> None:
    made = c.condition(c.BACKUP_TARGET_FOUND, c.UNKNOWN, "The API server is away.", at=FIRST)
    assert made == {
        "type": "BackupTargetFound",
        "status": "Unknown",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
        "reason": "UnableToCheckTargetAvailability",
        "message": "The API server is away.",
    }


def test_the_reasons_are_those_of_stash() -> None:
    assert c.REASONS["RepositoryFound"]["True"] == "RepositoryAvailable"
    assert c.REASONS["BackendSecretFound"]["False"] == "BackendSecretNotAvailable"
    assert (
        c.REASONS["GlobalPreBackupHookSucceeded"]["False"] == "GlobalPreBackupHookExecutionFailed"
    )
    assert (
        c.REASONS["PostRestoreHookExecutionSucceeded"]["True"]
        == "SuccessfullyExecutedPostRestoreHook"
    )
    assert c.REASONS["BackupDisrupted"] == {"True": "FailedToCompleteDueToDisruption"}


def test_every_named_type_has_a_reason() -> None:
    named = {value for name, value in vars(c).items() if _is_a_type(name, value)}
    assert named == set(c.REASONS)


def _is_a_type(name: str, value: object) -> bool:
    return (
        re.fullmatch(r"[A-Z][A-Z_]+", name) is not None
        and isinstance(value, str)
        and value not in {"True", "False", "Unknown"}
    )


def test_an_equal_condition_is_not_rewritten() -> None:
    before = [c.condition(c.REPOSITORY_FOUND, c.TRUE, "It exists.", at=FIRST)]
    after = c.with_condition(
        before, c.condition(c.REPOSITORY_FOUND, c.TRUE, "It exists.", at=LATER)
    )
    assert after == before


def test_the_time_is_that_of_the_last_change_of_status() -> None:
    before = [c.condition(c.REPOSITORY_FOUND, c.FALSE, "No such one.", at=FIRST)]
    reworded = c.with_condition(before, c.condition(c.REPOSITORY_FOUND, c.FALSE, "None.", at=LATER))
    assert reworded[0]["message"] == "None."
    assert reworded[0]["lastTransitionTime"] == "2026-01-01T00:00:00Z"
    turned = c.with_condition(reworded, c.condition(c.REPOSITORY_FOUND, c.TRUE, "Yes.", at=LATER))
    assert turned[0]["lastTransitionTime"] == "2026-01-02T00:00:00Z"
    assert before[0]["message"] == "No such one."


def test_conditions_keep_their_places() -> None:
    found: list[dict[str, object]] = []
    for type_ in (c.REPOSITORY_FOUND, c.BACKEND_SECRET_FOUND, c.VALIDATION_PASSED):
        found = c.with_condition(found, c.condition(type_, c.TRUE, "", at=FIRST))
    found = c.with_condition(found, c.condition(c.BACKEND_SECRET_FOUND, c.FALSE, "", at=FIRST))
    assert [each["type"] for each in found] == [
        "RepositoryFound",
        "BackendSecretFound",
        "ValidationPassed",
    ]
    assert c.is_false(found, c.BACKEND_SECRET_FOUND)
    assert c.is_true(found, c.REPOSITORY_FOUND)
    assert not c.has(c.without_condition(found, c.REPOSITORY_FOUND), c.REPOSITORY_FOUND)
    assert not c.is_true(None, c.REPOSITORY_FOUND)
    assert not c.is_false(None, c.REPOSITORY_FOUND)


def test_a_status_that_no_type_has_is_not_written() -> None:
    with pytest.raises(KeyError):
        c.condition(c.BACKUP_SKIPPED, c.FALSE, "")
