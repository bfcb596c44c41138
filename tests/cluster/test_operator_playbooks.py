# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`install_operator` and `uninstall_operator`, by their names, with the image that they are for."""

from __future__ import annotations

import pytest

from tests import stash_objects as stash
from tests.fix_roles import KINDS, OURS, Roles, changes
from tests.testbed.kube.kubectl import Kubectl, Object
from tests.waiting import wait_for


def ready(kubectl: Kubectl, namespace: str) -> bool:
    """Whether the BackupConfiguration of the namespace is Ready."""
    found = kubectl.get("backupconfiguration", stash.CONFIGURATION, namespace)
    return bool(found.get("status", {}).get("phase") == "Ready")


def cron_jobs(kubectl: Kubectl, namespace: str) -> list[str]:
    """The names of the namespace's CronJobs."""
    return [each["metadata"]["name"] for each in kubectl.list("cronjobs", namespace)]


def stashs_cron_job() -> Object:
    """A CronJob as Stash left it."""
    container = {"name": "stash-trigger", "image": "local.test/none:1"}
    pod = {"spec": {"containers": [container], "restartPolicy": "Never"}}
    labels = {
        "app.kubernetes.io/component": "stash-backup",
        "app.kubernetes.io/managed-by": stash.STASH,
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": "theirs", "labels": labels},
        "spec": {"schedule": stash.NEVER, "jobTemplate": {"spec": {"template": pod}}},
    }


@pytest.mark.slow
@pytest.mark.usefixtures("crds")
def test_schedules_begin_and_end_with_the_operator(
    roles: Roles, kubectl: Kubectl, granary_image: str, namespace: str
) -> None:
    kubectl.apply(
        stash.secret(namespace),
        stash.repository(namespace),
        stash.binding(namespace),
        stash.configuration(namespace, "postgres-backup"),
    )
    kubectl.apply(stashs_cron_job(), namespace=namespace)
    assert "Run the operator" in changes(
        roles.playbook("install_operator", granary_image=granary_image)
    )
    running = kubectl.get("deployment", "granary-operator", roles.home)
    assert running["status"]["readyReplicas"] == 1
    wait_for(lambda: ready(kubectl, namespace), "a schedule")
    trigger = f"stash-trigger-{stash.CONFIGURATION}"
    assert cron_jobs(kubectl, namespace) == [trigger, "theirs"]
    assert changes(roles.playbook("install_operator", granary_image=granary_image)) == []

    assert changes(roles.playbook("uninstall_operator")) == [
        "Stop the operator",
        "Remove the CronJobs of schedules",
        "Remove what an install has made",
    ]
    assert kubectl.list(KINDS, labels=OURS) == []
    assert cron_jobs(kubectl, namespace) == ["theirs"]
    assert ready(kubectl, namespace)
    assert changes(roles.playbook("uninstall_operator")) == []

    assert "Run the operator" in changes(
        roles.playbook("install_operator", granary_image=granary_image)
    )
    wait_for(lambda: trigger in cron_jobs(kubectl, namespace), "the schedule again")
