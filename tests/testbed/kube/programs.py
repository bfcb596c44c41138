# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The programs of a cluster by name; each can be stopped and started again as it was."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.testbed.components import ensure
from tests.testbed.errors import TestBedError
from tests.testbed.process import ServerProcess

_COMPONENTS = ("kube", "coredns", "etcd", "container-runtime", "network-tools")


def program(name: str) -> Path:
    """Where a program of the cluster lies."""
    for component in _COMPONENTS:
        path = ensure(component) / "bin" / name
        if path.exists():
            return path
    raise TestBedError(f"no component of the cluster has a program {name}")


def search_path() -> str:
    """PATH for them: they start runc, nft and each other."""
    own = [str(ensure(component) / "bin") for component in _COMPONENTS]
    return os.pathsep.join([*own, "/usr/sbin", "/usr/bin", "/sbin", "/bin"])


@dataclass(slots=True)
class _Program:
    command: list[str | Path]
    ready: Callable[[], bool]
    env: Mapping[str, str]
    process: ServerProcess


class Programs:
    """Starts, kills and starts again; a log each, in one folder."""

    def __init__(self, logs: Path) -> None:
        """Keep the logs in `logs`, a folder that is made."""
        logs.mkdir(parents=True, exist_ok=True)
        self.logs = logs
        self._programs: dict[str, _Program] = {}

    def start(
        self,
        name: str,
        arguments: Sequence[str | Path],
        *,
        label: str | None = None,
        ready: Callable[[], bool] = lambda: True,
        env: Mapping[str, str] | None = None,
    ) -> None:
        """Start a program under a label, its own name if none is given; wait until `ready`."""
        label = label or name
        command = [program(name), *arguments]
        environment = {"PATH": search_path(), **(env or {})}
        process = ServerProcess(command, self.logs / f"{label}.log", env=environment)
        self._programs[label] = _Program(command, ready, environment, process)
        process.wait_until(ready)

    def start_again(self, label: str) -> None:
        """Start one that was stopped, and wait until it is ready."""
        known = self._programs[label]
        known.process = ServerProcess(known.command, self.logs / f"{label}.log", env=known.env)
        known.process.wait_until(known.ready)

    def kill(self, label: str) -> None:
        """SIGKILL: the API server would wait a minute for those who watch."""
        self._programs[label].process.kill()

    def stop(self, label: str) -> None:
        """Ask it to end."""
        self._programs[label].process.stop(timeout_s=10)

    def alive(self, label: str) -> bool:
        """Whether it runs."""
        return label in self._programs and self._programs[label].process.alive

    def kill_all(self) -> None:
        """SIGKILL for all, the last that was started first."""
        for label in reversed(self._programs):
            self.kill(label)

    def keep_logs(self, folder: Path) -> None:
        """Copy the logs to a folder that stays."""
        shutil.copytree(self.logs, folder, dirs_exist_ok=True)
