# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Child processes that never outlive us.

Every child gets a process group of its own and a signal for the case that we die, and is stopped
by its pid. Nothing here knows what the programs are.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from .errors import TestBedError

SERVER_USER = "granary-test"
"""PostgreSQL refuses to run as root; its servers run as this user, made on first use."""


def server_user() -> str:
    """The user that servers run as: one of our own under root, else whoever we are."""
    if os.geteuid() != 0:
        return pwd.getpwuid(os.geteuid()).pw_name
    with contextlib.suppress(KeyError):
        return pwd.getpwnam(SERVER_USER).pw_name
    useradd = shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if useradd is None:
        raise TestBedError(f"useradd is missing, so the user {SERVER_USER} cannot be made")
    made = subprocess.run(
        [useradd, "--system", "--no-create-home", "--shell", "/bin/sh", SERVER_USER],
        capture_output=True,
        text=True,
        check=False,
    )
    try:  # two sessions may have made it at once: what counts is that it is there
        return pwd.getpwnam(SERVER_USER).pw_name
    except KeyError:
        raise TestBedError(f"useradd {SERVER_USER} failed: {made.stderr.strip()}") from None


def give_to(path: Path, user: str) -> None:
    """Make `user` the owner of one file or folder."""
    entry = pwd.getpwnam(user)
    os.chown(path, entry.pw_uid, entry.pw_gid)


def run(
    command: Sequence[str | Path],
    *,
    doing: str,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    user: str | None = None,
    timeout_s: float = 900,
) -> str:
    """Run a program to its end and return its standard output.

    `env` is added to our own environment. Raises TestBedError with the end of its words if it
    fails.
    """
    try:
        done = subprocess.run(
            _tied(command, user, signal.SIGKILL),
            env={**os.environ, **(env or {})},
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=timeout_s,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise TestBedError(f"{doing} failed: {exc}") from exc
    if done.returncode != 0:
        words = (done.stderr.strip() or done.stdout.strip())[-2000:]
        raise TestBedError(f"{doing} failed with status {done.returncode}: {words}")
    return done.stdout


class ServerProcess:
    """A server as our child, in its own process group, its output in a log file."""

    def __init__(
        self,
        command: Sequence[str | Path],
        log: Path,
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        user: str | None = None,
        death_signal: signal.Signals = signal.SIGKILL,
    ) -> None:
        """Start it. `death_signal` is what it gets when we die without stopping it."""
        self.name = Path(command[0]).name
        self.log = log
        with log.open("ab") as output:
            self._child = subprocess.Popen(
                _tied(command, user, death_signal),
                env={**os.environ, **(env or {})},
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Its pid, which is also that of its process group."""
        return self._child.pid

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._child.poll() is None

    def wait_until(self, ready: Callable[[], bool], *, timeout_s: float = 60) -> None:
        """Wait for `ready`; raises TestBedError if it dies first or takes too long."""
        deadline = time.monotonic() + timeout_s
        while not ready():
            if not self.alive:
                raise TestBedError(
                    f"{self.name} ended with status {self._child.returncode} "
                    f"before it was ready:\n{self.log_tail()}"
                )
            if time.monotonic() > deadline:
                self.kill()
                raise TestBedError(
                    f"{self.name} was not ready in {timeout_s:.0f} s:\n{self.log_tail()}"
                )
            time.sleep(0.02)

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process itself, if it still runs."""
        if self.alive:
            self._child.send_signal(number)

    def stop(self, number: signal.Signals = signal.SIGTERM, *, timeout_s: float = 60) -> int:
        """Ask it to end and wait; the whole group is killed if it does not. Returns the status."""
        self.send(number)
        try:
            self._child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
        return self._child.returncode

    def kill(self) -> None:
        """SIGKILL for its whole process group."""
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
        self._child.wait()

    def log_tail(self, size: int = 4000) -> str:
        """The end of its log."""
        return self.log.read_bytes()[-size:].decode("utf-8", "replace")


def _tied(
    command: Sequence[str | Path], user: str | None, death_signal: signal.Signals
) -> list[str]:
    """The command, run as `user`, tied to our life by the parent-death signal of prctl(2)."""
    identity = []
    if user is not None and os.geteuid() == 0:
        identity = [f"--reuid={user}", f"--regid={user}", "--clear-groups"]
    number = death_signal.name.removeprefix("SIG")
    return ["setpriv", f"--pdeathsig={number}", *identity, "--", *(str(part) for part in command)]
