# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from ansible_collections.granary.postgres.operator.controller.dependants import Dependants
from ansible_collections.granary.postgres.operator.controller.keys import Key
from ansible_collections.granary.postgres.operator.controller.wake_rules import (
    WakeRules,
    is_settled,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.objects import Object

CONFIGURATION = Key("BackupConfiguration", "a", "pg")
REPOSITORY = Key("Repository", "a", "repo")
SESSION = Key("BackupSession", "a", "s")


def obj(key: Key, generation: int = 1, **parts: t.Any) -> Object:
    meta = {"name": key.name, "namespace": key.namespace, "uid": "u", "generation": generation}
    return {"kind": key.kind, "metadata": {**meta, **parts.pop("metadata", {})}, **parts}


def test_a_status_of_our_own_wakes_nobody() -> None:
    rules = WakeRules(Dependants())

    assert rules.keys_for(None, obj(CONFIGURATION)) == {CONFIGURATION}
    assert rules.keys_for("MODIFIED", obj(CONFIGURATION, status={"phase": "Ready"})) == set()
    assert rules.keys_for("MODIFIED", obj(CONFIGURATION, 2)) == {CONFIGURATION}
    finalizers = obj(CONFIGURATION, 2, metadata={"finalizers": ["x"]})
    assert rules.keys_for("MODIFIED", finalizers) == {CONFIGURATION}
    assert rules.keys_for("DELETED", finalizers) == {CONFIGURATION}
    assert rules.keys_for("ADDED", finalizers) == {CONFIGURATION}


def test_those_who_need_an_object_are_woken_by_its_changes_alone() -> None:
    dependants = Dependants()
    dependants.note(CONFIGURATION, [REPOSITORY])
    rules = WakeRules(dependants)

    assert rules.keys_for("ADDED", obj(REPOSITORY)) == {CONFIGURATION, REPOSITORY}
    assert rules.keys_for("MODIFIED", obj(REPOSITORY, status={"snapshotCount": 1})) == set()
    assert CONFIGURATION in rules.keys_for("DELETED", obj(REPOSITORY))


def test_a_session_that_waits_for_a_configuration_sees_its_status() -> None:
    dependants = Dependants()
    dependants.note(SESSION, [CONFIGURATION])
    rules = WakeRules(dependants)
    rules.keys_for("ADDED", obj(CONFIGURATION))

    assert rules.keys_for("MODIFIED", obj(CONFIGURATION, status={"phase": "Ready"})) == {SESSION}


def test_a_job_wakes_its_session_and_nobody_elses() -> None:
    rules = WakeRules(Dependants())
    owner = {"kind": "BackupSession", "name": "s", "uid": "u", "controller": True}
    job = Key("Job", "a", "stash-backup-s-0")

    assert rules.keys_for("MODIFIED", obj(job, metadata={"ownerReferences": [owner]})) == {SESSION}
    foreign = {**owner, "kind": "CronJob"}
    assert rules.keys_for("MODIFIED", obj(job, metadata={"ownerReferences": [foreign]})) == set()
    assert rules.keys_for("MODIFIED", obj(job)) == set()


def test_a_schedule_that_was_kept_wakes_nobody_but_a_lost_cron_job_does() -> None:
    rules = WakeRules(Dependants())
    owner = {"kind": "BackupConfiguration", "name": "pg", "uid": "u", "controller": True}
    cron_job = Key("CronJob", "a", "stash-trigger-pg")
    seen = obj(cron_job, metadata={"ownerReferences": [owner]})

    assert rules.keys_for("ADDED", seen) == set()  # made by us
    assert rules.keys_for("MODIFIED", {**seen, "status": {"lastScheduleTime": "x"}}) == set()
    suspended = obj(cron_job, 2, metadata={"ownerReferences": [owner]})
    assert rules.keys_for("MODIFIED", suspended) == {CONFIGURATION}
    assert rules.keys_for("DELETED", seen) == {CONFIGURATION}


def test_at_the_beginning_sessions_that_are_over_are_passed_by() -> None:
    rules = WakeRules(Dependants())
    pushed = [{"type": "MetricsPushed", "status": "True"}]
    over = obj(SESSION, status={"phase": "Succeeded", "conditions": pushed})

    assert rules.keys_for(None, over) == set()
    assert rules.keys_for(None, obj(SESSION)) == {SESSION}


def test_a_session_is_settled_once_nothing_is_left_to_do() -> None:
    pushed = [{"type": "MetricsPushed", "status": "True"}]
    waiting = [{"type": "MetricsPushed", "status": "False"}]
    for kind in ("BackupSession", "RestoreSession"):
        key = Key(kind, "a", "s")
        assert is_settled(obj(key, status={"phase": "Failed", "conditions": pushed}))
        assert not is_settled(obj(key, status={"phase": "Failed", "conditions": waiting}))
        assert not is_settled(obj(key, status={"phase": "Running"}))
    retry = obj(SESSION, spec={"retryLeft": 1}, status={"phase": "Failed", "conditions": pushed})
    assert not is_settled(retry)
    assert not is_settled(obj(REPOSITORY))
