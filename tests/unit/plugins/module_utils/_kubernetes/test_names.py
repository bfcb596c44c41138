# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.granary.postgres.plugins.module_utils._kubernetes import names
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.references import (
    TargetRef,
)

LABEL = re.compile(r"([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?\Z")
SUBDOMAIN = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?\Z")
object_names = st.from_regex(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?", fullmatch=True)


def test_names_are_those_of_stash() -> None:
    assert names.cron_job_name("pg.demo", "demo") == "stash-trigger-pg-demo"
    assert names.cron_job_name("pg", "demo", "demo") == "stash-trigger-pg"
    assert names.cron_job_name("pg", "backup", "demo") == "stash-trigger-backup-pg"
    assert names.backup_session_name("pg", 1700000000) == "pg-1700000000"
    assert names.job_name(names.BACKUP_JOB, "pg.a-17", 0) == "stash-backup-pg-a-17-0"
    assert names.service_account_name("BackupConfiguration", "pg") == "backupconfiguration-pg-0"
    assert names.container_name("postgres-backup-15.1", 0) == "postgres-backup-15-1-0"


def test_a_long_name_keeps_its_first_part_and_differs_by_its_end() -> None:
    first, second = (names.short("a" * 70 + end, 63) for end in "xy")
    assert first != second
    assert first.startswith("a" * 54 + "-")
    assert len(first) == 63


@given(object_names)
def test_every_name_is_one_that_kubernetes_takes(name: str) -> None:
    assert len(names.cron_job_name(name, "demo")) <= 52
    assert SUBDOMAIN.match(names.cron_job_name(name, "demo"))
    assert LABEL.match(names.job_name(names.RESTORE_JOB, name))
    assert LABEL.match(names.label_value(name))
    assert SUBDOMAIN.match(names.backup_session_name(name, 1700000000))
    assert len(names.backup_session_name(name, 1700000000)) <= 63


def test_the_labels_of_a_session_have_the_targets_namespace_as_written() -> None:
    target = TargetRef(api_version="", kind="AppBinding", name="pg", namespace="demo")
    labels = names.session_labels({"app": "mine"}, "BackupConfiguration", "pg", target)
    assert labels == {
        "app": "mine",
        "app.kubernetes.io/component": "stash-backup",
        "app.kubernetes.io/managed-by": "stash.appscode.com",
        "stash.appscode.com/invoker-type": "BackupConfiguration",
        "stash.appscode.com/invoker-name": "pg",
        "stash.appscode.com/target-kind": "AppBinding",
        "stash.appscode.com/target-name": "pg",
        "stash.appscode.com/target-namespace": "",
    }
