# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role `target` against a real API server: what it writes, changes and removes.
tests/cluster/test_rights.py runs it with an operator.
"""

from __future__ import annotations

import base64
import dataclasses
import typing as t

import pytest

from tests.fix_ansible import Run
from tests.fix_roles import Roles, changes
from tests.testbed.kube.kubectl import Kubectl, Object

SECRETS = "Write the Secrets"
OBJECTS = "Write Repository, AppBinding and BackupConfiguration"
LOGIN = {"target_user": "postgres", "target_password": "login-word"}
BUCKET = {"endpoint": "https://s3.example.com", "bucket": "backups", "prefix": "demo"}
GIVEN: Object = {
    "target_backend": {"s3": BUCKET},
    "target_repository_password": "repository-word",
    "target_credentials": {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "key-word"},
    "target_service": {"name": "pg"},
    **LOGIN,
}
BACKENDS: dict[str, Object] = {
    "s3": {**BUCKET, "region": "eu-1", "insecureTLS": True},
    "gcs": {"bucket": "backups", "prefix": "demo", "maxConnections": 3},
    "azure": {"container": "backups", "prefix": "/demo", "maxConnections": 3},
    "local": {
        "mountPath": "/backups",
        "subPath": "demo",
        "persistentVolumeClaim": {"claimName": "backups"},
    },
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Target:
    """The target `pg` in a namespace without an operator."""

    roles: Roles
    kubectl: Kubectl
    namespace: str

    def run(self, *arguments: str, **options: t.Any) -> Run:
        """Run the role; it may fail."""
        place = {"target_name": "pg", "target_namespace": self.namespace, "target_wait": False}
        return self.roles.run("target", *arguments, **{**place, **options})

    def spec(self, kind: str) -> Object:
        """The spec of an object that the role wrote."""
        found: Object = self.kubectl.get(kind, "pg", self.namespace)["spec"]
        return found

    def secrets(self) -> dict[str, dict[str, str]]:
        """The content of all Secrets of the namespace, by their names."""
        return {
            each["metadata"]["name"]: {
                key: base64.b64decode(value).decode() for key, value in each["data"].items()
            }
            for each in self.kubectl.list("secrets", self.namespace)
        }


@pytest.fixture
def target(roles: Roles, kubectl: Kubectl, crds: list[str], namespace: str) -> Target:
    """Nothing is there yet."""
    return Target(roles=roles, kubectl=kubectl, namespace=namespace)


def test_it_is_written_once_changed_and_removed(target: Target) -> None:
    assert changes(target.run("--check", **GIVEN)) == [SECRETS, OBJECTS]
    assert target.secrets() == {}
    assert changes(target.run(**GIVEN)) == [SECRETS, OBJECTS]
    assert changes(target.run(**GIVEN)) == []

    hourly = {**GIVEN, "target_schedule": "0 * * * *"}
    assert changes(target.run("--check", **hourly)) == [OBJECTS]
    assert target.spec("backupconfiguration")["schedule"] == "0 3 * * *"
    assert changes(target.run(**hourly)) == [OBJECTS]
    assert target.spec("backupconfiguration")["schedule"] == "0 * * * *"

    theirs = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "theirs"}}
    target.kubectl.apply({**theirs, "stringData": {"a": "b"}}, namespace=target.namespace)
    absent = ["Remove BackupConfiguration and AppBinding", "Remove the Secrets that the role wrote"]
    assert changes(target.run("--check", target_state="absent")) == absent
    assert len(target.secrets()) == 3
    assert changes(target.run(target_state="absent")) == absent
    kinds = "repositories,appbindings,backupconfigurations"
    assert target.kubectl.list(kinds, target.namespace) == []
    assert target.secrets() == {"theirs": {"a": "b"}}
    assert changes(target.run(target_state="absent")) == []


def test_its_variables_become_fields(target: Target) -> None:
    target.run(
        **GIVEN,
        target_params={"jobs": 4, "acceptWarnings": True},
        target_retention={"keepLast": 3, "prune": False},
        target_retry={"maxRetry": 2, "delay": "10m"},
        target_timeout="2h",
        target_ssl_mode="require",
        target_ca_cert="PEM",
        target_tls_secret="tls",
        target_runtime_settings={"container": {"resources": {"limits": {"memory": "1Gi"}}}},
    )
    assert target.secrets() == {
        "pg-repository": {"RESTIC_PASSWORD": "repository-word", **GIVEN["target_credentials"]},
        "pg-login": {"username": "postgres", "password": "login-word"},
    }
    assert target.spec("appbinding") == {
        "type": "postgres",
        "secret": {"name": "pg-login"},
        "tlsSecret": {"name": "tls"},
        "clientConfig": {
            "service": {
                "scheme": "postgresql",
                "name": "pg",
                "port": 5432,
                "query": "sslmode=require",
            },
            "caBundle": base64.b64encode(b"PEM").decode(),
        },
    }
    spec = target.spec("backupconfiguration")
    assert spec["task"]["params"] == [
        {"name": "jobs", "value": "4"},
        {"name": "acceptWarnings", "value": "true"},
    ]
    assert spec["retentionPolicy"] == {"name": "pg", "keepLast": 3, "prune": False}
    assert spec["retryConfig"] == {"maxRetry": 2, "delay": "10m"}
    assert spec["timeOut"] == "2h"
    assert spec["runtimeSettings"]["container"]["resources"] == {"limits": {"memory": "1Gi"}}


@pytest.mark.parametrize("kind", BACKENDS)
def test_each_backend_is_what_a_repository_says(target: Target, kind: str) -> None:
    place = {kind: BACKENDS[kind]}
    assert changes(target.run(**{**GIVEN, "target_backend": place})) == [SECRETS, OBJECTS]
    expected = {**place, "storageSecretName": "pg-repository"}
    assert target.spec("repository")["backend"] == expected


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://db:5433", "postgresql://db:5433?sslmode=verify-full"),
        (
            "postgresql://db:5433?application_name=a",
            "postgresql://db:5433?application_name=a&sslmode=verify-full",
        ),
    ],
)
def test_secrets_that_are_there_and_a_url_are_taken(
    target: Target, url: str, expected: str
) -> None:
    run = target.run(
        target_backend={"s3": BUCKET},
        target_repository_secret="storage",
        target_login_secret="login",
        target_url=url,
        target_ssl_mode="verify-full",
    )
    assert changes(run) == [OBJECTS]
    assert target.spec("repository")["backend"]["storageSecretName"] == "storage"
    binding = target.spec("appbinding")
    assert binding["secret"] == {"name": "login"}
    assert binding["clientConfig"] == {"url": expected}


def test_no_secret_is_shown(target: Target) -> None:
    run = target.run("-vvv", "--diff", **GIVEN)
    assert changes(run) == [SECRETS, OBJECTS]
    for word in ("repository-word", "key-word", "login-word"):
        assert word not in run.output
        assert base64.b64encode(word.encode()).decode() not in run.output


def test_what_nobody_looks_at_is_no_success(target: Target) -> None:
    run = target.run(**GIVEN, target_wait=True, target_wait_timeout=2)
    assert run.status != 0
    assert run.results[-1].message.startswith(
        f"BackupConfiguration {target.namespace}/pg is not looked at by an operator"
    )
