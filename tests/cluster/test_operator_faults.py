# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What may befall the operator and what is around it: every session ends by itself, nothing runs
twice, and no object hangs in deletion.
"""

from __future__ import annotations

import threading

import pytest

from tests import stash_objects as stash
from tests.fix_cluster import NamespaceFactory
from tests.fix_operator import (
    OperatorFactory,
    OperatorProcess,
    StashBed,
    conditions_of,
)
from tests.testbed.kube.cluster import SECOND_NODE, KubeCluster
from tests.testbed.kube.kubectl import Object
from tests.waiting import wait_for

pytestmark = pytest.mark.usefixtures("reporting_image")

JOB = "stash-backup-first-0"
GOOD = stash.reporting()
LONG = "sleep 600"


def _uids(bed: StashBed) -> list[str]:
    return [each["metadata"]["uid"] for each in bed.cluster.list("Job", bed.namespace)]


def test_killed_before_it_saw_the_session(operator: OperatorProcess, bed: StashBed) -> None:
    bed.configured(GOOD)
    operator.kill()
    bed.session()
    assert bed.status("BackupSession", "first") == {}

    operator.start()
    bed.backup("first", "Succeeded")
    assert bed.jobs() == [JOB]


def test_killed_between_the_claim_and_the_job(operator: OperatorProcess, bed: StashBed) -> None:
    """The state is written as the operator writes it before it makes the Job."""
    bed.configured(GOOD)
    operator.kill()
    bed.session()
    session = bed.cluster.get("BackupSession", "first", bed.namespace)
    target = {"apiVersion": "appcatalog.appscode.com/v1alpha1", "kind": "AppBinding"}
    ref = {**target, "name": "pg", "namespace": bed.namespace}
    entry = {"ref": ref, "totalHosts": 1, "phase": "Running"}
    bed.cluster.replace_status({**session, "status": {"phase": "Running", "targets": [entry]}})

    operator.start()
    bed.backup("first", "Succeeded")
    assert bed.jobs() == [JOB]


def test_killed_before_it_noted_that_the_job_is_made(
    operator: OperatorProcess, bed: StashBed
) -> None:
    bed.configured("sleep 5", GOOD)
    bed.session()
    bed.running_pod(JOB)
    operator.kill()
    made = _uids(bed)
    session = bed.cluster.get("BackupSession", "first", bed.namespace)
    session["status"]["targets"][0]["conditions"] = []
    bed.cluster.replace_status(session)

    operator.start()
    bed.backup("first", "Succeeded")
    assert _uids(bed) == made


def test_killed_while_the_job_ran_to_its_end(operator: OperatorProcess, bed: StashBed) -> None:
    bed.configured("sleep 3", GOOD)
    bed.session()
    bed.running_pod(JOB)
    operator.kill()
    bed.kubectl.wait(f"job/{JOB}", "condition=Complete", bed.namespace)
    assert bed.status("BackupSession", "first")["phase"] == "Running"

    operator.start()
    bed.backup("first", "Succeeded")
    assert bed.jobs() == [JOB]


def test_killed_while_the_job_failed(operator: OperatorProcess, bed: StashBed) -> None:
    bed.configured("sleep 2; exit 5")
    bed.session()
    bed.running_pod(JOB)
    operator.kill()
    bed.kubectl.wait(f"job/{JOB}", "condition=Failed", bed.namespace)

    operator.start()
    (target,) = bed.backup("first", "Failed")["targets"]
    assert "ended with status 5" in conditions_of(target)["BackupDisrupted"][1]


def test_killed_between_a_retry_and_its_note(operator: OperatorProcess, bed: StashBed) -> None:
    """The failed session does not say that its retry was made, and it is there."""
    retry = {"maxRetry": 1, "delay": "0s"}
    bed.configured("exit 3", retryConfig=retry, backupHistoryLimit=10)
    bed.session("first", retryLeft=1)
    wait_for(lambda: bed.status("BackupSession", "first").get("retried"), "a retry")
    operator.kill()
    session = bed.cluster.get("BackupSession", "first", bed.namespace)
    del session["status"]["retried"]
    bed.cluster.replace_status(session)

    operator.start()
    wait_for(lambda: bed.status("BackupSession", "first").get("retried"), "the note")
    assert len(bed.cluster.list("BackupSession", bed.namespace)) == 2


def test_killed_at_any_moment(operator: OperatorProcess, bed: StashBed) -> None:
    """Killed and started again while five sessions come and go: each ends, by one Job each."""
    bed.configured("true", GOOD, backupHistoryLimit=10)
    over = threading.Event()

    def trouble() -> None:
        while not over.is_set():
            operator.kill()
            operator.start(wait=False)
            over.wait(2.5)

    troubler = threading.Thread(target=trouble)
    troubler.start()
    try:
        for number in range(5):
            bed.session(f"s{number}")
            bed.backup(f"s{number}", "Succeeded", timeout_s=120)
    finally:
        over.set()
        troubler.join()
    assert bed.jobs() == [f"stash-backup-s{number}-0" for number in range(5)]


def test_a_second_operator_stands_by_and_takes_over(
    new_operator: OperatorFactory, bed: StashBed
) -> None:
    where = ("--namespace", bed.namespace, "--lease", f"lease-{bed.namespace}")
    leader, other = new_operator(*where), new_operator(*where)
    leader.start()
    bed.configured(GOOD)
    other.start()
    assert (leader.figure("operator_leads"), other.figure("operator_leads")) == (1, 0)
    assert other.figure("operator_steps_total") == 0

    leader.kill()
    wait_for(lambda: other.figure("operator_leads") == 1, "the other to lead", timeout_s=60)
    bed.session()
    bed.backup("first", "Succeeded")


def test_a_leader_that_ends_in_peace_keeps_nobody_waiting(
    new_operator: OperatorFactory, bed: StashBed
) -> None:
    where = ("--namespace", bed.namespace, "--lease", f"lease-{bed.namespace}")
    leader, other = new_operator(*where), new_operator(*where)
    leader.start()
    other.start()
    assert leader.stop() == 0

    wait_for(lambda: other.figure("operator_leads") == 1, "the other to lead", timeout_s=12)


def test_a_leader_whose_lease_is_taken_ends(operator: OperatorProcess, bed: StashBed) -> None:
    def held() -> list[Object]:
        leases = bed.cluster.list("Lease", "default")
        return [each for each in leases if each["spec"].get("holderIdentity") == operator.identity]

    (lease,) = wait_for(held, "its Lease", operator.log_tail)  # one that stands by is ready, too
    thief = {"holderIdentity": "somebody-else", "renewTime": lease["spec"]["renewTime"]}

    def keep() -> bool:
        bed.cluster.patch("Lease", lease["metadata"]["name"], "default", {"spec": thief})
        return operator.asks("/healthz")[0] == 0

    wait_for(keep, "the process to end", operator.log_tail, timeout_s=60)
    assert "event=lease_lost" in operator.log


def test_the_api_server_goes_and_comes_back(
    operator: OperatorProcess, bed: StashBed, kube_cluster: KubeCluster
) -> None:
    bed.configured("sleep 8", GOOD)
    bed.session()
    bed.running_pod(JOB)
    kube_cluster.restart_api_server()

    bed.backup("first", "Succeeded", timeout_s=90)
    bed.session("second")
    bed.backup("second", "Succeeded", timeout_s=90)
    assert operator.asks("/readyz")[0] == 200


@pytest.mark.slow
def test_a_namespace_deleted_without_an_operator_goes(
    new_operator: OperatorFactory, bed: StashBed, new_namespace: NamespaceFactory
) -> None:
    """Its Repository has wipeOut, for which no Job can begin there any more."""
    place = new_namespace()
    doomed = StashBed(bed.kubectl, bed.cluster, place)
    operator = new_operator("--namespace", place)
    operator.start()
    doomed.parts(wipeOut=True)
    doomed.kubectl.apply(stash.configuration(place, doomed.task(LONG)))
    doomed.ends("BackupConfiguration", stash.CONFIGURATION, "Ready")
    wait_for(lambda: _finalizers(doomed) == ["granary.postgres/wipe-out"], "our finalizer")
    doomed.session()
    doomed.running_pod(JOB)
    operator.kill()
    doomed.cluster.delete("Namespace", place)

    operator.start()
    doomed.kubectl.wait(f"namespace/{place}", "delete", timeout_s=90)


def test_a_wipe_out_that_cannot_be_does_not_keep_the_repository(
    operator: OperatorProcess, bed: StashBed
) -> None:
    bed.parts(wipeOut=True)
    wait_for(lambda: _finalizers(bed) == ["granary.postgres/wipe-out"], "our finalizer")
    bed.cluster.delete("Secret", stash.SECRET, bed.namespace)
    bed.cluster.delete("Repository", stash.REPOSITORY, bed.namespace)

    bed.kubectl.wait("repository/repo", "delete", bed.namespace)
    events = bed.cluster.list("Event", bed.namespace)
    (event,) = [each for each in events if each["reason"] == "Wipe Out Failed"]
    assert "Secret storage, which it needs, is gone" in event["message"]


def test_a_wipe_out_that_fails_is_said_and_can_be_taken_back(
    operator: OperatorProcess, bed: StashBed
) -> None:
    """The operator's image of these tests has no such command, so the Job fails."""
    bed.parts(wipeOut=True)
    wait_for(lambda: _finalizers(bed) == ["granary.postgres/wipe-out"], "our finalizer")
    bed.cluster.delete("Repository", stash.REPOSITORY, bed.namespace)

    def complaints() -> list[Object]:
        events = bed.cluster.list("Event", bed.namespace)
        return [each for each in events if each["reason"] == "Wipe Out Failed"]

    wait_for(complaints, "an event")
    assert "set spec.wipeOut to false" in complaints()[0]["message"]
    bed.cluster.patch("Repository", stash.REPOSITORY, bed.namespace, {"spec": {"wipeOut": False}})
    bed.kubectl.wait("repository/repo", "delete", bed.namespace)


def _finalizers(bed: StashBed) -> list[str] | None:
    found = bed.cluster.find("Repository", stash.REPOSITORY, bed.namespace)
    finalizers: list[str] | None = ((found or {}).get("metadata") or {}).get("finalizers")
    return finalizers


def test_rights_in_another_namespace_go_with_their_invoker(
    new_operator: OperatorFactory, bed: StashBed, new_namespace: NamespaceFactory
) -> None:
    vault = StashBed(bed.kubectl, bed.cluster, new_namespace())
    operator = new_operator("--namespace", bed.namespace, "--namespace", vault.namespace)
    operator.start()
    vault.parts(usagePolicy={"allowedNamespaces": {"from": "All"}})
    bed.kubectl.apply(stash.binding(bed.namespace))
    reference = {"name": stash.REPOSITORY, "namespace": vault.namespace}
    task = bed.task(GOOD)
    bed.kubectl.apply(stash.configuration(bed.namespace, task, repository=reference))
    bed.ends("BackupConfiguration", stash.CONFIGURATION, "Ready")
    bed.session()
    bed.backup("first", "Succeeded")

    def rights() -> list[Object]:
        labels = {"app.kubernetes.io/managed-by": "stash.appscode.com"}
        return bed.cluster.list("Role", vault.namespace, labels=labels)

    (role,) = rights()
    assert {tuple(rule["resourceNames"]) for rule in role["rules"]} == {("repo",), ("storage",)}
    bed.cluster.delete("BackupConfiguration", stash.CONFIGURATION, bed.namespace)
    wait_for(lambda: not rights(), "the Role to go")


@pytest.mark.slow
def test_a_lost_node_fails_the_session_with_the_cause(
    operator: OperatorProcess, bed: StashBed, kube_cluster: KubeCluster
) -> None:
    """Its kubelet stops and the node is deleted, with the pod that is said to run there."""
    node = kube_cluster.ensure_node(SECOND_NODE)
    there = {"pod": {"nodeSelector": {"kubernetes.io/hostname": SECOND_NODE}}}
    bed.configured(LONG, runtimeSettings=there)
    bed.session()
    bed.running_pod(JOB)
    node.stop_kubelet()
    try:
        bed.cluster.delete("Node", SECOND_NODE)
        (target,) = bed.backup("first", "Failed", timeout_s=180)["targets"]
        assert conditions_of(target)["BackupDisrupted"][0] == "True"
        assert bed.jobs() == [JOB]
    finally:
        node.start_kubelet()
