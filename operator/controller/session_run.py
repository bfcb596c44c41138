# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One session on its way: what is read of it, and the steps that both kinds have in common.

Nothing is kept between two steps. Whatever is decided on what was read is asked again of the status
as it is when it is written: the Job writes there too, and what it has said counts.
"""

from __future__ import annotations

import abc
import typing as t

from ansible_collections.granary.postgres.operator.controller.executor import (
    ensure_hook_job,
    ensure_job,
    hooks_of,
)
from ansible_collections.granary.postgres.operator.controller.job_outcome import (
    JobOutcome,
    JobPhase,
    cause_of_failure,
    outcome_of,
    reason_to_wait,
)
from ansible_collections.granary.postgres.operator.controller.session_record import SessionRecord
from ansible_collections.granary.postgres.operator.controller.session_step import (
    SessionView,
    Step,
    next_step,
)
from ansible_collections.granary.postgres.plugins.module_utils._core.errors import (
    ClusterForbidden,
    InvalidObject,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes import conditions as c
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.durations import (
    format_go_duration,
    format_time,
    parse_time,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.job_spec import (
    HOOK_JOB,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.names import (
    job_name,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.objects import (
    Object,
    described_object,
    metadata,
    status_of,
    uid_of,
)

if t.TYPE_CHECKING:
    from collections.abc import Callable

    from ansible_collections.granary.postgres.operator.controller.executor import Assignment

AT_ONCE = 0.0
POLL_S = 60.0
"""How often a running session is looked at although nothing has happened."""
STOPPING_S = 5.0
START_LIMIT_S = 1800.0
"""A Job none of whose containers has begun by then (no such image, no room) is given up."""


class SessionRun(SessionRecord, abc.ABC):
    """A session that can be moved on; its two kinds differ in how they begin and end."""

    @abc.abstractmethod
    def begin(self) -> float | None:
        """Claim the session if its time has come; return when to look again."""

    @abc.abstractmethod
    def finish(self) -> float | None:
        """End the session; return when to look again."""

    @abc.abstractmethod
    def assignment(self) -> Assignment:
        """Return what the Job is made of. Raises ``InvalidObject``, ``ClusterError``."""

    def step(self) -> float | None:
        """Move the session on; return when to look again, None once it is over."""
        moves: dict[Step, Callable[[], float | None]] = {
            Step.BEGIN: self.begin,
            Step.ENSURE_JOB: self.make_job,
            Step.WAIT: self._wait,
            Step.EXCEED_DEADLINE: self._exceed_deadline,
            Step.DISRUPT: lambda: self.disrupt(self._cause()),
            Step.RUN_HOOK: self._run_hook,
            Step.GIVE_UP_HOOK: self._give_up_hook,
            Step.FINISH: self.finish,
        }
        return moves[next_step(self.view())]()

    def view(self) -> SessionView:
        """Return the session as it is judged."""
        status = status_of(self.session)
        target = self.kind.target_of(status)
        has_begun = target is not None and target.get("totalHosts") is not None
        hook = self.invoker is not None and self.kind.post_hook in hooks_of(self.invoker)
        hook_job: Object | None = None
        if has_begun and hook:
            hook_job = self.own_job(job_name(HOOK_JOB, self.name))
        return SessionView(
            terms=self.kind.terms,
            target=target,
            session_conditions=status.get("conditions") or [],
            job=outcome_of(self.job) if has_begun else JobOutcome(JobPhase.GONE),
            hook_job=outcome_of(hook_job),
            post_hook=hook,
            deadline=self.deadline,
            now=self.now,
        )

    def claim(self, status: Object) -> Object:
        """Return the status of the session as one that has begun."""
        if self.invoker is None:
            return status
        begun = self.kind.begun(status, self.invoker.target.as_object())
        if self.deadline is not None:
            begun["sessionDeadline"] = format_time(self.deadline)
        return begun

    def make_job(self) -> float | None:
        """Make the Job, or say why there will be none."""
        left = None
        if self.deadline is not None:
            left = (self.deadline - self.now).total_seconds()
        try:
            job = ensure_job(self.site, self.assignment(), left)
            said = c.condition(
                self.kind.terms.executor, c.TRUE, f"Successfully made {described_object(job)}."
            )
        except (InvalidObject, ClusterForbidden) as exc:
            message = f"Failed to make the Job {self.job_name}. Reason: {exc.sentence}"
            said = c.condition(self.kind.terms.executor, c.FALSE, message)
        self.write(lambda status: self.kind.with_target_condition(status, said))
        return POLL_S if said["status"] == c.TRUE else AT_ONCE

    def disrupt(self, cause: str) -> float | None:
        """Say that the Job will not come to its end, unless it has told its end by now."""
        said = c.condition(self.kind.terms.disrupted, c.TRUE, cause)

        def change(status: Object) -> Object:
            seen = self._seen_anew(status)
            if seen.is_reported or seen.is_stopped:
                return status
            return self.kind.with_target_condition(status, said)

        self.write(change)
        return AT_ONCE

    def _seen_anew(self, status: Object) -> SessionView:
        """Return the session judged by the status as it is when it is written."""
        return SessionView(
            terms=self.kind.terms,
            target=self.kind.target_of(status),
            session_conditions=status.get("conditions") or [],
            job=outcome_of(self.job),
            hook_job=JobOutcome(JobPhase.GONE),
            post_hook=False,
            deadline=self.deadline,
            now=self.now,
        )

    def _cause(self) -> str:
        return cause_of_failure(self.job_name, outcome_of(self.job), self.pods())

    def _wait(self) -> float | None:
        if self.job is not None and not outcome_of(self.job).phase.is_over:
            made = parse_time(metadata(self.job)["creationTimestamp"])
            if (self.now - made).total_seconds() >= START_LIMIT_S:
                reason = reason_to_wait(self.job_name, self.pods())
                if reason is not None:
                    return self._give_up_start(reason)
        if self.deadline is None:
            return POLL_S
        left = (self.deadline - self.now).total_seconds()
        return min(left, POLL_S) if left > 0 else STOPPING_S

    def _give_up_start(self, reason: str) -> float | None:
        self.site.cluster.delete("Job", self.job_name, self.namespace, uid=uid_of(self.job or {}))
        return self.disrupt(reason)

    def _exceed_deadline(self) -> float | None:
        """Say that the time is over, unless the Job has told its end by now. Kubernetes stops it by
        its activeDeadlineSeconds, with us or without.
        """
        timeout = self.invoker.timeout_seconds if self.invoker else None
        limit = f" of {format_go_duration(timeout)}" if timeout else ""
        said = c.condition(
            c.DEADLINE_EXCEEDED,
            c.TRUE,
            f"The session was not over within its timeOut{limit}; its Job was stopped.",
        )
        view = self.view()

        def change(status: Object) -> Object:
            if self._seen_anew(status).is_reported and not view.awaits_hook:
                return status
            return self.kind.with_condition(status, said)

        self.write(change)
        return AT_ONCE

    def _run_hook(self) -> float | None:
        try:
            ensure_hook_job(self.site, self.assignment(), self.kind.post_hook)
        except (InvalidObject, ClusterForbidden) as exc:
            return self._say_hook_failed(f"The hook could not be run: {exc.sentence}")
        return POLL_S

    def _give_up_hook(self) -> float | None:
        return self._say_hook_failed(
            "The hook did not come to its end; whether it was run is not known."
        )

    def _say_hook_failed(self, message: str) -> float | None:
        said = c.condition(self.kind.terms.post_hook, c.FALSE, message)

        def change(status: Object) -> Object:
            target = self.kind.target_of(status) or {}
            if c.has(target.get("conditions"), self.kind.terms.post_hook):
                return status
            return self.kind.with_target_condition(status, said)

        self.write(change)
        return AT_ONCE
