# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The command of a schedule's CronJob, with the rights of its account and nothing more."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.fix_job import JobBed
from tests.testbed.kube.cluster import KubeCluster
from tests.testbed.ports import HOST

RULES = [
    {"apiGroups": ["stash.appscode.com"], "resources": ["backupconfigurations"], "verbs": ["get"]},
    {"apiGroups": ["stash.appscode.com"], "resources": ["backupsessions"], "verbs": ["create"]},
    {
        "apiGroups": ["stash.appscode.com"],
        "resources": ["backupconfigurations/finalizers"],
        "verbs": ["update"],
    },
]
DUE = "stash-trigger-pg-backup-29397360"
RBAC = "rbac.authorization.k8s.io"


@pytest.fixture
def account(kube_cluster: KubeCluster, local_job_bed: JobBed, tmp_path: Path) -> Path:
    """The folder that a pod of the trigger's account finds."""
    bed = local_job_bed
    bed.apply({"apiVersion": "v1", "kind": "ServiceAccount"}, "trigger")
    bed.apply({"apiVersion": f"{RBAC}/v1", "kind": "Role", "rules": RULES}, "trigger")
    subject = {"kind": "ServiceAccount", "name": "trigger", "namespace": bed.namespace}
    role = {"apiGroup": RBAC, "kind": "Role", "name": "trigger"}
    kind = {"apiVersion": f"{RBAC}/v1", "kind": "RoleBinding"}
    bed.apply({**kind, "subjects": [subject], "roleRef": role}, "trigger")
    folder = tmp_path / "account"
    folder.mkdir()
    token = bed.kubectl("create", "token", "trigger", f"--namespace={bed.namespace}")
    (folder / "token").write_text(token)
    authority = kube_cluster.credentials.authority.certificate
    (folder / "ca.crt").write_bytes(Path(authority).read_bytes())
    return folder


def trigger(
    bed: JobBed, account: Path, port: int, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run the command; where it finds its account is its caller's to say."""
    code = (
        "import sys; from pathlib import Path\n"
        "from ansible_collections.granary.postgres.operator.job import create_backupsession as c\n"
        "sys.exit(c.main(sys.argv[2:], service_account=Path(sys.argv[1]), pause_seconds=0.1))\n"
    )
    arguments = ["--invoker-name=pg-backup", "--invoker-kind=BackupConfiguration"]
    return subprocess.run(
        [sys.executable, "-c", code, str(account), *arguments, f"--namespace={bed.namespace}"],
        env={
            **os.environ,
            "KUBERNETES_SERVICE_HOST": HOST,
            "KUBERNETES_SERVICE_PORT": str(port),
            "HTTPS_PROXY": f"http://{HOST}:1",
            **environment,
        },
        check=False,
        capture_output=True,
        text=True,
        cwd="/",
    )


def test_one_session_a_minute_whoever_asks(
    kube_cluster: KubeCluster, local_job_bed: JobBed, account: Path
) -> None:
    bed, port = local_job_bed, kube_cluster.credentials.api_port
    bed.configuration(retryConfig={"maxRetry": 2})
    first = trigger(bed, account, port, GRANARY_JOB_NAME=DUE)
    assert (first.returncode, "session_created" in first.stderr) == (0, True), first.stderr
    second = trigger(bed, account, port, GRANARY_JOB_NAME=DUE)
    assert (second.returncode, "session_was_there" in second.stderr) == (0, True), second.stderr
    (session,) = bed.kubectl.list("backupsessions", bed.namespace)
    assert session["metadata"]["name"] == f"pg-backup-{29_397_360 * 60}"
    assert session["spec"]["retryLeft"] == 2
    (owner,) = session["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"]) == ("BackupConfiguration", "pg-backup")


def test_what_is_missing_or_forbidden_is_named(
    kube_cluster: KubeCluster, local_job_bed: JobBed, account: Path
) -> None:
    bed, port = local_job_bed, kube_cluster.credentials.api_port
    done = trigger(bed, account, port)
    assert done.returncode == 1
    assert f"BackupConfiguration {bed.namespace}/pg-backup was not found" in done.stderr
    bed.kubectl("delete", "rolebinding", "trigger", f"--namespace={bed.namespace}")
    done = trigger(bed, account, port)
    assert done.returncode == 1
    assert "is forbidden" in done.stderr


def test_it_waits_for_an_api_server_that_comes_back(
    kube_cluster: KubeCluster, local_job_bed: JobBed, account: Path
) -> None:
    bed = local_job_bed
    bed.configuration()
    began = time.monotonic()
    done = trigger(bed, account, 1)
    assert done.returncode == 1
    assert time.monotonic() - began >= 0.5  # it tried more than once
    assert "did not answer" in done.stderr
