# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Repository: keeps the list of those who use it, and has its data deleted where it says so."""

from __future__ import annotations

import datetime
import logging
import typing as t

from ansible_collections.granary.postgres.operator.controller.finalizers import write_finalizers
from ansible_collections.granary.postgres.operator.controller.foreign_rights import (
    remove_orphans_in,
)
from ansible_collections.granary.postgres.operator.controller.job_outcome import (
    JOB_NAME_LABEL,
    JobPhase,
    cause_of_failure,
    outcome_of,
)
from ansible_collections.granary.postgres.operator.controller.keys import Key
from ansible_collections.granary.postgres.operator.controller.repository_references import (
    without_references,
)
from ansible_collections.granary.postgres.operator.controller.site import COMPONENT
from ansible_collections.granary.postgres.plugins.module_utils._core.errors import (
    ClusterForbidden,
    ClusterObjectExists,
    InvalidObject,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.durations import (
    now,
    parse_time,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.events import (
    WARNING,
    record_event,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.job_spec import (
    wipe_out_job,
    wipe_out_job_name,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.names import (
    STASH_FINALIZERS,
    WIPE_OUT_FINALIZER,
    offshoot_labels,
    service_account_name,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.objects import (
    KINDS,
    Object,
    is_being_deleted,
    metadata,
    spec_of,
    status_of,
    uid_of,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.repository_spec import (
    RepositorySpec,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.rights import (
    Account,
    repository_rights,
    service_account,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.status import (
    write_status,
)

if t.TYPE_CHECKING:
    from ansible_collections.granary.postgres.operator.controller.site import Site

_log = logging.getLogger("granary.repository")
FIRST_RETRY_S = 15.0
LONGEST_RETRY_S = 600.0
WIPE_OUT_FAILED = "Wipe Out Failed"


def reconcile_repository(site: Site, key: Key) -> float | None:
    """Move a Repository on."""
    obj = site.cluster.find("Repository", key.name, key.namespace)
    if obj is None:
        return None
    if is_being_deleted(obj):
        return _delete(site, obj)
    write_finalizers(site.cluster, obj, wanted_finalizers(obj))
    _drop_references(site, obj)
    if (spec_of(obj).get("usagePolicy") or {}).get("allowedNamespaces"):
        remove_orphans_in(site, key.namespace)
    return None


def wanted_finalizers(obj: Object) -> list[str]:
    """Return the finalizers that a living Repository is to have. Pure."""
    left = [each for each in metadata(obj).get("finalizers") or [] if each not in STASH_FINALIZERS]
    others = [each for each in left if each != WIPE_OUT_FINALIZER]
    if not spec_of(obj).get("wipeOut"):
        return others
    return left if WIPE_OUT_FINALIZER in left else [*left, WIPE_OUT_FINALIZER]


def _drop_references(site: Site, obj: Object) -> None:
    """Take invokers that are gone out of the references."""

    def is_gone(reference: Object) -> bool:
        kind, namespace = reference.get("kind") or "", reference.get("namespace") or ""
        if kind not in KINDS or not site.options.serves(namespace):
            return False
        return site.cluster.find(kind, reference.get("name") or "", namespace) is None

    if without_references(status_of(obj), is_gone) == status_of(obj):
        return
    meta = metadata(obj)
    write_status(
        site.cluster,
        "Repository",
        meta["name"],
        meta["namespace"],
        lambda status: without_references(status, is_gone),
        uid=meta["uid"],
    )


def _delete(site: Site, obj: Object) -> float | None:
    """Have the data deleted where that is wanted, and let the object go."""
    finalizers = metadata(obj).get("finalizers") or []
    left = [each for each in finalizers if each not in STASH_FINALIZERS]
    if WIPE_OUT_FINALIZER in left and spec_of(obj).get("wipeOut"):
        again = _wipe_out(site, obj)
        if again is not None:
            write_finalizers(site.cluster, obj, left)
            return again
    write_finalizers(site.cluster, obj, [each for each in left if each != WIPE_OUT_FINALIZER])
    return None


def _wipe_out(site: Site, obj: Object) -> float | None:
    """Move the deletion of the data on; None once there is nothing more to wait for.

    It is given up where it can never be: the Secret is gone, or the namespace is being deleted, in
    which no Job can begin. Another failure is tried again until the user takes ``wipeOut`` back.
    """
    namespace = metadata(obj)["namespace"]
    try:
        spec = RepositorySpec.parse(obj)
        spec.check_supported()
        return _follow_wipe_out(site, obj, spec)
    except InvalidObject as exc:
        _give_up(site, obj, exc.sentence)
    except (ClusterForbidden, ClusterObjectExists) as exc:
        if not _is_terminating(site, namespace):
            raise
        _give_up(site, obj, exc.sentence)
    return None


def _follow_wipe_out(site: Site, obj: Object, spec: RepositorySpec) -> float | None:
    job = site.cluster.find("Job", wipe_out_job_name(spec.name), spec.namespace)
    if job is None or not _is_of(job, obj):
        if site.cluster.find("Secret", spec.secret_name, spec.namespace) is None:
            _give_up(site, obj, f"Secret {spec.secret_name}, which it needs, is gone.")
            return None
        _start_wipe_out(site, obj, spec)
        return LONGEST_RETRY_S
    outcome = outcome_of(job)
    if outcome.phase is JobPhase.COMPLETE:
        return None
    return _try_again(site, obj, job) if outcome.phase.is_over else LONGEST_RETRY_S


def _start_wipe_out(site: Site, obj: Object, spec: RepositorySpec) -> None:
    name = service_account_name("Repository", spec.name)
    account = Account(name=name, namespace=spec.namespace)
    labels = offshoot_labels(metadata(obj).get("labels"))
    site.cluster.ensure(service_account(account, obj, labels))
    for each in repository_rights(name, account, obj, spec, labels):
        site.cluster.ensure(each)
    site.cluster.create(wipe_out_job(obj, spec, site.job_settings, service_account=name))


def _try_again(site: Site, obj: Object, job: Object) -> float:
    """Say why the Job failed; after a pause that grows with the object's wait, make it anew."""
    name, namespace = metadata(job)["name"], metadata(job)["namespace"]
    pods = site.cluster.list("Pod", namespace, labels={JOB_NAME_LABEL: name})
    cause = cause_of_failure(name, outcome_of(job), pods)
    wait = retry_in_s(obj, job, now())
    if wait > 0:
        _complain(site, obj, f"{cause} It is tried again; set spec.wipeOut to false to keep it.")
        return wait
    site.cluster.delete("Job", name, namespace, uid=uid_of(job), propagation="Foreground")
    return FIRST_RETRY_S


def retry_in_s(obj: Object, job: Object, moment: datetime.datetime) -> float:
    """Return in how many seconds a failed Job is made anew: the longer the Repository waits, the
    later. Pure.
    """
    deleted = parse_time(metadata(obj)["deletionTimestamp"])
    made = parse_time(metadata(job)["creationTimestamp"])
    pause = min(max(FIRST_RETRY_S, (made - deleted).total_seconds()), LONGEST_RETRY_S)
    return (made - moment).total_seconds() + pause


def _give_up(site: Site, obj: Object, reason: str) -> None:
    _complain(site, obj, f"The data is left where it is: {reason}")


def _complain(site: Site, obj: Object, message: str) -> None:
    _log.warning('event=wipe_out_failed object="%s" error="%s"', metadata(obj)["name"], message)
    record_event(site.cluster, obj, WIPE_OUT_FAILED, WARNING, message, component=COMPONENT)


def _is_terminating(site: Site, namespace: str) -> bool:
    found = site.cluster.find("Namespace", namespace)
    return found is None or is_being_deleted(found)


def _is_of(job: Object, obj: Object) -> bool:
    owners = metadata(job).get("ownerReferences") or []
    return any(each.get("uid") == uid_of(obj) for each in owners)
