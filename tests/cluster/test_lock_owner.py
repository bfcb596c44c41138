# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether the pod that took a lock is gone: what real pods and nodes prove, and what not."""

from __future__ import annotations

import dataclasses

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.cluster import Cluster
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.lock_owner import (
    PodIdentity,
    PodWitness,
)
from tests.testbed.kube.kubectl import Kubectl
from tests.testbed.kube.pods import pod

WAITS = "trap exit TERM; while true; do sleep 0.1; done"


@pytest.fixture
def witness(cluster: Cluster, namespace: str) -> PodWitness:
    return PodWitness(cluster, cluster="ours", namespace=namespace)


def identity(kubectl: Kubectl, namespace: str, name: str = "job") -> PodIdentity:
    found = kubectl.get("pod", name, namespace)
    return PodIdentity(
        cluster="ours",
        namespace=namespace,
        name=name,
        uid=found["metadata"]["uid"],
        node=found["spec"]["nodeName"],
    )


def test_a_pod_that_runs_is_not_gone_until_it_is(
    kubectl: Kubectl, namespace: str, witness: PodWitness
) -> None:
    kubectl.apply(pod("job", namespace, WAITS))
    kubectl.wait("pod/job", "condition=Ready", namespace)
    owner = identity(kubectl, namespace)
    assert witness.death_of(owner) is None
    kubectl("delete", "pod", "job", f"--namespace={namespace}")
    assert witness.death_of(owner) == "its pod is gone"
    # Without its node, or of another place, the same proves nothing.
    assert witness.death_of(dataclasses.replace(owner, node="")) is None
    assert witness.death_of(dataclasses.replace(owner, cluster="theirs")) is None
    assert witness.death_of(dataclasses.replace(owner, namespace="elsewhere")) is None
    assert witness.death_of(dataclasses.replace(owner, uid="")) is None
    assert (
        witness.death_of(dataclasses.replace(owner, node="no-such-node"))
        == "its pod is gone and its node is deleted"
    )


def test_another_pod_of_its_name_is_not_it(
    kubectl: Kubectl, namespace: str, witness: PodWitness
) -> None:
    kubectl.apply(pod("job", namespace, WAITS))
    kubectl.wait("pod/job", "condition=Ready", namespace)
    owner = dataclasses.replace(identity(kubectl, namespace), uid="an earlier one")
    assert witness.death_of(owner) == "its pod is gone"


def test_a_pod_whose_containers_ended_is_gone_whatever_its_node_says(
    kubectl: Kubectl, namespace: str, witness: PodWitness
) -> None:
    kubectl.apply(pod("job", namespace, "exit 1"))
    kubectl.wait("pod/job", "jsonpath={.status.phase}=Failed", namespace)
    owner = dataclasses.replace(identity(kubectl, namespace), node="")
    assert witness.death_of(owner) == "its pod has ended"


def test_what_somebody_else_calls_ended_may_run_on_a_node_that_is_lost(
    cluster: Cluster, kubectl: Kubectl, namespace: str, witness: PodWitness
) -> None:
    node = f"lost-{namespace}"
    kubectl.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": node}})
    try:
        kubectl.apply(pod("job", namespace, WAITS, nodeName=node))
        found = kubectl.get("pod", "job", namespace)
        running = {"name": "main", "state": {"running": {"startedAt": "2026-11-22T12:00:00Z"}}}
        more = {"image": "x", "imageID": "x", "ready": False, "restartCount": 0}
        status = {"phase": "Failed", "containerStatuses": [{**running, **more}]}
        cluster.replace_status({**found, "status": {**found["status"], **status}})
        owner = identity(kubectl, namespace)
        assert witness.death_of(owner) is None
    finally:
        kubectl("delete", "node", node)
    assert witness.death_of(owner) == "its pod has ended and its node is deleted"


def test_who_may_not_look_proves_nothing(kubectl: Kubectl, namespace: str) -> None:
    kubectl.apply(pod("job", namespace, "exit 1"))
    kubectl.wait("pod/job", "jsonpath={.status.phase}=Failed", namespace)
    nobody = Cluster.connect(kubeconfig=str(kubectl.kubeconfig))
    nobody.api_client.set_default_header("Impersonate-User", "nobody in particular")
    witness = PodWitness(nobody, cluster="ours", namespace=namespace)
    assert witness.death_of(identity(kubectl, namespace)) is None
