# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role `client`, on this machine: what it makes is enough for the modules, and a host without
a Python that is new enough gets one sentence.
"""

from __future__ import annotations

import json
import typing as t
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests.fix_ansible import Ansible, Run, local_repository, login
from tests.fix_postgres import PostgresFactory

OLD_PYTHON = """#!/bin/sh
echo 3.9
"""


def run_role(
    ansible: Ansible,
    folder: Path,
    *arguments: str,
    tasks: Sequence[Mapping[str, t.Any]] = (),
    facts: Mapping[str, t.Any] | None = None,
    options: Mapping[str, t.Any],
) -> Run:
    """Run the role, on a system of other `facts` if any, then tasks with its Python."""
    interpreter = {"ansible_python_interpreter": "{{ granary_python }}"}
    play = {
        "hosts": "managed",
        "gather_facts": False,
        "pre_tasks": [{"ansible.builtin.set_fact": facts}] if facts else [],
        "roles": [{"role": "granary.postgres.client", "vars": dict(options)}],
        "tasks": [{**task, "vars": interpreter} for task in tasks],
    }
    playbook = folder / "role.json"
    playbook.write_text(json.dumps([play]), encoding="utf-8")
    return ansible.playbook(str(playbook), *arguments, hosts=["managed"])


def changed(run: Run) -> list[str]:
    """The tasks that changed something."""
    return [result.task for result in run.results if result.values.get("changed")]


def test_what_the_role_makes_runs_the_modules(
    ansible: Ansible, postgres: PostgresFactory, tmp_path: Path
) -> None:
    venv = tmp_path / "venv"
    options = {"client_venv": str(venv), "client_programs": False}
    checked = run_role(ansible, tmp_path, "--check", options=options)
    assert checked.status == 0, checked.output
    assert not venv.exists()
    assert "granary.postgres.client : Make the virtual environment" in changed(checked)

    place = local_repository(tmp_path / "repository")
    backup = {**place, **login(postgres(17)), "host": "managed"}
    tasks = [
        {"name": "repository", "granary.postgres.repository": place},
        {"name": "backup", "granary.postgres.backup": backup},
        {
            "name": "info",
            "granary.postgres.repository_info": {**place, "query": "snapshots[].host"},
        },
    ]
    run = run_role(ansible, tmp_path, tasks=tasks, options=options)
    assert run.status == 0, run.output
    assert run.only("info")["result"] == ["managed"]
    assert (venv / "bin" / "python").exists()

    again = run_role(ansible, tmp_path, options=options)
    assert again.status == 0, again.output
    assert changed(again) == []
    facts = again.only("Say which Python runs our tasks")["ansible_facts"]
    assert facts == {"granary_python": f"{venv}/bin/python"}


@pytest.mark.sampled(
    "distribution, family, python, package",
    [
        ("Debian", "Debian", "too old", "python3-venv of Debian 12 or later"),
        ("Ubuntu", "Debian", "too old", "python3.11-venv"),
        ("RedHat", "RedHat", "too old", "python3.11"),
        ("Rocky", "RedHat", "not there", "python3.11"),
    ],
    1,
)
def test_a_host_without_a_new_python_gets_one_sentence(  # noqa: PLR0917 - rows of a table
    ansible: Ansible, tmp_path: Path, distribution: str, family: str, python: str, package: str
) -> None:
    program = tmp_path / "python3.9"
    if python == "too old":
        program.write_text(OLD_PYTHON, encoding="utf-8")
        program.chmod(0o755)
    venv = tmp_path / "venv"
    facts = {"os_family": family, "distribution": distribution, "cacheable": True}
    options = {"client_python": str(program), "client_venv": str(venv)}
    run = run_role(ansible, tmp_path, facts=facts, options=options)
    assert run.status == 2
    refusal = run.results[-1]
    assert refusal.failed
    assert refusal.message == (
        f"managed has no Python 3.11 or later; install the package {package} or name an "
        "interpreter by client_python."
    )
    assert changed(run) == []
    assert not venv.exists()
