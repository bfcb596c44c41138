# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The alert rules by promtool: each fires where it should, and does not where it should not.

A case gives metrics as promtool writes series (`0x30`: 31 times 0), one value for each step of a
clock that begins at 0, and the step at which it looks.
"""

from __future__ import annotations

import dataclasses
import json
import re
import typing as t
from pathlib import Path

import pytest
import yaml

from tests.testbed.components import ensure
from tests.testbed.process import run

RULES = Path(__file__).parents[2] / "roles/operator/files/monitoring/alerts.yaml"
STASH = "stash_appscode_com_"

INVOKER = {
    "invoker_kind": "BackupConfiguration",
    "invoker_name": "pg",
    "namespace": "demo",
    "repository": "s3-repo",
}
HOST = {**INVOKER, "name": "quick-postgres", "hostname": "host-0"}
PLACE = {"namespace": "demo", "name": "s3-repo", "backend": "s3", "bucket": "b", "prefix": "p"}
REPOSITORY = {**INVOKER, **PLACE}

CREATED = "backupconfiguration_created"
GOOD = "backupsession_host_last_good_backup_time_seconds"
READ = "backupsession_host_data_size_bytes"
SIZE = "repository_size_bytes"
LEADS = "granary_operator_leads"
LABELS: dict[str, dict[str, str]] = {
    CREATED: INVOKER,
    GOOD: HOST,
    READ: HOST,
    SIZE: REPOSITORY,
    LEADS: {"pod": "granary-operator-0"},
    "backupsession_success": INVOKER,
    "repository_integrity": REPOSITORY,
    "repository_locked": REPOSITORY,
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
    """`fires` holds the labels that a fired alert has, None where it does not fire."""

    alert: str
    when: str
    step: t.Literal["1m", "1h"] = "1m"
    metrics: dict[str, str]
    at: int
    fires: dict[str, str] | None = None


CASES = (
    Case(
        alert="GranaryBackupTooOld",
        when="the last good backup is 25 hours old",
        step="1h",
        metrics={GOOD: "0x30", CREATED: "1x30"},
        at=25,
        fires=HOST,
    ),
    Case(
        alert="GranaryBackupTooOld",
        when="the gateway lost its memory after it",
        step="1h",
        metrics={GOOD: "0x12 stale", CREATED: "1x30"},
        at=25,
        fires=HOST,
    ),
    Case(
        alert="GranaryBackupTooOld",
        when="the last good backup is 23 hours old",
        step="1h",
        metrics={GOOD: "0x30", CREATED: "1x30"},
        at=23,
    ),
    Case(
        alert="GranaryBackupTooOld",
        when="it is paused",
        step="1h",
        metrics={GOOD: "0x30", CREATED: "0x30"},
        at=25,
    ),
    Case(
        alert="GranaryBackupMissing",
        when="there never was a good backup in 25 hours",
        step="1h",
        metrics={CREATED: "1x30"},
        at=25,
        fires=INVOKER,
    ),
    Case(
        alert="GranaryBackupMissing",
        when="it was made less than a day ago",
        step="1h",
        metrics={CREATED: "1x30"},
        at=24,
    ),
    Case(
        alert="GranaryBackupMissing",
        when="there was a good one, which the gateway has forgotten",
        step="1h",
        metrics={CREATED: "1x30", GOOD: "0x12 stale"},
        at=25,
    ),
    Case(
        alert="GranaryBackupMissing",
        when="it is paused",
        step="1h",
        metrics={CREATED: "0x30"},
        at=25,
    ),
    Case(
        alert="GranaryBackupFailing",
        when="the last session failed",
        metrics={"backupsession_success": "1 1 0"},
        at=2,
        fires=INVOKER,
    ),
    Case(
        alert="GranaryBackupFailing",
        when="the one before failed",
        metrics={"backupsession_success": "1 0 1"},
        at=2,
    ),
    Case(
        alert="GranaryRepositoryDamaged",
        when="the last check found damage",
        metrics={"repository_integrity": "1 0"},
        at=1,
        fires=PLACE,
    ),
    Case(
        alert="GranaryRepositoryDamaged",
        when="it was repaired",
        metrics={"repository_integrity": "0 1"},
        at=1,
    ),
    Case(
        alert="GranaryRepositoryLocked",
        when="a lock was in the way",
        metrics={"repository_locked": "0 1"},
        at=1,
        fires=PLACE,
    ),
    Case(
        alert="GranaryRepositoryLocked",
        when="it is not any more",
        metrics={"repository_locked": "1 0"},
        at=1,
    ),
    Case(
        alert="GranaryRepositoryGrowing",
        when="it grew from 10 to 17 GB",
        step="1h",
        metrics={SIZE: "10000000000x10 17000000000x5"},
        at=12,
        fires=PLACE,
    ),
    Case(
        alert="GranaryRepositoryGrowing",
        when="it grew from 10 to 15 GB",
        step="1h",
        metrics={SIZE: "10000000000x10 15000000000x5"},
        at=12,
    ),
    Case(
        alert="GranaryRepositoryGrowing",
        when="it doubled and is small",
        step="1h",
        metrics={SIZE: "100000000x10 200000000x5"},
        at=12,
    ),
    Case(
        alert="GranaryBackupShrank",
        when="10 GB became 4",
        step="1h",
        metrics={READ: "10000000000x10 4000000000x5"},
        at=12,
        fires=HOST,
    ),
    Case(
        alert="GranaryBackupShrank",
        when="10 GB became 6",
        step="1h",
        metrics={READ: "10000000000x10 6000000000x5"},
        at=12,
    ),
    Case(
        alert="GranaryOperatorDown",
        when="nobody leads",
        metrics={LEADS: "1 0x10"},
        at=7,
        fires={},
    ),
    Case(
        alert="GranaryOperatorDown",
        when="it is not seen any more",
        metrics={LEADS: "1 stale"},
        at=12,
        fires={},
    ),
    Case(
        alert="GranaryOperatorDown",
        when="another one took over",
        metrics={LEADS: "1 0x3 1x10"},
        at=7,
    ),
)


def rules() -> dict[str, dict[str, t.Any]]:
    """The alert rules by their names."""
    (group,) = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return {rule["alert"]: rule for rule in group["rules"]}


def selector(name: str, labels: dict[str, str]) -> str:
    """A metric with labels, as PromQL writes it."""
    return f"{name}{{{', '.join(f'{label}={json.dumps(labels[label])}' for label in labels)}}}"


def promtool_test(case: Case) -> dict[str, t.Any]:
    """The case in promtool's words."""
    expected = []
    if case.fires is not None:
        alert = {"alertname": case.alert, "alertstate": "firing", **case.fires}
        severity = rules()[case.alert]["labels"]
        expected = [{"labels": selector("ALERTS", {**alert, **severity}), "value": 1}]
    firing = f'ALERTS{{alertname="{case.alert}", alertstate="firing"}}'
    return {
        "name": f"{case.alert}: {case.when}",
        "interval": case.step,
        "input_series": [
            {
                "series": selector(name if name == LEADS else f"{STASH}{name}", LABELS[name]),
                "values": values,
            }
            for name, values in case.metrics.items()
        ],
        "promql_expr_test": [
            {"expr": firing, "eval_time": f"{case.at}{case.step[-1]}", "exp_samples": expected}
        ],
    }


@pytest.mark.parametrize("step", ["1m", "1h"])
def test_each_fires_where_it_should(tmp_path: Path, step: str) -> None:
    given = {
        "rule_files": [str(RULES)],
        "evaluation_interval": step,
        "tests": [promtool_test(case) for case in CASES if case.step == step],
    }
    file = tmp_path / "tests.yaml"
    file.write_text(json.dumps(given), encoding="utf-8")
    promtool = ensure("prometheus") / "bin/promtool"
    run([promtool, "test", "rules", file], doing="testing the alert rules")


@pytest.mark.parametrize("alert", rules())
def test_each_is_tested_both_ways_and_says_what_it_can(alert: str) -> None:
    own = [case for case in CASES if case.alert == alert]
    assert any(case.fires is None for case in own)
    fired = [case.fires for case in own if case.fires is not None]
    assert fired
    texts = " ".join(rules()[alert]["annotations"].values())
    assert set(re.findall(r"\$labels\.(\w+)", texts)) <= fired[0].keys()
