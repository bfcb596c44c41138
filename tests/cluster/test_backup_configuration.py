# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The operator says of each BackupConfiguration whether it can be served, and keeps its CronJob."""

from __future__ import annotations

import typing as t

import pytest

from tests import stash_objects as stash
from tests.fix_operator import OperatorProcess, StashBed, conditions_of
from tests.testbed.kube.kubectl import Object
from tests.waiting import wait_for

NAME = stash.CONFIGURATION
TRIGGER = "stash-trigger-pg-backup"


def test_a_whole_one_becomes_ready_and_is_triggered(
    operator: OperatorProcess, bed: StashBed
) -> None:
    bed.configured("true", schedule="*/5 * * * *")

    place = bed.namespace
    assert conditions_of(bed.status("BackupConfiguration", NAME)) == {
        "RepositoryFound": ("True", f"Repository {place}/repo exist."),
        "BackendSecretFound": ("True", f"Backend Secret {place}/storage exist."),
        "ValidationPassed": ("True", "Successfully validated BackupConfiguration."),
        "BackupTargetFound": ("True", f"Backup target AppBinding {place}/pg found."),
        "CronJobCreated": ("True", "Successfully created backup triggering CronJob."),
    }
    cron_job = bed.cluster.get("CronJob", TRIGGER, place)
    assert (cron_job["spec"]["schedule"], cron_job["spec"]["suspend"]) == ("*/5 * * * *", False)
    (owner,) = cron_job["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"]) == ("BackupConfiguration", NAME)
    (reference,) = bed.status("Repository", "repo")["references"]
    assert (reference["kind"], reference["name"]) == ("BackupConfiguration", NAME)


def test_nothing_of_ours_is_left_on_users_objects(operator: OperatorProcess, bed: StashBed) -> None:
    bed.configured("true")

    applied = {"kubectl.kubernetes.io/last-applied-configuration"}
    names = (("BackupConfiguration", NAME), ("Repository", "repo"), ("AppBinding", "pg"))
    for kind, name in names:
        meta = bed.cluster.get(kind, name, bed.namespace)["metadata"]
        assert "finalizers" not in meta
        assert set(meta["annotations"]) == applied
        assert "labels" not in meta


def test_what_is_missing_is_named_and_found_when_it_comes(
    operator: OperatorProcess, bed: StashBed
) -> None:
    bed.kubectl.apply(stash.configuration(bed.namespace, "no-task"))
    told = conditions_of(bed.ends("BackupConfiguration", NAME, "NotReady"))
    assert told == {
        "RepositoryFound": ("False", f"Repository {bed.namespace}/repo does not exist."),
        "BackupTargetFound": (
            "False",
            f"Backup target AppBinding {bed.namespace}/pg does not exist.",
        ),
    }
    bed.parts()
    bed.ends("BackupConfiguration", NAME, "Ready")


def test_a_target_that_goes_and_comes_back_is_noticed(
    operator: OperatorProcess, bed: StashBed
) -> None:
    bed.configured("true")
    bed.cluster.delete("AppBinding", stash.BINDING, bed.namespace)
    told = conditions_of(bed.ends("BackupConfiguration", NAME, "NotReady"))
    assert told["BackupTargetFound"][0] == "False"

    bed.kubectl.apply(stash.binding(bed.namespace))
    bed.ends("BackupConfiguration", NAME, "Ready")


def test_pause_schedule_and_a_lost_cron_job_are_followed(
    operator: OperatorProcess, bed: StashBed
) -> None:
    bed.configured("true")

    def change(**spec: t.Any) -> None:
        bed.cluster.patch("BackupConfiguration", NAME, bed.namespace, {"spec": spec})

    def seen(**spec: t.Any) -> Object:
        def look() -> Object | None:
            found = bed.cluster.find("CronJob", TRIGGER, bed.namespace)
            wanted = found is not None and spec.items() <= found["spec"].items()
            return found if wanted else None

        return wait_for(look, f"a CronJob with {spec}")

    change(paused=True)
    seen(suspend=True)
    change(paused=False, schedule="1 2 3 4 *")
    first = seen(suspend=False, schedule="1 2 3 4 *")
    bed.cluster.delete("CronJob", TRIGGER, bed.namespace)
    wait_for(
        lambda: seen(schedule="1 2 3 4 *")["metadata"]["uid"] != first["metadata"]["uid"],
        "another CronJob",
    )


@pytest.mark.parametrize(
    ("spec", "condition", "words"),
    [
        ({"schedule": "every day"}, "CronJobCreated", "expected exactly 5 fields"),
        (
            {"target": {"ref": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}}},
            "ValidationPassed",
            "which Granary does not serve",
        ),
        ({"driver": "VolumeSnapshotter"}, "ValidationPassed", "VolumeSnapshotter"),
        (
            {"hooks": {"preBackup": {"exec": {"command": ["true"]}}}},
            "ValidationPassed",
            "install it with exec hooks",
        ),
    ],
)
def test_what_cannot_be_served_is_said_in_one_sentence(
    operator: OperatorProcess, bed: StashBed, spec: Object, condition: str, words: str
) -> None:
    bed.parts()
    bed.kubectl.apply(stash.configuration(bed.namespace, "no-task", **spec))

    told = conditions_of(bed.ends("BackupConfiguration", NAME, "Invalid", "NotReady"))
    wait_for(lambda: condition in conditions_of(bed.status("BackupConfiguration", NAME)), condition)
    told = conditions_of(bed.status("BackupConfiguration", NAME))
    assert told[condition][0] == "False"
    assert words in told[condition][1]
    assert bed.cluster.find("CronJob", TRIGGER, bed.namespace) is None


@pytest.mark.parametrize(
    ("backend", "words"),
    [
        ({"b2": {"bucket": "b"}}, "which Granary does not support"),
        ({"rest": {"url": "http://rest:8000/pg"}}, "which Granary does not support"),
    ],
)
def test_backends_that_are_not_served_are_named(
    operator: OperatorProcess, bed: StashBed, backend: Object, words: str
) -> None:
    bed.parts(backend={"storageSecretName": stash.SECRET, **backend})
    bed.kubectl.apply(stash.configuration(bed.namespace, "no-task"))

    told = conditions_of(bed.ends("BackupConfiguration", NAME, "Invalid"))
    assert words in told["ValidationPassed"][1]


def test_a_host_path_is_said_to_be_outside_restricted(
    operator: OperatorProcess, bed: StashBed
) -> None:
    local = {"mountPath": "/safe/data", "hostPath": {"path": "/data"}}
    bed.parts(backend={"storageSecretName": stash.SECRET, "local": local})
    bed.kubectl.apply(stash.configuration(bed.namespace, "no-task"))

    told = conditions_of(bed.ends("BackupConfiguration", NAME, "Ready"))
    assert "hostPath" in told["FitsRestrictedPodSecurity"][1]
    assert told["FitsRestrictedPodSecurity"][0] == "False"


def test_a_name_of_253_characters_is_served(operator: OperatorProcess, bed: StashBed) -> None:
    name = "n" * 253
    bed.parts()
    bed.kubectl.apply(stash.configuration(bed.namespace, "no-task", name))

    bed.ends("BackupConfiguration", name, "Ready")
    (cron_job,) = bed.cluster.list("CronJob", bed.namespace)
    assert len(cron_job["metadata"]["name"]) == 52


def test_kinds_that_come_later_say_so(operator: OperatorProcess, bed: StashBed) -> None:
    batch = {
        "apiVersion": stash.V1BETA1,
        "kind": "BackupBatch",
        "metadata": {"name": "all", "namespace": bed.namespace},
        "spec": {
            "schedule": stash.NEVER,
            "repository": {"name": "repo"},
            "retentionPolicy": {"name": "keep", "keepLast": 1, "prune": True},
            "members": [],
        },
    }
    bed.kubectl.apply(batch)
    told = wait_for(
        lambda: conditions_of(bed.status("BackupBatch", "all")).get("Supported"), "a condition"
    )
    assert told[0] == "False"
    assert "use one BackupConfiguration for each member" in told[1]


def test_what_stash_left_does_not_keep_an_object(operator: OperatorProcess, bed: StashBed) -> None:
    bed.parts()
    wanted = stash.configuration(bed.namespace, "no-task")
    wanted["metadata"]["finalizers"] = ["stash.appscode.com"]
    bed.kubectl.apply(wanted)
    bed.ends("BackupConfiguration", NAME, "Ready")
    bed.kubectl("delete", "backupconfiguration", NAME, f"--namespace={bed.namespace}")

    assert bed.cluster.find("BackupConfiguration", NAME, bed.namespace) is None
    wait_for(lambda: bed.status("Repository", "repo").get("references") == [], "no references")
    wait_for(lambda: not bed.cluster.list("CronJob", bed.namespace), "no CronJob")
