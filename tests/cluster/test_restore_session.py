# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A RestoreSession on its way: it waits for what it needs, runs once, and ends."""

from __future__ import annotations

import typing as t

import pytest

from tests import stash_objects as stash
from tests.fix_operator import OperatorProcess, StashBed, conditions_of
from tests.waiting import wait_for

pytestmark = pytest.mark.usefixtures("reporting_image")

NAME = "pg-restore"
JOB = f"stash-restore-{NAME}-0"
GOOD = stash.reporting()
LONG = "sleep 600"


def restore(bed: StashBed, *scripts: str, **spec: t.Any) -> None:
    bed.kubectl.apply(stash.restore_session(bed.namespace, bed.task(*scripts), NAME, **spec))


def test_one_runs_once_and_ends(operator: OperatorProcess, bed: StashBed) -> None:
    bed.parts()
    restore(bed, "echo loading", GOOD)

    found = bed.ends("RestoreSession", NAME, "Succeeded")
    told = conditions_of(found)
    met = ("RepositoryFound", "BackendSecretFound", "ValidationPassed", "RestoreTargetFound")
    assert {told[each][0] for each in (*met, "RestoreExecutorEnsured", "MetricsPushed")} == {"True"}
    assert found["totalHosts"] == 1
    assert found["stats"] == [{"hostname": "host-0", "phase": "Succeeded", "duration": "1.5s"}]
    assert bed.jobs() == [JOB]
    labels = bed.cluster.get("Job", JOB, bed.namespace)["metadata"]["labels"]
    assert labels["app.kubernetes.io/component"] == "stash-restore"


def test_it_waits_for_what_is_missing(operator: OperatorProcess, bed: StashBed) -> None:
    restore(bed, GOOD)
    found = bed.ends("RestoreSession", NAME, "Pending")
    assert conditions_of(found)["RepositoryFound"][0] == "False"

    bed.parts()
    bed.ends("RestoreSession", NAME, "Succeeded")


def test_rules_in_the_old_place_are_read(operator: OperatorProcess, bed: StashBed) -> None:
    bed.parts()
    old = stash.restore_session(bed.namespace, bed.task(GOOD), NAME)
    old["spec"]["rules"] = old["spec"]["target"].pop("rules")
    bed.kubectl.apply(old)

    bed.ends("RestoreSession", NAME, "Succeeded")


def test_one_that_cannot_be_served_says_so_and_does_nothing(
    operator: OperatorProcess, bed: StashBed
) -> None:
    bed.parts()
    restore(bed, GOOD, hooks={"preRestore": {"exec": {"command": ["true"]}}})

    told = conditions_of(bed.ends("RestoreSession", NAME, "Invalid"))
    assert "install it with exec hooks" in told["ValidationPassed"][1]
    assert bed.jobs() == []


def test_a_failed_host_fails_it(operator: OperatorProcess, bed: StashBed) -> None:
    bed.parts()
    restore(bed, stash.reporting("Failed", "relation is there"))

    found = bed.ends("RestoreSession", NAME, "Failed")
    assert found["stats"][0]["error"] == "relation is there"


def test_a_lost_job_fails_it_with_the_cause(operator: OperatorProcess, bed: StashBed) -> None:
    bed.parts()
    restore(bed, "echo out of memory >/dev/termination-log; exit 9")

    told = conditions_of(bed.ends("RestoreSession", NAME, "Failed"))
    assert "ended with status 9: out of memory" in told["RestoreDisrupted"][1]


@pytest.mark.slow
def test_its_time_limit_stops_it(operator: OperatorProcess, bed: StashBed) -> None:
    bed.parts()
    restore(bed, LONG, timeOut="4s")

    told = conditions_of(bed.ends("RestoreSession", NAME, "Failed"))
    assert told["DeadlineExceeded"][0] == "True"
    wait_for(lambda: not bed.cluster.list("Pod", bed.namespace), "no pod", timeout_s=60)


@pytest.mark.slow
def test_its_deletion_ends_the_job(operator: OperatorProcess, bed: StashBed) -> None:
    bed.parts()
    restore(bed, LONG)
    bed.running_pod(JOB)
    bed.cluster.delete("RestoreSession", NAME, bed.namespace)

    wait_for(lambda: not bed.jobs(), "no Job")
    wait_for(lambda: not bed.cluster.list("Pod", bed.namespace), "no pod", timeout_s=60)
