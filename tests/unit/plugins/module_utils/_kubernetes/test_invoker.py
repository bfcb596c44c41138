# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import (
    InvalidObject,
    NotSupported,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.invoker import (
    Invoker,
    Retry,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.references import TaskRef

Fields = dict[str, t.Any]
REF = {"apiVersion": "appcatalog.appscode.com/v1alpha1", "kind": "AppBinding", "name": "pg"}


def configuration(**spec: t.Any) -> Fields:
    return {
        "apiVersion": "stash.appscode.com/v1beta1",
        "kind": "BackupConfiguration",
        "metadata": {"name": "bc", "namespace": "demo", "uid": "u1", "labels": {"a": "b"}},
        "spec": {
            "schedule": "0 3 * * *",
            "repository": {"name": "repo"},
            "target": {"ref": REF},
            "retentionPolicy": {"name": "keep", "keepLast": 5, "prune": True},
            **spec,
        },
    }


def restore(**spec: t.Any) -> Fields:
    return {
        "apiVersion": "stash.appscode.com/v1beta1",
        "kind": "RestoreSession",
        "metadata": {"name": "rs", "namespace": "demo", "uid": "u2"},
        "spec": {"repository": {"name": "repo"}, "target": {"ref": REF}, **spec},
    }


def test_a_configuration_is_read_with_its_defaults() -> None:
    found = Invoker.parse(configuration())
    assert (found.name, found.namespace, found.uid, found.labels) == (
        "bc",
        "demo",
        "u1",
        {"a": "b"},
    )
    assert (found.repository.name, found.repository.namespace) == ("repo", "demo")
    assert (found.target.name, found.target.namespace) == ("pg", "demo")
    assert found.target.written_namespace == ""
    assert found.retention is not None
    assert (found.retention.keep["last"], found.retention.keep["yearly"]) == (5, 0)
    assert (found.history_limit, found.retry, found.timeout_seconds) == (1, None, None)
    assert (found.host, found.paused, found.task.name) == ("host-0", False, "")


def test_a_configuration_is_read_whole() -> None:
    found = Invoker.parse(
        configuration(
            target={"ref": {**REF, "namespace": "apps"}, "alias": "main", "args": ["-x"]},
            repository={"name": "repo", "namespace": "storage"},
            task={"name": "postgres-backup-15.1", "params": [{"name": "args", "value": "--clean"}]},
            timeOut="1h30m",
            retryConfig={"maxRetry": 3, "delay": "5m"},
            backupHistoryLimit=0,
            paused=True,
        )
    )
    assert (found.target.namespace, found.target.written_namespace) == ("apps", "apps")
    assert (found.host, found.target_args) == ("main", ("-x",))
    assert found.repository.namespace == "storage"
    assert found.task.params == {"args": "--clean"}
    assert found.timeout_seconds == 5400
    assert found.retry == Retry(max_retry=3, delay_seconds=300)
    assert (found.history_limit, found.paused) == (0, True)


def test_a_retry_without_a_number_is_one() -> None:
    assert Invoker.parse(configuration(retryConfig={})).retry == Retry(max_retry=1, delay_seconds=0)


def test_the_wrong_version_of_an_app_binding_is_overlooked() -> None:
    found = Invoker.parse(configuration(target={"ref": {**REF, "apiVersion": "apps/v1"}}))
    assert found.target.as_object() == {**REF, "namespace": "demo"}


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"schedule": " "}, "has no schedule"),
        ({"retentionPolicy": None}, "has no retention policy"),
        ({"repository": None}, "names no Repository"),
        ({"target": None}, "has no target"),
        ({"timeOut": "1 day"}, "has no usable spec.timeOut: '1 day' is not a duration"),
        ({"timeOut": "-5m"}, "has a negative spec.timeOut, -5m"),
        ({"retryConfig": {"delay": "x"}}, "has no usable spec.retryConfig.delay"),
    ],
)
def test_a_configuration_that_cannot_work_is_refused(spec: Fields, words: str) -> None:
    with pytest.raises(InvalidObject, match=f"BackupConfiguration demo/bc {words}"):
        Invoker.parse(configuration(**spec))


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"target": {"ref": {"kind": "Deployment", "name": "web"}}}, "the target Deployment web"),
        ({"driver": "VolumeSnapshotter"}, "the driver VolumeSnapshotter"),
    ],
)
def test_what_is_not_served_says_so(spec: Fields, words: str) -> None:
    with pytest.raises(NotSupported, match=words):
        Invoker.parse(configuration(**spec))


def test_a_batch_is_not_served_yet() -> None:
    with pytest.raises(NotSupported, match="BackupBatch demo/bc"):
        Invoker.parse({**configuration(), "kind": "BackupBatch"})


LATEST = [{"snapshots": ["latest"]}]


@pytest.mark.parametrize("place", [{"rules": LATEST}, {"target": {"ref": REF, "rules": LATEST}}])
def test_rules_are_read_from_both_places(place: Fields) -> None:
    found = Invoker.parse(restore(**place))
    assert (found.snapshot, found.source_host, found.host) == ("latest", "", "host-0")
    assert not found.is_backup


def test_the_rule_of_the_host_wins_over_that_of_all_others() -> None:
    rules = [
        {"snapshots": ["aaaa"]},
        {"targetHosts": ["main"], "sourceHost": "old", "snapshots": ["bbbb"]},
    ]
    main = Invoker.parse(restore(target={"ref": REF, "alias": "main", "rules": rules}))
    assert (main.snapshot, main.source_host) == ("bbbb", "old")
    other = Invoker.parse(restore(target={"ref": REF, "alias": "x", "rules": rules}))
    assert (other.snapshot, other.source_host) == ("aaaa", "x")


def test_without_rules_it_is_the_latest_of_any_host() -> None:
    found = Invoker.parse(restore())
    assert (found.rule, found.snapshot, found.source_host) == (None, "latest", "")


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"rules": LATEST, "target": {"ref": REF, "rules": LATEST}}, "both in spec.rules and"),
        ({"rules": [{}, {}]}, "several rules without targetHosts"),
        ({"rules": [{"targetHosts": ["a"]}, {"targetHosts": ["b", "a"]}]}, "for the host a"),
        ({"rules": [{"snapshots": ["latest"], "paths": ["/x"]}]}, "both snapshots and paths"),
        ({"rules": [{"snapshots": ["aaaa", "bbbb"]}]}, "with 2 snapshots"),
    ],
)
def test_rules_that_contradict_are_refused(spec: Fields, words: str) -> None:
    with pytest.raises(InvalidObject, match=f"RestoreSession demo/rs has .*{words}"):
        Invoker.parse(restore(**spec))


def test_parameters_of_the_invoker_stand_over_those_of_the_app_binding() -> None:
    theirs = TaskRef(name="postgres-backup-14.0", params={"args": "-a", "user": "u"})
    merged = TaskRef(name="", params={"args": "-b"}).over(theirs)
    assert merged == TaskRef(name="postgres-backup-14.0", params={"args": "-b", "user": "u"})
