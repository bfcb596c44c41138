# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The session that a schedule makes, and how little it takes to come to it."""

from __future__ import annotations

import subprocess
import sys
import time
import typing as t

import pytest

from ansible_collections.granary.postgres.operator.job.create_backupsession import (
    due_seconds,
    new_session,
)

INVOKER: dict[str, t.Any] = {
    "apiVersion": "stash.appscode.com/v1beta1",
    "kind": "BackupConfiguration",
    "metadata": {"name": "pg", "namespace": "demo", "uid": "u-1", "labels": {"team": "a"}},
    "spec": {
        "schedule": "*/5 * * * *",
        "repository": {"name": "repo"},
        "target": {"ref": {"kind": "AppBinding", "name": "pg", "apiVersion": "x/v1"}},
        "retentionPolicy": {"name": "keep", "keepLast": 5, "prune": True},
        "retryConfig": {"maxRetry": 3, "delay": "10m"},
    },
}


def test_the_session_of_a_minute() -> None:
    session = new_session(INVOKER, 1_763_841_600)
    assert session["metadata"]["name"] == "pg-1763841600"
    assert session["metadata"]["namespace"] == "demo"
    assert session["spec"] == {
        "invoker": {"apiGroup": "stash.appscode.com", "kind": "BackupConfiguration", "name": "pg"},
        "retryLeft": 3,
    }
    labels = session["metadata"]["labels"]
    assert labels["team"] == "a"
    assert labels["stash.appscode.com/invoker-name"] == "pg"
    assert labels["stash.appscode.com/target-kind"] == "AppBinding"
    (owner,) = session["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"], owner["controller"]) == (
        "BackupConfiguration",
        "u-1",
        True,
    )


def test_without_a_retry_nothing_is_said_of_one() -> None:
    spec = {key: value for key, value in INVOKER["spec"].items() if key != "retryConfig"}
    assert "retryLeft" not in new_session({**INVOKER, "spec": spec}, 0)["spec"]


def test_the_minute_is_that_of_the_cron_jobs_own_job() -> None:
    assert due_seconds("stash-trigger-pg-29397360") == 29_397_360 * 60


@pytest.mark.parametrize("name", ["", "stash-trigger-pg", "by-hand-123", "pg-2939736012"])
def test_any_other_job_means_now(name: str) -> None:
    assert abs(due_seconds(name) - time.time()) < 60


def test_it_starts_without_any_library() -> None:
    code = (
        "import sys\n"
        "import ansible_collections.granary.postgres.operator.job.create_backupsession\n"
        "third = {'kubernetes', 'psycopg2', 'boto3', 'cryptography', 'zstandard', 'yaml', 'kopf'}\n"
        "print(sorted(third & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd="/"
    )
    assert done.stdout == "[]\n"
