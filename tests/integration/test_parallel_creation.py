# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Eight hosts that make the same repository at once: one is made, and it is whole."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.fix_ansible import Ansible, bucket_repository, local_repository
from tests.fix_repository import PASSWORD
from tests.fix_restic import ResticFactory
from tests.fix_sample import Sampler
from tests.testbed.s3 import Bucket

HOSTS = [f"host{number}" for number in range(8)]
ROUNDS = range(30)
ROUNDS_A_RUN = 3


def create_at_once(ansible: Ansible, playbook: Path, places: list[dict[str, object]]) -> None:
    """Let all hosts make each place's repository at once; one must have made it, all see it."""
    for start in range(0, len(places), ROUNDS_A_RUN):
        _run(ansible, playbook, places[start : start + ROUNDS_A_RUN])


def _run(ansible: Ansible, playbook: Path, places: list[dict[str, object]]) -> None:
    tasks = [
        {"name": f"round {number}", "granary.postgres.repository": options}
        for number, options in enumerate(places)
    ]
    play = {"hosts": "all", "gather_facts": False, "tasks": tasks}
    playbook.write_text(json.dumps([play]), encoding="utf-8")
    run = ansible.playbook(str(playbook), f"--forks={len(HOSTS)}", hosts=HOSTS)
    assert run.status == 0, run.output
    for task in tasks:
        results = [result for result in run.results if result.task == task["name"]]
        assert sorted(result.host for result in results) == HOSTS
        assert len({result["repository"]["id"] for result in results}) == 1
        assert [result["changed"] for result in results].count(True) == 1, results


def test_in_a_folder(
    ansible: Ansible, sampler: Sampler, tmp_path: Path, newest_restic: ResticFactory
) -> None:
    folders = [tmp_path / f"repository{number}" for number in sampler(ROUNDS, 1)]
    places = [local_repository(folder) for folder in folders]
    create_at_once(ansible, tmp_path / "playbook.json", places)
    for folder in folders:
        assert len(list((folder / "keys").iterdir())) == 1
        newest_restic(folder, PASSWORD).run("check", "--read-data")


@pytest.mark.slow
def test_in_a_bucket(
    ansible: Ansible, s3_bucket: Bucket, tmp_path: Path, newest_restic: ResticFactory
) -> None:
    places = [bucket_repository(s3_bucket, prefix=f"at/{number}") for number in ROUNDS]
    create_at_once(ansible, tmp_path / "playbook.json", places)
    for number in ROUNDS:
        assert len(s3_bucket.list_keys(f"at/{number}/keys/")) == 1
        restic = newest_restic(s3_bucket, PASSWORD, prefix=f"at/{number}")
        restic.run("check", "--read-data")
