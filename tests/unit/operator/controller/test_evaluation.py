# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.granary.postgres.operator.controller.evaluation import (
    FITS_RESTRICTED,
    Evaluation,
    evaluate,
)
from ansible_collections.granary.postgres.operator.controller.facts import Fact, Facts
from ansible_collections.granary.postgres.plugins.module_utils._core.errors import (
    ClusterForbidden,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.conditions import find
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.invoker import Invoker
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.objects import Object

SECRET: Object = {"metadata": {"name": "keys"}}
S3 = {"s3": {"endpoint": "e", "bucket": "b"}}
NO_RIGHTS = ClusterForbidden("The API server says no.")


def configuration(**spec: t.Any) -> Invoker:
    return Invoker.parse(
        {
            "apiVersion": "stash.appscode.com/v1beta1",
            "kind": "BackupConfiguration",
            "metadata": {"name": "pg", "namespace": "demo", "uid": "u"},
            "spec": {
                "schedule": "@daily",
                "repository": {"name": "repo"},
                "target": {"ref": {"kind": "AppBinding", "name": "pg"}},
                "retentionPolicy": {"name": "k", "keepLast": 1, "prune": True},
                **spec,
            },
        }
    )


def repository(backend: Object | None = None, namespace: str = "demo", **spec: t.Any) -> Object:
    return {
        "apiVersion": "stash.appscode.com/v1alpha1",
        "kind": "Repository",
        "metadata": {"name": "repo", "namespace": namespace, "uid": "r"},
        "spec": {"backend": {"storageSecretName": "keys", **(backend or S3)}, **spec},
    }


def binding(query: str = "") -> Object:
    service = {"name": "pg", "port": 5432, "scheme": "postgresql", "query": query}
    return {
        "apiVersion": "appcatalog.appscode.com/v1alpha1",
        "kind": "AppBinding",
        "metadata": {"name": "pg", "namespace": "demo"},
        "spec": {"clientConfig": {"service": service}},
    }


def judged(
    invoker: Invoker | None = None, *, exec_hooks: bool = False, **facts: Fact
) -> Evaluation:
    known = {"repository": repository(), "secret": SECRET, "binding": binding(), **facts}
    return evaluate(invoker or configuration(), Facts(**known), exec_hooks=exec_hooks)


def said(evaluation: Evaluation, type_: str) -> tuple[str, str] | None:
    found = find(evaluation.conditions, type_)
    return None if found is None else (found["status"], found["message"])


def test_everything_there_is_sound() -> None:
    evaluation = judged()

    assert evaluation.is_sound
    assert evaluation.repository is not None
    assert {each["status"] for each in evaluation.conditions} == {"True"}


def test_what_is_not_there_is_named() -> None:
    evaluation = judged(repository=None, secret=None, binding=None)

    assert not evaluation.is_sound
    assert said(evaluation, "RepositoryFound") == (
        "False",
        "Repository demo/repo does not exist.",
    )
    assert said(evaluation, "BackendSecretFound") is None
    assert (said(evaluation, "BackupTargetFound") or ("", ""))[0] == "False"


def test_what_may_not_be_looked_at_is_unknown() -> None:
    evaluation = judged(secret=NO_RIGHTS)

    assert not evaluation.is_sound
    status, message = said(evaluation, "BackendSecretFound") or ("", "")
    assert status == "Unknown"
    assert message.endswith("Reason: The API server says no.")


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (repository({"b2": {"bucket": "b"}}), "does not support"),
        (repository({**S3, "gcs": {"bucket": "b"}}), "exactly one of"),
        (repository({"s3": {"bucket": "b"}}), "spec.backend.s3.endpoint"),
        (repository({"local": {"mountPath": "/stash/x", "emptyDir": {}}}), "of its own"),
    ],
)
def test_a_repository_that_cannot_be_served_fails_validation(found: Object, words: str) -> None:
    evaluation = judged(repository=found)

    status, message = said(evaluation, "ValidationPassed") or ("", "")
    assert (status, words in message) == ("False", True), message
    assert evaluation.repository is None


def test_a_repository_of_another_namespace_says_who_may_use_it() -> None:
    there = configuration(repository={"name": "repo", "namespace": "vault"})
    closed = repository(namespace="vault")
    selected = repository(
        namespace="vault",
        usagePolicy={
            "allowedNamespaces": {"from": "Selector", "selector": {"matchLabels": {"a": "1"}}}
        },
    )

    assert "not allowed" in (said(judged(there, repository=closed), "ValidationPassed") or "")[1]
    assert judged(there, repository=selected, namespace_labels={"a": "1"}).is_sound
    assert not judged(there, repository=selected, namespace_labels={"a": "2"}).is_sound
    unknown = judged(there, repository=selected, namespace_labels=NO_RIGHTS)
    assert "cannot be read" in (said(unknown, "ValidationPassed") or "")[1]


def test_hooks_that_run_commands_need_rights_that_the_operator_may_not_have() -> None:
    hooked = configuration(hooks={"postBackup": {"exec": {"command": ["true"]}}})

    assert judged(hooked, exec_hooks=True).is_sound
    assert "exec hooks" in (said(judged(hooked), "ValidationPassed") or "")[1]
    broken = configuration(hooks={"preBackup": {"httpGet": {"path": "/"}}})
    assert "spec.hooks.preBackup" in (said(judged(broken), "ValidationPassed") or "")[1]


def test_an_address_that_cannot_be_used_fails_validation() -> None:
    evaluation = judged(binding=binding("sslmode=sometimes"))

    assert "sslmode 'sometimes'" in (said(evaluation, "ValidationPassed") or "")[1]
    assert (said(evaluation, "BackupTargetFound") or "")[0] == "True"


def test_a_volume_outside_restricted_is_no_fault() -> None:
    local = {"mountPath": "/safe/data", "nfs": {"server": "s", "path": "/"}}
    evaluation = judged(repository=repository({"local": local}))

    assert evaluation.is_sound
    assert (said(evaluation, FITS_RESTRICTED) or "")[0] == "False"
    assert said(judged(), FITS_RESTRICTED) is None
