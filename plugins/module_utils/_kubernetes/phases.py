# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""From conditions and statistics to the one word that ``kubectl get`` shows. Pure.

The rules and their order are Stash's, except that metrics which could not be pushed do not fail
anything: a session is final once the push was tried.
"""

from __future__ import annotations

import typing as t

from . import conditions as c

if t.TYPE_CHECKING:
    from collections.abc import Sequence

    from .objects import Object

INVALID = "Invalid"
READY = "Ready"
NOT_READY = "NotReady"
PENDING = "Pending"
SKIPPED = "Skipped"
RUNNING = "Running"
SUCCEEDED = "Succeeded"
FAILED = "Failed"
UNKNOWN = "Unknown"

FINAL_BACKUP_PHASES = frozenset({SUCCEEDED, FAILED, SKIPPED, UNKNOWN})
FINAL_RESTORE_PHASES = frozenset({SUCCEEDED, FAILED, UNKNOWN})
_COMPLETE = frozenset({SUCCEEDED, FAILED, UNKNOWN})

_POST_ACTIONS = (
    c.RETENTION_POLICY_APPLIED,
    c.REPOSITORY_INTEGRITY_VERIFIED,
)


def configuration_phase(status: Object) -> str:
    """Return the phase of a BackupConfiguration by its status' conditions."""
    found = status.get("conditions")
    needed = (c.REPOSITORY_FOUND, c.BACKEND_SECRET_FOUND)
    if any(c.has(found, each) and not c.is_true(found, each) for each in needed):
        return NOT_READY
    if c.is_false(found, c.VALIDATION_PASSED):
        return INVALID
    wanted = (*needed, c.VALIDATION_PASSED, c.BACKUP_TARGET_FOUND, c.CRON_JOB_CREATED)
    return READY if all(c.is_true(found, each) for each in wanted) else NOT_READY


def target_phase(target: Object) -> str:
    """Return the phase of one entry of a BackupSession's ``status.targets``."""
    found = target.get("conditions")
    failing = (
        c.BACKUP_EXECUTOR_ENSURED,
        c.PRE_BACKUP_HOOK_SUCCEEDED,
        c.POST_BACKUP_HOOK_SUCCEEDED,
    )
    if any(c.is_false(found, each) for each in failing) or c.is_true(found, c.BACKUP_DISRUPTED):
        return FAILED
    return hosts_phase(target)


def hosts_phase(target: Object) -> str:
    """Return the phase that ``totalHosts`` and the hosts' ``stats`` give."""
    total = target.get("totalHosts")
    if total is None:
        return PENDING
    phases = [each.get("phase") for each in target.get("stats") or []]
    if sum(phase in _COMPLETE for phase in phases) < total:
        return RUNNING
    for worst in (FAILED, UNKNOWN):
        if worst in phases:
            return worst
    return SUCCEEDED


def is_backup_complete(status: Object) -> bool:
    """Whether nothing of a BackupSession runs or is still to be started.

    Then the history is cleaned, the metrics are pushed, and the phase becomes final.
    """
    found = status.get("conditions")
    if c.is_true(found, c.DEADLINE_EXCEEDED):
        return True
    if c.is_false(found, c.GLOBAL_PRE_BACKUP_HOOK_SUCCEEDED):
        return True
    targets = status.get("targets") or []
    return bool(targets) and all(target_phase(each) in _COMPLETE for each in targets)


def backup_session_phase(status: Object) -> str:
    """Return the phase of a BackupSession by its whole status."""
    found = status.get("conditions")
    phases = [target_phase(each) for each in status.get("targets") or []]
    pushed = c.has(found, c.METRICS_PUSHED)
    if c.is_true(found, c.BACKUP_SKIPPED):
        return SKIPPED
    if pushed and _failed_as_a_whole(found):
        return FAILED
    if all(phase == PENDING for phase in phases):
        return PENDING
    if not pushed or not all(phase in _COMPLETE for phase in phases):
        return RUNNING
    if FAILED in phases or any(c.is_false(found, each) for each in _POST_ACTIONS):
        return FAILED
    return UNKNOWN if UNKNOWN in phases else SUCCEEDED


def _failed_as_a_whole(found: Sequence[Object] | None) -> bool:
    failing = (
        c.BACKUP_HISTORY_CLEANED,
        c.GLOBAL_PRE_BACKUP_HOOK_SUCCEEDED,
        c.GLOBAL_POST_BACKUP_HOOK_SUCCEEDED,
    )
    return c.is_true(found, c.DEADLINE_EXCEEDED) or any(c.is_false(found, each) for each in failing)


def restore_target_phase(status: Object) -> str:
    """Return how far the one target of a RestoreSession is, the push of metrics left aside."""
    found = status.get("conditions")
    failing = (
        c.RESTORE_EXECUTOR_ENSURED,
        c.PRE_RESTORE_HOOK_SUCCEEDED,
        c.POST_RESTORE_HOOK_SUCCEEDED,
    )
    if any(c.is_false(found, each) for each in failing) or c.is_true(found, c.RESTORE_DISRUPTED):
        return FAILED
    return hosts_phase(status)


def is_restore_complete(status: Object) -> bool:
    """Whether nothing of a RestoreSession runs or is still to be started."""
    if c.is_true(status.get("conditions"), c.DEADLINE_EXCEEDED):
        return True
    return restore_target_phase(status) in _COMPLETE


def restore_session_phase(status: Object) -> str:
    """Return the phase of a RestoreSession by its whole status.

    One that is not valid says so although it has not begun: Stash shows it as Pending.
    """
    found = status.get("conditions")
    pushed = c.has(found, c.METRICS_PUSHED)
    target = restore_target_phase(status)
    if pushed and c.is_true(found, c.DEADLINE_EXCEEDED):
        return FAILED
    if c.is_false(found, c.VALIDATION_PASSED) and target == PENDING:
        return INVALID
    if target in _COMPLETE:
        return target if pushed else RUNNING
    return target
