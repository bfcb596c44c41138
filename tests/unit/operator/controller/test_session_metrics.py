# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from ansible_collections.granary.postgres.operator.controller.session_metrics import samples_of
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.invoker import Invoker
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.metrics import Sample

BINDING = {"spec": {"type": "kubedb.com/postgres"}}


def invoker(kind: str) -> Invoker:
    spec = {
        "schedule": "@daily",
        "repository": {"name": "repo"},
        "target": {"ref": {"kind": "AppBinding", "name": "db"}},
        "retentionPolicy": {"name": "k", "keepLast": 1, "prune": True},
    }
    return Invoker.parse(
        {
            "apiVersion": "stash.appscode.com/v1beta1",
            "kind": kind,
            "metadata": {"name": "pg", "namespace": "demo", "uid": "u"},
            "spec": spec,
        }
    )


def told(kind: str, **how: t.Any) -> dict[str, Sample]:
    samples = samples_of(invoker(kind), BINDING, duration_seconds=33.0, at=1000.0, **how)
    return {each.family.new: each for each in samples}


def test_a_good_session_tells_everything() -> None:
    samples = told("BackupConfiguration", succeeded=True)

    assert {name: each.value for name, each in samples.items()} == {
        "backupsession_success": 1,
        "backupsession_duration_seconds": 33.0,
        "backupsession_target_count_total": 1,
        "backupsession_last_success_time_seconds": 1000.0,
        "backupsession_target_success": 1,
        "backupsession_target_host_count_total": 1,
        "backupsession_target_last_success_time_seconds": 1000.0,
    }
    labels = {
        "invoker_kind": "BackupConfiguration",
        "invoker_name": "pg",
        "namespace": "demo",
        "driver": "Restic",
        "repository": "repo",
    }
    assert samples["backupsession_success"].labels == labels
    own = {"kind": "postgres", "group": "kubedb.com", "name": "db"}
    assert samples["backupsession_target_success"].labels == {**labels, **own}


def test_a_failed_one_tells_that_alone_so_that_the_last_good_one_is_still_told() -> None:
    samples = told("BackupConfiguration", succeeded=False)

    assert {name: each.value for name, each in samples.items()} == {
        "backupsession_success": 0,
        "backupsession_target_success": 0,
    }


def test_a_restore_has_names_of_its_own() -> None:
    assert set(told("RestoreSession", succeeded=False)) == {
        "restoresession_success",
        "restoresession_target_success",
    }
