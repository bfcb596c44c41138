# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""The pod of a Job: its containers in their order, their volumes, and the user's
``runtimeSettings``.

Pure: dicts in, dicts out.
"""

from __future__ import annotations

import dataclasses
import typing as t

from .containers import USER_ID, identity_environment, with_settings
from .names import (
    INTERIM_PATH,
    INTERIM_VOLUME,
    LOCAL_VOLUME,
    SCRATCH_PATH,
    SCRATCH_VOLUME,
    SECRET_PATH,
    SECRET_VOLUME,
)

if t.TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .objects import Object
    from .repository_spec import LocalVolume

# Of runtimeSettings.pod; podLabels are not for Jobs (stash.md 1.10).
_POD_FIELDS = (
    "nodeSelector",
    "nodeName",
    "automountServiceAccountToken",
    "imagePullSecrets",
    "affinity",
    "schedulerName",
    "tolerations",
    "priorityClassName",
    "priority",
    "readinessGates",
    "runtimeClassName",
    "enableServiceLinks",
    "topologySpreadConstraints",
)
_TERMINATION_SECONDS = 30


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class JobSettings:
    """What all pods have in common: our image, and the uid of the cluster (of kube-system)."""

    image: str
    cluster_uid: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PodVolumes:
    """What the containers find mounted.

    ``scratch`` is the invoker's tempDir. ``secret`` is the storage Secret, where it lies in the
    pod's own namespace. ``interim_claim`` is the claim made of an interimVolumeTemplate. ``others``
    are those of the Task.
    """

    scratch: Mapping[str, t.Any] = dataclasses.field(default_factory=dict)
    secret: str | None = None
    local: LocalVolume | None = None
    interim_claim: str | None = None
    others: Sequence[Object] = ()

    def volumes(self) -> list[Object]:
        """Return the pod's volumes."""
        scratch = {k: self.scratch[k] for k in ("medium", "sizeLimit") if self.scratch.get(k)}
        volumes: list[Object] = [{"name": SCRATCH_VOLUME, "emptyDir": scratch}]
        if self.secret:
            volumes.append({"name": SECRET_VOLUME, "secret": {"secretName": self.secret}})
        if self.local:
            volumes.append({"name": LOCAL_VOLUME, **self.local.source})
        if self.interim_claim:
            claim = {"claimName": self.interim_claim}
            volumes.append({"name": INTERIM_VOLUME, "persistentVolumeClaim": claim})
        return [*volumes, *self.others]

    def mounts(self) -> list[Object]:
        """Return where every container finds them; the Task's own say so themselves."""
        mounts: list[Object] = [{"name": SCRATCH_VOLUME, "mountPath": SCRATCH_PATH}]
        if self.secret:
            mounts.append({"name": SECRET_VOLUME, "mountPath": SECRET_PATH, "readOnly": True})
        if self.local:
            mount: Object = {"name": LOCAL_VOLUME, "mountPath": self.local.mount_path}
            if self.local.sub_path:
                mount["subPath"] = self.local.sub_path
            mounts.append(mount)
        if self.interim_claim:
            mounts.append({"name": INTERIM_VOLUME, "mountPath": INTERIM_PATH})
        return mounts


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PodPlan:
    """A pod to be: ``containers`` run one after the other, the last as the only main one."""

    containers: Sequence[Object]
    volumes: PodVolumes
    service_account: str
    runtime_settings: Mapping[str, t.Any]


def pod_template(plan: PodPlan, labels: Mapping[str, str], settings: JobSettings) -> Object:
    """Return the template of a Job's pod."""
    wishes = plan.runtime_settings.get("pod") or {}
    security = pod_security(wishes)
    containers = [_settled(each, plan, security, settings) for each in plan.containers]
    spec: Object = {
        "serviceAccountName": plan.service_account,
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": _TERMINATION_SECONDS,
        "securityContext": security,
        "containers": containers[-1:],
        "volumes": plan.volumes.volumes(),
    }
    if containers[:-1]:
        spec["initContainers"] = containers[:-1]
    spec |= {field: wishes[field] for field in _POD_FIELDS if wishes.get(field) is not None}
    metadata: Object = {"labels": dict(labels)}
    if wishes.get("podAnnotations"):
        metadata["annotations"] = dict(wishes["podAnnotations"])
    return {"metadata": metadata, "spec": spec}


def pod_security(wishes: Mapping[str, t.Any]) -> Object:
    """Return the pod's securityContext: the user's as a whole, or else one that lets our user write
    to volumes that a file system group can be given.
    """
    given = wishes.get("securityContext")
    if given:
        return dict(given)
    return {
        "runAsUser": USER_ID,
        "runAsGroup": USER_ID,
        "fsGroup": USER_ID,
        # A repository may have a million files: look at the topmost folder alone.
        "fsGroupChangePolicy": "OnRootMismatch",
    }


def _settled(
    container: Object, plan: PodPlan, security: Mapping[str, t.Any], settings: JobSettings
) -> Object:
    mounted = {
        **container,
        "volumeMounts": _by_path([*plan.volumes.mounts(), *(container.get("volumeMounts") or [])]),
    }
    return with_settings(
        mounted,
        plan.runtime_settings.get("container") or {},
        environment=identity_environment(settings.cluster_uid),
        pod_security=security,
        read_only=container.get("image") == settings.image,
    )


def _by_path(mounts: Sequence[Object]) -> list[Object]:
    """Return the mounts with one for each path, the last that was given."""
    return list({each["mountPath"]: each for each in mounts}.values())
