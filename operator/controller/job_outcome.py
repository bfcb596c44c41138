# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From a Job and its pods to how it stands with it and, where it failed, why. Pure.

What the container itself said at its end comes first; then what Kubernetes says of the container,
the pod, and the Job.
"""

from __future__ import annotations

import dataclasses
import enum
import typing as t

from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.objects import (
    Object,
    metadata,
    name_of,
    status_of,
)

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

JOB_NAME_LABEL = "batch.kubernetes.io/job-name"
_LONGEST_WORDS = 1024


class JobPhase(enum.Enum):
    """How far a Job is; ``GONE``: there is none."""

    GONE = "gone"
    ACTIVE = "active"
    COMPLETE = "complete"
    FAILED = "failed"
    TIMED_OUT = "timed out"

    @property
    def is_over(self) -> bool:
        """Whether nothing of it will run any more."""
        return self is not JobPhase.ACTIVE


@dataclasses.dataclass(frozen=True, slots=True)
class JobOutcome:
    """``words`` are the Job's own about its end."""

    phase: JobPhase
    words: str = ""


def outcome_of(job: Object | None) -> JobOutcome:
    """Return how it stands with a Job.

    It counts as failed from ``FailureTarget`` on: ``Failed`` comes only when its pod is gone, which
    on a node that cannot be reached it never is.
    """
    if job is None:
        return JobOutcome(JobPhase.GONE)
    conditions = {
        each.get("type"): each
        for each in status_of(job).get("conditions") or []
        if each.get("status") == "True"
    }
    if "Complete" in conditions or "SuccessCriteriaMet" in conditions:
        return JobOutcome(JobPhase.COMPLETE)
    failed = conditions.get("Failed") or conditions.get("FailureTarget")
    if failed is None:
        return JobOutcome(JobPhase.ACTIVE)
    phase = JobPhase.TIMED_OUT if failed.get("reason") == "DeadlineExceeded" else JobPhase.FAILED
    return JobOutcome(phase, failed.get("message") or failed.get("reason") or "")


def cause_of_failure(job_name: str, outcome: JobOutcome, pods: Sequence[Object]) -> str:
    """Return why a Job ended without a report, as one sentence."""
    if outcome.phase is JobPhase.GONE:
        return f"Job {job_name} was deleted before it had reported its end."
    pod = max(pods, key=_created, default=None)
    if pod is None:
        said = f" ({outcome.words})" if outcome.words else ""
        return f"The pod of Job {job_name} is gone, and it had reported no end{said}."
    cause = (
        _container_cause(pod)
        or _disruption(pod)
        or status_of(pod).get("message")
        or outcome.words
        or "it reported no end"
    )
    return f"Pod {name_of(pod)} of Job {job_name} did not come to its end: {cause.rstrip('.')}."


def reason_to_wait(job_name: str, pods: Sequence[Object]) -> str | None:
    """Return why no container of a Job has begun, as one sentence; None if one has."""
    pod = max(pods, key=_created, default=None)
    if pod is None:
        return (
            f"Job {job_name} has no pod; `kubectl describe job {job_name}` says what the "
            "namespace does not allow."
        )
    statuses = _container_statuses(pod)
    if any(not (each.get("state") or {}).get("waiting") for each in statuses):
        return None
    waiting = next(
        (
            each["state"]["waiting"]
            for each in statuses
            if each["state"]["waiting"].get("reason") not in {None, "PodInitializing"}
        ),
        None,
    )
    if waiting is not None:
        words = ": ".join(str(waiting[k]) for k in ("reason", "message") if waiting.get(k))
        return f"Pod {name_of(pod)} does not begin: {words[:_LONGEST_WORDS].rstrip('.')}."
    unscheduled = _condition(pod, "PodScheduled", "False")
    words = (unscheduled or {}).get("message") or "no node has taken it up"
    return f"Pod {name_of(pod)} does not begin: {words.rstrip('.')}."


def _container_cause(pod: Object) -> str | None:
    for each in _container_statuses(pod):
        ended = (each.get("state") or {}).get("terminated") or {}
        if not ended or ended.get("exitCode") == 0:
            continue
        reason = ended.get("reason")
        said = f" ({reason})" if reason and reason != "Error" else ""
        text = f"container {each['name']} ended with status {ended.get('exitCode')}{said}"
        words = (ended.get("message") or "").strip()
        return f"{text}: {words[-_LONGEST_WORDS:]}" if words else text
    return None


def _disruption(pod: Object) -> str | None:
    found = _condition(pod, "DisruptionTarget", "True")
    if found is not None:
        return found.get("message") or found.get("reason")
    if metadata(pod).get("deletionTimestamp"):
        return "the pod was deleted"
    return None


def _container_statuses(pod: Object) -> list[Object]:
    status = status_of(pod)
    return [
        *(status.get("initContainerStatuses") or []),
        *(status.get("containerStatuses") or []),
    ]


def _condition(pod: Object, type_: str, status: str) -> Object | None:
    found: Iterable[Object] = status_of(pod).get("conditions") or []
    return next((c for c in found if c.get("type") == type_ and c.get("status") == status), None)


def _created(pod: Object) -> str:
    return str(metadata(pod).get("creationTimestamp") or "")
