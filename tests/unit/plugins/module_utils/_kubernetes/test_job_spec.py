# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.containers import (
    restricted,
    with_function_settings,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.cron_job import (
    Trigger,
    trigger_cron_job,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.job_spec import (
    HookTarget,
    backup_job,
    hook_job,
    repository_volumes,
    restore_job,
    wipe_out_job,
    with_hooks,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.objects import Object
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.pod_spec import (
    JobSettings,
    PodPlan,
    PodVolumes,
    pod_template,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.repository_spec import (
    RepositorySpec,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.rights import (
    Account,
    repository_rights,
    role_binding,
    service_account,
)

IMAGE = "example.test/granary:1"
SETTINGS = JobSettings(image=IMAGE, cluster_uid="c-1")
STEP: Object = {"name": "dump-0", "image": IMAGE, "args": ["backup-pg"]}
LAST: Object = {"name": "update-status-1", "image": IMAGE, "args": ["update-status"]}


def owner(kind: str = "BackupSession", name: str = "pg.1") -> Object:
    return {
        "apiVersion": "stash.appscode.com/v1beta1",
        "kind": kind,
        "metadata": {"name": name, "namespace": "demo", "uid": "u-1", "labels": {"team": "a"}},
    }


def plan(*containers: Object, volumes: PodVolumes | None = None, **settings: t.Any) -> PodPlan:
    return PodPlan(
        containers=containers or (STEP, LAST),
        volumes=volumes or PodVolumes(),
        service_account="runner",
        runtime_settings=settings,
    )


def spec_of(*containers: Object, **settings: t.Any) -> Object:
    spec: Object = pod_template(plan(*containers, **settings), {}, SETTINGS)["spec"]
    return spec


def environment(container: Object) -> dict[str, t.Any]:
    return {each["name"]: each.get("value", each.get("valueFrom")) for each in container["env"]}


def test_a_backup_job_is_named_after_its_session_and_goes_with_it() -> None:
    job = backup_job(owner(), plan(), SETTINGS, labels={"a": "b"}, seconds_left=9.2)

    meta = job["metadata"]
    assert (meta["name"], meta["namespace"]) == ("stash-backup-pg-1-0", "demo")
    assert (
        meta["ownerReferences"][0] | {"uid": "u-1", "controller": True}
        == (meta["ownerReferences"][0])
    )
    assert job["spec"]["backoffLimit"] == 0
    assert job["spec"]["activeDeadlineSeconds"] == 10
    assert job["spec"]["template"]["spec"]["restartPolicy"] == "Never"
    assert job["spec"]["template"]["metadata"]["labels"] == {"a": "b"}


def test_a_job_whose_time_is_over_is_stopped_at_once_and_one_without_limit_never() -> None:
    late = restore_job(owner("RestoreSession"), plan(), SETTINGS, labels={}, seconds_left=-5)
    free = restore_job(owner("RestoreSession"), plan(), SETTINGS, labels={}, seconds_left=None)

    assert late["spec"]["activeDeadlineSeconds"] == 1
    assert "activeDeadlineSeconds" not in free["spec"]
    assert free["metadata"]["name"] == "stash-restore-pg-1-0"


def test_steps_run_one_after_the_other_and_the_last_is_the_main_one() -> None:
    spec = spec_of(STEP, LAST)

    assert [each["name"] for each in spec["initContainers"]] == ["dump-0"]
    assert [each["name"] for each in spec["containers"]] == ["update-status-1"]
    assert "initContainers" not in spec_of(LAST)


def test_hooks_stand_around_the_steps() -> None:
    about = HookTarget(
        backup_session="s",
        invoker_kind="BackupConfiguration",
        invoker_name="pg",
        target_kind="AppBinding",
        target_namespace="demo",
        target_name="pg",
        pushgateway="http://gateway:1",
    )
    made = with_hooks([STEP, LAST], ["preBackup", "postBackup"], about, SETTINGS)

    names = [each["name"] for each in made]
    assert names == ["pre-task-hook", "dump-0", "update-status-1", "post-task-hook"]
    assert made[-1]["args"][:2] == ["run-hook", "--backupsession=s"]
    assert "--hook-type=postBackup" in made[-1]["args"]
    assert "--metrics-enabled=true" in made[0]["args"]
    assert "--metrics-pushgateway-url=http://gateway:1" in made[0]["args"]
    assert [each["name"] for each in with_hooks([STEP], [], about, SETTINGS)] == ["dump-0"]


def test_every_container_fits_the_standard_restricted() -> None:
    spec = spec_of(STEP, LAST)

    for container in (*spec["initContainers"], *spec["containers"]):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"},
        }
    assert spec["securityContext"]["runAsUser"] == 65535
    assert spec["securityContext"]["fsGroup"] == 65535


def test_a_users_security_context_of_the_pod_replaces_ours_but_not_the_containers() -> None:
    spec = spec_of(STEP, pod={"securityContext": {"runAsUser": 1001}})

    assert spec["securityContext"] == {"runAsUser": 1001}
    assert spec["containers"][0]["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert spec["containers"][0]["securityContext"]["runAsNonRoot"] is True


def test_who_asks_for_root_gets_a_root_that_can_read_files() -> None:
    for context in (
        restricted({}, {"runAsUser": 0}, read_only=True),
        restricted({"runAsUser": 0}, {}, read_only=True),
    ):
        assert "runAsNonRoot" not in context
        assert "DAC_OVERRIDE" in context["capabilities"]["add"]
    assert restricted({"runAsUser": 5}, {"runAsUser": 0}, read_only=True)["runAsNonRoot"] is True


def test_only_our_own_image_is_known_to_bear_a_closed_file_system() -> None:
    spec = spec_of({**STEP, "image": "elsewhere.test/other:2"})

    assert spec["containers"][0]["securityContext"]["readOnlyRootFilesystem"] is False


def test_every_container_knows_who_it_is() -> None:
    known = environment(spec_of(STEP)["containers"][0])

    assert known["GRANARY_CLUSTER"] == "c-1"
    assert known["GRANARY_NODE_NAME"] == {"fieldRef": {"fieldPath": "spec.nodeName"}}
    assert {known[name] for name in ("TMPDIR", "HOME")} == {"/stash-tmp"}
    assert {"GRANARY_POD_NAMESPACE", "GRANARY_POD_NAME", "GRANARY_POD_UID"} <= set(known)


def test_settings_of_the_user_reach_every_container() -> None:
    settings = {
        "resources": {"requests": {"cpu": "1"}},
        "nice": {"adjustment": 5},
        "ionice": {"class": 2, "classData": 4},
        "env": [{"name": "TMPDIR", "value": "/elsewhere"}, {"name": "MINE", "value": "1"}],
        "securityContext": {"runAsUser": 7},
    }
    spec = spec_of(STEP, LAST, container=settings)

    for container in (*spec["initContainers"], *spec["containers"]):
        known = environment(container)
        assert container["resources"] == {"requests": {"cpu": "1"}}  # without limits as well
        assert (known["NICE_ADJUSTMENT"], known["IONICE_CLASS"]) == ("5", "2")
        assert (known["IONICE_CLASS_DATA"], known["MINE"]) == ("4", "1")
        assert known["TMPDIR"] == "/elsewhere"
        assert len(container["env"]) == len(known)
        assert container["securityContext"]["runAsUser"] == 7


def test_a_functions_own_settings_yield_to_the_users() -> None:
    own = {"resources": {"limits": {"cpu": "2"}}, "env": [{"name": "A", "value": "own"}]}
    container = with_function_settings(STEP, own)
    assert container["resources"] == {"limits": {"cpu": "2"}}

    users = {"resources": {"limits": {"cpu": "9"}}, "env": [{"name": "A", "value": "user"}]}
    settled = spec_of(container, container=users)["containers"][0]
    assert settled["resources"] == {"limits": {"cpu": "9"}}
    assert environment(settled)["A"] == "user"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("nodeSelector", {"disk": "ssd"}),
        ("tolerations", [{"operator": "Exists"}]),
        ("imagePullSecrets", [{"name": "pull"}]),
        ("priorityClassName", "high"),
        ("automountServiceAccountToken", False),
        ("topologySpreadConstraints", [{"maxSkew": 1}]),
    ],
)
def test_settings_of_the_pod_are_handed_on(field: str, value: t.Any) -> None:
    assert spec_of(STEP, pod={field: value})[field] == value


def test_labels_for_pods_are_not_for_jobs_but_annotations_are() -> None:
    wishes = {"podLabels": {"x": "y"}, "podAnnotations": {"iam": "role"}}
    template = pod_template(plan(STEP, pod=wishes), {"ours": "1"}, SETTINGS)

    assert template["metadata"] == {"labels": {"ours": "1"}, "annotations": {"iam": "role"}}


def repository(**backend: t.Any) -> RepositorySpec:
    return RepositorySpec.parse(
        {
            "apiVersion": "stash.appscode.com/v1alpha1",
            "kind": "Repository",
            "metadata": {"name": "repo", "namespace": "vault", "uid": "r-1"},
            "spec": {"backend": {"storageSecretName": "keys", **backend}},
        }
    )


def test_a_local_repository_is_mounted_in_every_container() -> None:
    claim = {"persistentVolumeClaim": {"claimName": "disk"}}
    spec = repository(local={"mountPath": "/safe/data", "subPath": "pg", **claim})
    volumes = repository_volumes(
        spec, "vault", scratch={"medium": "Memory", "sizeLimit": "1Gi", "disableCaching": True}
    )

    assert volumes.volumes() == [
        {"name": "stash-tmp-dir", "emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}},
        {"name": "granary-storage-secret", "secret": {"secretName": "keys"}},
        {"name": "stash-local", **claim},
    ]
    mounts = pod_template(plan(STEP, LAST, volumes=volumes), {}, SETTINGS)["spec"][
        "initContainers"
    ][0]["volumeMounts"]
    assert {"name": "stash-local", "mountPath": "/safe/data", "subPath": "pg"} in mounts


def test_a_secret_of_another_namespace_is_not_mounted() -> None:
    spec = repository(s3={"endpoint": "e", "bucket": "b"})

    names = [each["name"] for each in repository_volumes(spec, "demo").volumes()]
    assert names == ["stash-tmp-dir"]


def test_an_interim_claim_is_mounted_where_functions_look_for_it() -> None:
    volumes = PodVolumes(interim_claim="pg-interim")

    assert {"name": "stash-interim-volume", "mountPath": "/stash-interim-volume"} in (
        volumes.mounts()
    )


def test_the_trigger_runs_once_a_time_and_knows_its_own_job() -> None:
    trigger = Trigger(
        name="stash-trigger-pg",
        schedule="@daily",
        paused=True,
        service_account="stash-trigger-pg",
        runtime_settings={},
    )
    cron_job = trigger_cron_job(owner("BackupConfiguration", "pg"), trigger, SETTINGS)

    spec = cron_job["spec"]
    assert (spec["schedule"], spec["suspend"]) == ("@daily", True)
    assert spec["concurrencyPolicy"] == "Forbid"
    assert spec["startingDeadlineSeconds"] > 100  # the controller looks every 10 s
    labels = cron_job["metadata"]["labels"]
    assert labels["app.kubernetes.io/component"] == "stash-backup"
    assert labels["app.kubernetes.io/managed-by"] == "stash.appscode.com"
    assert labels["team"] == "a"
    job = spec["jobTemplate"]
    assert job["metadata"]["labels"]["stash.appscode.com/delete-job-on-completion"] == "true"
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["name"] == "stash-trigger"
    assert container["args"] == [
        "create-backupsession",
        "--invoker-name=pg",
        "--invoker-kind=BackupConfiguration",
        "--namespace=demo",
    ]
    field = "metadata.labels['batch.kubernetes.io/job-name']"
    assert environment(container)["GRANARY_JOB_NAME"] == {"fieldRef": {"fieldPath": field}}


def test_a_hook_alone_is_a_job_with_a_time_limit_of_its_own() -> None:
    job = hook_job(owner(), plan(STEP), SETTINGS, labels={})

    assert job["metadata"]["name"] == "stash-hook-pg-1-0"
    assert job["spec"]["activeDeadlineSeconds"] > 4 * 300


def test_the_data_of_a_repository_is_deleted_where_it_lies() -> None:
    local = {"mountPath": "/safe/data", "emptyDir": {}}
    job = wipe_out_job(
        {**owner("Repository", "repo"), "apiVersion": "stash.appscode.com/v1alpha1"},
        repository(local=local),
        SETTINGS,
        service_account="repository-repo-0",
    )

    spec = job["spec"]["template"]["spec"]
    assert spec["serviceAccountName"] == "repository-repo-0"
    assert spec["containers"][0]["args"] == [
        "wipe-out",
        "--namespace=vault",
        "--repository-name=repo",
    ]
    assert {"name": "stash-local", "emptyDir": {}} in spec["volumes"]


def test_rights_in_a_repositorys_namespace_are_by_name_alone() -> None:
    holder = {**owner("Repository", "repo"), "apiVersion": "stash.appscode.com/v1alpha1"}
    account = Account(name="runner", namespace="demo")
    spec = repository(s3={"endpoint": "e", "bucket": "b"})
    role, binding = repository_rights("r", account, holder, spec, {})

    for rule in role["rules"]:
        assert rule["resourceNames"] in (["repo"], ["keys"])
        assert not {"list", "watch", "create", "delete", "*"} & set(rule["verbs"])
    secrets = [rule for rule in role["rules"] if rule["resources"] == ["secrets"]]
    assert [rule["verbs"] for rule in secrets] == [["get"]]
    assert binding["subjects"] == [
        {"kind": "ServiceAccount", "name": "runner", "namespace": "demo"}
    ]
    assert binding["roleRef"]["kind"] == "Role"


def test_an_account_has_the_annotations_by_which_clouds_know_it() -> None:
    account = Account(name="a", namespace="demo")
    made = service_account(account, owner(), {}, {"iam": "role"})
    bound = role_binding("b", "stash-backup-job", account, owner(), {})

    assert made["metadata"]["annotations"] == {"iam": "role"}
    assert bound["roleRef"]["name"] == "stash-backup-job"
    assert bound["metadata"]["ownerReferences"][0]["uid"] == "u-1"
