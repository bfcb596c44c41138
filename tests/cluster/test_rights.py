# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rights, in both kinds of install, where OwnerReferencesPermissionEnforcement is on and namespaces
enforce `restricted`: a backup and a restore need all that they ask for, and much else is refused.
"""

from __future__ import annotations

import dataclasses
import json
import typing as t

import pytest

from tests.fix_ansible import Result
from tests.fix_cluster import NamespaceFactory, ServiceFactory, VolumeFactory
from tests.fix_postgres import PostgresFactory
from tests.fix_repository import PASSWORD
from tests.fix_roles import Roles, changes
from tests.testbed.kube.cluster import KubeCluster
from tests.testbed.kube.kubectl import Kubectl
from tests.testbed.postgres import PostgresServer
from tests.waiting import wait_for

OPERATOR = "granary-operator"
ROWS = "SELECT count(*), md5(string_agg(note, ',' ORDER BY id)) FROM orders"
FORBIDDEN = {403}

# Nobody of ours may do these anywhere; a resource is written as kubectl does.
NEVER = (
    ("list", "secrets"),
    ("watch", "secrets"),
    ("create", "secrets"),
    ("delete", "secrets"),
    ("create", "pods"),
    ("create", "pods/exec"),
    ("get", "pods/exec"),
    ("create", "serviceaccounts/token"),
    ("delete", "persistentvolumeclaims"),
    ("delete", "repositories.stash.appscode.com"),
    ("delete", "backupconfigurations.stash.appscode.com"),
    ("create", "clusterroles.rbac.authorization.k8s.io"),
    ("create", "clusterrolebindings.rbac.authorization.k8s.io"),
    ("escalate", "roles.rbac.authorization.k8s.io"),
    ("bind", "roles.rbac.authorization.k8s.io"),
    ("bind", "clusterroles.rbac.authorization.k8s.io"),
    ("impersonate", "serviceaccounts"),
    ("update", "customresourcedefinitions.apiextensions.k8s.io"),
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Account:
    """A service account and what it is asked whether it may."""

    kubectl: Kubectl
    namespace: str
    name: str

    def may(self, verb: str, resource: str, namespace: str = "", name: str = "") -> bool:
        """Whether it may, in a namespace or, without one, in all of them."""
        plain, dummy, below = resource.partition("/")
        plain, dummy, group = plain.partition(".")
        wanted = {
            "verb": verb,
            "group": group,
            "resource": plain,
            "subresource": below,
            "namespace": namespace,
            "name": name,
        }
        user = f"system:serviceaccount:{self.namespace}:{self.name}"
        groups = ["system:serviceaccounts", f"system:serviceaccounts:{self.namespace}"]
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {"user": user, "groups": groups, "resourceAttributes": wanted},
        }
        answer = self.kubectl("create", "--filename=-", "--output=json", given=json.dumps(review))
        return bool(json.loads(answer)["status"]["allowed"])

    def too_much(self, namespace: str) -> list[str]:
        """What of NEVER it may in a namespace."""
        return [f"{verb} {what}" for verb, what in NEVER if self.may(verb, what, namespace)]


def refused(cluster: KubeCluster, account: Account, before: int = 0) -> list[str]:
    """What an account asked for and did not get, leaving out its first `before` requests."""
    return [
        f"{event['verb']} {event['objectRef']}"
        for event in cluster.control_plane.requests_of(account.namespace, account.name)[before:]
        if event.get("responseStatus", {}).get("code") in FORBIDDEN
    ]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Demo:
    """A namespace in which servers are backed up into a claim, and another one."""

    roles: Roles
    kubectl: Kubectl
    namespace: str
    elsewhere: str
    service_for: ServiceFactory

    def target(self, name: str, server: PostgresServer, **options: t.Any) -> list[str]:
        """Set up a server's backup by the role; returns what the role changed."""
        claim = {"persistentVolumeClaim": {"claimName": "backups"}}
        run = self.roles.run(
            "target",
            target_name=name,
            target_namespace=self.namespace,
            target_backend={"local": {"mountPath": "/backups", **claim}},
            target_repository_password=PASSWORD,
            target_service={"name": name, "port": 5432},
            target_ssl_mode="disable",
            target_user=server.user,
            target_password=server.password or "unused",
            **options,
        )
        return changes(run)

    def session(self, kind: str, **options: t.Any) -> Result:
        """Run a session by a module, to its end."""
        return self.roles.ansible.task(
            f"{kind}_session",
            namespace=self.namespace,
            kubeconfig=str(self.kubectl.kubeconfig),
            wait_timeout=300,
            **options,
        )

    def account(self, name: str) -> Account:
        """A service account of the namespace."""
        return Account(kubectl=self.kubectl, namespace=self.namespace, name=name)

    @property
    def operator(self) -> Account:
        """The operator's service account."""
        return Account(kubectl=self.kubectl, namespace=self.roles.home, name=OPERATOR)


@pytest.fixture
def servers(private_postgres: PostgresFactory) -> tuple[PostgresServer, PostgresServer]:
    """A server with something in it and a fresh one."""
    source, fresh = private_postgres(18), private_postgres(18)
    source.execute("CREATE DATABASE shop")
    source.execute(
        "CREATE TABLE orders AS SELECT g id, md5(g::text) note FROM generate_series(1, 5000) g",
        database="shop",
    )
    return source, fresh


@pytest.fixture
def demo(
    roles: Roles,
    kubectl: Kubectl,
    new_namespace: NamespaceFactory,
    service_for: ServiceFactory,
    local_volume: VolumeFactory,
) -> Demo:
    """Both namespaces, and the claim."""
    namespace = new_namespace()
    local_volume("backups", namespace)
    return Demo(
        roles=roles,
        kubectl=kubectl,
        namespace=namespace,
        elsewhere=new_namespace(),
        service_for=service_for,
    )


@pytest.mark.slow
@pytest.mark.usefixtures("crds")
@pytest.mark.sampled("limited", [False, True], 1, ids={False: "cluster", True: "namespaces"}.get)
def test_a_backup_and_a_restore_get_what_they_ask_for(
    demo: Demo,
    kube_cluster: KubeCluster,
    granary_image: str,
    servers: tuple[PostgresServer, PostgresServer],
    limited: bool,
) -> None:
    namespaces = [demo.namespace] if limited else []
    # An operator of an earlier test lost its rights before it ended.
    before = len(kube_cluster.control_plane.requests_of(demo.roles.home, OPERATOR))
    installed = demo.roles.operator(image=granary_image, wait=True, namespaces=namespaces)
    assert "Run the operator" in changes(installed)
    _back_up_and_restore(demo, *servers)

    operator = demo.operator
    names = ("stash-trigger-pg", "backupconfiguration-pg-0", "restoresession-again-0")
    trigger, *workers = [demo.account(name) for name in names]
    assert refused(kube_cluster, operator, before) == []
    for account in (trigger, *workers):
        assert refused(kube_cluster, account) == []
    for account in (operator, trigger, *workers):
        assert account.too_much(demo.namespace) == []
        assert account.too_much(demo.roles.home) == []
    for what in (("get", "secrets"), ("list", "pods"), ("create", "jobs.batch")):
        assert operator.may(*what, demo.namespace)
        assert operator.may(*what, demo.elsewhere) is not limited
    assert not trigger.may("get", "secrets", demo.namespace)
    for account in workers:
        assert account.may("get", "secrets", demo.namespace)
        assert not account.may("get", "secrets", demo.elsewhere)


def _back_up_and_restore(demo: Demo, source: PostgresServer, fresh: PostgresServer) -> None:
    """Back a server up, by hand and by its schedule's Job, and restore into another."""
    for name, server in (("pg", source), ("fresh", fresh)):
        demo.service_for(server.port, name, demo.namespace, service_port=5432)
    assert demo.target("pg", source) == [
        "Write the Secrets",
        "Write Repository, AppBinding and BackupConfiguration",
    ]
    assert demo.target("pg", source) == []
    backed_up = demo.session("backup", invoker="pg", name="by-hand")
    assert not backed_up.failed, backed_up.message
    assert backed_up["session"]["phase"] == "Succeeded"

    where = f"--namespace={demo.namespace}"
    demo.kubectl("create", "job", "now", "--from=cronjob/stash-trigger-pg", where)

    def triggered() -> list[str]:
        sessions = demo.kubectl.list("backupsessions", demo.namespace)
        names = [each["metadata"]["name"] for each in sessions]
        return [name for name in names if name.startswith("pg-")]

    wait_for(triggered, "a session by the schedule's Job", timeout_s=120)
    demo.target("fresh", fresh, target_paused=True)
    restored = demo.session("restore", name="again", target="fresh", repository="pg")
    assert not restored.failed, restored.message
    assert fresh.execute(ROWS, database="shop") == source.execute(ROWS, database="shop")


@pytest.mark.slow
def test_commands_in_pods_are_granted_by_name_only(
    roles: Roles, kubectl: Kubectl, crds: list[str], namespace: str
) -> None:
    operator = Account(kubectl=kubectl, namespace=roles.home, name=OPERATOR)
    role = "clusterroles.rbac.authorization.k8s.io"
    roles.operator()
    assert operator.may("bind", role, namespace, "stash-backup-job")
    assert not operator.may("bind", role, namespace, "granary-exec-hook-job")
    assert not operator.may("bind", role, namespace, "cluster-admin")
    roles.operator(exec_hooks=True)
    assert operator.may("bind", role, namespace, "granary-exec-hook-job")
    assert not operator.may("create", "pods/exec", namespace)
