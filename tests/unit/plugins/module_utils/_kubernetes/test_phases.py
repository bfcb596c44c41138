# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._kubernetes import conditions as c
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes import phases as p

Status = dict[str, t.Any]


def conditions(**states: str) -> list[Status]:
    return [{"type": name, "status": status} for name, status in states.items()]


def target(*hosts: str, total: int | None = 1, **states: str) -> Status:
    found: Status = {"conditions": conditions(**states), "stats": [{"phase": h} for h in hosts]}
    return found if total is None else {**found, "totalHosts": total}


READY = {
    "RepositoryFound": "True",
    "BackendSecretFound": "True",
    "ValidationPassed": "True",
    "BackupTargetFound": "True",
    "CronJobCreated": "True",
}


@pytest.mark.parametrize(
    ("changes", "phase"),
    [
        ({}, "Ready"),
        ({"RepositoryFound": "False"}, "NotReady"),
        ({"BackendSecretFound": "Unknown"}, "NotReady"),
        ({"ValidationPassed": "False"}, "Invalid"),
        ({"RepositoryFound": "False", "ValidationPassed": "False"}, "NotReady"),
        ({"BackupTargetFound": "False"}, "NotReady"),
        ({"CronJobCreated": "False"}, "NotReady"),
        ({"CronJobCreated": ""}, "NotReady"),
    ],
)
def test_a_configuration_is_ready_when_all_is_there(changes: dict[str, str], phase: str) -> None:
    assert p.configuration_phase({"conditions": conditions(**{**READY, **changes})}) == phase


def test_a_configuration_without_a_status_is_not_ready() -> None:
    assert p.configuration_phase({}) == "NotReady"


@pytest.mark.parametrize(
    ("found", "phase"),
    [
        ({}, "Pending"),
        (target(total=None), "Pending"),
        (target(), "Running"),
        (target("Running"), "Running"),
        (target("Succeeded"), "Succeeded"),
        (target("Failed"), "Failed"),
        (target("Succeeded", total=2), "Running"),
        (target("Succeeded", "Failed", total=2), "Failed"),
        (target("Succeeded", PostBackupHookExecutionSucceeded="False"), "Failed"),
        (target(total=None, BackupExecutorEnsured="False"), "Failed"),
        (target(BackupDisrupted="True"), "Failed"),
        (target("Succeeded", PreBackupHookExecutionSucceeded="True"), "Succeeded"),
    ],
)
def test_a_target_goes_by_its_hosts_unless_something_else_failed(found: Status, phase: str) -> None:
    assert p.target_phase(found) == phase


DONE = target("Succeeded")
FAILED = target("Failed")


@pytest.mark.parametrize(
    ("targets", "states", "phase"),
    [
        ([], {}, "Pending"),
        ([target(total=None)], {}, "Pending"),
        ([target()], {}, "Running"),
        ([DONE], {}, "Running"),
        ([DONE], {"MetricsPushed": "True"}, "Succeeded"),
        ([DONE], {"MetricsPushed": "False"}, "Succeeded"),
        ([DONE], {"MetricsPushed": "True", "RepositoryMetricsPushed": "False"}, "Succeeded"),
        ([FAILED], {"MetricsPushed": "False"}, "Failed"),
        ([FAILED], {}, "Running"),
        ([DONE, FAILED], {"MetricsPushed": "True"}, "Failed"),
        ([DONE, target(total=None)], {"MetricsPushed": "True"}, "Running"),
        ([DONE], {"MetricsPushed": "True", "RetentionPolicyApplied": "False"}, "Failed"),
        ([DONE], {"MetricsPushed": "True", "RepositoryIntegrityVerified": "False"}, "Failed"),
        ([DONE], {"MetricsPushed": "True", "BackupHistoryCleaned": "False"}, "Failed"),
        ([DONE], {"MetricsPushed": "True", "GlobalPostBackupHookSucceeded": "False"}, "Failed"),
        ([target()], {"DeadlineExceeded": "True"}, "Running"),
        ([target()], {"DeadlineExceeded": "True", "MetricsPushed": "False"}, "Failed"),
        ([], {"BackupSkipped": "True"}, "Skipped"),
    ],
)
def test_a_session_is_final_once_the_push_was_tried(
    targets: list[Status], states: dict[str, str], phase: str
) -> None:
    status = {"targets": targets, "conditions": conditions(**states)}
    assert p.backup_session_phase(status) == phase


def test_a_session_is_complete_when_nothing_of_it_runs() -> None:
    assert not p.is_backup_complete({})
    assert not p.is_backup_complete({"targets": [DONE, target()]})
    assert p.is_backup_complete({"targets": [DONE, FAILED]})
    late = {"targets": [target()], "conditions": conditions(DeadlineExceeded="True")}
    assert p.is_backup_complete(late)


@pytest.mark.parametrize(
    ("status", "phase"),
    [
        ({}, "Pending"),
        (target(total=None, RepositoryFound="False"), "Pending"),
        (target(total=None, ValidationPassed="False"), "Invalid"),
        (target(), "Running"),
        (target("Succeeded"), "Running"),
        (target("Succeeded", MetricsPushed="True"), "Succeeded"),
        (target("Succeeded", MetricsPushed="False"), "Succeeded"),
        (target("Failed", MetricsPushed="True"), "Failed"),
        (target("Unknown", MetricsPushed="True"), "Unknown"),
        (target("Failed", ValidationPassed="False", MetricsPushed="True"), "Failed"),
        (target(MetricsPushed="True", DeadlineExceeded="True"), "Failed"),
        (
            target("Succeeded", MetricsPushed="True", PostRestoreHookExecutionSucceeded="False"),
            "Failed",
        ),
        (target(total=None, RestoreExecutorEnsured="False", MetricsPushed="True"), "Failed"),
        (target(RestoreDisrupted="True", MetricsPushed="True"), "Failed"),
    ],
)
def test_a_restore_goes_by_its_host_and_its_hooks(status: Status, phase: str) -> None:
    assert p.restore_session_phase(status) == phase


def test_a_restore_is_complete_when_nothing_of_it_runs() -> None:
    assert not p.is_restore_complete(target())
    assert p.is_restore_complete(target("Failed"))
    assert p.is_restore_complete(target(DeadlineExceeded="True"))


def test_phases_name_conditions_that_exist() -> None:
    assert set(READY) <= set(c.REASONS)
