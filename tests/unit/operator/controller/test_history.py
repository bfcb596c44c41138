# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from ansible_collections.granary.postgres.operator.controller.history import (
    busy_session,
    invoked_by,
    reason_to_skip,
    retry_session,
    sessions_to_delete,
    wants_retry,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.invoker import Invoker
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.objects import Object

TARGET = {"apiVersion": "v", "kind": "AppBinding", "name": "pg", "namespace": "demo"}


def session(name: str, at: int, phase: str | None = None, **fields: t.Any) -> Object:
    return {
        "apiVersion": "stash.appscode.com/v1beta1",
        "kind": "BackupSession",
        "metadata": {
            "name": name,
            "namespace": fields.pop("namespace", "demo"),
            "uid": f"uid-{name}",
            "creationTimestamp": f"2026-01-01T00:00:{at:02d}Z",
        },
        "spec": {
            "invoker": {"kind": "BackupConfiguration", "name": fields.pop("invoker", "pg")},
            "retryLeft": fields.pop("retry_left", 0),
        },
        "status": {**({"phase": phase} if phase else {}), **fields},
    }


def deleted(sessions: list[Object], phase: str, limit: int) -> list[str]:
    current = sessions[-1]
    found = sessions_to_delete(sessions, current, phase, limit)
    return sorted(each["metadata"]["name"] for each in found)


def test_the_newest_sessions_up_to_the_limit_are_kept() -> None:
    sessions = [
        session("a", 1, "Succeeded"),
        session("b", 2, "Failed"),
        session("c", 3, "Succeeded"),
        session("d", 4, "Running"),
    ]
    assert deleted(sessions, "Succeeded", 2) == ["a", "b"]
    assert deleted(sessions, "Succeeded", 1) == ["a", "b", "c"]
    assert deleted(sessions, "Succeeded", 9) == []


def test_the_last_one_that_tells_something_outlives_a_row_of_skipped_ones() -> None:
    sessions = [
        session("a", 1, "Succeeded"),
        session("b", 2, "Succeeded"),
        session("c", 3, "Skipped"),
        session("d", 4),
    ]
    assert deleted(sessions, "Skipped", 1) == ["a", "c"]
    assert deleted(sessions, "Skipped", 0) == ["a", "b", "c"]


def test_a_session_that_is_not_over_is_never_deleted() -> None:
    sessions = [session("a", 1, "Running"), session("b", 2), session("c", 3)]
    assert deleted(sessions, "Skipped", 0) == []


def test_sessions_are_an_invokers_by_their_spec_and_not_by_labels() -> None:
    sessions = [session("a", 1), session("b", 2, invoker="other")]
    found = invoked_by(sessions, "BackupConfiguration", "pg")
    assert [each["metadata"]["name"] for each in found] == ["a"]


def test_one_session_of_an_invoker_runs_at_a_time() -> None:
    running, older = session("z", 9, "Running"), session("a", 1)
    mine, younger = session("m", 5), session("y", 7)
    over = session("o", 0, "Succeeded")

    assert reason_to_skip(mine, [mine, over, younger]) is None
    assert "BackupSession z" in (reason_to_skip(mine, [mine, running]) or "")
    assert "BackupSession a" in (reason_to_skip(mine, [mine, older]) or "")


def test_of_sessions_that_wait_exactly_one_may_begin() -> None:
    waiting = [session(name, 5) for name in ("c", "a", "b")]
    free = [each for each in waiting if reason_to_skip(each, waiting) is None]
    assert [each["metadata"]["name"] for each in free] == ["a"]


def test_other_invokers_of_one_target_wait_for_what_runs_there() -> None:
    targets = [{"ref": TARGET}]
    mine = session("m", 5)
    other = session("x", 1, "Running", invoker="other", targets=targets)
    assert busy_session(mine, TARGET, [other]) is other
    assert busy_session(mine, {**TARGET, "namespace": "else"}, [other]) is None
    ended = session("x", 1, "Failed", invoker="other", targets=targets)
    own = session("y", 1, "Running", targets=targets)
    assert busy_session(mine, TARGET, [ended, own]) is None
    namesake = session("y", 1, "Running", targets=targets, namespace="else")
    assert busy_session(mine, TARGET, [namesake]) is namesake


def test_only_a_failed_session_with_tries_left_is_tried_again_and_once() -> None:
    assert wants_retry(session("a", 1, "Failed", retry_left=1))
    assert not wants_retry(session("a", 1, "Failed", retry_left=0))
    assert not wants_retry(session("a", 1, "Failed", retry_left=1, retried=True))
    assert not wants_retry(session("a", 1, "Skipped", retry_left=1))


def test_a_retry_is_named_after_its_time_and_has_one_try_less() -> None:
    configuration = {
        "apiVersion": "stash.appscode.com/v1beta1",
        "kind": "BackupConfiguration",
        "metadata": {"name": "pg", "namespace": "demo", "uid": "bc"},
        "spec": {
            "schedule": "@daily",
            "repository": {"name": "r"},
            "target": {"ref": {"kind": "AppBinding", "name": "pg"}},
            "retentionPolicy": {"name": "k", "keepLast": 1, "prune": True},
        },
    }
    failed = session("a", 1, "Failed", retry_left=2, nextRetry="2026-01-01T00:01:00Z")
    made = retry_session(failed, configuration, Invoker.parse(configuration))

    assert made["metadata"]["name"] == "pg-1767225660"
    assert made["spec"]["retryLeft"] == 1
    assert made["metadata"]["ownerReferences"][0]["uid"] == "bc"
    again = retry_session(failed, configuration, Invoker.parse(configuration))
    assert again == made
