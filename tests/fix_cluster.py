# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A Kubernetes cluster as fixtures: one for the session, a namespace for each test.

`python -m tests.testbed.kube pytest tests/cluster` starts one. Where GRANARY_TEST_KUBECONFIG names
another cluster, tests that need its node, or servers of this machine in it, are left out.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import typing as t
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.cluster import Cluster
from tests.testbed.kube.cluster import NODE, KubeCluster
from tests.testbed.kube.kubectl import Kubectl, KubectlRefusedError
from tests.testbed.kube.namespaces import KUBECONFIG
from tests.waiting import wait_for

CRDS = Path(__file__).parent.parent / "roles/operator/files/crds"

_FAILED = pytest.StashKey[bool]()


class NamespaceFactory(t.Protocol):
    """Makes a namespace, removed after the test; `level` is the pod security that it enforces."""

    def __call__(self, *, level: str = "restricted", name: str | None = None) -> str: ...


class ServiceFactory(t.Protocol):
    """Gives a server on 127.0.0.1:`port` the name `name`.`namespace`.svc in the cluster.

    Clients use `service_port`, which is `port` where it is not given. Gives the address behind the
    name; the server sees its clients as 127.0.0.1.
    """

    def __call__(
        self, port: int, name: str, namespace: str, *, service_port: int | None = None
    ) -> str: ...


class VolumeFactory(t.Protocol):
    """Makes a `local` volume bound to a new claim; gives the folder that it is.

    The folder is of root, mode 0770: a pod's fsGroup, which the kubelet gives it to, may write.
    """

    def __call__(self, claim: str, namespace: str) -> Path: ...


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> t.Generator[None, pytest.TestReport, pytest.TestReport]:
    """Remember of a test that it failed: its namespaces are described before they go."""
    report = yield
    if report.failed:
        item.stash[_FAILED] = True
    return report


@pytest.fixture(scope="session")
def started_cluster(request: pytest.FixtureRequest) -> Iterator[KubeCluster | None]:
    """The cluster of this session; None where another one is used."""
    if os.environ.get(KUBECONFIG):
        yield None
        return
    with KubeCluster() as kube:
        yield kube
        kube.close(keep_logs=request.session.testsfailed > 0)


@pytest.fixture(scope="session")
def kube_cluster(started_cluster: KubeCluster | None) -> KubeCluster:
    """What tests may do to the cluster itself: its nodes, its API server, images, host servers."""
    if started_cluster is None:
        pytest.skip(f"the cluster that {KUBECONFIG} names is not ours to control")
    return started_cluster


@pytest.fixture(scope="session")
def kubectl(
    started_cluster: KubeCluster | None, tmp_path_factory: pytest.TempPathFactory
) -> Kubectl:
    """kubectl as administrator."""
    if started_cluster is not None:
        return started_cluster.kubectl
    return Kubectl(Path(os.environ[KUBECONFIG]), tmp_path_factory.mktemp("kubectl"))


@pytest.fixture(scope="session")
def cluster(kubectl: Kubectl) -> Cluster:
    """The collection's own access to the cluster, as administrator."""
    return Cluster.connect(kubeconfig=str(kubectl.kubeconfig))


@pytest.fixture(scope="session")
def crds(kubectl: Kubectl) -> list[str]:
    """Every CustomResourceDefinition of the role, applied strictly and served; their names."""
    return apply_crds(kubectl)


def apply_crds(kubectl: Kubectl) -> list[str]:
    """Apply and wait for them; their names."""
    files = sorted(CRDS.glob("*.yaml"))
    kubectl.apply(*files)
    names = [file.stem for file in files]
    kubectl("wait", "--for=condition=Established", "crd", *names)
    return names


@pytest.fixture
def new_namespace(request: pytest.FixtureRequest, kubectl: Kubectl) -> Iterator[NamespaceFactory]:
    """Makes namespaces; those of a test that failed are described before they are removed."""
    made: list[str] = []

    def give(*, level: str = "restricted", name: str | None = None) -> str:
        name = name or f"test-{secrets.token_hex(3)}"  # the cluster may not be ours alone
        labels = {f"pod-security.kubernetes.io/{kind}": level for kind in ("enforce", "warn")}
        kubectl.apply(
            {
                "apiVersion": "v1",
                "kind": "Namespace",
                "metadata": {"name": name, "labels": labels},
            }
        )
        made.append(name)
        kubectl.wait("serviceaccount/default", "create", name)
        return name

    yield give
    for name in made:
        if request.node.stash.get(_FAILED, False):
            describe_namespace(kubectl, name)
        kubectl("delete", "namespace", name, "--wait=false", "--ignore-not-found")


@pytest.fixture
def namespace(new_namespace: NamespaceFactory) -> str:
    """A fresh namespace that enforces `restricted`."""
    return new_namespace()


@contextlib.contextmanager
def services(kube_cluster: KubeCluster, kubectl: Kubectl) -> Iterator[ServiceFactory]:
    """Gives servers of this machine names in the cluster, until the context ends."""
    with contextlib.ExitStack() as stack:

        def give(port: int, name: str, namespace: str, *, service_port: int | None = None) -> str:
            shown = service_port or port
            address = kube_cluster.host_servers.open(port, shown)
            stack.callback(kube_cluster.host_servers.close, address, shown)
            kubectl.apply(*_service(name, namespace, address=address, port=shown))
            wait_for(lambda: kube_cluster.resolves(name, namespace), f"{name}.{namespace} in DNS")
            return address

        yield give


@pytest.fixture
def service_for(kube_cluster: KubeCluster, kubectl: Kubectl) -> Iterator[ServiceFactory]:
    """Gives servers of this machine names in the cluster, until the test ends."""
    with services(kube_cluster, kubectl) as give:
        yield give


@pytest.fixture
def local_volume(kube_cluster: KubeCluster, kubectl: Kubectl) -> Iterator[VolumeFactory]:
    """Gives claims with a volume on the first node; the volumes are removed after the test."""
    made: list[str] = []

    def give(claim: str, namespace: str) -> Path:
        name = f"{namespace}-{claim}"
        folder = kube_cluster.new_volume_folder(name)
        kubectl.apply(*claimed_volume(name, claim, namespace, folder))
        made.append(name)
        return folder

    yield give
    for name in made:
        kubectl("delete", "persistentvolume", name, "--wait=false")


def claimed_volume(
    name: str, claim: str, namespace: str, folder: Path
) -> tuple[dict[str, t.Any], dict[str, t.Any]]:
    """A volume and a claim that name each other."""
    size = {"storage": "10Gi"}
    here = {"key": "kubernetes.io/hostname", "operator": "In", "values": [NODE]}
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "capacity": size,
            "claimRef": {"name": claim, "namespace": namespace},
            "local": {"path": str(folder)},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}},
            "storageClassName": "",
        },
    }
    claimed = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": claim, "namespace": namespace},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": size},
            "storageClassName": "",
            "volumeName": name,
        },
    }
    return volume, claimed


def _service(
    name: str, namespace: str, *, address: str, port: int
) -> tuple[dict[str, t.Any], dict[str, t.Any]]:
    """A Service without a selector and without an address of its own, and what is behind it.

    An address of its own would be translated by kube-proxy, and then no second time.
    """
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"clusterIP": "None", "ports": [{"name": "main", "port": port}]},
    }
    behind = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {"kubernetes.io/service-name": name},
        },
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address]}],
        "ports": [{"name": "main", "port": port}],
    }
    return service, behind


def describe_namespace(kubectl: Kubectl, namespace: str) -> None:
    """Print what stands in a namespace, its events, and the logs of its pods."""
    where = f"--namespace={namespace}"
    asked = [
        ("get", "pods,jobs,cronjobs", where, "--output=wide"),
        ("get", "backupsessions,restoresessions,repositories", where, "--output=yaml"),
        ("get", "events", where, "--sort-by=.lastTimestamp"),
        ("describe", "pods", where),
    ]
    for pod in kubectl.list("pods", namespace):
        name = pod["metadata"]["name"]
        asked.append(("logs", name, where, "--all-containers", "--prefix", "--tail=200"))
    for command in asked:
        try:
            said = kubectl(*command)
        except KubectlRefusedError as exc:
            said = exc.words
        print(f"--- kubectl {' '.join(command)}\n{said}")
