# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""The CronJob that makes a BackupSession at each of its invoker's times. Pure."""

from __future__ import annotations

import dataclasses
import typing as t

from .containers import field_variable
from .names import DELETE_JOB_ON_COMPLETION, offshoot_labels
from .objects import metadata, name_of, namespace_of, owner_reference
from .pod_spec import JobSettings, PodPlan, PodVolumes, pod_template

if t.TYPE_CHECKING:
    from collections.abc import Mapping

    from .objects import Object

JOB_NAME_LABEL = "batch.kubernetes.io/job-name"
STARTING_DEADLINE_SECONDS = 600
"""How late a trigger may come: short enough that nobody who resumes a paused schedule is surprised
by the run of long ago."""
TRIGGER_SECONDS = 300
"""A trigger makes one object; under concurrencyPolicy Forbid one that hangs would stop them all."""
TRIGGER_TRIES = 3


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """A CronJob to be; ``schedule`` is cron's five fields or a macro, as the user wrote it."""

    name: str
    schedule: str
    paused: bool
    service_account: str
    runtime_settings: Mapping[str, t.Any]


def trigger_cron_job(invoker: Object, trigger: Trigger, settings: JobSettings) -> Object:
    """Return the CronJob of ``invoker``, which is its owner.

    A second run for one minute makes an object of the same name and is content with the first one's
    (the name comes from the CronJob's own Job), so it may be tried again.
    """
    labels = offshoot_labels(metadata(invoker).get("labels"))
    plan = PodPlan(
        containers=[_container(invoker, settings)],
        volumes=PodVolumes(),
        service_account=trigger.service_account,
        runtime_settings=trigger.runtime_settings,
    )
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {
            "name": trigger.name,
            "namespace": namespace_of(invoker),
            "labels": labels,
            "ownerReferences": [owner_reference(invoker)],
        },
        "spec": {
            "schedule": trigger.schedule,
            "suspend": trigger.paused,
            "concurrencyPolicy": "Forbid",
            "startingDeadlineSeconds": STARTING_DEADLINE_SECONDS,
            "successfulJobsHistoryLimit": 0,
            "failedJobsHistoryLimit": 1,
            "jobTemplate": {
                "metadata": {"labels": {**labels, DELETE_JOB_ON_COMPLETION: "true"}},
                "spec": {
                    "backoffLimit": TRIGGER_TRIES,
                    "activeDeadlineSeconds": TRIGGER_SECONDS,
                    "template": pod_template(plan, labels, settings),
                },
            },
        },
    }


def _container(invoker: Object, settings: JobSettings) -> Object:
    return {
        "name": "stash-trigger",
        "image": settings.image,
        "args": [
            "create-backupsession",
            f"--invoker-name={name_of(invoker)}",
            f"--invoker-kind={invoker['kind']}",
            f"--namespace={namespace_of(invoker)}",
        ],
        "env": [field_variable("GRANARY_JOB_NAME", f"metadata.labels['{JOB_NAME_LABEL}']")],
    }
