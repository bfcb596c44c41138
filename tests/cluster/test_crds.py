# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the API server makes of our CustomResourceDefinitions: users' manifests pass it with strict
validation, and what can be seen to be wrong does not.
"""

from __future__ import annotations

import copy
import typing as t
from pathlib import Path

import pytest
import yaml
from kubernetes.client import ApiException

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import InvalidObject
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.cluster import Cluster
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.objects import kind_named
from tests.testbed.kube.kubectl import Kubectl

Fields = dict[str, t.Any]
WHOLE = Path(__file__).parent / "whole_objects.yaml"
OBJECTS: dict[str, Fields] = {obj["kind"]: obj for obj in yaml.safe_load(WHOLE.read_text())}


def named(kind: str, **spec: t.Any) -> Fields:
    """The whole object of a kind with other fields in its spec; None takes one out."""
    obj = copy.deepcopy(OBJECTS[kind])
    changed = {**obj["spec"], **spec}
    obj["spec"] = {name: value for name, value in changed.items() if value is not None}
    return obj


def create_strictly(cluster: Cluster, obj: Fields) -> Fields:
    """What the API server would keep, by `--validate=strict --dry-run=server`."""
    path = kind_named(obj["kind"]).path("default")
    answer = cluster.api_client.call_api(
        path,
        "POST",
        query_params=[("fieldValidation", "Strict"), ("dryRun", "All")],
        body=obj,
        response_types_map={201: "object"},
        auth_settings=["BearerToken"],
        _return_http_data_only=True,
    )
    return t.cast(Fields, answer)


@pytest.mark.usefixtures("crds")
@pytest.mark.parametrize("kind", OBJECTS)
def test_every_field_of_stash_passes_strict_validation(kind: str, cluster: Cluster) -> None:
    wanted = OBJECTS[kind]
    kept = create_strictly(cluster, wanted)
    assert list(_missing(wanted["spec"], kept["spec"], "spec")) == []


def _missing(wanted: t.Any, kept: t.Any, place: str) -> t.Iterator[str]:
    """The places at which something was dropped."""
    if isinstance(wanted, dict):
        for name, value in wanted.items():
            if not isinstance(kept, dict) or name not in kept:
                yield f"{place}.{name}"
            else:
                yield from _missing(value, kept[name], f"{place}.{name}")
    elif isinstance(wanted, list):
        for number, value in enumerate(wanted):
            yield from _missing(value, kept[number], f"{place}[{number}]")
    elif wanted != kept:
        yield f"{place}: {wanted!r} became {kept!r}"


@pytest.mark.usefixtures("crds")
@pytest.mark.parametrize("kind", OBJECTS)
def test_a_field_that_stash_does_not_have_is_refused(kind: str, cluster: Cluster) -> None:
    with pytest.raises(ApiException) as caught:
        create_strictly(cluster, named(kind, misspelt=1))
    assert 'unknown field \\"spec.misspelt\\"' in caught.value.body


GCS = {"gcs": {"bucket": "b"}, "storageSecretName": "s"}


@pytest.mark.usefixtures("crds")
@pytest.mark.parametrize(
    ("obj", "words"),
    [
        (named("Repository", backend={"storageSecretName": "s"}), "give exactly one of local, s3"),
        (
            named("Repository", backend={**GCS, "azure": {"container": "c"}}),
            "give exactly one of local, s3",
        ),
        (
            named("Repository", backend={"local": {"mountPath": "/stash/x", "emptyDir": {}}}),
            "mountPath must not be /stash",
        ),
        (named("Repository", backend={"s3": {"bucket": "b"}}), "endpoint: Required value"),
        (
            named("Repository", usagePolicy={"allowedNamespaces": {"from": "Some"}}),
            'Unsupported value: "Some"',
        ),
        (named("BackupConfiguration", retentionPolicy=None), "retentionPolicy: Required value"),
        (named("BackupConfiguration", timeOut="1 day"), "spec.timeOut"),
        (named("BackupConfiguration", retryConfig={"maxRetry": -1}), "greater than or equal to 0"),
        (named("BackupConfiguration", driver="Tape"), 'Unsupported value: "Tape"'),
        (
            named("BackupConfiguration", hooks={"postBackup": {"executionPolicy": "Never"}}),
            'Unsupported value: "Never"',
        ),
        (named("BackupSession", invoker={"kind": "BackupConfiguration"}), "name: Required value"),
        (
            named("RestoreSession", rules=[{"snapshots": ["latest"]}]),
            "give the rules in target.rules alone",
        ),
    ],
)
def test_what_can_be_seen_to_be_wrong_is_refused(obj: Fields, words: str, cluster: Cluster) -> None:
    obj["metadata"]["namespace"] = "default"
    with pytest.raises(InvalidObject, match=words):
        cluster.create(obj)


@pytest.mark.usefixtures("crds")
@pytest.mark.parametrize("kind", ["BackupSession", "RestoreSession"])
def test_a_session_is_not_changed_afterwards(kind: str, cluster: Cluster, namespace: str) -> None:
    obj = copy.deepcopy(OBJECTS[kind])
    obj["metadata"]["namespace"] = namespace
    made = cluster.create(obj)
    made["metadata"]["labels"] = {"changed": "yes"}
    made = cluster.replace(made)
    field = "retryLeft" if kind == "BackupSession" else "timeOut"
    made["spec"][field] = 7 if kind == "BackupSession" else "7m"
    with pytest.raises(InvalidObject, match="spec cannot be changed"):
        cluster.replace(made)


@pytest.mark.usefixtures("crds")
def test_defaults_are_filled_in(cluster: Cluster, namespace: str) -> None:
    obj = named("BackupConfiguration", retryConfig={}, driver=None, backupHistoryLimit=None)
    obj["metadata"]["namespace"] = namespace
    spec = cluster.create(obj)["spec"]
    assert (spec["retryConfig"], spec["driver"], spec["backupHistoryLimit"]) == (
        {"maxRetry": 1},
        "Restic",
        1,
    )


@pytest.mark.usefixtures("crds")
def test_a_generation_may_be_text_as_in_old_objects(cluster: Cluster, namespace: str) -> None:
    obj = named("Repository")
    obj["metadata"]["namespace"] = namespace
    made = cluster.create(obj)
    for generation in (3, "3$12345"):
        made = cluster.replace_status({**made, "status": {"observedGeneration": generation}})
        assert made["status"]["observedGeneration"] == generation


@pytest.mark.usefixtures("crds")
def test_kubectl_shows_the_columns_of_stash(
    kubectl: Kubectl, cluster: Cluster, namespace: str
) -> None:
    obj = named("Repository")
    kubectl.apply(obj, named("BackupConfiguration"), namespace=namespace)
    made = cluster.get("Repository", obj["metadata"]["name"], namespace)
    shown = {"integrity": True, "totalSize": "1.500 GiB", "snapshotCount": 4}
    cluster.replace_status({**made, "status": {**shown, "lastBackupTime": "2026-01-01T00:00:00Z"}})
    head, line = kubectl("get", "repo", "-n", namespace).splitlines()
    assert head.split() == [
        "NAME",
        "INTEGRITY",
        "SIZE",
        "SNAPSHOT-COUNT",
        "LAST-SUCCESSFUL-BACKUP",
        "AGE",
    ]
    assert line.split()[1:5] == ["true", "1.500", "GiB", "4"]
    assert "backupconfiguration" in kubectl("get", "stash", "-n", namespace)
