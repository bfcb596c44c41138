# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import copy

from ansible_collections.granary.postgres.operator.controller.session_kind import (
    BACKUP_SESSION,
    RESTORE_SESSION,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes import conditions as c

REF = {"apiVersion": "v", "kind": "AppBinding", "name": "pg", "namespace": "demo"}
HOST = {"hostname": "host-0", "phase": "Succeeded"}
PUSHED = c.condition(c.METRICS_PUSHED, c.FALSE, "no gateway")


def test_a_backup_that_has_begun_runs_with_all_its_actions() -> None:
    status = BACKUP_SESSION.begun({"conditions": []}, REF)

    assert status["phase"] == "Running"
    (target,) = status["targets"]
    assert (target["ref"], target["totalHosts"], target["phase"]) == (REF, 1, "Running")
    assert target["preBackupActions"] == ["InitializeBackendRepository"]
    assert len(target["postBackupActions"]) == 3


def test_what_is_said_of_the_target_changes_both_phases_and_nothing_in_place() -> None:
    status = BACKUP_SESSION.begun({}, REF)
    before = copy.deepcopy(status)
    lost = c.condition(c.BACKUP_DISRUPTED, c.TRUE, "the pod is gone")
    changed = BACKUP_SESSION.with_target_condition(status, lost)

    assert status == before
    assert changed["targets"][0]["phase"] == "Failed"
    assert changed["phase"] == "Running"  # until the metrics are pushed
    assert BACKUP_SESSION.with_condition(changed, PUSHED)["phase"] == "Failed"


def test_a_report_of_the_job_is_taken_up_with_the_last_condition() -> None:
    status = BACKUP_SESSION.begun({}, REF)
    status["targets"][0]["stats"] = [HOST]
    ended = BACKUP_SESSION.with_condition(status, PUSHED)

    assert (ended["phase"], ended["targets"][0]["phase"]) == ("Succeeded", "Succeeded")


def test_nothing_is_said_of_a_target_that_has_not_begun() -> None:
    lost = c.condition(c.BACKUP_DISRUPTED, c.TRUE, "x")
    assert BACKUP_SESSION.with_target_condition({"phase": "Pending"}, lost) == {"phase": "Pending"}


def test_a_restore_has_its_target_in_its_own_status() -> None:
    begun = RESTORE_SESSION.begun({}, REF)
    assert (begun["phase"], begun["totalHosts"]) == ("Running", 1)
    ensured = c.condition(c.RESTORE_EXECUTOR_ENSURED, c.FALSE, "no Task")
    failed = RESTORE_SESSION.with_target_condition(begun, ensured)
    ended = RESTORE_SESSION.with_condition(failed, PUSHED)

    assert ended["phase"] == "Failed"
    assert [each["type"] for each in ended["conditions"]] == [
        c.RESTORE_EXECUTOR_ENSURED,
        c.METRICS_PUSHED,
    ]
