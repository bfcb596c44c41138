# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A BackupSession on its way, with a Task of shell scripts: every one ends by itself."""

from __future__ import annotations

import pytest

from tests import stash_objects as stash
from tests.fix_operator import OperatorProcess, StashBed, conditions_of
from tests.testbed.kube.cluster import KubeCluster
from tests.waiting import wait_for

pytestmark = pytest.mark.usefixtures("reporting_image")

JOB = "stash-backup-first-0"
GOOD = stash.reporting()
LONG = "sleep 600"


def test_one_runs_reports_and_ends(operator: OperatorProcess, bed: StashBed) -> None:
    bed.configured("echo dumping", GOOD)
    bed.session()

    found = bed.backup("first", "Succeeded")
    assert conditions_of(found) == {
        "BackupHistoryCleaned": (
            "True",
            "Successfully cleaned up backup history according to backupHistoryLimit.",
        ),
        "MetricsPushed": ("True", "No Pushgateway is set; nothing was pushed."),
    }
    (target,) = found["targets"]
    assert (target["phase"], target["totalHosts"]) == ("Succeeded", 1)
    assert target["ref"] == {
        "apiVersion": "appcatalog.appscode.com/v1alpha1",
        "kind": "AppBinding",
        "name": "pg",
        "namespace": bed.namespace,
    }
    assert conditions_of(target)["BackupExecutorEnsured"][0] == "True"
    assert target["preBackupActions"] == ["InitializeBackendRepository"]
    assert found["sessionDuration"].endswith("s")
    assert bed.jobs() == [JOB]
    pod = bed.cluster.list("Pod", bed.namespace)[0]
    labels = pod["metadata"]["labels"]
    assert labels["stash.appscode.com/invoker-name"] == stash.CONFIGURATION
    assert pod["spec"]["initContainers"][0]["name"].endswith("-0")


def test_a_failed_host_fails_it_with_the_cause(operator: OperatorProcess, bed: StashBed) -> None:
    bed.configured(stash.reporting("Failed", "the disk is full"))
    bed.session()

    (target,) = bed.backup("first", "Failed")["targets"]
    assert target["stats"][0]["error"] == "the disk is full"


def test_a_missing_task_fails_it_with_the_cause(operator: OperatorProcess, bed: StashBed) -> None:
    bed.parts()
    bed.kubectl.apply(stash.configuration(bed.namespace, "postgres-backup-99"))
    bed.ends("BackupConfiguration", stash.CONFIGURATION, "Ready")
    bed.session()

    (target,) = bed.backup("first", "Failed")["targets"]
    told = conditions_of(target)["BackupExecutorEnsured"]
    assert told[0] == "False"
    assert "Task postgres-backup-99 does not exist" in told[1]


def test_a_secret_that_is_gone_is_named(operator: OperatorProcess, bed: StashBed) -> None:
    """Secrets are not watched: it is skipped where that was noticed before, else it fails."""
    bed.configured(GOOD)
    bed.cluster.delete("Secret", stash.SECRET, bed.namespace)
    bed.session()

    found = bed.backup("first", "Failed", "Skipped")
    assert f"secret {bed.namespace}/storage does not exist" in str(found).lower()
    assert bed.jobs() == []


def test_a_variable_that_nobody_gives_is_named(operator: OperatorProcess, bed: StashBed) -> None:
    bed.configured("echo ${noSuchThing}")
    bed.session()

    (target,) = bed.backup("first", "Failed")["targets"]
    assert "noSuchThing" in conditions_of(target)["BackupExecutorEnsured"][1]


def test_an_invoker_that_is_not_ready_is_skipped(operator: OperatorProcess, bed: StashBed) -> None:
    bed.kubectl.apply(stash.configuration(bed.namespace, "no-task"))
    bed.ends("BackupConfiguration", stash.CONFIGURATION, "NotReady")
    bed.session()

    told = conditions_of(bed.backup("first", "Skipped"))["BackupSkipped"]
    assert "Repository" in told[1]
    assert "does not exist" in told[1]


@pytest.mark.slow
def test_an_invoker_that_does_not_exist_is_skipped(
    operator: OperatorProcess, bed: StashBed
) -> None:
    bed.session(invoker="nobody")

    told = conditions_of(bed.backup("first", "Skipped", timeout_s=90))["BackupSkipped"]
    assert f"BackupConfiguration {bed.namespace}/nobody does not exist" in told[1]


def test_a_second_one_gives_way_to_the_first(operator: OperatorProcess, bed: StashBed) -> None:
    bed.configured(LONG)
    bed.session("first")
    bed.backup("first", "Running")
    bed.session("second")

    told = conditions_of(bed.backup("second", "Skipped"))["BackupSkipped"]
    assert "BackupSession first of the same invoker is not over yet" in told[1]
    assert bed.jobs() == [JOB]


def test_another_invoker_of_the_same_target_waits(operator: OperatorProcess, bed: StashBed) -> None:
    bed.configured(LONG)
    bed.kubectl.apply(stash.configuration(bed.namespace, bed.task(GOOD), "other"))
    bed.ends("BackupConfiguration", "other", "Ready")
    bed.session("first")
    bed.backup("first", "Running")
    session = stash.backup_session(bed.namespace, "second", "other")
    session["metadata"]["labels"] = {"stash.appscode.com/target-name": "pg"}
    bed.kubectl.apply(session)
    bed.backup("second", "Pending")

    bed.cluster.delete("BackupSession", "first", bed.namespace)
    bed.backup("second", "Succeeded")


@pytest.mark.slow
def test_the_time_limit_stops_the_job(operator: OperatorProcess, bed: StashBed) -> None:
    bed.configured(LONG, timeOut="4s")
    bed.session()

    found = bed.backup("first", "Failed")
    assert "timeOut of 4s" in conditions_of(found)["DeadlineExceeded"][1]
    bed.kubectl.wait(f"job/{JOB}", "condition=Failed", bed.namespace)
    wait_for(lambda: not bed.cluster.list("Pod", bed.namespace), "no pod", timeout_s=60)


@pytest.mark.slow
def test_the_time_limit_holds_without_an_operator(operator: OperatorProcess, bed: StashBed) -> None:
    bed.configured(LONG, timeOut="6s")
    bed.session()
    bed.running_pod(JOB)
    operator.kill()
    bed.kubectl.wait(f"job/{JOB}", "condition=Failed", bed.namespace)
    assert bed.status("BackupSession", "first")["phase"] == "Running"

    operator.start()
    found = bed.backup("first", "Failed")
    assert conditions_of(found)["DeadlineExceeded"][0] == "True"


def test_a_failed_one_is_tried_again_as_often_as_wanted(
    operator: OperatorProcess, bed: StashBed
) -> None:
    retry = {"maxRetry": 2, "delay": "1s"}
    bed.configured("exit 3", retryConfig=retry, backupHistoryLimit=10)
    bed.session("first", retryLeft=2)

    def all_over() -> bool:
        sessions = bed.cluster.list("BackupSession", bed.namespace)
        phases = [(each.get("status") or {}).get("phase") for each in sessions]
        return phases == ["Failed"] * 3

    wait_for(all_over, "three failed sessions", timeout_s=90)
    sessions = bed.cluster.list("BackupSession", bed.namespace)
    left = sorted(each["spec"]["retryLeft"] for each in sessions)
    assert left == [0, 1, 2]
    assert sum(bool(each["status"].get("retried")) for each in sessions) == 2
    assert len(bed.jobs()) == 3


def test_the_history_is_kept_to_its_limit(operator: OperatorProcess, bed: StashBed) -> None:
    bed.configured(GOOD, backupHistoryLimit=2)
    for name in ("s1", "s2", "s3"):
        bed.session(name)
        bed.backup(name, "Succeeded")

    def names() -> list[str]:
        return [x["metadata"]["name"] for x in bed.cluster.list("BackupSession", bed.namespace)]

    assert names() == ["s2", "s3"]
    wait_for(lambda: bed.jobs() == ["stash-backup-s2-0", "stash-backup-s3-0"], "two Jobs", bed.jobs)


def test_a_deleted_job_fails_it(operator: OperatorProcess, bed: StashBed) -> None:
    bed.configured(LONG)
    bed.session()
    bed.running_pod(JOB)
    bed.cluster.delete("Job", JOB, bed.namespace)

    (target,) = bed.backup("first", "Failed")["targets"]
    assert f"Job {JOB} was deleted" in conditions_of(target)["BackupDisrupted"][1]


def test_a_deleted_pod_fails_it(operator: OperatorProcess, bed: StashBed) -> None:
    bed.configured(LONG)
    bed.session()
    pod = bed.running_pod(JOB)
    bed.cluster.delete("Pod", pod, bed.namespace)

    (target,) = bed.backup("first", "Failed")["targets"]
    assert conditions_of(target)["BackupDisrupted"][0] == "True"
    assert bed.jobs() == [JOB]


def test_a_killed_container_fails_it_with_its_status(
    operator: OperatorProcess, bed: StashBed, kube_cluster: KubeCluster
) -> None:
    bed.configured(LONG)
    bed.session()
    pod = bed.running_pod(JOB)
    kube_cluster.kill_container(pod, bed.namespace)

    (target,) = bed.backup("first", "Failed")["targets"]
    assert "ended with status 137" in conditions_of(target)["BackupDisrupted"][1]


def test_the_containers_own_last_words_are_kept(operator: OperatorProcess, bed: StashBed) -> None:
    bed.configured("echo the lamp went out >/dev/termination-log; exit 4")
    bed.session()

    (target,) = bed.backup("first", "Failed")["targets"]
    told = conditions_of(target)["BackupDisrupted"][1]
    assert "ended with status 4: the lamp went out" in told


def test_a_job_that_reports_nothing_fails_it(operator: OperatorProcess, bed: StashBed) -> None:
    bed.configured("true")
    bed.session()

    (target,) = bed.backup("first", "Failed")["targets"]
    assert conditions_of(target)["BackupDisrupted"][0] == "True"


def test_a_last_hook_that_was_not_reached_is_run_alone(
    operator: OperatorProcess, bed: StashBed
) -> None:
    """The image of these tests has no such command; the session ends all the same."""
    hook = {"httpPost": {"host": "127.0.0.1", "port": 9, "path": "/", "scheme": "HTTP"}}
    bed.configured("exit 3", hooks={"postBackup": {**hook, "executionPolicy": "OnFailure"}})
    bed.session()

    (target,) = bed.backup("first", "Failed")["targets"]
    told = conditions_of(target)
    assert "ended with status 3" in told["BackupDisrupted"][1]
    assert "whether it was run is not known" in told["PostBackupHookExecutionSucceeded"][1]
    assert bed.jobs() == [JOB, "stash-hook-first-0"]
    alone = bed.cluster.get("Job", "stash-hook-first-0", bed.namespace)
    (container,) = alone["spec"]["template"]["spec"]["containers"]
    assert container["args"][0] == "run-hook"
    assert "--hook-type=postBackup" in container["args"]


def test_a_session_made_by_hand_runs_while_the_schedule_is_paused(
    operator: OperatorProcess, bed: StashBed
) -> None:
    bed.configured(GOOD, paused=True)
    bed.session()

    bed.backup("first", "Succeeded")
