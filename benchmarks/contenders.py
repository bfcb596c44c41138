# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The two ways that are compared: this engine, and pg_dump with stock restic.

Each run is a process of its own, timed from its start to its end.
"""

from __future__ import annotations

import dataclasses
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

from tests.testbed.postgres import PostgresServer, client_bin
from tests.testbed.restic import Restic

PASSWORD = "benchmark"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Contest:
    """Where both contenders find the same things; ``folder`` is on a disk, not in memory."""

    source: PostgresServer
    target: PostgresServer
    major: int
    folder: Path

    @property
    def programs(self) -> Path:
        """The client programs that both use."""
        return client_bin(self.major)


def _timed(argv: list[str], env: dict[str, str]) -> float:
    # Nobody pays for what those before left to the disk.
    os.sync()
    started = time.monotonic()
    subprocess.run(argv, env=env, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - started


class Granary:
    """This engine."""

    name = "granary"

    def __init__(self, contest: Contest, repository: Path) -> None:
        self._contest = contest
        self.repository = repository

    def _run(self, *arguments: str) -> float:
        env = {**os.environ, "RESTIC_PASSWORD": PASSWORD}
        return _timed([sys.executable, "-m", "benchmarks.engine", *arguments], env)

    def create(self) -> None:
        """Make the empty repository."""
        self._run("create", str(self.repository))

    def argv_of_backup(self, *databases: str) -> list[str]:
        """Return the command of a backup with two jobs."""
        source = self._contest.source
        where = [str(self.repository), source.host, str(source.port), str(self._contest.programs)]
        return [sys.executable, "-m", "benchmarks.engine", "backup", *where, *databases]

    def back_up(self, *databases: str) -> float:
        """Return the seconds of a backup."""
        return self._run(*self.argv_of_backup(*databases)[3:])

    def back_up_changes(self, *databases: str) -> float:
        """Return the seconds of a backup that does not read unchanged rows again."""
        return self._run("backup-changes", *self.argv_of_backup(*databases)[4:])

    def restore(self, database: str) -> float:
        """Return the seconds of a restore into the target server, verified."""
        target = self._contest.target
        where = [str(self.repository), target.host, str(target.port), str(self._contest.programs)]
        return self._run("restore", *where, database)


class PgDumpWithRestic:
    """``pg_dump | restic backup --stdin`` and ``restic dump | psql``, with default settings."""

    name = "pg_dump | restic"

    def __init__(self, contest: Contest, repository: Path) -> None:
        self._contest = contest
        self.repository = repository
        cache = repository.parent / "restic-cache"
        self._restic = Restic(
            version="0.19", repository=str(repository), password=PASSWORD, cache_dir=cache
        )

    def _pipe(self, server: PostgresServer, left: list[str], right: list[str]) -> float:
        env = {**os.environ, **self._restic.env(), **server.environment()}
        command = f"set -o pipefail; {shlex.join(left)} | {shlex.join(right)}"
        return _timed(["bash", "-c", command], env)

    def create(self) -> None:
        """Make the empty repository."""
        self._restic.run("init")

    def back_up(self, *databases: str) -> float:
        """Return the seconds of one dump after the other."""
        dump, restic = str(self._contest.programs / "pg_dump"), str(self._restic.program)
        return sum(
            self._pipe(
                self._contest.source,
                [dump, database],
                [restic, "backup", "--quiet", "--stdin", "--stdin-filename", f"{database}.sql"],
            )
            for database in databases
        )

    def restore(self, database: str) -> float:
        """Return the seconds of a restore into a new database of the target server."""
        self._contest.target.execute(f"CREATE DATABASE {database}")
        psql = [str(self._contest.programs / "psql"), "-Xq", "-v", "ON_ERROR_STOP=1"]
        restic = [str(self._restic.program), "dump", "latest", f"/{database}.sql"]
        return self._pipe(self._contest.target, restic, [*psql, "-d", database])


def stored_bytes(repository: Path) -> int:
    """Return the size of all files of a repository."""
    return sum(path.stat().st_size for path in repository.rglob("*") if path.is_file())
