# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Metrics: names, labels, what a failure leaves alone, and how they reach a gateway."""

from __future__ import annotations

import dataclasses
import threading
import typing as t
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import (
    PushgatewayUnavailable,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes import metrics
from tests.testbed.ports import HOST, free_port

LABELS = metrics.session_labels(
    kind="BackupConfiguration", name="pg", namespace="demo", repository="repo"
)
BACKUP = metrics.HostBackup(
    duration_seconds=2.5,
    processing_seconds=2,
    size_bytes=1000,
    uploaded_bytes=10,
    files=3,
    new_files=3,
    modified_files=0,
    unmodified_files=0,
    ended_at=1_763_841_600.5,
)
# stash.md 5.1, word for word, without the prefixes of a host's backup.
HOST_SUFFIXES = (
    "host_backup_success",
    "host_backup_duration_seconds",
    "host_data_size_bytes",
    "host_data_uploaded_bytes",
    "host_data_processing_time_seconds",
    "host_files_total",
    "host_files_new",
    "host_files_modified",
    "host_files_unmodified",
    "host_last_good_backup_time_seconds",
)


def names(samples: list[metrics.Sample]) -> set[str]:
    return {name for sample in samples for name in sample.family.names}


def test_a_sessions_names_are_stashs() -> None:
    found = metrics.backup_session_metrics(
        LABELS, succeeded=True, duration_seconds=3, targets=1, at=7
    ) + metrics.backup_target_metrics(LABELS, succeeded=True, hosts=1, at=7)
    assert names(found) == {
        "stash_appscode_com_backupsession_success",
        "stash_backup_session_success",
        "stash_appscode_com_backupsession_duration_seconds",
        "stash_backup_session_duration_seconds",
        "stash_appscode_com_backupsession_target_count_total",
        "stash_backup_target_count_total",
        "stash_appscode_com_backupsession_last_success_time_seconds",
        "stash_backup_last_success_time_seconds",
        "stash_appscode_com_backupsession_target_success",
        "stash_backup_target_success",
        "stash_appscode_com_backupsession_target_host_count_total",
        "stash_backup_target_host_count_total",
        "stash_appscode_com_backupsession_target_last_success_time_seconds",
        "stash_backup_target_last_success_time_seconds",
    }


def test_a_hosts_names_are_stashs() -> None:
    found = names(metrics.backup_host_metrics(LABELS, "host-0", BACKUP))
    assert found == {
        f"{prefix}_{suffix}"
        for prefix in ("stash_appscode_com_backupsession", "stash_backup")
        for suffix in HOST_SUFFIXES
    }


def test_a_restores_and_a_repositorys_names_are_stashs() -> None:
    found = (
        metrics.restore_session_metrics(LABELS, succeeded=True, duration_seconds=3, targets=1)
        + metrics.restore_target_metrics(LABELS, succeeded=True, hosts=1)
        + metrics.restore_host_metrics(LABELS, "host-0", succeeded=True, duration_seconds=3)
        + metrics.repository_metrics(LABELS, integrity=True, size_bytes=1, snapshots=1, removed=0)
    )
    assert names(found) == {
        "stash_appscode_com_restoresession_success",
        "stash_restore_session_success",
        "stash_appscode_com_restoresession_duration_seconds",
        "stash_restore_session_duration_seconds",
        "stash_appscode_com_restoresession_target_count_total",
        "stash_restore_target_count_total",
        "stash_appscode_com_restoresession_target_success",
        "stash_restore_target_success",
        "stash_appscode_com_restoresession_target_host_count_total",
        "stash_restore_target_host_count_total",
        "stash_appscode_com_restoresession_host_restore_success",
        "stash_restore_host_restore_success",
        "stash_appscode_com_restoresession_host_restore_duration_seconds",
        "stash_restore_host_restore_duration_seconds",
        "stash_appscode_com_repository_integrity",
        "stash_repository_integrity",
        "stash_appscode_com_repository_size_bytes",
        "stash_repository_size_bytes",
        "stash_appscode_com_repository_snapshot_count",
        "stash_repository_snapshot_count",
        "stash_appscode_com_repository_snapshot_cleaned",
        "stash_repository_snapshot_cleaned",
    }


@pytest.mark.parametrize(
    "failed",
    [
        metrics.backup_session_metrics(
            LABELS, succeeded=False, duration_seconds=3, targets=1, at=7
        ),
        metrics.backup_target_metrics(LABELS, succeeded=False, hosts=1, at=7),
        metrics.backup_host_metrics(LABELS, "host-0", None),
        metrics.restore_session_metrics(LABELS, succeeded=False, duration_seconds=3, targets=1),
        metrics.restore_target_metrics(LABELS, succeeded=False, hosts=1),
        metrics.restore_host_metrics(LABELS, "host-0", succeeded=False, duration_seconds=3),
    ],
    ids=["session", "target", "host", "restore session", "restore target", "restore host"],
)
def test_a_failure_says_so_and_nothing_else(failed: list[metrics.Sample]) -> None:
    (only,) = failed
    assert only.family.new.endswith("success")
    assert only.value == 0


def test_labels() -> None:
    assert LABELS == {
        "invoker_kind": "BackupConfiguration",
        "invoker_name": "pg",
        "namespace": "demo",
        "driver": "Restic",
        "repository": "repo",
    }
    target = metrics.target_labels(LABELS, "db", ("kubedb.com", "postgres"))
    assert target == {**LABELS, "kind": "postgres", "group": "kubedb.com", "name": "db"}
    assert metrics.target_labels(LABELS, "db", None) == {**LABELS, "name": "db"}
    assert metrics.backup_host_metrics(target, "h", None)[0].labels == {**target, "hostname": "h"}
    place = metrics.repository_labels(
        LABELS, name="repo", namespace="backups", backend="local", bucket="/safe", prefix=""
    )
    assert place == {
        **LABELS,
        "name": "repo",
        "namespace": "backups",
        "backend": "local",
        "bucket": "/safe",
    }


def test_the_group_of_an_invoker() -> None:
    assert metrics.job_key("BackupConfiguration", "demo", "pg") == "backupconfiguration-demo-pg"


@dataclasses.dataclass
class Gateway:
    """A web server that keeps what it is sent and answers with `status`."""

    url: str = ""
    status: int = 200
    received: list[tuple[str, str, str]] = dataclasses.field(default_factory=list)


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    made = Gateway()

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
            made.received.append((self.command, self.path, body))
            self.send_response(made.status)
            self.end_headers()

        do_POST = do_DELETE = do_PUT = _answer  # http.server's names

        def log_message(self, format: str, *args: t.Any) -> None:  # noqa: A002 # its name there
            """Say nothing."""

    with HTTPServer((HOST, 0), Handler) as server:
        made.url = f"http://{HOST}:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield made
        server.shutdown()


def test_a_push_adds_to_the_invokers_group(gateway: Gateway) -> None:
    metrics.push(gateway.url, "a-demo-pg", metrics.backup_host_metrics(LABELS, "host-0", BACKUP))
    ((method, path, body),) = gateway.received
    assert (method, path) == ("POST", "/metrics/job/a-demo-pg")
    assert "# TYPE stash_backup_host_files_total gauge\n" in body
    (line,) = [
        line for line in body.splitlines() if line.startswith("stash_backup_host_data_size_bytes{")
    ]
    assert line.endswith(" 1000.0")
    for label in ('invoker_name="pg"', 'hostname="host-0"', 'driver="Restic"'):
        assert label in line


def test_nothing_to_say_is_no_push(gateway: Gateway) -> None:
    metrics.push(gateway.url, "a", [])
    assert gateway.received == []


def test_a_group_is_deleted(gateway: Gateway) -> None:
    metrics.delete_group(gateway.url, "a-demo-pg")
    assert gateway.received == [("DELETE", "/metrics/job/a-demo-pg", "")]


@pytest.mark.parametrize("place", [f"http://{HOST}:%d", "http://nowhere.invalid", "x://y"])
def test_a_gateway_that_is_not_there_is_our_own_error(place: str) -> None:
    url = place.replace("%d", str(free_port()))
    with pytest.raises(PushgatewayUnavailable, match=f"The Pushgateway at {url} did not take"):
        metrics.push(url, "a", metrics.backup_host_metrics(LABELS, "host-0", None))


def test_a_gateway_that_refuses_is_our_own_error(gateway: Gateway) -> None:
    gateway.status = 400
    with pytest.raises(PushgatewayUnavailable, match="400"):
        metrics.push(gateway.url, "a", metrics.backup_host_metrics(LABELS, "host-0", None))
