# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""BackupConfiguration: says whether it can be served, and keeps the CronJob that triggers it."""

from __future__ import annotations

import logging
import typing as t

from ansible_collections.granary.postgres.operator.controller.configuration_metrics import (
    announce,
    withdraw,
)
from ansible_collections.granary.postgres.operator.controller.evaluation import (
    FITS_RESTRICTED,
    Evaluation,
    evaluate,
    refused,
)
from ansible_collections.granary.postgres.operator.controller.facts import needs_of, read_facts
from ansible_collections.granary.postgres.operator.controller.finalizers import (
    take_stash_finalizers_off,
)
from ansible_collections.granary.postgres.operator.controller.foreign_rights import remove_orphans
from ansible_collections.granary.postgres.operator.controller.job_accounts import ensure_account
from ansible_collections.granary.postgres.operator.controller.keys import Key
from ansible_collections.granary.postgres.operator.controller.patience import look_again_s
from ansible_collections.granary.postgres.operator.controller.repository_references import (
    with_reference,
)
from ansible_collections.granary.postgres.plugins.module_utils._core.errors import (
    ClusterForbidden,
    ClusterObjectExists,
    ClusterObjectMissing,
    GranaryError,
    InvalidObject,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes import conditions as c
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.cron_job import (
    Trigger,
    trigger_cron_job,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.durations import now
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.events import (
    CONFIGURATION_CONTROLLER,
    CRON_JOB_CREATION_FAILED,
    WARNING,
    record_event,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.invoker import (
    Invoker,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.names import (
    CRON_JOB_CLUSTER_ROLE,
    cron_job_name,
    offshoot_labels,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.objects import (
    STASH,
    Object,
    is_being_deleted,
    metadata,
    status_of,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.phases import (
    READY,
    configuration_phase,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.status import (
    write_status,
)

if t.TYPE_CHECKING:
    from ansible_collections.granary.postgres.operator.controller.site import Site

_log = logging.getLogger("granary.configuration")


def reconcile_configuration(site: Site, key: Key) -> float | None:
    """Move a BackupConfiguration on."""
    obj = site.cluster.find("BackupConfiguration", key.name, key.namespace)
    if obj is None or is_being_deleted(obj):
        return _leave(site, key, obj)
    take_stash_finalizers_off(site.cluster, obj)
    try:
        invoker = Invoker.parse(obj)
    except InvalidObject as exc:
        site.dependants.forget(key)
        _write(site, obj, refused(exc).conditions)
        return None
    site.dependants.note(key, needs_of(invoker))
    facts = read_facts(site.cluster, invoker)
    evaluation = evaluate(invoker, facts, exec_hooks=site.options.exec_hooks)
    if isinstance(facts.repository, dict):
        _refer(site, obj, facts.repository)
    conditions = list(evaluation.conditions)
    trigger = _ensure_trigger(site, obj, invoker, evaluation)
    if trigger is not None:
        conditions.append(trigger)
    status = _write(site, obj, conditions)
    again = announce(site, obj, invoker)
    return again if status.get("phase") == READY else look_again_s(status, now())


def _leave(site: Site, key: Key, obj: Object | None) -> float | None:
    """Clear away what is not cleared away with the object by Kubernetes itself."""
    if obj is not None:
        take_stash_finalizers_off(site.cluster, obj)
        return None
    for needed in site.dependants.needs_of(key):
        if needed.kind == "Repository":
            site.queue.add(needed)  # it names those who use it
    site.dependants.forget(key)
    remove_orphans(site, key)
    return withdraw(site, key)


def _refer(site: Site, obj: Object, repository: Object) -> None:
    """Put the invoker into its Repository's references, where it is not there already."""
    name, namespace = metadata(repository)["name"], metadata(repository)["namespace"]
    reference = {
        "apiGroup": STASH,
        "kind": obj["kind"],
        "name": metadata(obj)["name"],
        "namespace": metadata(obj)["namespace"],
    }
    if with_reference(status_of(repository), reference) == status_of(repository):
        return
    try:
        write_status(
            site.cluster,
            "Repository",
            name,
            namespace,
            lambda status: with_reference(status, reference),
            uid=metadata(repository)["uid"],
        )
    except (ClusterObjectMissing, ClusterForbidden) as exc:
        _log.warning('event=reference_not_written repository="%s" error="%s"', name, exc.sentence)


def _ensure_trigger(
    site: Site, obj: Object, invoker: Invoker, evaluation: Evaluation
) -> Object | None:
    """Make or bring up to date the CronJob and its account; return the condition about it.

    While something is missing none is made, but one that is there follows the user's schedule and
    pause all the same.
    """
    name = cron_job_name(invoker.name, invoker.namespace, invoker.target.namespace)
    if not evaluation.is_sound and not _has_trigger(obj):
        return None
    try:
        account = ensure_account(
            site.cluster,
            obj,
            invoker,
            name=name,
            cluster_roles=[CRON_JOB_CLUSTER_ROLE],
            labels=offshoot_labels(invoker.labels),
        )
        trigger = Trigger(
            name=name,
            schedule=invoker.schedule,
            paused=invoker.paused,
            service_account=account,
            runtime_settings=invoker.runtime_settings,
        )
        site.cluster.ensure(trigger_cron_job(obj, trigger, site.job_settings))
    except (InvalidObject, ClusterObjectExists, ClusterForbidden) as exc:
        return _trigger_failed(site, obj, exc)
    return c.condition(
        c.CRON_JOB_CREATED, c.TRUE, "Successfully created backup triggering CronJob."
    )


def _has_trigger(obj: Object) -> bool:
    return c.is_true(status_of(obj).get("conditions"), c.CRON_JOB_CREATED)


def _trigger_failed(site: Site, obj: Object, exc: GranaryError) -> Object:
    message = f"Failed to create backup triggering CronJob. Reason: {exc.sentence}"
    known = c.find(status_of(obj).get("conditions"), c.CRON_JOB_CREATED) or {}
    if known.get("message") != message:
        record_event(
            site.cluster,
            obj,
            CRON_JOB_CREATION_FAILED,
            WARNING,
            message,
            component=CONFIGURATION_CONTROLLER,
        )
    return c.condition(c.CRON_JOB_CREATED, c.FALSE, message)


def _write(site: Site, obj: Object, conditions: list[Object]) -> Object:
    """Write the status with the phase that follows from it; return it."""
    told = {each["type"] for each in conditions}

    def change(status: Object) -> Object:
        found = status.get("conditions")
        for type_ in (FITS_RESTRICTED, c.BACKEND_SECRET_FOUND, c.VALIDATION_PASSED):
            if type_ not in told:
                found = c.without_condition(found, type_)
        for each in conditions:
            found = c.with_condition(found, each)
        status = {**status, "conditions": found}
        status["observedGeneration"] = metadata(obj).get("generation")
        status["phase"] = configuration_phase(status)
        return status

    if change(status_of(obj)) == status_of(obj):
        return status_of(obj)
    meta = metadata(obj)
    written = write_status(
        site.cluster, obj["kind"], meta["name"], meta["namespace"], change, uid=meta["uid"]
    )
    return status_of(written)
