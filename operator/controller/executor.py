# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Makes the Job of a session: Task and Functions resolved, the account and its rights, the volumes.

Everything may be done again: what is there already is met, not made twice.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.granary.postgres.operator.controller.evaluation import has_exec_hook
from ansible_collections.granary.postgres.operator.controller.job_accounts import (
    ensure_account,
    ensure_repository_rights,
)
from ansible_collections.granary.postgres.plugins.module_utils._core.errors import (
    ClusterObjectExists,
    InvalidObject,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.app_binding import (
    task_of,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.job_spec import (
    HookTarget,
    HookType,
    backup_job,
    hook_container,
    hook_job,
    repository_volumes,
    restore_job,
    step_containers,
    with_hooks,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.names import (
    BACKUP_COMPONENT,
    BACKUP_JOB_CLUSTER_ROLE,
    RESTORE_COMPONENT,
    RESTORE_JOB_CLUSTER_ROLE,
    service_account_name,
    session_labels,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.names import (
    COMPONENT as COMPONENT_LABEL,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.objects import (
    Object,
    controller_of,
    described_object,
    metadata,
    name_of,
    namespace_of,
    owner_reference,
    uid_of,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.pod_spec import (
    PodPlan,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.repository_spec import (
    RepositorySpec,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.task_resolution import (
    ResolvedTask,
    resolve,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.variables import (
    backup_variables,
    restore_variables,
)

if t.TYPE_CHECKING:
    from ansible_collections.granary.postgres.operator.controller.site import Site
    from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.invoker import (
        Invoker,
    )

EXEC_HOOK_CLUSTER_ROLE = "granary-exec-hook-job"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """A session that is to have a Job: with its invoker (for a restore that is itself), as object
    and as read, and its repository, likewise.
    """

    session: Object
    invoker_object: Object
    invoker: Invoker
    repository_object: Object
    repository: RepositorySpec

    @property
    def labels(self) -> dict[str, str]:
        """The labels of its Jobs and their pods."""
        who = self.invoker
        component = BACKUP_COMPONENT if who.is_backup else RESTORE_COMPONENT
        labels = session_labels(who.labels, who.kind, who.name, who.target)
        return {**labels, COMPONENT_LABEL: component}


def ensure_job(site: Site, work: Assignment, seconds_left: float | None) -> Object:
    """Make the Job of a session and return it, or the one that is there already.

    Raises ``InvalidObject`` where it cannot be made as things stand, else ``ClusterError``.
    """
    task = _resolve(site, work)
    hooks = hooks_of(work.invoker)
    containers = with_hooks(
        step_containers(task), hooks, _hook_target(site, work), site.job_settings
    )
    plan = _plan(site, work, containers, task)
    manifest = backup_job if work.invoker.is_backup else restore_job
    job = manifest(
        work.session, plan, site.job_settings, labels=work.labels, seconds_left=seconds_left
    )
    return _create(site, work.session, job)


def ensure_hook_job(site: Site, work: Assignment, hook: HookType) -> Object:
    """Make the Job that runs the session's last hook alone; the rest is as for ``ensure_job``."""
    container = hook_container(hook, _hook_target(site, work), site.job_settings)
    plan = _plan(site, work, [container], None)
    job = hook_job(work.session, plan, site.job_settings, labels=work.labels)
    return _create(site, work.session, job)


def hooks_of(invoker: Invoker) -> list[HookType]:
    """Return the hooks that an invoker has, the first one first."""
    known: tuple[HookType, ...] = ("preBackup", "postBackup", "preRestore", "postRestore")
    mine = known[:2] if invoker.is_backup else known[2:]
    return [each for each in mine if invoker.hooks.get(each)]


def _resolve(site: Site, work: Assignment) -> ResolvedTask:
    invoker = work.invoker
    binding = site.cluster.find("AppBinding", invoker.target.name, invoker.target.namespace)
    if binding is None:
        raise InvalidObject(
            f"AppBinding {invoker.target.namespace}/{invoker.target.name}, the target, does not "
            "exist; create it."
        )
    task = invoker.task.over(task_of(binding, backup=invoker.is_backup))
    variables = (
        backup_variables(invoker, work.repository, name_of(work.session), site.installation)
        if invoker.is_backup
        else restore_variables(invoker, work.repository, site.installation)
    )
    return resolve(
        site.cluster.find,
        task.name,
        variables=variables,
        params=task.params,
        addon_image=site.options.image,
    )


def _plan(
    site: Site, work: Assignment, containers: list[Object], task: ResolvedTask | None
) -> PodPlan:
    invoker, spec = work.invoker, work.repository
    if site.cluster.find("Secret", spec.secret_name, spec.namespace) is None:
        # A pod that is to mount it would wait for it, and nobody would know why.
        raise InvalidObject(
            f"Secret {spec.namespace}/{spec.secret_name} does not exist; create it."
        )
    account = _ensure_rights(site, work)
    volumes = repository_volumes(
        spec,
        invoker.namespace,
        scratch=invoker.temp_dir,
        interim_claim=_ensure_interim_claim(site, work) if task else None,
        others=task.volumes if task else (),
    )
    return PodPlan(
        containers=containers,
        volumes=volumes,
        service_account=account,
        runtime_settings=invoker.runtime_settings,
    )


def _ensure_rights(site: Site, work: Assignment) -> str:
    """Return the account of the Job, with all that it may do."""
    invoker = work.invoker
    users = (invoker.runtime_settings.get("pod") or {}).get("serviceAccountName")
    if users and site.cluster.find("ServiceAccount", users, invoker.namespace) is None:
        raise InvalidObject(
            f"ServiceAccount {invoker.namespace}/{users}, which spec.runtimeSettings.pod names, "
            "does not exist; create it."
        )
    roles = [BACKUP_JOB_CLUSTER_ROLE if invoker.is_backup else RESTORE_JOB_CLUSTER_ROLE]
    if site.options.exec_hooks and has_exec_hook(invoker):
        roles.append(EXEC_HOOK_CLUSTER_ROLE)
    account = ensure_account(
        site.cluster,
        work.invoker_object,
        invoker,
        name=service_account_name(invoker.kind, invoker.name),
        cluster_roles=roles,
        labels=work.labels,
    )
    ensure_repository_rights(
        site.cluster,
        work.invoker_object,
        invoker,
        work.repository_object,
        work.repository,
        account=account,
    )
    return account


def _ensure_interim_claim(site: Site, work: Assignment) -> str | None:
    """Return the claim for the interim volume that the invoker asks for, made once for it."""
    template = work.invoker.interim_volume_template
    if not template:
        return None
    meta = template.get("metadata") or {}
    name = f"{work.invoker.name}-{meta.get('name') or 'interim'}"
    claim: Object = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": name,
            "namespace": work.invoker.namespace,
            "labels": {**(meta.get("labels") or {}), **work.labels},
            "annotations": meta.get("annotations") or {},
            "ownerReferences": [owner_reference(work.invoker_object)],
        },
        "spec": template.get("spec") or {},
    }
    if site.cluster.find("PersistentVolumeClaim", name, work.invoker.namespace) is None:
        _create(site, work.invoker_object, claim)
    return name


def _hook_target(site: Site, work: Assignment) -> HookTarget:
    invoker = work.invoker
    return HookTarget(
        backup_session=name_of(work.session) if invoker.is_backup else "",
        invoker_kind=invoker.kind,
        invoker_name=invoker.name,
        target_kind=invoker.target.kind,
        target_namespace=invoker.target.namespace,
        target_name=invoker.target.name,
        hostname=invoker.host,
        pushgateway=site.options.pushgateway_url,
    )


def _create(site: Site, owner: Object, obj: Object) -> Object:
    """Create an object of ours, content with one that is there and has the same owner."""
    try:
        return site.cluster.create(obj)
    except ClusterObjectExists as exc:
        found = site.cluster.find(obj["kind"], name_of(obj), namespace_of(obj))
        if found is not None and (controller_of(found) or {}).get("uid") == uid_of(owner):
            return found
        if found is None or metadata(found).get("deletionTimestamp"):
            raise
        raise InvalidObject(
            f"{described_object(obj)} is there already and belongs to somebody else; rename one."
        ) from exc
