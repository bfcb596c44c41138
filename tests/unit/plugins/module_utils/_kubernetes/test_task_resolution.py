# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import InvalidObject
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.invoker import Invoker
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.repository_spec import (
    RepositorySpec,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.task_resolution import (
    ResolvedTask,
    resolve,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.variables import (
    Installation,
    backup_variables,
    restore_variables,
)

Fields = dict[str, t.Any]
STEP = {"name": "postgres-backup", "params": [{"name": "outputDir", "value": "/stash-tmp/output"}]}
UPDATE = {"name": "update-status"}
TASK = {"spec": {"steps": [STEP, UPDATE], "volumes": [{"name": "${VOLUME:=v}", "emptyDir": {}}]}}
BACKUP = {
    "spec": {
        "image": "granary:1",
        "args": [
            "backup-pg",
            "--pg-args=${args:=}",
            "--hostname=${HOSTNAME:=}",
            "--o=${outputDir}",
        ],
        "volumeMounts": [{"name": "v", "mountPath": "/v"}],
        "runtimeSettings": {"container": {"resources": {"limits": {"cpu": 1}}}},
    }
}
STATUS = {"spec": {"image": "${ADDON_IMAGE:=none}", "args": ["update-status"]}}
OBJECTS: dict[tuple[str, str], Fields] = {
    ("Task", "postgres-backup"): TASK,
    ("Task", "empty"): {"spec": {}},
    ("Task", "mine-15"): {"spec": {"steps": [{"name": "mine-15"}]}},
    ("Task", "imageless"): {"spec": {"steps": [{"name": "imageless"}]}},
    ("Function", "postgres-backup"): BACKUP,
    ("Function", "update-status"): STATUS,
    ("Function", "imageless"): {"spec": {"args": []}},
}


def lookup(kind: str, name: str) -> Fields | None:
    return OBJECTS.get((kind, name))


def resolved(name: str, variables: dict[str, str], **params: str) -> ResolvedTask:
    return resolve(lookup, name, variables=variables, params=params, addon_image="image:2")


def test_a_task_becomes_one_container_a_step() -> None:
    task = resolved("postgres-backup", {"HOSTNAME": "host-0"}, args='--a="b c"')
    assert task.containers == [
        {
            "name": "postgres-backup-0",
            "image": "granary:1",
            "args": [
                "backup-pg",
                '--pg-args=--a="b c"',
                "--hostname=host-0",
                "--o=/stash-tmp/output",
            ],
            "volumeMounts": [{"name": "v", "mountPath": "/v"}],
        },
        {"name": "update-status-1", "image": "image:2", "args": ["update-status"]},
    ]
    assert task.volumes == ({"name": "v", "emptyDir": {}},)
    assert task.steps[0].runtime_settings == {"resources": {"limits": {"cpu": 1}}}


def test_the_user_stands_over_what_is_built_in_and_that_over_the_step() -> None:
    args = resolved(
        "postgres-backup", {"HOSTNAME": "built-in", "outputDir": "/built-in"}, HOSTNAME="user"
    ).containers[0]["args"]
    assert "--hostname=user" in args
    assert "--o=/built-in" in args


def test_an_unknown_version_falls_back_to_the_one_without() -> None:
    task = resolved("postgres-backup-11.2", {})
    assert task.name == "postgres-backup"
    assert task.steps[0].function == "postgres-backup"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", "No Task is named"),
        ("nothing", "Task nothing does not exist"),
        ("postgres-restore-15", "Task postgres-restore-15 does not exist"),
        ("mine-15", "Function mine-15 does not exist"),
        ("empty", "Task empty has no steps"),
        ("imageless", "Function imageless has no image"),
    ],
)
def test_what_is_missing_is_named(name: str, words: str) -> None:
    with pytest.raises(InvalidObject, match=words):
        resolved(name, {})


def test_an_unknown_variable_is_named_with_its_function() -> None:
    step = {"spec": {"steps": [{"name": "f"}]}}
    function = {"spec": {"image": "i", "args": ["${NOBODY}"]}}
    objects: dict[tuple[str, str], Fields] = {("Task", "t"): step, ("Function", "f"): function}
    with pytest.raises(InvalidObject, match="Function f cannot be resolved: The variable NOBODY"):
        resolve(lambda kind, name: objects.get((kind, name)), "t", variables={}, params={})


REPOSITORY = RepositorySpec(
    name="repo",
    namespace="storage",
    provider="s3",
    bucket="b",
    prefix="p",
    endpoint="http://s3",
    region="r",
    secret_name="secret",
)
INSTALLATION = Installation(image="registry:5000/x/granary:1.0", pushgateway_url="http://gw:56789")
TARGET = {"kind": "AppBinding", "name": "pg", "namespace": "apps"}


def invoker(kind: str, **spec: t.Any) -> Invoker:
    return Invoker.parse(
        {
            "apiVersion": "stash.appscode.com/v1beta1",
            "kind": kind,
            "metadata": {"name": "bc", "namespace": "demo"},
            "spec": {
                "schedule": "* * * * *",
                "repository": {"name": "repo", "namespace": "storage"},
                "target": {"ref": TARGET},
                "retentionPolicy": {"name": "k", "keepLast": 5, "keepDaily": 0, "prune": True},
                **spec,
            },
        }
    )


def test_a_backup_has_the_variables_of_stash() -> None:
    found = backup_variables(invoker("BackupConfiguration"), REPOSITORY, "bc-17", INSTALLATION)
    assert found == {
        "NAMESPACE": "demo",
        "BACKUP_SESSION": "bc-17",
        "INVOKER_KIND": "BackupConfiguration",
        "INVOKER_NAME": "bc",
        "REPOSITORY_NAME": "repo",
        "REPOSITORY_NAMESPACE": "storage",
        "REPOSITORY_PROVIDER": "s3",
        "REPOSITORY_SECRET_NAME": "secret",
        "REPOSITORY_SECRET_NAMESPACE": "storage",
        "REPOSITORY_BUCKET": "b",
        "REPOSITORY_PREFIX": "p",
        "REPOSITORY_ENDPOINT": "http://s3",
        "REPOSITORY_REGION": "r",
        "REPOSITORY_INSECURE_TLS": "false",
        "MAX_CONNECTIONS": "0",
        "HOSTNAME": "host-0",
        "SOURCE_HOSTNAME": "",
        "TARGET_NAME": "pg",
        "TARGET_KIND": "AppBinding",
        "TARGET_NAMESPACE": "apps",
        "TARGET_PATHS": "/stash-data",
        "TARGET_MOUNT_PATH": "/stash-data",
        "DRIVER_ARGS": "",
        "ENABLE_CACHE": "true",
        "INTERIM_DATA_DIR": "/stash-tmp/stash-interim-volume/data",
        "RETENTION_KEEP_LAST": "5",
        "RETENTION_PRUNE": "true",
        "PROMETHEUS_JOB_NAME": "bc",
        "PROMETHEUS_PUSHGATEWAY_URL": "http://gw:56789",
        "STASH_DOCKER_REGISTRY": "registry:5000/x",
        "STASH_DOCKER_IMAGE": "granary",
        "STASH_IMAGE_TAG": "1.0",
    }


def test_a_restore_names_hosts_only_where_the_user_does() -> None:
    rules = [{"snapshots": ["abcd1234"], "sourceHost": "old"}]
    plain = restore_variables(invoker("RestoreSession"), REPOSITORY, INSTALLATION)
    assert (plain["HOSTNAME"], plain["SOURCE_HOSTNAME"]) == ("", "")
    assert (plain["RESTORE_SESSION"], plain["RESTORE_SNAPSHOTS"]) == ("bc", "")
    assert "BACKUP_SESSION" not in plain
    target = {"ref": TARGET, "alias": "main", "rules": rules}
    named = restore_variables(invoker("RestoreSession", target=target), REPOSITORY, INSTALLATION)
    assert (named["HOSTNAME"], named["SOURCE_HOSTNAME"]) == ("main", "old")
    assert named["RESTORE_SNAPSHOTS"] == "abcd1234"


def test_settings_of_the_invoker_change_variables() -> None:
    changed = invoker(
        "BackupConfiguration",
        tempDir={"disableCaching": True},
        interimVolumeTemplate={"spec": {}},
        target={"ref": TARGET, "alias": "main", "args": ["-a", "-b"]},
    )
    found = backup_variables(changed, REPOSITORY, "s", INSTALLATION)
    assert found["ENABLE_CACHE"] == "false"
    assert found["INTERIM_DATA_DIR"] == "/stash-interim-volume/data"
    assert (found["HOSTNAME"], found["DRIVER_ARGS"]) == ("main", "-a -b")
