# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.granary.postgres.operator.controller.job_outcome import (
    JobOutcome,
    JobPhase,
    cause_of_failure,
    outcome_of,
    reason_to_wait,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.objects import Object

FAILED = JobOutcome(JobPhase.FAILED, "Job has reached the specified backoff limit")


def job(*conditions: tuple[str, str]) -> Object:
    made = [{"type": k, "status": "True", "reason": r, "message": "said"} for k, r in conditions]
    return {"metadata": {"name": "j"}, "status": {"conditions": made}}


def pod(name: str = "p", at: int = 1, deleted: bool = False, **status: t.Any) -> Object:
    meta: Object = {"name": name, "creationTimestamp": f"2026-01-01T00:00:{at:02d}Z"}
    if deleted:
        meta["deletionTimestamp"] = "2026-01-01T00:01:00Z"
    return {"metadata": meta, "status": status}


def container(name: str = "dump-0", **state: t.Any) -> Object:
    return {"name": name, "state": state}


@pytest.mark.parametrize(
    ("found", "phase"),
    [
        (None, JobPhase.GONE),
        (job(), JobPhase.ACTIVE),
        (job(("Suspended", "x")), JobPhase.ACTIVE),
        (job(("Complete", "x")), JobPhase.COMPLETE),
        (job(("SuccessCriteriaMet", "x")), JobPhase.COMPLETE),
        (job(("FailureTarget", "BackoffLimitExceeded")), JobPhase.FAILED),
        (job(("Failed", "BackoffLimitExceeded")), JobPhase.FAILED),
        (job(("Failed", "DeadlineExceeded")), JobPhase.TIMED_OUT),
        (job(("FailureTarget", "DeadlineExceeded")), JobPhase.TIMED_OUT),
    ],
)
def test_how_it_stands_with_a_job(found: Object | None, phase: JobPhase) -> None:
    assert outcome_of(found).phase is phase


@pytest.mark.parametrize(
    ("pods", "words"),
    [
        ([], "The pod of Job j is gone, and it had reported no end (Job has reached"),
        (
            [pod(initContainerStatuses=[container(terminated={"exitCode": 137})])],
            "container dump-0 ended with status 137.",
        ),
        (
            [
                pod(
                    initContainerStatuses=[
                        container(terminated={"exitCode": 0}),
                        container(
                            "dump-1",
                            terminated={"exitCode": 137, "reason": "OOMKilled", "message": ""},
                        ),
                    ]
                )
            ],
            "container dump-1 ended with status 137 (OOMKilled).",
        ),
        (
            [
                pod(
                    containerStatuses=[
                        container(
                            terminated={
                                "exitCode": 1,
                                "reason": "Error",
                                "message": "The Secret holds no RESTIC_PASSWORD.\n",
                            }
                        )
                    ]
                )
            ],
            "container dump-0 ended with status 1: The Secret holds no RESTIC_PASSWORD.",
        ),
        (
            [
                pod(
                    conditions=[
                        {
                            "type": "DisruptionTarget",
                            "status": "True",
                            "message": "Taint manager: deleting due to NoExecute taint",
                        }
                    ]
                )
            ],
            "Taint manager: deleting due to NoExecute taint.",
        ),
        ([pod(deleted=True)], "the pod was deleted."),
        ([pod(message="The node was low on resource: memory.")], "low on resource: memory."),
        ([pod()], "Job has reached the specified backoff limit."),
        ([pod("new", 2, message="new"), pod("old", 1, message="old")], "Pod new of Job j"),
    ],
)
def test_why_a_job_ended_without_a_report(pods: list[Object], words: str) -> None:
    assert words in cause_of_failure("j", FAILED, pods)


def test_a_job_that_somebody_deleted_is_named() -> None:
    assert "Job j was deleted" in cause_of_failure("j", JobOutcome(JobPhase.GONE), [])


@pytest.mark.parametrize(
    ("pods", "words"),
    [
        ([], "Job j has no pod; "),
        (
            [
                pod(
                    initContainerStatuses=[
                        container(
                            waiting={"reason": "ImagePullBackOff", "message": "no such image"}
                        )
                    ],
                    containerStatuses=[container(waiting={"reason": "PodInitializing"})],
                )
            ],
            "ImagePullBackOff: no such image.",
        ),
        (
            [
                pod(
                    conditions=[
                        {
                            "type": "PodScheduled",
                            "status": "False",
                            "message": "0/1 nodes are available",
                        }
                    ]
                )
            ],
            "0/1 nodes are available.",
        ),
        ([pod()], "no node has taken it up"),
    ],
)
def test_why_nothing_has_begun(pods: list[Object], words: str) -> None:
    assert words in (reason_to_wait("j", pods) or "")


@pytest.mark.parametrize("state", [{"running": {}}, {"terminated": {"exitCode": 0}}])
def test_a_pod_of_which_something_ran_has_begun(state: Object) -> None:
    later = container("last-1", waiting={"reason": "PodInitializing"})
    begun = pod(initContainerStatuses=[container(**state)], containerStatuses=[later])
    assert reason_to_wait("j", [begun]) is None
