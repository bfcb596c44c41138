# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""PostgreSQL servers of any major for tests: made, started, stopped, killed, copied as standbys."""

from __future__ import annotations

import contextlib
import shutil
import signal
import time
import typing as t
from collections.abc import Mapping, Sequence
from pathlib import Path

from . import folders
from .components import majors, program_folder
from .errors import TestBedError
from .ports import HOST, free_port
from .postgres_cluster import PostgresOptions, make_cluster, make_standby, server_environment
from .process import ServerProcess, give_to, run, server_user

if t.TYPE_CHECKING:
    from psycopg2.extensions import connection

__all__ = ["PostgresOptions", "PostgresServer", "client_bin", "client_major_for", "server_bin"]

_STOP_SIGNALS = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}
_PORT_TRIES = 5


def server_bin(major: int) -> Path:
    """The folder with postgres, initdb and pg_ctl of one major."""
    return program_folder("servers", major)


def client_bin(major: int) -> Path:
    """The folder with pg_dump, pg_dumpall, pg_restore, psql, pg_basebackup of this very major."""
    return program_folder("clients", major)


def client_major_for(server_major: int) -> int:
    """The lowest client major that is not older than the server."""
    return min(major for major in majors("clients") if major >= server_major)


class PostgresServer:
    """One server with a data folder of its own on a free port of 127.0.0.1.

    Not started by the constructor. A context manager: starts, and removes everything at the end.
    """

    def __init__(self, major: int, options: PostgresOptions | None = None) -> None:
        """Choose major and options; nothing is made yet."""
        self.major = major
        self.options = options or PostgresOptions()
        self.host = HOST
        self.port = 0
        self.user = self.options.user
        self.password = None if self.options.auth == "trust" else self.options.password
        self.folder = folders.make_scratch()
        self.data_dir = self.folder / "data"
        self.socket_dir = self.folder
        self.log = self.folder / "server.log"
        self._process: ServerProcess | None = None
        self._standbys = 0
        self._left_shared: list[tuple[str, str, str]] = []

    def __enter__(self) -> PostgresServer:
        """Start it."""
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        """Stop it and remove its files."""
        self.close()

    @property
    def bin_dir(self) -> Path:
        """The folder of its own programs (no clients in it)."""
        return self.options.bin_dir or server_bin(self.major)

    @property
    def pid(self) -> int:
        """The postmaster's pid."""
        return self._running().pid

    @property
    def alive(self) -> bool:
        """Whether the postmaster runs."""
        return self._process is not None and self._process.alive

    def start(self) -> None:
        """Make the data folder if there is none, start and wait until it takes connections."""
        if self.alive:
            return
        try:
            if not (self.data_dir / "PG_VERSION").exists():
                make_cluster(
                    self.folder, bin_dir=self.bin_dir, major=self.major, options=self.options
                )
            for attempt in range(_PORT_TRIES):
                if self._started(last_try=attempt == _PORT_TRIES - 1):
                    return
        except TestBedError:
            self._keep_log()
            raise

    def stop(self, mode: t.Literal["smart", "fast", "immediate"] = "fast") -> None:
        """Stop it as pg_ctl would."""
        if self._process is not None:
            self._process.stop(_STOP_SIGNALS[mode])

    def kill(self) -> None:
        """SIGKILL the postmaster and wait until its children are gone too."""
        children = _children(self.pid)
        self._left_shared = _shared_memory(self.pid)
        self._running().kill()
        deadline = time.monotonic() + 30
        while any(Path(f"/proc/{child}").exists() for child in children):
            if time.monotonic() > deadline:
                raise TestBedError(f"children of the killed server on port {self.port} live on")
            time.sleep(0.02)

    def restart(self) -> None:
        """Stop and start again, on the same port."""
        self.stop()
        self.start()

    def close(self, *, keep_log: bool = False) -> None:
        """Stop it and remove its files; `keep_log` puts the log beside the scratch folders."""
        if self._process is not None and self._process.stop(signal.SIGINT) != 0:
            keep_log = keep_log or not self._was_killed()
        if keep_log:
            self._keep_log()
        for removal in self._left_shared:
            run(removal, doing="removing the shared memory of a killed server")
        folders.remove(self.folder)

    def dsn(self, database: str = "postgres", *, user: str | None = None, **more: str) -> str:
        """A libpq connection string over TCP; the password is in it where one is needed."""
        parts = {
            "host": self.host,
            "port": str(self.port),
            "user": user or self.user,
            "dbname": database,
            **({"password": self.password} if self.password else {}),
            **more,
        }
        return " ".join(f"{name}='{_escape(value)}'" for name, value in parts.items())

    def connect(self, database: str = "postgres", **more: str) -> connection:
        """A new psycopg2 connection in autocommit mode; the caller closes it."""
        import psycopg2

        opened = psycopg2.connect(self.dsn(database, **more))
        opened.autocommit = True
        return opened

    def execute(
        self, sql: str, parameters: Sequence[object] | None = None, *, database: str = "postgres"
    ) -> list[tuple[t.Any, ...]]:
        """Run SQL as the superuser and return the rows of its last statement."""
        with contextlib.closing(self.connect(database)) as opened, opened.cursor() as cursor:
            cursor.execute(sql, parameters)
            return cursor.fetchall() if cursor.description else []

    def environment(self) -> dict[str, str]:
        """PG* variables for client programs."""
        found = {"PGHOST": self.host, "PGPORT": str(self.port), "PGUSER": self.user}
        return found | ({"PGPASSWORD": self.password} if self.password else {})

    def client(self, *command: str, major: int | None = None, **more: str) -> str:
        """Run a client program (psql, pg_dump, ...) against it, return its output."""
        folder = client_bin(major or client_major_for(self.major))
        program, *arguments = command
        return run(
            [folder / program, *arguments],
            doing=f"{program} of {folder.parent.name}",
            env={**self.environment(), **more},
        )

    def standby(self, settings: Mapping[str, str] | None = None) -> PostgresServer:
        """A started hot standby that streams from this server; the caller closes it."""
        copy = PostgresServer(self.major, self.options)
        user = server_user()
        give_to(copy.folder, user)
        run(
            [
                client_bin(client_major_for(self.major)) / "pg_basebackup",
                *("-D", copy.data_dir, "--wal-method=stream"),
                *("--checkpoint=fast", "-d", self.dsn()),
            ],
            doing="pg_basebackup",
            cwd=copy.folder,
            user=user,
        )
        make_standby(copy.folder, major=self.major, primary_dsn=self.dsn(), settings=settings or {})
        copy.start()
        return copy

    def wait_for_replay(self, primary: PostgresServer, *, timeout_s: float = 60) -> None:
        """Wait until this standby has replayed all that `primary` has written so far."""
        # Commits are asynchronous here: this one is not, so all before it is flushed and sent.
        primary.execute("SET synchronous_commit = on; SELECT pg_logical_emit_message(true, '', '')")
        ((target,),) = primary.execute("SELECT pg_current_wal_flush_lsn()::text")
        deadline = time.monotonic() + timeout_s
        behind = "SELECT coalesce(pg_wal_lsn_diff(%s, pg_last_wal_replay_lsn()) > 0, true)"
        while self.execute(behind, [target]) == [(True,)]:
            if time.monotonic() > deadline:
                raise TestBedError(f"the standby did not reach {target} in {timeout_s:.0f} s")
            time.sleep(0.02)

    def _started(self, *, last_try: bool) -> bool:
        self.port = self.port or free_port()
        self._process = ServerProcess(
            [self.bin_dir / "postgres", "-D", self.data_dir, "-p", str(self.port)],
            self.log,
            env=server_environment(),
            cwd=self.folder,
            user=server_user(),
            death_signal=signal.SIGQUIT,
        )
        try:
            self._process.wait_until(self._ready)
        except TestBedError as exc:
            if last_try or "Address already in use" not in str(exc):
                raise
            self.port = 0
            return False
        self._left_shared = []  # a new start removes what the killed one had
        return True

    def _ready(self) -> bool:
        # Line 8 of postmaster.pid says how far it is (since 10, utils/pidfile.h).
        try:
            lines = (self.data_dir / "postmaster.pid").read_text(encoding="utf-8").split("\n")
        except OSError:
            return False
        return lines[0] == str(self.pid) and lines[7:8] != [] and lines[7].strip() == "ready"

    def _running(self) -> ServerProcess:
        if self._process is None:
            raise TestBedError(f"the PostgreSQL {self.major} server was not started")
        return self._process

    def _was_killed(self) -> bool:
        return not self._ready()

    def _keep_log(self) -> None:
        if self.log.exists():
            kept = folders.base() / "granary-test-logs"
            kept.mkdir(exist_ok=True)
            shutil.copy(self.log, kept / f"postgres-{self.major}-{self.folder.name}.log")


def _children(parent: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            stat = (path / "stat").read_text(encoding="utf-8")
            if int(stat.rpartition(")")[2].split()[1]) == parent:
                found.append(int(path.name))
    return found


def _shared_memory(pid: int) -> list[tuple[str, str, str]]:
    """The commands that remove what outlives a killed server in shared memory, by proc(5) maps."""
    removals = []
    for line in Path(f"/proc/{pid}/maps").read_text(encoding="utf-8").splitlines():
        *dummy, inode, name = [*line.split(maxsplit=5), ""][:6]
        if name.startswith("/dev/shm/PostgreSQL."):
            removals.append(("rm", "-f", name))
        elif name.startswith("/SYSV"):  # the inode of a segment of System V is its id
            removals.append(("ipcrm", "-m", inode))
    return removals


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "\\'")
