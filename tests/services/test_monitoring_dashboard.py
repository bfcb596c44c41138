# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The dashboard: after a backup and a restore every expression of it gives something, through a
real Pushgateway and a real Prometheus.
"""

from __future__ import annotations

import functools
import json
import re
import time
import typing as t
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.granary.postgres.operator.controller.configuration_metrics import CREATED
from ansible_collections.granary.postgres.operator.controller.health import HealthServer
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes import (
    metrics,
    pushgateway,
)
from tests.testbed.monitoring import Prometheus, Pushgateway
from tests.waiting import wait_for

DASHBOARD = Path(__file__).parents[2] / "roles/operator/files/monitoring/dashboard.json"
METRIC = re.compile(r"\b(?:stash_appscode_com|granary)_\w+")
INVOKER = {"namespace": "demo", "repository": "s3-repo"}
APP = ("kubedb.com", "postgres")
FIGURES = {
    "operator_up": 1.0,
    "operator_leads": 1.0,
    "operator_steps_total": 7.0,
    "operator_step_failures_total": 0.0,
    "operator_api_requests_total": 20.0,
}


def dashboard() -> dict[str, t.Any]:
    """The dashboard as Grafana reads it."""
    found: dict[str, t.Any] = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    return found


def expressions() -> dict[str, str]:
    """Every expression by its panel's title and its letter."""
    return {
        f"{panel['title']} {target['refId']}": target["expr"]
        for panel in dashboard()["panels"]
        for target in panel.get("targets", ())
    }


def everything() -> dict[str, list[metrics.Sample]]:
    """What a backup and a restore that went well push, by their groups."""
    return {
        pushgateway.job_key("BackupConfiguration", "demo", "pg-backup"): of_a_backup(time.time()),
        pushgateway.job_key("RestoreSession", "demo", "pg-restore"): of_a_restore(),
    }


def of_a_backup(now: float) -> list[metrics.Sample]:
    """What the operator and the Job of a backup push."""
    labels = metrics.session_labels(kind="BackupConfiguration", name="pg-backup", **INVOKER)
    place = {"name": "s3-repo", "namespace": "demo", "backend": "s3", "bucket": "b", "prefix": "p"}
    repository = metrics.repository_labels(labels, **place)
    target = metrics.target_labels(labels, "quick-postgres", APP)
    figures = metrics.HostBackup(
        duration_seconds=70,
        processing_seconds=60,
        size_bytes=10**9,
        uploaded_bytes=10**7,
        files=3,
        new_files=1,
        modified_files=1,
        unmodified_files=1,
        ended_at=now,
    )
    return [
        metrics.Sample(CREATED, labels, now - 3600),
        *metrics.backup_session_metrics(
            labels, succeeded=True, duration_seconds=80, targets=1, at=now
        ),
        *metrics.backup_target_metrics(target, succeeded=True, hosts=1, at=now),
        *metrics.backup_host_metrics(target, "host-0", figures),
        *metrics.repository_metrics(
            repository, integrity=True, size_bytes=10**9, snapshots=5, removed=1
        ),
        *metrics.repository_lock_metrics(repository, locked=False),
    ]


def of_a_restore() -> list[metrics.Sample]:
    """What they push of a restore."""
    labels = metrics.session_labels(kind="RestoreSession", name="pg-restore", **INVOKER)
    target = metrics.target_labels(labels, "quick-postgres", APP)
    return [
        *metrics.restore_session_metrics(labels, succeeded=True, duration_seconds=80, targets=1),
        *metrics.restore_target_metrics(target, succeeded=True, hosts=1),
        *metrics.restore_host_metrics(target, "host-0", succeeded=True, duration_seconds=70),
    ]


@pytest.fixture(scope="module")
def prometheus() -> Iterator[Prometheus]:
    """A Prometheus that has scraped all of it more than once."""
    health = HealthServer(
        "127.0.0.1", 0, alive=lambda: None, ready=lambda: None, figures=lambda: FIGURES
    )
    health.start()
    with Pushgateway() as gateway, Prometheus(gateway.port, health.port) as found:
        for group, samples in everything().items():
            pushgateway.push(gateway.url, group, samples)
        for name in ("granary_operator_up", "stash_appscode_com_restoresession_success"):
            enough = f"count_over_time({name}[1m]) > 2"
            wait_for(functools.partial(found.query, enough), enough)
        yield found
    health.stop()


@pytest.mark.parametrize("where", expressions())
def test_every_expression_gives_something(prometheus: Prometheus, where: str) -> None:
    asked = expressions()[where].replace("$namespace", ".*").replace("$__rate_interval", "1m")
    assert prometheus.query(asked), asked
    # What counts troubles gives 0 without data as well: so each metric of it is looked for.
    for name in METRIC.findall(asked):
        assert prometheus.query(name), name


def test_what_was_pushed_keeps_its_labels(prometheus: Prometheus) -> None:
    (found,) = prometheus.query("stash_appscode_com_backupsession_success")
    assert found["metric"]["job"] == "backupconfiguration-demo-pg-backup"
    assert found["metric"]["namespace"] == "demo"


def test_every_new_name_of_backups_repositories_and_restores_is_shown() -> None:
    shown = set(METRIC.findall(" ".join(expressions().values())))
    pushed = {sample.family.names[0] for group in everything().values() for sample in group}
    left_out = {
        "stash_appscode_com_backupsession_host_files_new",
        "stash_appscode_com_backupsession_host_files_modified",
        "stash_appscode_com_backupsession_host_files_unmodified",
        "stash_appscode_com_backupsession_target_last_success_time_seconds",
        "stash_appscode_com_restoresession_target_count_total",
        "stash_appscode_com_restoresession_target_host_count_total",
    }
    assert pushed - shown == left_out


def test_grafana_can_load_it() -> None:
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        assert len({target["refId"] for target in panel.get("targets", ())}) == len(
            panel.get("targets", ())
        )
