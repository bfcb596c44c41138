# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Manifests shaped as the examples of Stash's documentation that a user of PostgreSQL may apply, in
their namespaces: they pass strict validation and get as far as the documentation says.

Each file of `manifests` is one example, as written. The lines changed in it before it is applied
stand in `manifests/changed_lines.yaml`, and here where a test makes another object of it. Clouds
are emulators: no Repository can say where one is, so the catalogue's Functions do.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.examples import MANIFESTS, Examples, example
from tests.fix_cluster import claimed_volume
from tests.fix_operator import conditions_of
from tests.testbed.kube.cluster import KubeCluster
from tests.waiting import wait_for

GUIDE = "postgres-standalone-backupconfiguration"
BACKUP = "sample-postgres-backup"
RESTORED = {
    "name: sample-postgres": "name: restored-postgres",
    "name: sample-postgres-auth": "name: restored-postgres-auth",
}
NOBODYS = {  # its Secret has no user
    "name: quick-postgres": "name: nobodys-postgres",
    "name: quick-postgres-auth": "name: local-secret",
}
CUSTOMIZED = "mariadb-customization"
SERVED = {
    "backends-s3": "s3-repo",
    "backends-minio": "minio-repo",
    "backends-gcs": "gcs-repo",
    "backends-azure": "azure-repo",
    "backends-local-hostPath": "local-repo-with-hostpath",
    "backends-local-pvc": "local-repo-with-pvc",
    "backends-local-nfs": "local-repo-with-nfs",
    "backends-local-emptyDir": "local-repo-with-emptydir",
    "backends-local-gcePersistentDisk": "local-repo-with-gcepersistentdisk",
    "backends-local-awsElasticBlockStore": "local-repo-with-awsebs",
    "backends-local-azureDisk": "local-repo-with-azuredisk",
    "backends-local-storageOS": "local-repo-with-storageos",
    "concepts-repository": "gcs-demo-repo",
}
"""Examples and their Repositories; where the store is not here, as far as Ready."""
OTHERS = re.compile(
    r"kind: (Deployment|StatefulSet)\b|\b(mariadb|mysql|mongodb)-(backup|restore)-\d+\."
)
"""Kinds of targets and Tasks that are not PostgreSQL's."""
NOT_SERVED = {
    "backends-b2": "b2-repo",
    "backends-swift": "swift-repo",
    "backends-rest": "rest-repo",
}
HAD_HERE = ["minio-repo", "azure-repo", "local-repo-with-pvc", "local-repo-with-emptydir"]


@pytest.fixture(scope="module")
def guide(examples: Examples) -> Examples:
    """What the documentation's guides have made before their first backup."""
    examples.apply("postgres-standalone-appbinding")
    examples.apply("postgres-standalone-appbinding", RESTORED)
    examples.apply("concepts-appbinding", NOBODYS)
    examples.apply("concepts-appbinding")
    path = {"path: /data/stash-test/repo": f"path: {examples.host_path}"}
    for name in {**SERVED, **NOT_SERVED}:
        examples.apply(name, path if name == "backends-local-hostPath" else None)
    examples.apply("postgres-standalone-repository")
    return examples


@pytest.fixture(autouse=True)
def no_schedule_goes_on(guide: Examples) -> Iterator[None]:
    """Every few minutes all of them would back up at once, beside the tests that follow."""
    yield
    everywhere = ("--all", "--all-namespaces", "--wait=false")
    guide.kubectl("delete", "backupconfigurations", *everywhere)


def made_for(name: str, repository: str, binding: str = "sample-postgres") -> dict[str, str]:
    """The lines of the guide's BackupConfiguration under another name, of other objects."""
    return {
        f"name: {BACKUP}": f"name: {name}",
        "name: gcs-repo": f"name: {repository}",
        "name: sample-postgres": f"name: {binding}",
    }


def test_no_other_add_on_is_left_in_them() -> None:
    for file in MANIFESTS.glob("*.yaml"):
        if file.stem != "changed_lines":
            found = OTHERS.search(example(file.stem))
            assert found is None, f"{file.stem}: {found}"


def test_repositories_of_every_backend(guide: Examples) -> None:
    names = {f"into-{repository}": repository for repository in SERVED.values()}
    refused = {f"into-{repository}": repository for repository in NOT_SERVED.values()}
    guide.kubectl.apply(
        *(example(GUIDE, made_for(name, each)) for name, each in {**names, **refused}.items())
    )
    for name in names:
        guide.ready(name)
    for name in refused:
        found = guide.phase("backupconfiguration", name, "demo", "Invalid")
        words = conditions_of(found["status"])["ValidationPassed"][1]
        assert "which Granary does not support" in words


def test_the_guide_for_postgres(guide: Examples) -> None:
    guide.apply(GUIDE)
    guide.back_up(BACKUP)
    shown = guide.kubectl("get", "repository", "gcs-repo", "--namespace=demo").splitlines()[1]
    assert shown.split()[1] == "true"
    rows = guide.rows()
    guide.drop()
    guide.apply("postgres-standalone-restoresession")
    guide.restore("sample-postgres-restore")
    assert guide.rows() == rows


@pytest.mark.sampled("repository", HAD_HERE, 1)
def test_backups_into_other_stores(guide: Examples, repository: str) -> None:
    name = f"in-{repository}"
    guide.apply(GUIDE, made_for(name, repository))
    guide.back_up(name)


@pytest.mark.slow
def test_a_host_path_that_only_root_may_write(guide: Examples) -> None:
    """As the documentation's troubleshooting has it."""
    guide.apply("troubleshooting-permission-denied", made_for("rooted", "local-repo-with-hostpath"))
    guide.back_up("rooted")
    assert (guide.host_path / "config").exists()


@pytest.mark.slow
def test_bindings_made_by_hand(guide: Examples) -> None:
    here = {"namespace: demo": "namespace: my-database-namespace"}
    guide.apply("postgres-standalone-repository", here)
    guide.apply(GUIDE, here | {"name: sample-postgres": "name: my-custom-appbinding"})
    for name in ("minimal_appbinding", "secret_transform"):
        guide.apply(f"postgres-standalone-{name}")
        guide.back_up(BACKUP, "my-database-namespace")


@pytest.mark.slow
@pytest.mark.sampled(
    "name", ["passing-args", "multi-retention-policy", "resource-limit", "specific-user"], 1
)
def test_customized_backups(guide: Examples, name: str) -> None:
    guide.apply(f"{CUSTOMIZED}-backup-{name}")
    guide.back_up(BACKUP)


@pytest.mark.slow
@pytest.mark.sampled(
    "name", ["passing-args", "resource-limit", "specific-user", "specific-snapshot"], 1
)
def test_customized_restores(guide: Examples, name: str) -> None:
    guide.apply(GUIDE)
    (target,) = guide.back_up(BACKUP)["targets"]
    snapshot = target["stats"][0]["snapshots"][0]["name"][:8]
    rows = guide.rows()
    guide.drop()
    latest = (
        {}
        if name != "specific-snapshot"
        else {"- snapshots: [4bc21d6f]": f"- snapshots: [{snapshot}]"}
    )
    guide.apply(f"{CUSTOMIZED}-restore-{name}", latest)
    guide.restore("sample-postgres-restore")
    assert guide.rows() == rows


@pytest.mark.slow
def test_hooks_of_a_backup_in_the_databases_container(guide: Examples) -> None:
    def is_read_only() -> bool:
        return guide.server.execute("SHOW default_transaction_read_only") == [("on",)]

    guide.apply("hooks-pre_backup_hook_demo")
    guide.back_up("backup-hook-demo")
    assert is_read_only()
    guide.apply("hooks-post_backup_hook_demo")
    guide.back_up("backup-hook-demo")
    assert not is_read_only()


@pytest.mark.slow
def test_hooks_of_a_restore_in_the_databases_container(guide: Examples) -> None:
    guide.apply(GUIDE)
    guide.back_up(BACKUP)
    rows = guide.rows()
    guide.apply("hooks-pre_restore_hook_demo")
    guide.restore("pre-restore-hook-demo")
    assert guide.rows() == rows
    guide.drop()
    guide.apply("hooks-post_restore_hook_demo")
    guide.restore("post-restore-hook-demo")
    guide.server.execute("ALTER TABLE renamed RENAME TO company", database="demo")
    assert guide.rows() == rows


@pytest.mark.slow
def test_notifications_to_slack(guide: Examples) -> None:
    guide.apply("hooks-slack-all_backup_notification")
    guide.back_up("deployment-backup")
    (told,) = guide.received
    assert told.startswith("/services/XX/")
    assert "Backup completed for demo/quick-postgres Status: Succeeded." in told
    guide.apply("hooks-slack-failed_backup_notification")
    guide.back_up("deployment-backup")
    assert len(guide.received) == 1

    failing = {"name: quick-postgres": "name: nobodys-postgres"}
    guide.apply("hooks-slack-failed_backup_notification", failing)
    guide.back_up("deployment-backup", phase="Failed")
    assert "Backup failed for demo/nobodys-postgres Reason: " in guide.received[-1]

    guide.drop()
    guide.apply("hooks-slack-restoresession")
    guide.restore("deployment-restore")
    assert "Restore succeeded for demo/quick-postgres" in guide.received[-1]


def test_a_namespace_for_backups(guide: Examples) -> None:
    guide.apply("postgres-standalone-appbinding", {"namespace: demo": "namespace: prod"})
    guide.apply(
        "postgres-standalone-appbinding", RESTORED | {"namespace: demo": "namespace: staging"}
    )
    base = "dedicated-backup-namespace-"
    for name in ("serviceaccount", "clusterrole", "clusterrolebinding", "repository"):
        guide.apply(f"{base}{name}")
    guide.apply(f"{base}backupconfiguration")
    guide.back_up("sample-mysql-backup", "backup")
    rows = guide.rows()
    guide.drop()
    guide.apply(f"{base}restoresession")
    guide.restore("sample-mysql-restore", "backup")
    assert guide.rows() == rows
    guide.kubectl("delete", "clusterrolebinding", "cross-namespace-target-clusterrolebinding")
    guide.kubectl("delete", "clusterrole", "cross-namespace-target-clusterrole")


@pytest.mark.slow
def test_a_namespace_for_repositories(guide: Examples) -> None:
    """The Task is that of the AppBinding."""
    guide.apply("concepts-appbinding", {"namespace: demo": "namespace: dev"})
    base = "dedicated-storage-namespace-"
    guide.apply(f"{base}repository")
    guide.apply(f"{base}backupconfiguration")
    guide.back_up("sample-statefulset-backup", "dev")
    rows = guide.rows()
    guide.drop()
    guide.apply(f"{base}restoresession")
    guide.restore("sample-statefulset-restore", "dev")
    assert guide.rows() == rows
    guide.apply("postgres-standalone-repository")


def test_an_instant_backup_while_paused(guide: Examples) -> None:
    guide.apply("pause-backup-backupconfiguration")
    guide.ready("deployment-backup")

    def is_suspended() -> bool:
        trigger = guide.kubectl.get("cronjob", "stash-trigger-deployment-backup", "demo")
        return bool(trigger["spec"]["suspend"])

    wait_for(is_suspended, "a pause")
    guide.apply("instant-backup-backupsession")
    guide.phase("backupsession", "deployment-backup-1579170462", "demo", "Succeeded")


def test_accounts_of_clouds(guide: Examples) -> None:
    for platform in ("eks-irsa", "eks-kube2iam", "gke"):
        guide.apply(f"{platform}-backupconfiguration")
        guide.ready(BACKUP)


@pytest.mark.slow
def test_a_volume_for_what_lies_in_between(guide: Examples, kube_cluster: KubeCluster) -> None:
    """No Task of PostgreSQL's writes to it; a user's own may."""
    claim = "between-interim-storage"
    volume, dummy = claimed_volume(claim, claim, "demo", kube_cluster.new_volume_folder(claim))
    volume["spec"]["storageClassName"] = "standard"
    guide.kubectl.apply(volume)
    lines = made_for("between", "gcs-repo")
    guide.apply("concepts-backupconfiguration-interim", lines)
    guide.back_up("between")
    made = guide.kubectl.get("persistentvolumeclaim", claim, "demo")
    assert made["status"]["phase"] == "Bound"
    ours = "stash.appscode.com/invoker-name=between"
    pods = [
        job["spec"]["template"]["spec"] for job in guide.kubectl.list("jobs", "demo", labels=ours)
    ]
    assert pods
    for pod in pods:
        claims = {each["name"]: each.get("persistentVolumeClaim") for each in pod["volumes"]}
        assert claims["stash-interim-volume"] == {"claimName": claim}
        for container in (*pod["initContainers"], *pod["containers"]):
            mounts = {each["name"]: each["mountPath"] for each in container["volumeMounts"]}
            assert mounts["stash-interim-volume"] == "/stash-interim-volume"
    guide.kubectl("delete", "backupconfiguration", "between", "--namespace=demo")
    # Kubernetes keeps a claim for pods that have ended too; a session made by hand outlives.
    guide.kubectl("delete", "jobs", f"--selector={ours}", "--namespace=demo")
    guide.kubectl.wait(f"persistentvolumeclaim/{claim}", "delete", "demo")
    guide.kubectl("delete", "persistentvolume", claim, "--wait=false")


@pytest.mark.slow
def test_a_failed_session_is_to_be_tried_again(guide: Examples) -> None:
    """Ten minutes later, says the example."""
    lines = made_for("tried", "gcs-repo", "nobodys-postgres")
    guide.apply("concepts-backupconfiguration-retry", lines)
    guide.ready("tried")
    guide.kubectl("create", "job", "now", "--from=cronjob/stash-trigger-tried", "--namespace=demo")

    def is_due() -> bool:
        found = guide.kubectl.list("backupsessions", "demo")
        return any(
            each["spec"].get("retryLeft") == 3
            for each in found
            if each.get("status", {}).get("nextRetry")
        )

    wait_for(is_due, "a session to be tried again", timeout_s=90)
