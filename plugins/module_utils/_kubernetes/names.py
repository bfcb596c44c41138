# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""Every name that users, clients or another part of us look for, and how long ones are shortened.

Names of objects follow Stash. Where a name would be too long, ours is its first part, ``-`` and 8
hexadecimal digits of a hash of the whole: what an object is about stands in its spec, never in its
name.
"""

from __future__ import annotations

import hashlib
import re
import typing as t

if t.TYPE_CHECKING:
    from collections.abc import Mapping

    from .references import TargetRef

WIPE_OUT_FINALIZER = "granary.postgres/wipe-out"
STASH_FINALIZERS = frozenset({"stash", "stash.appscode.com"})
"""What Stash left on objects; without Stash they would never go away, so we take them off."""

COMPONENT = "app.kubernetes.io/component"
BACKUP_COMPONENT = "stash-backup"
RESTORE_COMPONENT = "stash-restore"
MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGER = "stash.appscode.com"
INVOKER_TYPE = "stash.appscode.com/invoker-type"
INVOKER_NAME = "stash.appscode.com/invoker-name"
TARGET_KIND = "stash.appscode.com/target-kind"
TARGET_NAME = "stash.appscode.com/target-name"
TARGET_NAMESPACE = "stash.appscode.com/target-namespace"
DELETE_JOB_ON_COMPLETION = "stash.appscode.com/delete-job-on-completion"

CRON_JOB_CLUSTER_ROLE = "stash-cron-job"
BACKUP_JOB_CLUSTER_ROLE = "stash-backup-job"
RESTORE_JOB_CLUSTER_ROLE = "stash-restore-job"

BACKUP_JOB = "stash-backup"
RESTORE_JOB = "stash-restore"
TRIGGER = "stash-trigger"

SCRATCH_VOLUME = "stash-tmp-dir"
SCRATCH_PATH = "/stash-tmp"
OUTPUT_PATH = "/stash-tmp/output"
INTERIM_VOLUME = "stash-interim-volume"
INTERIM_PATH = "/stash-interim-volume"
LOCAL_VOLUME = "stash-local"
SECRET_VOLUME = "granary-storage-secret"
SECRET_PATH = "/granary/storage-secret"

DEFAULT_HOST = "host-0"

NAME_LIMIT = 63
"""Characters of a label's value and of a pod's host name, which our names become."""
CRON_JOB_LIMIT = 52
"""Characters of a CronJob's name: its Jobs add 11."""
_HASH_DIGITS = 8
_NOT_IN_LABELS = re.compile(r"[^A-Za-z0-9_.-]")


def short(text: str, limit: int) -> str:
    """Return ``text``, or where it is longer than ``limit`` its first part, ``-`` and a hash."""
    if len(text) <= limit:
        return text
    digits = hashlib.sha256(text.encode()).hexdigest()[:_HASH_DIGITS]
    return f"{text[: limit - _HASH_DIGITS - 1].rstrip('-._')}-{digits}"


def label_value(text: str) -> str:
    """Return ``text`` as the value of a label."""
    return short(_NOT_IN_LABELS.sub("-", text), NAME_LIMIT).strip("-._")


def cron_job_name(invoker: str, namespace: str, target_namespace: str | None = None) -> str:
    """Return the name of the CronJob that triggers ``invoker``, of its account and its binding.

    Stash names the invoker's namespace too where the target lives in another one.
    """
    elsewhere = target_namespace not in {None, "", namespace}
    whole = f"{TRIGGER}-{namespace}-{invoker}" if elsewhere else f"{TRIGGER}-{invoker}"
    return short(whole.replace(".", "-"), CRON_JOB_LIMIT)


def backup_session_name(invoker: str, unix_seconds: int) -> str:
    """Return the name of the session of ``invoker`` that is due at a moment.

    Equal for every trigger of one moment, so that a second one meets the first one's object.
    """
    moment = str(unix_seconds)
    return f"{short(invoker, NAME_LIMIT - len(moment) - 1)}-{moment}"


def job_name(prefix: str, session: str, index: int = 0) -> str:
    """Return the name of the Job for the session's target number ``index``."""
    return short(f"{prefix}-{session.replace('.', '-')}-{index}", NAME_LIMIT)


def service_account_name(kind: str, name: str, index: int = 0) -> str:
    """Return the name of the account, and of its binding, that an invoker's Jobs run with."""
    return short(f"{kind.lower()}-{name}-{index}", NAME_LIMIT)


def repository_role_name(namespace: str, kind: str, name: str, index: int = 0) -> str:
    """Return the name of the Role by which an invoker uses a repository of another namespace."""
    return short(f"{namespace}-{kind.lower()}-{name}-{index}", NAME_LIMIT)


def container_name(function: str, index: int) -> str:
    """Return the name of the container for a Task's step number ``index``."""
    return short(f"{function.replace('.', '-')}-{index}", NAME_LIMIT)


def offshoot_labels(
    invoker_labels: Mapping[str, str] | None, component: str = BACKUP_COMPONENT
) -> dict[str, str]:
    """Return the labels of everything that we make for an invoker: its own and two more."""
    return {**(invoker_labels or {}), COMPONENT: component, MANAGED_BY: MANAGER}


def session_labels(
    invoker_labels: Mapping[str, str] | None, kind: str, name: str, target: TargetRef | None
) -> dict[str, str]:
    """Return the labels of a BackupSession, by which clients and we find an invoker's sessions.

    The target's namespace is as its author wrote it, which may be nothing.
    """
    labels = {
        **offshoot_labels(invoker_labels),
        INVOKER_TYPE: kind,
        INVOKER_NAME: label_value(name),
    }
    if target is not None:
        labels[TARGET_KIND] = label_value(target.kind)
        labels[TARGET_NAME] = label_value(target.name)
        labels[TARGET_NAMESPACE] = label_value(target.written_namespace)
    return labels
