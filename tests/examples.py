# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The examples of Stash's documentation: applied as users do, until they are what they announce."""

from __future__ import annotations

import dataclasses
import itertools
import typing as t
from collections.abc import Mapping
from pathlib import Path

import yaml

from tests.testbed.kube.kubectl import Kubectl, Object
from tests.testbed.postgres import PostgresServer
from tests.waiting import wait_for

MANIFESTS = Path(__file__).parent / "cluster/manifests"
FINAL = {"Succeeded", "Failed", "Skipped", "Unknown"}
ROWS = "SELECT name, employee FROM company ORDER BY name"
_CHANGED: dict[str, dict[str, str]] = yaml.safe_load(
    (MANIFESTS / "changed_lines.yaml").read_text(encoding="utf-8")
)
_numbers = itertools.count(1)


def example(name: str, lines: Mapping[str, str] | None = None) -> str:
    """An example's text with the lines of `changed_lines.yaml`, then `lines`, in place of those
    written, without their indent; each of them must be there.
    """
    text = (MANIFESTS / f"{name}.yaml").read_text(encoding="utf-8")
    for changes in (_CHANGED.get(name, {}), lines or {}):
        left = set(changes)
        made = []
        for line in text.splitlines():
            written = line.strip()
            left.discard(written)
            made.append(line.replace(written, changes[written]) if written in changes else line)
        assert not left, f"{name} has no line {left}"
        text = "\n".join(made)
    return text


@dataclasses.dataclass(frozen=True, kw_only=True)
class Examples:
    """Applies the examples and runs their sessions.

    `server` is the one behind all AppBindings; `received` what was posted to Slack; `host_path` a
    folder of the node that only root may write.
    """

    kubectl: Kubectl
    server: PostgresServer
    received: list[str]
    host_path: Path

    def apply(self, name: str, lines: Mapping[str, str] | None = None) -> None:
        """Apply an example with strict validation."""
        self.kubectl.apply(example(name, lines))

    def phase(self, kind: str, name: str, namespace: str, *phases: str) -> Object:
        """The object once its phase is one of these and is about its present spec."""

        def look() -> Object | None:
            found = self.kubectl.get(kind, name, namespace)
            status = found.get("status", {})
            seen = status.get("observedGeneration", found["metadata"]["generation"])
            is_new = seen == found["metadata"]["generation"]
            return found if is_new and status.get("phase") in phases else None

        def told() -> object:
            return self.kubectl.get(kind, name, namespace).get("status")

        return wait_for(look, f"{kind} {name} to be {phases}", told, timeout_s=120)

    def ready(self, name: str, namespace: str = "demo") -> None:
        """Wait until a BackupConfiguration is Ready."""
        self.phase("backupconfiguration", name, namespace, "Ready")

    def back_up(self, name: str, namespace: str = "demo", phase: str = "Succeeded") -> Object:
        """The status of a session that was made by hand, once it has ended in `phase`.

        The examples' schedules go on meanwhile: a session that meets another is made again.
        """
        self.ready(name, namespace)
        while True:
            session = f"{name}-by-hand-{next(_numbers)}"
            invoker = {"apiGroup": "stash.appscode.com", "kind": "BackupConfiguration"}
            self.kubectl.apply(
                {
                    "apiVersion": "stash.appscode.com/v1beta1",
                    "kind": "BackupSession",
                    "metadata": {"name": session, "namespace": namespace},
                    "spec": {"invoker": {**invoker, "name": name}},
                }
            )
            status: Object = self.phase("backupsession", session, namespace, *FINAL)["status"]
            if status["phase"] != "Skipped":
                assert status["phase"] == phase, status
                return status

    def restore(self, name: str, namespace: str = "demo") -> None:
        """Wait until a RestoreSession has succeeded, and remove it."""
        status = self.phase("restoresession", name, namespace, *FINAL)["status"]
        assert status["phase"] == "Succeeded", status
        self.kubectl("delete", "restoresession", name, f"--namespace={namespace}")

    def fill(self) -> None:
        """Make the database of the documentation's guide."""
        self.server.execute("CREATE DATABASE demo")
        table = "CREATE TABLE company (name text NOT NULL, employee int NOT NULL)"
        self.server.execute(table, database="demo")
        rows = "INSERT INTO company SELECT 'c' || n, n FROM generate_series(1, 1000) n"
        self.server.execute(rows, database="demo")

    def drop(self) -> None:
        """The disaster."""
        self.server.execute("DROP DATABASE demo WITH (FORCE)")

    def rows(self) -> list[t.Any]:
        """What is in the database."""
        return self.server.execute(ROWS, database="demo")
