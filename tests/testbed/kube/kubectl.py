# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""kubectl as functions: what users type, with their words of success and refusal."""

from __future__ import annotations

import json
import os
import subprocess
import typing as t
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.testbed.errors import TestBedError

from .programs import program

Object = dict[str, t.Any]


class KubectlRefusedError(TestBedError):
    """kubectl ended with an error; `words` are those that it said."""

    def __init__(self, command: Sequence[str], words: str) -> None:
        """Keep kubectl's own words."""
        super().__init__(f"kubectl {' '.join(command)}: {words}")
        self.words = words


class Kubectl:
    """kubectl for one cluster; a call gives what it wrote."""

    def __init__(self, kubeconfig: Path, cache: Path) -> None:
        """Keep what it learns of the API in `cache`."""
        self.kubeconfig = kubeconfig
        self._environment = {
            **os.environ,
            "KUBECONFIG": str(kubeconfig),
            "KUBECACHEDIR": str(cache),
        }

    def __call__(self, *arguments: str, given: str | None = None, timeout_s: float = 120) -> str:
        """Run it, with `given` as its standard input; raises KubectlRefusedError."""
        try:
            done = subprocess.run(
                [program("kubectl"), *arguments],
                env=self._environment,
                input=given or "",
                capture_output=True,
                text=True,
                timeout=timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired as exc:
            raise KubectlRefusedError(arguments, f"no end in {timeout_s} s") from exc
        if done.returncode:
            raise KubectlRefusedError(arguments, done.stderr.strip())
        return done.stdout

    def apply(self, *objects: Mapping[str, t.Any] | str | Path, namespace: str = "") -> None:
        """Apply objects, YAML texts and files; a field that the API does not know is refused."""
        given = "\n---\n".join(_text(item) for item in objects)
        self("apply", "--validate=strict", "--filename=-", *_in(namespace), given=given)

    def get(self, kind: str, name: str, namespace: str = "") -> Object:
        """One object as it stands there."""
        found: Object = json.loads(self("get", kind, name, "--output=json", *_in(namespace)))
        return found

    def list(self, kind: str, namespace: str = "", *, labels: str = "") -> list[Object]:
        """All objects of a kind, of all namespaces if none is named."""
        where = _in(namespace) or ["--all-namespaces"]
        selector = [f"--selector={labels}"] if labels else []
        found: Object = json.loads(self("get", kind, "--output=json", *where, *selector))
        items: list[Object] = found["items"]
        return items

    def wait(self, what: str, until: str, namespace: str = "", *, timeout_s: float = 60) -> None:
        """Wait for `condition=Ready`, `jsonpath={.a}=b`, `delete` or `create` of kind/name."""
        self(
            *("wait", what, f"--for={until}", f"--timeout={timeout_s:.0f}s", *_in(namespace)),
            timeout_s=timeout_s + 10,
        )

    def logs(self, what: str, namespace: str) -> str:
        """What all containers of a pod or of kind/name wrote."""
        return self("logs", what, *_in(namespace), "--all-containers", "--tail=-1")


def _text(item: Mapping[str, t.Any] | str | Path) -> str:
    if isinstance(item, Path):
        return item.read_text(encoding="utf-8")
    return item if isinstance(item, str) else json.dumps(item)


def _in(namespace: str) -> list[str]:
    return [f"--namespace={namespace}"] if namespace else []
