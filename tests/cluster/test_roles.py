# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role `operator` on a real cluster: install, again, upgrade, remove, install anew; and what it
refuses.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests import stash_objects as stash
from tests.fix_cluster import CRDS, NamespaceFactory, apply_crds
from tests.fix_roles import BUILT_IN, KINDS, OURS, Roles, changes
from tests.testbed.kube.kubectl import Kubectl, Object

FINALIZER = "granary.postgres/wipe-out"
GROUP = "monitoring.coreos.com"


def ours(kubectl: Kubectl, kinds: str = KINDS) -> dict[str, str]:
    """The generation, or where there is none the version, of each object that the role made."""
    return {
        f"{each['kind']}/{each['metadata']['name']}": str(
            each["metadata"].get("generation") or each["metadata"]["resourceVersion"]
        )
        for each in kubectl.list(kinds, labels=OURS)
    }


def set_finalizers(kubectl: Kubectl, namespace: str, repository: str, *names: str) -> None:
    """Give a Repository these finalizers and no others."""
    patch = json.dumps({"metadata": {"finalizers": names}})
    where = (f"--namespace={namespace}", "--type=merge", f"--patch={patch}")
    kubectl("patch", "repository", repository, *where)


def users_objects(kubectl: Kubectl, namespace: str) -> tuple[str, str]:
    """Make objects that are not the role's; the names of Repository and BackupConfiguration."""
    repository = stash.repository(namespace, wipeOut=True)
    configuration = stash.configuration(namespace, "postgres-backup")
    kubectl.apply(repository, configuration, *stash.task("mine", "true"))
    name: str = repository["metadata"]["name"]
    set_finalizers(kubectl, namespace, name, "someone/else", FINALIZER)
    return name, configuration["metadata"]["name"]


@pytest.fixture
def no_crds(kubectl: Kubectl) -> Iterator[None]:
    """A cluster without our kinds; they are there again after the test."""
    for name in {file.stem for file in CRDS.glob("*.yaml")} & {
        each["metadata"]["name"] for each in kubectl.list("crd")
    }:
        # Kubernetes 1.36 may go minutes without ending the deletion of a kind that nobody has ever
        # listed: its first try finds the storage starting up, and the second may get lost.
        kubectl("get", name, "--all-namespaces")
        kubectl("delete", "crd", name)
    yield
    apply_crds(kubectl)


REST = ["Give the rights", "Fill the catalogue", "Give the operator its Service"]
REST.append("Run the operator")


@pytest.mark.usefixtures("no_crds")
def test_a_first_install_and_a_second(roles: Roles, kubectl: Kubectl) -> None:
    first = ["Define the kinds", "Make the namespace"]
    assert changes(roles.operator("--check")) == [*first, "Predict a first install"]
    assert ours(kubectl, BUILT_IN) == {}
    assert changes(roles.operator()) == [*first, *REST]
    made = ours(kubectl)
    assert "Deployment/granary-operator" in made
    assert "Function/postgres-backup" in made
    assert "Task/postgres-restore-11.9" in made

    assert changes(roles.operator()) == []
    assert ours(kubectl) == made


@pytest.mark.slow
@pytest.mark.usefixtures("crds")
def test_an_upgrade(roles: Roles, kubectl: Kubectl) -> None:
    changes(roles.operator())
    made = ours(kubectl)
    upgrade = {"image": "local.test/none:2"}
    touched = ["Fill the catalogue", "Run the operator"]
    assert changes(roles.operator("--check", **upgrade)) == touched
    assert ours(kubectl) == made
    assert changes(roles.operator(**upgrade)) == touched
    moved = {name.partition("/")[0] for name, at in ours(kubectl).items() if made[name] != at}
    assert moved == {"Deployment", "Function"}


@pytest.mark.slow
def test_removed_and_installed_anew_it_leaves_users_objects_alone(
    roles: Roles, kubectl: Kubectl, crds: list[str], namespace: str
) -> None:
    roles.operator()
    made = ours(kubectl)
    repository, configuration = users_objects(kubectl, namespace)
    removed = ["Stop the operator", "Take our finalizers off", "Remove what an install has made"]
    assert changes(roles.operator("--check", state="absent")) == removed
    assert ours(kubectl) == made
    assert changes(roles.operator(state="absent")) == removed
    assert ours(kubectl) == {}
    found = kubectl.get("repository", repository, namespace)
    assert found["metadata"]["finalizers"] == ["someone/else"]
    assert kubectl.get("backupconfiguration", configuration, namespace)
    assert kubectl.get("task", "mine")
    assert changes(roles.operator(state="absent")) == []

    assert changes(roles.operator()) == REST
    set_finalizers(kubectl, namespace, repository)
    kubectl("delete", "task/mine", "function/mine-0")


@pytest.mark.slow
def test_limited_to_namespaces_and_back(
    roles: Roles, kubectl: Kubectl, crds: list[str], new_namespace: NamespaceFactory
) -> None:
    one, two = new_namespace(), new_namespace()
    roles.operator(namespaces=[one, two], exec_hooks=True)
    assert kubectl.get("role", "granary-operator", two)
    reads = kubectl.get("clusterrole", "granary-operator")["rules"]
    assert {verb for rule in reads for verb in rule["verbs"]} == {"get", "list", "watch"}
    assert {each for rule in reads for each in rule["resources"]} == {
        "functions",
        "tasks",
        "namespaces",
    }
    assert kubectl.get("clusterrole", "granary-exec-hook-job")

    assert changes(roles.operator(namespaces=[one])) == [
        "Give the rights",
        "Remove what the last install made and this one does not",
        "Run the operator",
    ]
    left = kubectl.list("roles,rolebindings", labels=OURS)
    assert {each["metadata"]["namespace"] for each in left} == {one, roles.home}
    names = {name.rpartition("/")[2] for name in ours(kubectl)}
    assert "granary-exec-hook-job" not in names
    assert changes(roles.operator(namespaces=[one])) == []


def stand_in(kind: str, plural: str) -> Object:
    """A definition of a kind of the Prometheus operator that takes everything."""
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural},
            "versions": [version],
        },
    }


@pytest.mark.slow
def test_what_prometheus_and_grafana_load_comes_and_goes(
    roles: Roles, kubectl: Kubectl, crds: list[str]
) -> None:
    theirs = [
        stand_in("ServiceMonitor", "servicemonitors"),
        stand_in("PrometheusRule", "prometheusrules"),
    ]
    kubectl.apply(*theirs)
    names = [each["metadata"]["name"] for each in theirs]
    kubectl("wait", "--for=condition=Established", "crd", *names)
    kinds = f"servicemonitors.{GROUP},prometheusrules.{GROUP},configmaps"
    try:
        options = {"service_monitor": True, "prometheus_rules": True, "dashboard": True}
        labels = {"release": "prometheus"}
        roles.operator(**options, monitoring_labels=labels)
        rules = kubectl.get(f"prometheusrules.{GROUP}", "granary", roles.home)
        assert rules["spec"]["groups"][0]["rules"][0]["alert"] == "GranaryBackupTooOld"
        assert rules["metadata"]["labels"]["release"] == "prometheus"
        monitor = kubectl.get(f"servicemonitors.{GROUP}", "granary", roles.home)
        assert [each["port"] for each in monitor["spec"]["endpoints"]] == [
            "pushgateway",
            "operator",
        ]
        loaded = kubectl.get("configmap", "granary-dashboard", roles.home)
        assert json.loads(loaded["data"]["granary.json"])["uid"] == "granary"
        roles.operator()
        assert kubectl.list(kinds, roles.home, labels=OURS) == []
    finally:
        kubectl("delete", "crd", *names)


STASH: dict[str, Object] = {
    "Deployment stash-stash-community": {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": "stash-stash-community",
            "labels": {"app.kubernetes.io/name": "stash-community"},
        },
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": {"a": "b"}},
            "template": {
                "metadata": {"labels": {"a": "b"}},
                "spec": {"containers": [{"name": "operator", "image": "local.test/none:1"}]},
            },
        },
    },
    "webhooks admission.stash.appscode.com": {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "admission.stash.appscode.com"},
        "webhooks": [],
    },
    "APIService v1alpha1.repositories.stash.appscode.com": {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": "v1alpha1.repositories.stash.appscode.com"},
        "spec": {
            "group": "repositories.stash.appscode.com",
            "version": "v1alpha1",
            "groupPriorityMinimum": 10000,
            "versionPriority": 15,
            "service": {"name": "stash", "namespace": "default"},
        },
    },
}


@pytest.mark.sampled("what", sorted(STASH), 1)
def test_beside_stash_it_is_refused(
    roles: Roles, kubectl: Kubectl, namespace: str, what: str
) -> None:
    theirs = STASH[what]
    kubectl.apply(theirs, namespace=namespace)
    try:
        run = roles.operator()
    finally:
        place = [f"--namespace={namespace}"] if theirs["kind"] == "Deployment" else []
        kubectl("delete", f"{theirs['kind']}/{theirs['metadata']['name']}", *place)
    assert run.status != 0
    assert run.results[-1].message == (
        f"Stash is still in this cluster ({what}); uninstall it first: its CRDs and all objects "
        "stay, and Granary takes them over."
    )
    assert not any(result.values.get("changed") for result in run.results)


@pytest.mark.slow
def test_beside_a_kind_that_is_being_deleted_it_is_refused(
    roles: Roles, kubectl: Kubectl, crds: list[str]
) -> None:
    name = "backupblueprints.stash.appscode.com"
    kubectl("get", name, "--all-namespaces")  # as in `no_crds`
    held = '--patch={"metadata": {"finalizers": ["test/held"]}}'
    kubectl("patch", "crd", name, "--type=merge", held)
    kubectl("delete", "crd", name, "--wait=false")
    try:
        run = roles.operator()
    finally:
        kubectl("patch", "crd", name, "--type=merge", held.replace('"test/held"', ""))
        kubectl.wait(f"crd/{name}", "delete")
        apply_crds(kubectl)
    assert run.status != 0
    assert run.results[-1].message == (
        f"Being deleted: {name}. Try again when they are gone; their status says what keeps them."
    )
    assert not any(result.values.get("changed") for result in run.results)


@pytest.mark.slow
def test_a_wider_crd_is_left_as_it_is_and_a_second_install_is_refused(
    roles: Roles, kubectl: Kubectl, crds: list[str]
) -> None:
    path = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/theirs"
    wider = f'[{{"op": "add", "path": "{path}", "value": {{"type": "string"}}}}]'
    name = "tasks.stash.appscode.com"
    kubectl("patch", "crd", name, "--type=json", f"--patch={wider}")
    try:
        run = roles.operator()
        assert "Define the kinds" not in changes(run)
        assert run.only("Say which CRDs stay as they are")["msg"] == [
            f"{name} stays as it is in the cluster, where it has the field v1beta1.spec.theirs."
        ]
        second = roles.operator(namespace="elsewhere")
        assert second.status != 0
        assert second.results[-1].message == (
            f"Granary is in the namespace {roles.home} of this cluster already; upgrade it there, "
            "or remove it there first."
        )
        strangers = roles.operator(namespace="elsewhere", state="absent")
        assert strangers.status != 0
        assert strangers.results[-1].message == (
            f"Granary is in the namespace {roles.home} of this cluster; set operator_namespace to "
            "it to remove it."
        )
        spec = kubectl.get("crd", name)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        assert "theirs" in spec["properties"]["spec"]["properties"]
    finally:
        kubectl(
            "patch", "crd", name, "--type=json", f'--patch=[{{"op": "remove", "path": "{path}"}}]'
        )
