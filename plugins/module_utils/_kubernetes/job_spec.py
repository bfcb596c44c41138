# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""Whole manifests of the Jobs that back up, restore, run a hook alone, and wipe a repository out.

Pure. The name of each is made of what it is for, so that a second try to make it meets the first.
"""

from __future__ import annotations

import dataclasses
import math
import typing as t

from .containers import with_function_settings
from .names import (
    BACKUP_JOB,
    DEFAULT_HOST,
    NAME_LIMIT,
    OUTPUT_PATH,
    RESTORE_JOB,
    job_name,
    offshoot_labels,
    short,
)
from .objects import metadata, name_of, namespace_of, owner_reference
from .pod_spec import JobSettings, PodPlan, PodVolumes, pod_template
from .repository_spec import LOCAL

if t.TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .objects import Object
    from .repository_spec import RepositorySpec
    from .task_resolution import ResolvedTask

HOOK_JOB = "stash-hook"
WIPE_OUT_JOB = "stash-wipe-out"
PRE_HOOK_CONTAINER = "pre-task-hook"
POST_HOOK_CONTAINER = "post-task-hook"
# Stash gives each of a hook's four handlers five minutes; the rest is for the pod to start.
HOOK_SECONDS = 4 * 300 + 300
HookType: t.TypeAlias = t.Literal["preBackup", "postBackup", "preRestore", "postRestore"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class HookTarget:
    """Whom a session's hooks are about, and where they report to; ``backup_session`` is empty for a
    restore, ``pushgateway`` where no metrics are pushed.
    """

    backup_session: str
    invoker_kind: str
    invoker_name: str
    target_kind: str
    target_namespace: str
    target_name: str
    hostname: str = DEFAULT_HOST
    pushgateway: str = ""


def hook_container(hook: HookType, about: HookTarget, settings: JobSettings) -> Object:
    """Return the container that runs one hook."""
    is_first = hook in {"preBackup", "preRestore"}
    return {
        "name": PRE_HOOK_CONTAINER if is_first else POST_HOOK_CONTAINER,
        "image": settings.image,
        "args": [
            "run-hook",
            f"--backupsession={about.backup_session}",
            f"--invoker-kind={about.invoker_kind}",
            f"--invoker-name={about.invoker_name}",
            f"--target-kind={about.target_kind}",
            f"--target-namespace={about.target_namespace}",
            f"--target-name={about.target_name}",
            f"--hook-type={hook}",
            f"--hostname={about.hostname}",
            f"--output-dir={OUTPUT_PATH}",
            f"--metrics-enabled={'true' if about.pushgateway else 'false'}",
            f"--metrics-pushgateway-url={about.pushgateway}",
        ],
    }


def step_containers(task: ResolvedTask) -> list[Object]:
    """Return the containers of a Task's steps, each with what its Function says of running it."""
    return [with_function_settings(step.container, step.runtime_settings) for step in task.steps]


def with_hooks(
    containers: Sequence[Object],
    hooks: Sequence[HookType],
    about: HookTarget,
    settings: JobSettings,
) -> list[Object]:
    """Return a Task's containers between the session's hooks."""
    made = [hook_container(each, about, settings) for each in hooks]
    first = [each for each in made if each["name"] == PRE_HOOK_CONTAINER]
    last = [each for each in made if each["name"] == POST_HOOK_CONTAINER]
    return [*first, *containers, *last]


def backup_job(
    session: Object,
    plan: PodPlan,
    settings: JobSettings,
    *,
    labels: Mapping[str, str],
    seconds_left: float | None,
    index: int = 0,
) -> Object:
    """Return the Job that backs up target number ``index`` of a BackupSession.

    ``seconds_left`` until the session's deadline: then Kubernetes stops the Job, whether an
    operator runs or not.
    """
    name = job_name(BACKUP_JOB, name_of(session), index)
    template = pod_template(plan, labels, settings)
    return _job(name, session, labels, template, deadline_seconds=seconds_left)


def restore_job(
    session: Object,
    plan: PodPlan,
    settings: JobSettings,
    *,
    labels: Mapping[str, str],
    seconds_left: float | None,
    index: int = 0,
) -> Object:
    """Return the Job of a RestoreSession; the rest is as for ``backup_job``."""
    name = job_name(RESTORE_JOB, name_of(session), index)
    template = pod_template(plan, labels, settings)
    return _job(name, session, labels, template, deadline_seconds=seconds_left)


def hook_job(
    session: Object,
    plan: PodPlan,
    settings: JobSettings,
    *,
    labels: Mapping[str, str],
    index: int = 0,
) -> Object:
    """Return the Job that runs a session's last hook where its own Job died before it came to it;
    ``plan`` has that one container.
    """
    name = job_name(HOOK_JOB, name_of(session), index)
    template = pod_template(plan, labels, settings)
    return _job(name, session, labels, template, deadline_seconds=HOOK_SECONDS)


def wipe_out_job_name(repository: str) -> str:
    """Return the name of the Job that deletes a repository's data."""
    return short(f"{WIPE_OUT_JOB}-{repository.replace('.', '-')}", NAME_LIMIT)


def wipe_out_job(
    repository: Object, spec: RepositorySpec, settings: JobSettings, *, service_account: str
) -> Object:
    """Return the Job that deletes the data of a Repository."""
    labels = offshoot_labels(metadata(repository).get("labels"))
    container: Object = {
        "name": "wipe-out",
        "image": settings.image,
        "args": ["wipe-out", f"--namespace={spec.namespace}", f"--repository-name={spec.name}"],
    }
    plan = PodPlan(
        containers=[container],
        volumes=repository_volumes(spec, spec.namespace),
        service_account=service_account,
        runtime_settings={},
    )
    template = pod_template(plan, labels, settings)
    name = wipe_out_job_name(spec.name)
    return _job(name, repository, labels, template, deadline_seconds=None)


def repository_volumes(
    spec: RepositorySpec,
    namespace: str,
    *,
    scratch: Mapping[str, t.Any] | None = None,
    interim_claim: str | None = None,
    others: Sequence[Object] = (),
) -> PodVolumes:
    """Return what a pod in ``namespace`` mounts to use the repository.

    A Secret of another namespace cannot be mounted; it is read from the API server then.
    """
    return PodVolumes(
        scratch=scratch or {},
        secret=spec.secret_name if spec.namespace == namespace else None,
        local=spec.local if spec.provider == LOCAL else None,
        interim_claim=interim_claim,
        others=others,
    )


def _job(
    name: str,
    owner: Object,
    labels: Mapping[str, str],
    template: Object,
    *,
    deadline_seconds: float | None,
) -> Object:
    # Nothing is tried again by Kubernetes: a second dump would run as long as the first one, and
    # sessions have retries of their own.
    spec: Object = {"backoffLimit": 0, "template": template}
    if deadline_seconds is not None:
        spec["activeDeadlineSeconds"] = max(1, math.ceil(deadline_seconds))
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name,
            "namespace": namespace_of(owner),
            "labels": dict(labels),
            "ownerReferences": [owner_reference(owner)],
        },
        "spec": spec,
    }
