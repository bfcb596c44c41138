# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The test cluster is what the tests of the operator take it for."""

from __future__ import annotations

import json
import threading
import typing as t
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.cluster import Cluster
from tests.fix_cluster import ServiceFactory, VolumeFactory
from tests.testbed.kube.cluster import NODE, SECOND_NODE, KubeCluster
from tests.testbed.kube.images import KUBECTL_IMAGE, write_kubectl_image
from tests.testbed.kube.kubectl import Kubectl, KubectlRefusedError
from tests.testbed.kube.pods import job, job_spec, pod

SUCCEEDED = "jsonpath={.status.phase}=Succeeded"


@pytest.fixture
def hello_port() -> Iterator[int]:
    """A web server of this machine that says hello, and to whom."""

    class Hello(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(f"hello {self.client_address[0]}".encode())

        def log_message(self, format: str, *args: t.Any) -> None:  # noqa: A002 # its name there
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Hello) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def test_the_node_is_ready_and_current(kube_cluster: KubeCluster, cluster: Cluster) -> None:
    """The collection's own access sees the node that kubectl calls Ready."""
    assert kube_cluster.node_is_ready(NODE)
    (node,) = [node for node in cluster.list("Node") if node["metadata"]["name"] == NODE]
    assert node["status"]["nodeInfo"]["kubeletVersion"].startswith("v1.36.")


def test_a_job_runs_where_restricted_is_enforced(kubectl: Kubectl, namespace: str) -> None:
    """It runs as the user that it names and cannot write to its image."""
    kubectl.apply(job("say", namespace, "id -u; touch /tmp/x 2>/dev/null || echo read-only"))
    kubectl.wait("job/say", "condition=Complete", namespace)
    assert kubectl.logs("job/say", namespace).split() == ["65535", "read-only"]


def test_a_pod_of_root_is_refused_there(kubectl: Kubectl, namespace: str) -> None:
    """The namespace's label is not for show."""
    bold = pod("bold", namespace, "true")
    del bold["spec"]["containers"][0]["securityContext"]
    with pytest.raises(KubectlRefusedError, match="violates PodSecurity"):
        kubectl.apply(bold)


def test_an_unknown_field_is_refused(kubectl: Kubectl, namespace: str) -> None:
    """Manifests are applied strictly."""
    with pytest.raises(KubectlRefusedError, match="unknown field"):
        kubectl.apply(pod("odd", namespace, "true", colour="red"))


def test_servers_of_this_machine_have_names_in_the_cluster(
    kube_cluster: KubeCluster,
    kubectl: Kubectl,
    namespace: str,
    service_for: ServiceFactory,
    hello_port: int,
) -> None:
    """By the port that the service names; they see their own machine as the client."""
    assert not kube_cluster.resolves("hello", namespace)
    service_for(hello_port, "hello", namespace, service_port=8765)
    script = f"wget -qO- http://hello.{namespace}.svc:8765/ && wget -qO- http://hello:8765/"
    kubectl.apply(pod("ask", namespace, script))
    kubectl.wait("pod/ask", SUCCEEDED, namespace)
    assert kubectl.logs("pod/ask", namespace) == "hello 127.0.0.1" * 2


def test_pods_have_names_and_addresses_as_services(kubectl: Kubectl, namespace: str) -> None:
    """A Service with an address of its own, by a server in a pod."""
    kubectl.apply(pod("web", namespace, "while true; do echo here | nc -l -p 8080; done"))
    kubectl.apply(
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "web", "namespace": namespace},
            "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]},
        }
    )
    kubectl.wait("pod/web", "condition=Ready", namespace)
    kubectl.apply(pod("ask", namespace, "until nc web 80; do sleep 0.1; done"))
    kubectl.wait("pod/ask", SUCCEEDED, namespace)
    assert kubectl.logs("pod/ask", namespace).endswith("here\n")


def test_claims_have_volumes_that_a_group_may_write(
    kubectl: Kubectl, namespace: str, local_volume: VolumeFactory
) -> None:
    """As a Repository on a volume needs it: fsGroup is applied to `local` volumes."""
    folder = local_volume("data", namespace)
    keeper = pod("keep", namespace, "id -u > /data/kept")
    keeper["spec"] |= {
        "securityContext": {"fsGroup": 65535},
        "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
    }
    keeper["spec"]["containers"][0]["volumeMounts"] = [{"name": "data", "mountPath": "/data"}]
    kubectl.apply(keeper)
    kubectl.wait("pod/keep", SUCCEEDED, namespace)
    assert (folder / "kept").read_text(encoding="utf-8") == "65535\n"


def test_a_killed_container_fails_its_job(
    kube_cluster: KubeCluster, kubectl: Kubectl, namespace: str
) -> None:
    """As if the kernel had run out of memory."""
    kubectl.apply(job("doomed", namespace, "sleep 600"))
    kubectl.wait("job/doomed", "jsonpath={.status.ready}=1", namespace)
    (doomed,) = kubectl.list("pods", namespace)
    kube_cluster.kill_container(doomed["metadata"]["name"], namespace)
    kubectl.wait("job/doomed", "condition=Failed", namespace)
    (doomed,) = kubectl.list("pods", namespace)
    assert doomed["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 137


def test_an_unknown_name_is_known_to_be_unknown(kubectl: Kubectl, namespace: str) -> None:
    """At once, inside and outside of the cluster's domain."""
    script = "! nslookup nothing.default.svc.cluster.local. && ! nslookup nothing.example."
    kubectl.apply(pod("ask", namespace, script))
    kubectl.wait("pod/ask", SUCCEEDED, namespace, timeout_s=20)


def test_pods_reach_the_api_by_their_own_rights(
    kube_cluster: KubeCluster, kubectl: Kubectl, namespace: str, tmp_path: Path
) -> None:
    """By the Service `kubernetes`, with the token in the pod; what they asked is on record."""
    write_kubectl_image(tmp_path / "kubectl.tar")
    kube_cluster.import_image(tmp_path / "kubectl.tar")
    where = f"--namespace={namespace}"
    kubectl("create", "role", "reader", "--verb=list", "--resource=pods", where)
    user = f"--serviceaccount={namespace}:default"
    kubectl("create", "rolebinding", "reader", "--role=reader", user, where)
    ask = f"kubectl get --raw /api/v1/namespaces/{namespace}"
    script = f"{ask}/pods >/dev/null; ! {ask}/secrets"
    kubectl.apply(pod("ask", namespace, script, image=KUBECTL_IMAGE))
    kubectl.wait("pod/ask", SUCCEEDED, namespace)
    asked = kube_cluster.control_plane.requests_of(namespace, "default")
    assert [
        (event["verb"], event["objectRef"]["resource"], event["responseStatus"]["code"])
        for event in asked
    ] == [("list", "pods", 200), ("list", "secrets", 403)]


def test_owners_may_be_named_only_by_those_who_may_finalize_them(
    kubectl: Kubectl, namespace: str
) -> None:
    """The admission plugin that OpenShift has is on."""
    where = f"--namespace={namespace}"
    rights = ("--verb=create", "--resource=configmaps", where)
    kubectl("create", "role", "maker", *rights)
    user = f"system:serviceaccount:{namespace}:default"
    kubectl("create", "rolebinding", "maker", "--role=maker", f"--user={user}", where)
    kubectl.apply(job("owner", namespace, "true"))
    owner = kubectl.get("job", "owner", namespace)
    owned = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "name": "owner",
        "uid": owner["metadata"]["uid"],
        "blockOwnerDeletion": True,
    }
    with pytest.raises(KubectlRefusedError, match="blockOwnerDeletion"):
        _create_config_map(kubectl, namespace, owned, user)
    _create_config_map(kubectl, namespace, {**owned, "blockOwnerDeletion": False}, user)


def _create_config_map(
    kubectl: Kubectl, namespace: str, owner: dict[str, t.Any], user: str
) -> None:
    made = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "owned", "namespace": namespace, "ownerReferences": [owner]},
    }
    kubectl("create", "--filename=-", f"--as={user}", given=json.dumps(made))


@pytest.mark.slow
def test_a_cron_job_fires_at_the_minute(kubectl: Kubectl, namespace: str) -> None:
    """Its Job's name ends in the minute."""
    kubectl.apply(
        {
            "apiVersion": "batch/v1",
            "kind": "CronJob",
            "metadata": {"name": "tick", "namespace": namespace},
            "spec": {"schedule": "* * * * *", "jobTemplate": {"spec": job_spec("date +%S")}},
        }
    )
    kubectl.wait("cronjob/tick", "jsonpath={.status.lastSuccessfulTime}", namespace, timeout_s=90)
    (fired,) = kubectl.list("jobs", namespace)
    assert fired["metadata"]["name"].partition("-")[2].isdigit()
    assert int(kubectl.logs(f"job/{fired['metadata']['name']}", namespace)) < 15


def test_the_api_server_comes_back(
    kube_cluster: KubeCluster, kubectl: Kubectl, namespace: str
) -> None:
    """After it was killed all goes on by itself."""
    kubectl.apply(job("long", namespace, "sleep 2"))
    kube_cluster.stop_api_server()
    with pytest.raises(KubectlRefusedError, match="refused"):
        kubectl("get", "nodes")
    kube_cluster.start_api_server()
    kubectl.wait("job/long", "condition=Complete", namespace)


@pytest.mark.slow
def test_a_lost_node_is_noticed_and_comes_back(
    kube_cluster: KubeCluster, kubectl: Kubectl, namespace: str
) -> None:
    """A pod of a node without a kubelet is given up; the first node goes on."""
    node = kube_cluster.ensure_node(SECOND_NODE)
    kubectl.apply(pod("there", namespace, "sleep 600", nodeName=SECOND_NODE))
    kubectl.wait("pod/there", "condition=Ready", namespace)
    node.stop_kubelet()
    kubectl.wait(f"node/{SECOND_NODE}", "condition=Ready=Unknown")
    kubectl.wait("pod/there", "jsonpath={.metadata.deletionTimestamp}", namespace)
    assert kube_cluster.node_is_ready(NODE)
    kubectl("delete", "node", SECOND_NODE)
    node.start_kubelet()
    kubectl.wait(f"node/{SECOND_NODE}", "create")
    kubectl.wait(f"node/{SECOND_NODE}", "condition=Ready")
    kubectl.wait("pod/there", "delete", namespace)


def test_the_custom_resources_are_served(kubectl: Kubectl, crds: list[str]) -> None:
    """Every file of the role is applied strictly, and each kind can be listed."""
    assert len(crds) >= 7
    for name in crds:
        kubectl("get", name)
