# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Real runs of ansible-playbook: our modules, role and playbooks as their users start them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import typing as t
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from tests.fix_repository import PASSWORD
from tests.testbed.components import cache_folder
from tests.testbed.postgres import PostgresServer, client_bin, client_major_for
from tests.testbed.s3 import Bucket

ROOT = Path(__file__).parent.parent
PROGRAMS = Path(sys.executable).parent
# What libraries and programs would take from the environment of the person who runs the tests.
_SPARE = "spare"
_FALLBACKS = ("ANSIBLE_", "AWS_", "PG", "RESTIC_")


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One task: the name of a module of ours, or the full one of another, and its options."""

    module: str
    options: Mapping[str, t.Any]
    check: bool = False
    diff: bool = False

    def to_play(self, host: str) -> dict[str, t.Any]:
        """A play of this task alone, for a host of its own: its failure stops no other one.

        The spare host is there since a play in which every host failed ends the whole run.
        """
        name = self.module if "." in self.module else f"granary.postgres.{self.module}"
        task = {
            "name": host,
            name: dict(self.options),
            "check_mode": self.check,
            "diff": self.diff,
            "when": f"inventory_hostname != '{_SPARE}'",
        }
        return {"hosts": [host, _SPARE], "gather_facts": False, "tasks": [task]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What became of one task."""

    host: str
    task: str
    outcome: t.Literal["ok", "failed", "skipped", "unreachable"]
    values: dict[str, t.Any]

    @property
    def failed(self) -> bool:
        """Whether it failed."""
        return self.outcome == "failed"

    @property
    def message(self) -> str:
        """Its `msg`, or ""."""
        return str(self.values.get("msg", ""))

    @property
    def code(self) -> str | None:
        """The code of our error, if there is one."""
        found: str | None = self.values.get("error", {}).get("code")
        return found

    def __getitem__(self, name: str) -> t.Any:
        """A returned value; the whole result is shown if it is not there."""
        assert name in self.values, self.values
        return self.values[name]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run of ansible-playbook that has ended."""

    status: int
    output: str
    results: Sequence[Result]

    def only(self, task: str) -> Result:
        """The result of the one task whose name ends so."""
        (found,) = [result for result in self.results if result.task.endswith(task)]
        return found


@dataclass(slots=True, kw_only=True)
class Ansible:
    """Starts Ansible in a home of its own, with nothing of the caller's settings."""

    folder: Path
    programs: Path = PROGRAMS
    settings: dict[str, str] = field(default_factory=dict)
    runs: int = 0

    def tasks(self, *tasks: Task, verbosity: int = 0, env: Mapping[str, str] | None = None) -> Run:
        """Run tasks one after the other; `results` has one for each."""
        plays = [task.to_play(f"task{number}") for number, task in enumerate(tasks)]
        hosts = [*(play["hosts"][0] for play in plays), _SPARE]
        playbook = self._file("playbook.json")
        playbook.write_text(json.dumps(plays), encoding="utf-8")
        run = self.playbook(str(playbook), hosts=hosts, verbosity=verbosity, env=env)
        results = [result for result in run.results if result.host != _SPARE]
        assert len(results) == len(tasks), run.output
        return replace(run, results=results)

    def task(self, module: str, *, check: bool = False, **options: t.Any) -> Result:
        """Run one task."""
        return self.tasks(Task(module=module, options=options, check=check)).results[0]

    def playbook(
        self,
        name: str,
        *arguments: str,
        variables: Mapping[str, t.Any] | None = None,
        hosts: Sequence[str] = ("localhost",),
        verbosity: int = 0,
        env: Mapping[str, str] | None = None,
    ) -> Run:
        """Run a playbook of a file or a collection on this machine under the names of `hosts`.

        Without hosts there is no inventory. Variables go in by a file.
        """
        results = self._file("results")
        results.touch()
        given = self._file("variables.json")
        given.write_text(json.dumps(dict(variables or {})), encoding="utf-8")
        command = ["ansible-playbook", "-e", f"@{given}", *arguments, name]
        command += ["-i", str(self._inventory(hosts))] if hosts else []
        command += [f"-{'v' * verbosity}"] if verbosity else []
        done = self.program(*command, env={"GRANARY_TEST_RESULTS": str(results), **(env or {})})
        lines = results.read_text(encoding="utf-8").splitlines()
        return Run(
            status=done.returncode,
            output=done.stdout,
            results=[_read_result(json.loads(line)) for line in lines],
        )

    def program(
        self, name: str, *arguments: str | Path, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run one of Ansible's programs; standard error is in the output too."""
        return subprocess.run(
            [self.programs / name, *arguments],
            env=self.environment() | dict(env or {}),
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            timeout=600,
            check=False,
        )

    def environment(self) -> dict[str, str]:
        """Our own environment without fallbacks, with the callback that writes results."""
        kept = {name: text for name, text in os.environ.items() if not name.startswith(_FALLBACKS)}
        home = str(self.folder)
        return {
            **kept,
            "HOME": home,
            "PIP_CACHE_DIR": str(cache_folder() / "pip"),
            "PIP_NO_COMPILE": "no",  # pip's way to say yes to --no-compile
            "LC_ALL": "C.UTF-8",
            "ANSIBLE_CONFIG": str(self._settings_file()),
            "ANSIBLE_HOME": f"{home}/.ansible",
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_PIPELINING": "1",
            "ANSIBLE_RETRY_FILES_ENABLED": "0",
            "ANSIBLE_INJECT_FACT_VARS": "0",
            "ANSIBLE_CALLBACK_PLUGINS": str(ROOT / "tests" / "ansible_callbacks"),
            "ANSIBLE_CALLBACKS_ENABLED": "granary_results",
            **self.settings,
        }

    def _inventory(self, hosts: Sequence[str]) -> Path:
        here = {
            "ansible_connection": "local",
            "ansible_python_interpreter": str(self.programs / "python"),
        }
        inventory = {"all": {"hosts": dict.fromkeys(hosts, here)}}
        path = self._file("inventory.json")
        path.write_text(json.dumps(inventory), encoding="utf-8")
        return path

    def _settings_file(self) -> Path:
        path = self.folder / "ansible.cfg"  # in place of one in /etc
        # By default it looks a thousand times a second whether a task has ended.
        path.write_text("[defaults]\ninternal_poll_interval = 0.01\n", encoding="utf-8")
        return path

    def _file(self, name: str) -> Path:
        self.runs += 1
        return self.folder / f"{self.runs}-{name}"


def _read_result(line: dict[str, t.Any]) -> Result:
    return Result(
        host=line["host"], task=line["task"], outcome=line["outcome"], values=line["result"]
    )


@pytest.fixture(scope="session")
def ansible(tmp_path_factory: pytest.TempPathFactory) -> Ansible:
    """Ansible of the development environment, with this collection."""
    return Ansible(folder=tmp_path_factory.mktemp("ansible"))


def local_repository(path: Path, password: str = PASSWORD) -> dict[str, t.Any]:
    """The options of a repository in a folder."""
    return {"backend": {"local": {"path": str(path)}}, "password": password}


def bucket_repository(bucket: Bucket, **more: t.Any) -> dict[str, t.Any]:
    """The options of a repository in a bucket; `more` are the place's, such as a prefix."""
    place = {"bucket": bucket.name, "endpoint": bucket.endpoint, "region": bucket.region}
    options = {"backend": {"s3": place | more}, "password": PASSWORD}
    keys = {"access_key": bucket.access_key, "secret_key": bucket.secret_key}
    authority = {"ca_bundle": str(bucket.ca_bundle)} if bucket.ca_bundle else {}
    return options | keys | authority


def login(server: PostgresServer, **more: t.Any) -> dict[str, t.Any]:
    """The options that reach a server as its superuser, with client programs that fit it."""
    options = {
        "login_host": server.host,
        "login_port": server.port,
        "login_user": server.user,
        "bin_dir": str(client_bin(client_major_for(server.major))),
    }
    password = {"login_password": server.password} if server.password else {}
    return options | password | more
