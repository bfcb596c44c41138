# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Shared options given once: by the environment, and by `module_defaults` with our groups."""

from __future__ import annotations

import json
from pathlib import Path

from tests.fix_ansible import Ansible, Task, bucket_repository, local_repository, login
from tests.fix_postgres import PostgresFactory
from tests.fix_repository import PASSWORD
from tests.testbed.s3 import Bucket


def test_the_environment_fills_in_what_is_not_given(
    ansible: Ansible, postgres: PostgresFactory, s3_bucket: Bucket
) -> None:
    server = postgres(17, auth="scram-sha-256")
    backend = {"backend": bucket_repository(s3_bucket)["backend"]}
    programs = {"bin_dir": login(server)["bin_dir"]}
    run = ansible.tasks(
        Task(module="repository", options=backend),
        Task(module="backup", options={**backend, **programs, "host": "main"}),
        Task(module="restore", options={**backend, **programs, "rename": {"postgres": "copy"}}),
        env={**server.environment(), **s3_bucket.environment(), "RESTIC_PASSWORD": PASSWORD},
    )
    assert run.status == 0, run.output
    server.execute("DROP DATABASE copy")


def test_module_defaults_give_the_shared_options_once(
    ansible: Ansible, postgres: PostgresFactory, tmp_path: Path
) -> None:
    server = postgres(17, auth="scram-sha-256")
    play = {
        "hosts": "localhost",
        "gather_facts": False,
        "module_defaults": {
            "group/granary.postgres.repository": local_repository(tmp_path / "repository"),
            "group/granary.postgres.postgres": login(server),
        },
        "tasks": [
            {"name": "make", "granary.postgres.repository": {}},
            {"name": "back up", "granary.postgres.backup": {"host": "main"}},
            {"name": "look", "granary.postgres.repository_info": {"query": "length(snapshots)"}},
            {"name": "tidy", "granary.postgres.retention": {"keep_last": 1}},
            {
                "name": "restore",
                "granary.postgres.restore": {"rename": {"postgres": "copy"}},
                "check_mode": True,
            },
        ],
    }
    playbook = tmp_path / "play.json"
    playbook.write_text(json.dumps([play]), encoding="utf-8")
    run = ansible.playbook(str(playbook))
    assert run.status == 0, run.output
    assert run.only("look")["result"] == 1
    assert len(run.only("tidy")["kept"]) == 1
    assert run.only("restore")["restore"]["databases"][0]["target"] == "copy"
