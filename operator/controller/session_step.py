# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a session needs next, by its status, its Job, and the time. Pure.

The order of the questions is the safety of the whole: every one is asked again after each step,
after a restart too, and an answer never depends on what this process remembers.
"""

from __future__ import annotations

import dataclasses
import enum
import typing as t

from ansible_collections.granary.postgres.operator.controller.job_outcome import (
    JobOutcome,
    JobPhase,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes import conditions as c
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.phases import (
    FAILED,
    SUCCEEDED,
    UNKNOWN,
    hosts_phase,
)

if t.TYPE_CHECKING:
    import datetime

    from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.objects import Object

_REPORTED = frozenset({SUCCEEDED, FAILED, UNKNOWN})


class Step(enum.Enum):
    """One move of a session."""

    BEGIN = "begin"
    ENSURE_JOB = "ensure job"
    WAIT = "wait"
    EXCEED_DEADLINE = "exceed deadline"
    DISRUPT = "disrupt"
    RUN_HOOK = "run hook"
    GIVE_UP_HOOK = "give up hook"
    FINISH = "finish"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """The types of the conditions that a kind of session has for its target."""

    executor: str
    pre_hook: str
    post_hook: str
    disrupted: str


BACKUP_TERMS = Terms(
    executor=c.BACKUP_EXECUTOR_ENSURED,
    pre_hook=c.PRE_BACKUP_HOOK_SUCCEEDED,
    post_hook=c.POST_BACKUP_HOOK_SUCCEEDED,
    disrupted=c.BACKUP_DISRUPTED,
)
RESTORE_TERMS = Terms(
    executor=c.RESTORE_EXECUTOR_ENSURED,
    pre_hook=c.PRE_RESTORE_HOOK_SUCCEEDED,
    post_hook=c.POST_RESTORE_HOOK_SUCCEEDED,
    disrupted=c.RESTORE_DISRUPTED,
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SessionView:
    """A session as it is judged.

    ``target`` is what its one target says (``status.targets[0]``, or the whole status of a
    RestoreSession), None before it has begun; ``session_conditions`` are those of the whole.
    ``post_hook`` says whether there is a hook to run at its end.
    """

    terms: Terms
    target: Object | None
    session_conditions: list[Object]
    job: JobOutcome
    hook_job: JobOutcome
    post_hook: bool
    deadline: datetime.datetime | None
    now: datetime.datetime

    def says(self, type_: str) -> str | None:
        """Return the status of a condition of the target, None where there is none."""
        found = c.find((self.target or {}).get("conditions"), type_)
        return None if found is None else found.get("status")

    @property
    def is_late(self) -> bool:
        """Whether the deadline has passed."""
        return self.deadline is not None and self.now >= self.deadline

    @property
    def is_reported(self) -> bool:
        """Whether the Job has said how its work ended."""
        return self.target is not None and hosts_phase(self.target) in _REPORTED

    @property
    def is_stopped(self) -> bool:
        """Whether we have said that the Job will not come to its end."""
        late = c.is_true(self.session_conditions, c.DEADLINE_EXCEEDED)
        return late or self.says(self.terms.disrupted) == c.TRUE

    @property
    def awaits_hook(self) -> bool:
        """Whether the hook at the end is still to run; after a failed first one it never does."""
        return (
            self.post_hook
            and self.says(self.terms.pre_hook) != c.FALSE
            and self.says(self.terms.post_hook) is None
        )


def next_step(view: SessionView) -> Step:
    """Return what is to be done now."""
    if view.target is None or view.target.get("totalHosts") is None:
        return Step.EXCEED_DEADLINE if view.is_late and not view.is_stopped else _unbegun(view)
    executor = view.says(view.terms.executor)
    if executor == c.FALSE or view.says(view.terms.pre_hook) == c.FALSE:
        return Step.FINISH
    if view.is_reported:
        return _after_report(view)
    if view.is_stopped:
        return _after_stop(view)
    if executor is None:
        # The Job may be there already: to make it again meets the one that is there.
        return Step.EXCEED_DEADLINE if view.is_late else Step.ENSURE_JOB
    return _while_running(view)


def _unbegun(view: SessionView) -> Step:
    return Step.FINISH if view.is_stopped else Step.BEGIN


def _while_running(view: SessionView) -> Step:
    if view.is_late or view.job.phase is JobPhase.TIMED_OUT:
        return Step.EXCEED_DEADLINE
    return Step.DISRUPT if view.job.phase.is_over else Step.WAIT


def _after_report(view: SessionView) -> Step:
    if not view.awaits_hook or view.is_stopped:
        return Step.FINISH
    if view.job.phase.is_over:
        # The container of the hook was reached: it may have run, and must not run twice.
        return Step.GIVE_UP_HOOK
    return Step.EXCEED_DEADLINE if view.is_late else Step.WAIT


def _after_stop(view: SessionView) -> Step:
    if not view.awaits_hook or view.says(view.terms.executor) is None:
        return Step.FINISH
    if not view.job.phase.is_over:
        return Step.WAIT  # Kubernetes is stopping it
    match view.hook_job.phase:
        case JobPhase.GONE:
            return Step.RUN_HOOK
        case JobPhase.ACTIVE:
            return Step.WAIT
        case _:
            return Step.GIVE_UP_HOOK
