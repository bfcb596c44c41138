# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import datetime
import itertools
import typing as t

import pytest

from ansible_collections.granary.postgres.operator.controller.job_outcome import (
    JobOutcome,
    JobPhase,
)
from ansible_collections.granary.postgres.operator.controller.session_step import (
    BACKUP_TERMS,
    SessionView,
    Step,
    next_step,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes import conditions as c
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.objects import Object

NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
PAST = NOW - datetime.timedelta(seconds=1)
FUTURE = NOW + datetime.timedelta(seconds=1)
REPORT = {"stats": [{"hostname": "host-0", "phase": "Succeeded"}]}


def target(*conditions: tuple[str, c.Status], **fields: t.Any) -> Object:
    made = [c.condition(type_, status, "") for type_, status in conditions]
    return {"totalHosts": 1, "conditions": made, **fields}


def view(subject: Object | None, **fields: t.Any) -> SessionView:
    plain = SessionView(
        terms=BACKUP_TERMS,
        target=subject,
        session_conditions=[],
        job=JobOutcome(JobPhase.ACTIVE),
        hook_job=JobOutcome(JobPhase.GONE),
        post_hook=False,
        deadline=None,
        now=NOW,
    )
    return dataclasses.replace(plain, **fields)


ENSURED: tuple[str, c.Status] = (c.BACKUP_EXECUTOR_ENSURED, c.TRUE)
DISRUPTED: tuple[str, c.Status] = (c.BACKUP_DISRUPTED, c.TRUE)
LATE = [c.condition(c.DEADLINE_EXCEEDED, c.TRUE, "")]
COMPLETE, FAILED = JobOutcome(JobPhase.COMPLETE), JobOutcome(JobPhase.FAILED)
GONE, TIMED_OUT = JobOutcome(JobPhase.GONE), JobOutcome(JobPhase.TIMED_OUT)


@pytest.mark.parametrize(
    ("subject", "fields", "step"),
    [
        (None, {}, Step.BEGIN),
        (None, {"deadline": PAST}, Step.EXCEED_DEADLINE),
        (None, {"deadline": PAST, "session_conditions": LATE}, Step.FINISH),
        ({}, {}, Step.BEGIN),
        # Begun, and the Job may be there or not: killed in between.
        (target(), {"job": GONE}, Step.ENSURE_JOB),
        (target(), {}, Step.ENSURE_JOB),
        (target(), {"job": FAILED}, Step.ENSURE_JOB),
        (target(), {"job": GONE, "deadline": PAST}, Step.EXCEED_DEADLINE),
        (target((c.BACKUP_EXECUTOR_ENSURED, c.FALSE)), {"job": GONE}, Step.FINISH),
        # On its way.
        (target(ENSURED), {}, Step.WAIT),
        (target(ENSURED), {"deadline": FUTURE}, Step.WAIT),
        (target(ENSURED), {"deadline": PAST}, Step.EXCEED_DEADLINE),
        (target(ENSURED), {"job": TIMED_OUT, "deadline": FUTURE}, Step.EXCEED_DEADLINE),
        (target(ENSURED), {"job": GONE}, Step.DISRUPT),
        (target(ENSURED), {"job": FAILED}, Step.DISRUPT),
        (target(ENSURED), {"job": COMPLETE}, Step.DISRUPT),
        # It has reported: nothing that comes later fails it.
        (target(ENSURED, **REPORT), {}, Step.FINISH),
        (target(ENSURED, **REPORT), {"job": GONE}, Step.FINISH),
        (target(ENSURED, **REPORT), {"deadline": PAST}, Step.FINISH),
        # A failed first hook ends it, and the last one is not run.
        (
            target(ENSURED, (c.PRE_BACKUP_HOOK_SUCCEEDED, c.FALSE)),
            {"job": FAILED, "post_hook": True},
            Step.FINISH,
        ),
        (target(ENSURED, DISRUPTED), {"job": FAILED}, Step.FINISH),
        (target(ENSURED), {"session_conditions": LATE}, Step.FINISH),
    ],
)
def test_what_comes_next(subject: Object | None, fields: dict[str, t.Any], step: Step) -> None:
    assert next_step(view(subject, **fields)) is step


@pytest.mark.parametrize(
    ("subject", "fields", "step"),
    [
        (target(ENSURED, **REPORT), {}, Step.WAIT),
        (target(ENSURED, **REPORT), {"deadline": PAST}, Step.EXCEED_DEADLINE),
        # Its container was reached, and may have run it.
        (target(ENSURED, **REPORT), {"job": FAILED}, Step.GIVE_UP_HOOK),
        (target(ENSURED, (c.POST_BACKUP_HOOK_SUCCEEDED, c.TRUE), **REPORT), {}, Step.FINISH),
        # It was not reached: it is run alone, once the Job is really over.
        (target(ENSURED, DISRUPTED), {"job": FAILED}, Step.RUN_HOOK),
        (target(ENSURED, DISRUPTED), {"job": GONE}, Step.RUN_HOOK),
        (target(ENSURED), {"session_conditions": LATE}, Step.WAIT),
        (target(ENSURED), {"session_conditions": LATE, "job": TIMED_OUT}, Step.RUN_HOOK),
        (
            target(ENSURED, DISRUPTED),
            {"job": FAILED, "hook_job": JobOutcome(JobPhase.ACTIVE)},
            Step.WAIT,
        ),
        (target(ENSURED, DISRUPTED), {"job": FAILED, "hook_job": COMPLETE}, Step.GIVE_UP_HOOK),
        (
            target(ENSURED, DISRUPTED, (c.POST_BACKUP_HOOK_SUCCEEDED, c.FALSE)),
            {"job": FAILED, "hook_job": FAILED},
            Step.FINISH,
        ),
        # There was no Job, so there is nothing to run a hook after.
        (target((c.BACKUP_EXECUTOR_ENSURED, c.FALSE)), {"job": GONE}, Step.FINISH),
        (target(), {"session_conditions": LATE, "job": GONE}, Step.FINISH),
    ],
)
def test_what_comes_next_where_there_is_a_last_hook(
    subject: Object, fields: dict[str, t.Any], step: Step
) -> None:
    assert next_step(view(subject, post_hook=True, **fields)) is step


SAYS: list[c.Status | None] = [None, c.TRUE, c.FALSE]


def test_no_state_that_can_be_seen_is_a_dead_end() -> None:
    """A session waits only for a Job that is still going on; everything else moves it."""
    terms = (
        c.BACKUP_EXECUTOR_ENSURED,
        c.PRE_BACKUP_HOOK_SUCCEEDED,
        c.POST_BACKUP_HOOK_SUCCEEDED,
        c.BACKUP_DISRUPTED,
    )
    seen = 0
    for said in itertools.product(SAYS, SAYS, SAYS, SAYS[:2]):
        conditions = [(k, v) for k, v in zip(terms, said, strict=True) if v is not None]
        for job, hook_job, report, late, hook in itertools.product(
            JobPhase, JobPhase, ({}, REPORT), ([], LATE), (False, True)
        ):
            state = view(
                target(*conditions, **report),
                job=JobOutcome(job),
                hook_job=JobOutcome(hook_job),
                session_conditions=late,
                post_hook=hook,
            )
            if next_step(state) is Step.WAIT:
                assert JobPhase.ACTIVE in {job, hook_job}, state
            seen += 1
    assert seen == 3**3 * 2 * 25 * 8
