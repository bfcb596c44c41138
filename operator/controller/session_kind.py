# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The two kinds of sessions, where they differ: how their status is laid out. Pure.

A BackupSession has its one target below ``status.targets``; a RestoreSession's status is its
target's.
"""

from __future__ import annotations

import abc
import typing as t

from ansible_collections.granary.postgres.operator.controller.session_step import (
    BACKUP_TERMS,
    RESTORE_TERMS,
    Terms,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes import conditions as c
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.job_spec import (
    HookType,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.phases import (
    FINAL_BACKUP_PHASES,
    FINAL_RESTORE_PHASES,
    backup_session_phase,
    restore_session_phase,
    target_phase,
)

if t.TYPE_CHECKING:
    from collections.abc import Mapping

    from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.objects import Object

# One target a session: batches, which have several, come later.
PRE_ACTIONS = ["InitializeBackendRepository"]
POST_ACTIONS = ["ApplyRetentionPolicy", "VerifyRepositoryIntegrity", "SendRepositoryMetrics"]


class SessionKind(abc.ABC):
    """How the status of a session is read and changed; nothing is changed in place."""

    name: t.ClassVar[str]
    terms: t.ClassVar[Terms]
    final_phases: t.ClassVar[frozenset[str]]
    pre_hook: t.ClassVar[HookType]
    post_hook: t.ClassVar[HookType]

    @abc.abstractmethod
    def target_of(self, status: Object) -> Object | None:
        """Return the part of the status that is about the target, None before it has begun."""

    @abc.abstractmethod
    def with_target(self, status: Object, target: Object) -> Object:
        """Return the status with ``target`` for that part."""

    @abc.abstractmethod
    def begun(self, status: Object, target: Mapping[str, str]) -> Object:
        """Return the status of a session whose Job is about to be made."""

    @abc.abstractmethod
    def phase(self, status: Object) -> str:
        """Return the phase that follows from the whole status."""

    def phased(self, status: Object) -> Object:
        """Return the status with the phase that follows from it, its target's too."""
        target = self.target_of(status)
        told = status if target is None else self.with_target(status, target)
        return {**told, "phase": self.phase(told)}

    def with_target_condition(self, status: Object, condition: Object) -> Object:
        """Return the status with a condition of the target, and the phase that follows from it."""
        target = self.target_of(status)
        if target is None:
            return status
        conditions = c.with_condition(target.get("conditions"), condition)
        return self.phased(self.with_target(status, {**target, "conditions": conditions}))

    def with_condition(self, status: Object, condition: Object) -> Object:
        """Return the status with a condition of the session, and the phase that follows from it."""
        conditions = c.with_condition(status.get("conditions"), condition)
        return self.phased({**status, "conditions": conditions})


class _Backup(SessionKind):
    name = "BackupSession"
    terms = BACKUP_TERMS
    final_phases = FINAL_BACKUP_PHASES
    pre_hook: t.ClassVar[HookType] = "preBackup"
    post_hook: t.ClassVar[HookType] = "postBackup"

    def target_of(self, status: Object) -> Object | None:
        targets = status.get("targets") or []
        return targets[0] if targets else None

    def with_target(self, status: Object, target: Object) -> Object:
        target = {**target, "phase": target_phase(target)}
        return {**status, "targets": [target, *(status.get("targets") or [])[1:]]}

    def begun(self, status: Object, target: Mapping[str, str]) -> Object:
        entry = {
            "ref": dict(target),
            "totalHosts": 1,
            "preBackupActions": PRE_ACTIONS,
            "postBackupActions": POST_ACTIONS,
        }
        return self.phased({**status, "targets": [entry]})

    def phase(self, status: Object) -> str:
        return backup_session_phase(status)


class _Restore(SessionKind):
    name = "RestoreSession"
    terms = RESTORE_TERMS
    final_phases = FINAL_RESTORE_PHASES
    pre_hook: t.ClassVar[HookType] = "preRestore"
    post_hook: t.ClassVar[HookType] = "postRestore"

    def target_of(self, status: Object) -> Object | None:
        return status

    def with_target(self, status: Object, target: Object) -> Object:
        return target

    def begun(self, status: Object, target: Mapping[str, str]) -> Object:
        return self.phased({**status, "totalHosts": 1})

    def phase(self, status: Object) -> str:
        return restore_session_phase(status)


BACKUP_SESSION: t.Final = _Backup()
RESTORE_SESSION: t.Final = _Restore()
