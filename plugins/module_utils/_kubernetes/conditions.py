# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""Conditions: the facts about an object that its status lists, with the types and reasons of Stash.

Lists of conditions are plain lists of dicts, as they stand in a status; nothing changes them in
place.
"""

from __future__ import annotations

import typing as t

from .durations import format_time, now

if t.TYPE_CHECKING:
    import datetime
    from collections.abc import Iterable

    from .objects import Object

Status: t.TypeAlias = t.Literal["True", "False", "Unknown"]
TRUE: t.Final = "True"
FALSE: t.Final = "False"
UNKNOWN: t.Final = "Unknown"

# Of BackupConfiguration and RestoreSession.
REPOSITORY_FOUND = "RepositoryFound"
BACKEND_SECRET_FOUND = "BackendSecretFound"
VALIDATION_PASSED = "ValidationPassed"
BACKUP_TARGET_FOUND = "BackupTargetFound"
RESTORE_TARGET_FOUND = "RestoreTargetFound"
CRON_JOB_CREATED = "CronJobCreated"

# Of BackupSession.
BACKEND_REPOSITORY_INITIALIZED = "BackendRepositoryInitialized"
RETENTION_POLICY_APPLIED = "RetentionPolicyApplied"
REPOSITORY_INTEGRITY_VERIFIED = "RepositoryIntegrityVerified"
REPOSITORY_METRICS_PUSHED = "RepositoryMetricsPushed"
METRICS_PUSHED = "MetricsPushed"
BACKUP_SKIPPED = "BackupSkipped"
BACKUP_HISTORY_CLEANED = "BackupHistoryCleaned"
DEADLINE_EXCEEDED = "DeadlineExceeded"
GLOBAL_PRE_BACKUP_HOOK_SUCCEEDED = "GlobalPreBackupHookSucceeded"
GLOBAL_POST_BACKUP_HOOK_SUCCEEDED = "GlobalPostBackupHookSucceeded"

# Of one target of a BackupSession.
BACKUP_EXECUTOR_ENSURED = "BackupExecutorEnsured"
PRE_BACKUP_HOOK_SUCCEEDED = "PreBackupHookExecutionSucceeded"
POST_BACKUP_HOOK_SUCCEEDED = "PostBackupHookExecutionSucceeded"
BACKUP_DISRUPTED = "BackupDisrupted"

# Of RestoreSession. The disruption is ours: Stash leaves such a session Running for ever.
RESTORE_EXECUTOR_ENSURED = "RestoreExecutorEnsured"
RESTORE_COMPLETED = "RestoreCompleted"
PRE_RESTORE_HOOK_SUCCEEDED = "PreRestoreHookExecutionSucceeded"
POST_RESTORE_HOOK_SUCCEEDED = "PostRestoreHookExecutionSucceeded"
GLOBAL_PRE_RESTORE_HOOK_SUCCEEDED = "GlobalPreRestoreHookSucceeded"
GLOBAL_POST_RESTORE_HOOK_SUCCEEDED = "GlobalPostRestoreHookSucceeded"
RESTORE_DISRUPTED = "RestoreDisrupted"

# What the kinds that come later say of themselves; the type is ours.
SUPPORTED = "Supported"

_FOUND = ("{}Available", "{}NotAvailable", "UnableToCheck{}Availability")
_DISRUPTION = "FailedToCompleteDueToDisruption"

REASONS: t.Final[dict[str, dict[str, str]]] = {
    **{
        type_: dict(zip((TRUE, FALSE, UNKNOWN), (r.format(what) for r in _FOUND), strict=True))
        for type_, what in (
            (REPOSITORY_FOUND, "Repository"),
            (BACKEND_SECRET_FOUND, "BackendSecret"),
            (BACKUP_TARGET_FOUND, "Target"),
            (RESTORE_TARGET_FOUND, "Target"),
        )
    },
    VALIDATION_PASSED: {TRUE: "ResourceValidationPassed", FALSE: "ResourceValidationFailed"},
    CRON_JOB_CREATED: {TRUE: "CronJobCreationSucceeded", FALSE: "CronJobCreationFailed"},
    BACKEND_REPOSITORY_INITIALIZED: {
        TRUE: "BackendRepositoryFound",
        FALSE: "FailedToInitializeBackendRepository",
    },
    RETENTION_POLICY_APPLIED: {
        TRUE: "SuccessfullyAppliedRetentionPolicy",
        FALSE: "FailedToApplyRetentionPolicy",
    },
    REPOSITORY_INTEGRITY_VERIFIED: {
        TRUE: "SuccessfullyVerifiedRepositoryIntegrity",
        FALSE: "FailedToVerifyRepositoryIntegrity",
    },
    REPOSITORY_METRICS_PUSHED: {
        TRUE: "SuccessfullyPushedRepositoryMetrics",
        FALSE: "FailedToPushRepositoryMetrics",
    },
    METRICS_PUSHED: {TRUE: "SuccessfullyPushedMetrics", FALSE: "FailedToPushMetrics"},
    BACKUP_SKIPPED: {TRUE: "SkippedTakingNewBackup"},
    BACKUP_HISTORY_CLEANED: {
        TRUE: "SuccessfullyCleanedBackupHistory",
        FALSE: "FailedToCleanBackupHistory",
    },
    DEADLINE_EXCEEDED: {TRUE: "FailedToCompleteWithinDeadline"},
    **{
        f"Global{hook}HookSucceeded": {
            TRUE: f"Global{hook}HookExecutedSuccessfully",
            FALSE: f"Global{hook}HookExecutionFailed",
        }
        for hook in ("PreBackup", "PostBackup", "PreRestore", "PostRestore")
    },
    **{
        f"{hook}HookExecutionSucceeded": {
            TRUE: f"SuccessfullyExecuted{hook}Hook",
            FALSE: f"FailedToExecute{hook}Hook",
        }
        for hook in ("PreBackup", "PostBackup", "PreRestore", "PostRestore")
    },
    BACKUP_EXECUTOR_ENSURED: {
        TRUE: "SuccessfullyEnsuredBackupExecutor",
        FALSE: "FailedToEnsureBackupExecutor",
    },
    RESTORE_EXECUTOR_ENSURED: {
        TRUE: "SuccessfullyEnsuredRestoreExecutor",
        FALSE: "FailedToEnsureRestoreExecutor",
    },
    RESTORE_COMPLETED: {TRUE: "PostRestoreTasksExecuted", FALSE: "PostRestoreTasksNotExecuted"},
    BACKUP_DISRUPTED: {TRUE: _DISRUPTION},
    RESTORE_DISRUPTED: {TRUE: _DISRUPTION},
    SUPPORTED: {FALSE: "NotSupportedYet"},
}
"""The reason of each type and status. Where a type has none for a status, none is ever written."""


def condition(
    type_: str, status: Status, message: str, *, at: datetime.datetime | None = None
) -> Object:
    """Return a condition with the reason that belongs to its type and status."""
    return {
        "type": type_,
        "status": status,
        "lastTransitionTime": format_time(at or now()),
        "reason": REASONS[type_][status],
        "message": message,
    }


def with_condition(conditions: Iterable[Object] | None, new: Object) -> list[Object]:
    """Return the list with ``new`` in the place of the one of its type, or at its end.

    One that is equal but for its time is not rewritten; the time is that of the last change of
    ``status``.
    """
    changed = list(conditions or [])
    for at, present in enumerate(changed):
        if present.get("type") != new["type"]:
            continue
        if all(present.get(key) == new.get(key) for key in ("status", "reason", "message")):
            return changed
        if present.get("status") == new["status"] and present.get("lastTransitionTime"):
            new = {**new, "lastTransitionTime": present["lastTransitionTime"]}
        changed[at] = new
        return changed
    return [*changed, new]


def without_condition(conditions: Iterable[Object] | None, type_: str) -> list[Object]:
    """Return the list without the condition of that type."""
    return [each for each in conditions or [] if each.get("type") != type_]


def find(conditions: Iterable[Object] | None, type_: str) -> Object | None:
    """Return the condition of that type, or None."""
    return next((each for each in conditions or [] if each.get("type") == type_), None)


def has(conditions: Iterable[Object] | None, type_: str) -> bool:
    """Whether there is a condition of that type, whatever it says."""
    return find(conditions, type_) is not None


def is_true(conditions: Iterable[Object] | None, type_: str) -> bool:
    """Whether the condition of that type is there and True."""
    return (find(conditions, type_) or {}).get("status") == TRUE


def is_false(conditions: Iterable[Object] | None, type_: str) -> bool:
    """Whether the condition of that type is there and False."""
    return (find(conditions, type_) or {}).get("status") == FALSE
