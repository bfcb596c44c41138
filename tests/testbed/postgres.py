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
from dataclasses import dataclass, field
from pathlib import Path

from . import folders
from .certificates import Authority
from .components import installed, majors, program_folder
from .errors import TestBedError
from .ports import HOST, free_port
from .process import ServerProcess, give_to, run, server_user

if t.TYPE_CHECKING:
    from psycopg2.extensions import connection

_STOP_SIGNALS = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}
_LOCALE_PROVIDERS_SINCE = 15
_RECOVERY_SETTINGS_SINCE = 12
_PORT_TRIES = 5

# Durability is not what the tests are about; autovacuum stays as users have it.
_SETTINGS = {
    "listen_addresses": HOST,
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "max_connections": "60",
    "log_line_prefix": "%m [%p] %q%u@%d ",
    "timezone": "UTC",
}


def server_bin(major: int) -> Path:
    """The folder with postgres, initdb and pg_ctl of one major."""
    return program_folder("servers", major)


def client_bin(major: int) -> Path:
    """The folder with pg_dump, pg_dumpall, pg_restore, psql, pg_basebackup of this very major."""
    return program_folder("clients", major)


def client_major_for(server_major: int) -> int:
    """The lowest client major that is not older than the server."""
    return min(major for major in majors("clients") if major >= server_major)


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresOptions:
    """How a server is made. `hba` lines come before the ones that initdb writes."""

    auth: t.Literal["trust", "scram-sha-256", "md5"] = "trust"
    user: str = "postgres"
    password: str = "a test's password"
    encoding: str = "UTF8"
    locale: str = "C.UTF-8"
    icu_locale: str | None = None
    checksums: bool = False
    settings: Mapping[str, str] = field(default_factory=dict)
    hba: Sequence[str] = ()
    authority: Authority | None = None
    bin_dir: Path | None = None


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
                self._make()
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
        # Not by --write-recovery-conf: a newer one writes options that an older libpq refuses.
        source = f"primary_conninfo = {_quote(self.dsn())}\n"
        if self.major < _RECOVERY_SETTINGS_SINCE:
            recovery = copy.data_dir / "recovery.conf"
            recovery.write_text(f"standby_mode = on\n{source}", encoding="utf-8")
        else:
            (copy.data_dir / "standby.signal").touch()
            with (copy.data_dir / "postgresql.conf").open("a", encoding="utf-8") as file:
                file.write(source)
        copy._configure({"hot_standby": "on", **(settings or {})})
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

    def _make(self) -> None:
        options, user = self.options, server_user()
        give_to(self.folder, user)
        password_file = self.folder / "password"
        password_file.write_text(options.password, encoding="utf-8")
        password_file.chmod(0o644)
        command: list[str | Path] = [
            *(self.bin_dir / "initdb", "-D", self.data_dir, "-N"),
            *("-U", options.user, "-A", options.auth, f"--pwfile={password_file}"),
            *("-E", options.encoding, f"--locale={options.locale}"),
            *(["-k"] if options.checksums else []),
        ]
        if options.icu_locale:
            command += ["--locale-provider=icu", f"--icu-locale={options.icu_locale}"]
        elif self.major >= _LOCALE_PROVIDERS_SINCE:
            command += ["--locale-provider=libc"]
        run(command, doing=f"initdb of {self.major}", env=_locale_env(), cwd=self.folder, user=user)
        password_file.unlink()
        hba = self.data_dir / "pg_hba.conf"
        hba.write_text("\n".join([*options.hba, hba.read_text(encoding="utf-8")]), encoding="utf-8")
        self._configure(self._tls_settings() | dict(options.settings))

    def _configure(self, settings: Mapping[str, str]) -> None:
        wanted = {**_SETTINGS, "unix_socket_directories": str(self.socket_dir), **settings}
        lines = [f"{name} = {_quote(value)}\n" for name, value in wanted.items()]
        with (self.data_dir / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.writelines(lines)

    def _tls_settings(self) -> dict[str, str]:
        authority = self.options.authority
        if authority is None:
            return {}
        files = authority.issue(f"postgres-{self.folder.name}", server=True)
        sources = {
            "ssl_cert_file": files.certificate,
            "ssl_key_file": files.key,
            "ssl_ca_file": authority.certificate,
        }
        for source in sources.values():
            copy = Path(shutil.copy(source, self.data_dir))
            copy.chmod(0o600)
            give_to(copy, server_user())
        return {"ssl": "on", **{name: source.name for name, source in sources.items()}}

    def _started(self, *, last_try: bool) -> bool:
        self.port = self.port or free_port()
        self._process = ServerProcess(
            [self.bin_dir / "postgres", "-D", self.data_dir, "-p", str(self.port)],
            self.log,
            env=_locale_env(),
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
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(path.read_text(encoding="utf-8").rpartition(")")[2].split()[1]) == parent:
                found.append(int(path.parent.name))
    return found


def _locale_env() -> dict[str, str]:
    """Our own libc locales, where they are installed; LANG of the person running is not used."""
    env = {"LC_ALL": "C.UTF-8", "PGTZ": "UTC"}
    compiled = installed("locales")
    return env | ({"LOCPATH": str(compiled)} if compiled else {})


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "\\'")


def _quote(value: str) -> str:
    """As a value in postgresql.conf, where a backslash begins an escape as well."""
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"
