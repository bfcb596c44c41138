# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Metrics: names, labels, and what a failure leaves alone."""

from __future__ import annotations

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._kubernetes import (
    metrics,
)

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
