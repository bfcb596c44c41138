# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Pods and Jobs of one shell command, as a namespace that enforces `restricted` lets them in."""

from __future__ import annotations

import typing as t

from .images import BUSYBOX_IMAGE
from .kubectl import Object


def pod(
    name: str, namespace: str, script: str, *, image: str = BUSYBOX_IMAGE, **more: t.Any
) -> Object:
    """A pod that runs a shell script once; `more` are fields of its spec."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": name}},
        "spec": {**_pod_spec(script, image), **more},
    }


def job(name: str, namespace: str, script: str, **more: t.Any) -> Object:
    """A Job of such a pod, tried once; `more` are fields of the pod's spec."""
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": namespace},
        "spec": job_spec(script, **more),
    }


def job_spec(script: str, **more: t.Any) -> Object:
    """What a Job, or a CronJob's template of one, consists of."""
    return {"backoffLimit": 0, "template": {"spec": {**_pod_spec(script, BUSYBOX_IMAGE), **more}}}


def _pod_spec(script: str, image: str) -> Object:
    return {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 1,
        "containers": [
            {
                "name": "main",
                "image": image,
                "command": ["sh", "-ec", script],
                "securityContext": {
                    "runAsNonRoot": True,
                    "runAsUser": 65535,
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
            }
        ],
    }
