# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Our access to a cluster, where a real API server answers."""

from __future__ import annotations

import concurrent.futures
import typing as t

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import (
    ClusterConflict,
    ClusterObjectExists,
    ClusterObjectMissing,
    InvalidObject,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes import conditions as c
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.cluster import Cluster
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.events import (
    NORMAL,
    record_event,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.objects import (
    owner_reference,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.status import (
    write_status,
)

Fields = dict[str, t.Any]


def repository(namespace: str, name: str = "repo") -> Fields:
    return {
        "apiVersion": "stash.appscode.com/v1alpha1",
        "kind": "Repository",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"backend": {"storageSecretName": "s", "gcs": {"bucket": "b"}}},
    }


def cron_job(owner: Fields, **spec: t.Any) -> Fields:
    container = {"name": "x", "image": "x", "args": ["a"], "resources": {"limits": {"cpu": 1}}}
    pod = {"restartPolicy": "Never", "containers": [container]}
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {
            "name": "trigger",
            "namespace": owner["metadata"]["namespace"],
            "labels": {"app.kubernetes.io/component": "stash-backup"},
            "ownerReferences": [owner_reference(owner)],
        },
        "spec": {
            "schedule": "0 0 1 1 *",
            "jobTemplate": {"spec": {"backoffLimit": 0, "template": {"spec": pod}}},
            **spec,
        },
    }


@pytest.fixture
def made(crds: list[str], cluster: Cluster, namespace: str) -> Fields:
    """A Repository in a fresh namespace."""
    return cluster.create(repository(namespace))


def test_writers_of_one_status_lose_nothing_of_each_other(cluster: Cluster, made: Fields) -> None:
    types = sorted(c.REASONS)[:12]

    def write(type_: str) -> None:
        def change(status: Fields) -> Fields:
            new = c.condition(type_, next(iter(c.REASONS[type_])), "seen")  # type: ignore[arg-type] # a status
            return {**status, "conditions": c.with_condition(status.get("conditions"), new)}

        write_status(cluster, "Repository", "repo", made["metadata"]["namespace"], change)

    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        list(threads.map(write, types))
    kept = cluster.get("Repository", "repo", made["metadata"]["namespace"])
    assert {each["type"] for each in kept["status"]["conditions"]} == set(types)


def test_what_is_wanted_is_sent_once_and_brought_back(cluster: Cluster, made: Fields) -> None:
    first = cluster.ensure(cron_job(made))
    before = cluster.requests
    assert (
        cluster.ensure(cron_job(made))["metadata"]["resourceVersion"]
        == (first["metadata"]["resourceVersion"])
    )
    assert cluster.requests == before + 1
    namespace = made["metadata"]["namespace"]
    cluster.patch("CronJob", "trigger", namespace, {"spec": {"schedule": "1 1 1 1 *"}})
    assert cluster.ensure(cron_job(made))["spec"]["schedule"] == "0 0 1 1 *"
    assert cluster.ensure(cron_job(made, suspend=True))["spec"]["suspend"] is True
    assert cluster.ensure(cron_job(made))["spec"]["suspend"] is False


def test_an_object_of_another_owner_is_left_alone(cluster: Cluster, made: Fields) -> None:
    cluster.ensure(cron_job(made))
    other = cluster.create(repository(made["metadata"]["namespace"], "other"))
    with pytest.raises(ClusterObjectExists, match="belongs to Repository repo"):
        cluster.ensure(cron_job(other))


def test_the_server_says_what_is_wrong(cluster: Cluster, made: Fields) -> None:
    with pytest.raises(InvalidObject, match=r"spec\.schedule: Invalid value: .every day"):
        cluster.ensure(cron_job(made, schedule="every day"))
    with pytest.raises(ClusterObjectExists):
        cluster.create(repository(made["metadata"]["namespace"]))
    with pytest.raises(ClusterObjectMissing, match='namespaces "nowhere" not found'):
        cluster.create(repository("nowhere"))
    with pytest.raises(ClusterConflict):
        cluster.replace({**made, "metadata": {**made["metadata"], "resourceVersion": "1"}})


def test_only_the_object_that_is_meant_is_deleted(cluster: Cluster, made: Fields) -> None:
    namespace = made["metadata"]["namespace"]
    other = "00000000-0000-0000-0000-000000000000"
    assert not cluster.delete("Repository", "repo", namespace, uid=other)
    assert cluster.delete("Repository", "repo", namespace, uid=made["metadata"]["uid"])
    assert not cluster.delete("Repository", "repo", namespace)


def test_a_list_of_several_pages_is_whole(
    cluster: Cluster, made: Fields, monkeypatch: pytest.MonkeyPatch
) -> None:
    namespace = made["metadata"]["namespace"]
    for number in range(7):
        obj = repository(namespace, f"r{number}")
        obj["metadata"]["labels"] = {"odd": str(number % 2)}
        cluster.create(obj)
    monkeypatch.setattr(f"{Cluster.__module__}.PAGE", 3)
    assert len(cluster.list("Repository", namespace)) == 8
    odd = cluster.list("Repository", namespace, labels={"odd": "1"})
    assert [each["metadata"]["name"] for each in odd] == ["r1", "r3", "r5"]
    assert {each["kind"] for each in odd} == {"Repository"}


def test_an_event_is_seen_beside_its_object(cluster: Cluster, made: Fields) -> None:
    reason = "Host Backup Succeeded"
    assert record_event(cluster, made, reason, NORMAL, "m", component="Status Updater")
    (event,) = [
        each
        for each in cluster.list("Event", made["metadata"]["namespace"])
        if each["involvedObject"]["uid"] == made["metadata"]["uid"]
    ]
    assert event["reason"] == "Host Backup Succeeded"
