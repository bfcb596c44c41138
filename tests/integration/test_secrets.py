# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Passwords and keys are seen nowhere: not in any process's arguments, not in what Ansible says at
-vvv, not in results, errors and logs, not in the plain text of the repository.
"""

from __future__ import annotations

import subprocess
import threading
import typing as t
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fix_ansible import Ansible, Run, Task, bucket_repository, local_repository, login
from tests.fix_postgres import PostgresFactory
from tests.fix_stage import SHOP
from tests.testbed import folders
from tests.testbed.s3 import Bucket, S3Server

DATABASE_PASSWORD = "planted-database-4f1c'x"
REPOSITORY_PASSWORD = "planted-repository-9b2e"
ROLE_PASSWORD = "planted-role-77aa"
ENOUGH = "planted-"
LARGE = """
CREATE TABLE public.large AS
    SELECT n, md5(n::text) || md5((n + 1)::text) AS text FROM generate_series(1, 400000) n
"""


class PlantedS3Server(S3Server):
    """An S3 server whose keys are easy to look for."""

    access_key = "planted-access-1d3f"
    secret_key = "planted-secret-8c6a"


class ArgumentWatch:
    """Reads the arguments of every process again and again until it is left."""

    def __init__(self) -> None:
        self.programs: set[str] = set()
        self.leaks: set[str] = set()
        self._own = {Path("/proc/self").resolve().name}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> t.Self:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        """End."""
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.02):
            for process in Path("/proc").glob("[0-9]*"):
                try:
                    arguments = (process / "cmdline").read_bytes()
                except OSError:
                    continue  # it has ended
                self._look(arguments.decode("utf-8", "replace"))

    def _look(self, arguments: str) -> None:
        self.programs |= {
            name
            for name in ("pg_dump", "pg_dumpall", "pg_restore", "psql", "AnsiballZ_")
            if f"{name}\0" in arguments or f"/{name}" in arguments
        }
        if ENOUGH in arguments:
            self.leaks.add(arguments)


@pytest.fixture(scope="module")
def planted_bucket() -> Iterator[Bucket]:
    """A bucket of the server with planted keys."""
    with PlantedS3Server() as server:
        yield server.make_bucket("planted")


@pytest.fixture(scope="module")
def shops(postgres: PostgresFactory) -> dict[str, dict[str, t.Any]]:
    """Logins of a source with a shop and of a target."""
    source, target = (
        postgres(17, auth=auth, password=DATABASE_PASSWORD, settings={"log_statement": "none"})
        for auth in ("scram-sha-256", "md5")
    )
    source.execute("CREATE DATABASE shop")
    source.execute(SHOP, database="shop")
    source.execute(LARGE, database="shop")
    source.execute(f"CREATE ROLE shopper LOGIN PASSWORD '{ROLE_PASSWORD}'")
    return {"source": login(source), "target": login(target)}


def tasks_on(repository: dict[str, t.Any], shops: dict[str, dict[str, t.Any]]) -> list[Task]:
    """A whole life, and failures of several kinds, each with secrets at hand."""
    source = {**repository, **shops["source"], "host": "main", "databases": ["shop"]}
    target = {**repository, **shops["target"]}
    return [
        Task(module="repository", options=repository, diff=True),
        Task(module="backup", options=source, check=True),
        Task(module="backup", options={**source, "segment_threshold": 0}),
        Task(module="restore", options=target, diff=True),
        Task(module="repository_info", options=repository),
        Task(module="repository_check", options={**repository, "repair": True}),
        Task(module="retention", options={**repository, "keep_last": 1}, diff=True),
        Task(
            module="repository_key",
            options={**repository, "key_password": "planted-second-key"},
            diff=True,
        ),
        # From here on all fail.
        Task(module="repository_key", options={**repository, "state": "absent", "key_id": "x"}),
        Task(module="backup", options={**source, "login_password": "planted-but-wrong"}),
        Task(module="backup", options={**source, "password": "planted-but-wrong"}),
        Task(module="backup", options={**source, "bin_dir": "/nowhere"}),
        Task(module="backup", options={**source, "databases": ["nowhere"]}),
        Task(
            module="backup",
            options={**source, "format": "plain", "dump_args": ["--no-such-argument"]},
        ),
        Task(module="restore", options=target),
        Task(module="restore", options={**target, "snapshot": "0123"}),
        Task(module="restore", options={**target, "rename": {"shop": "bad\u0001"}, "jobs": -1}),
    ]


WORKING = 8
# Modules as files, as by default, and everything that Ansible can say of an error.
LOUD = {"ANSIBLE_PIPELINING": "0", "ANSIBLE_DISPLAY_TRACEBACK": "always"}


def run_watched(ansible: Ansible, tasks: list[Task]) -> Run:
    """Run tasks at -vvv and watch all arguments meanwhile."""
    with ArgumentWatch() as watch:
        run = ansible.tasks(*tasks, verbosity=3, env=LOUD)
    assert watch.leaks == set()
    assert watch.programs >= {"pg_dump", "pg_dumpall", "pg_restore", "AnsiballZ_"}
    return run


def check_run(run: Run) -> None:
    """Nothing planted is in the output or in a result, and everything ended as it should."""
    failed = [result.failed for result in run.results]
    assert failed == [False] * WORKING + [True] * (len(failed) - WORKING), run.output
    assert ENOUGH not in run.output
    for result in run.results:
        assert ENOUGH not in str(result.values)


def files_below(folder: Path) -> list[Path]:
    """Every file that holds something planted."""
    return [
        path
        for path in folder.rglob("*")
        if path.is_file() and ENOUGH.encode() in path.read_bytes()
    ]


def test_the_watch_sees_arguments() -> None:
    canary = ["sh", "-c", "read line", f"{ENOUGH}canary"]
    with ArgumentWatch() as watch, subprocess.Popen(canary, stdin=subprocess.PIPE) as child:
        while not watch.leaks:
            assert child.poll() is None
        child.kill()
    assert any("canary" in arguments for arguments in watch.leaks)


@pytest.mark.slow
def test_secrets_stay_secret_with_a_folder(
    ansible: Ansible, shops: dict[str, dict[str, t.Any]]
) -> None:
    folder = folders.make_scratch()
    try:
        options = local_repository(folder / "repository", REPOSITORY_PASSWORD)
        check_run(run_watched(ansible, tasks_on(options, shops)))
        assert (folder / "repository" / "config").exists()
        assert files_below(folder) == []
    finally:
        folders.remove(folder)
    # What modules were told lies in files only while they run.
    assert files_below(ansible.folder / ".ansible") == []


def test_secrets_stay_secret_with_a_bucket(
    ansible: Ansible, shops: dict[str, dict[str, t.Any]], planted_bucket: Bucket
) -> None:
    options = {**bucket_repository(planted_bucket), "password": REPOSITORY_PASSWORD}
    shops["target"] = {**shops["target"], "login_db": "postgres"}
    tasks = tasks_on(options, shops)
    wrong = {**options, "secret_key": "planted-but-wrong"}
    tasks.append(Task(module="repository_info", options=wrong))
    tasks[3] = Task(module="restore", options={**tasks[3].options, "rename": {"shop": "again"}})
    tasks[14] = Task(module="restore", options={**tasks[14].options, "rename": {"shop": "again"}})
    check_run(run_watched(ansible, tasks))
    client = planted_bucket.client()
    keys = planted_bucket.list_keys("")
    assert "config" in keys
    for key in keys:
        stored = client.get_object(Bucket=planted_bucket.name, Key=key)["Body"].read()
        assert ENOUGH.encode() not in stored
