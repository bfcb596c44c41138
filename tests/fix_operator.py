# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The operator as a process of this machine, working on the test cluster."""

from __future__ import annotations

import os
import re
import secrets
import signal
import subprocess
import sys
import typing as t
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.cluster import Cluster
from tests import stash_objects as stash
from tests.stash_objects import cluster_roles
from tests.testbed.kube.cluster import KubeCluster
from tests.testbed.kube.images import BUSYBOX_IMAGE, write_kubectl_image
from tests.testbed.kube.kubectl import Kubectl, KubectlRefusedError, Object
from tests.waiting import PATIENCE_S, wait_for

TREE = Path(__file__).parent.parent / ".venv/tree"
MODULE = "ansible_collections.granary.postgres.operator"
_PORT = re.compile(r"event=started health_port=(\d+)")
READY_S = 60.0


class OperatorProcess:
    """One operator; it may be stopped, killed and started again under the same name."""

    def __init__(self, kubeconfig: Path, folder: Path, arguments: list[str]) -> None:
        self._arguments = arguments
        self._folder = folder
        self.identity = f"operator-{secrets.token_hex(3)}"
        self._environment = {
            **os.environ,
            "KUBECONFIG": str(kubeconfig),
            "PYTHONPATH": str(TREE),
            "GRANARY_POD_NAME": self.identity,
            "GRANARY_POD_NAMESPACE": "default",
        }
        self._process: subprocess.Popen[bytes] | None = None
        self._starts = 0
        self.port = 0

    @property
    def pid(self) -> int:
        """The process that runs."""
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> str:
        """What the last start has said so far."""
        return self._log_file.read_text(encoding="utf-8")

    def start(self, *, wait: bool = True) -> None:
        """Start it; unless told otherwise until it is ready."""
        self._starts += 1
        with self._log_file.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", MODULE, "operator", *self._arguments],
                env=self._environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.port = int(wait_for(lambda: _PORT.search(self.log), "its port", self.log_tail)[1])
        if wait:
            wait_for(lambda: self.asks("/readyz")[0] == 200, "readiness", self.log_tail)

    def stop(self) -> int:
        """Ask it to end; returns its exit status."""
        return self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it where it stands."""
        self._end(signal.SIGKILL)

    def asks(self, path: str) -> tuple[int, str]:
        """Return status and text of one of its endpoints; status 0 where nobody listens."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as exc:
            return exc.code, exc.read().decode()
        except OSError as exc:
            return 0, str(exc)

    def figure(self, name: str) -> float:
        """Return one of its own metrics."""
        found = re.search(rf"^granary_{name} (\S+)$", self.asks("/metrics")[1], re.MULTILINE)
        assert found is not None, name
        return float(found[1])

    def rss_mib(self) -> float:
        """Return its resident memory."""
        status = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii")
        found = re.search(r"^VmRSS:\s+(\d+) kB$", status, re.MULTILINE)
        assert found is not None
        return int(found[1]) / 1024

    def log_tail(self) -> str:
        """The end of its log, for the message of a failure."""
        return self.log[-4000:]

    @property
    def _log_file(self) -> Path:
        return self._folder / f"operator-{self._starts}.log"

    def _end(self, number: signal.Signals) -> int:
        if self._process is None:
            return 0
        if self._process.poll() is None:
            self._process.send_signal(number)
        return self._process.wait(timeout=30)


class OperatorFactory(t.Protocol):
    """Makes an operator with more arguments; it is not started."""

    def __call__(self, *arguments: str) -> OperatorProcess: ...


@pytest.fixture
def job_rights(kubectl: Kubectl, crds: list[str]) -> None:
    """The ClusterRoles that Jobs are bound to, where the role has not made them.

    For each test: one that tries the role takes them away.
    """
    for role in cluster_roles():
        try:
            kubectl.get("clusterrole", role["metadata"]["name"])
        except KubectlRefusedError:
            kubectl.apply(role)


@pytest.fixture
def new_operator(kubectl: Kubectl, job_rights: None, tmp_path: Path) -> Iterator[OperatorFactory]:
    """Makes operators; those that still run when the test ends are killed."""
    made: list[OperatorProcess] = []

    def give(*arguments: str) -> OperatorProcess:
        folder = tmp_path / f"operator-{len(made)}"
        folder.mkdir()
        wanted = ["--image", BUSYBOX_IMAGE, "--health-host", "127.0.0.1", "--health-port", "0"]
        lease = ["--lease", f"granary-{secrets.token_hex(3)}"]
        process = OperatorProcess(kubectl.kubeconfig, folder, [*wanted, *lease, *arguments])
        made.append(process)
        return process

    yield give
    for process in made:
        process.kill()
        print(f"--- operator\n{process.log_tail()}")  # shown where the test failed


@pytest.fixture
def operator(new_operator: OperatorFactory, namespace: str) -> OperatorProcess:
    """An operator for the test's own namespace, ready."""
    process = new_operator("--namespace", namespace)
    process.start()
    return process


class StashBed:
    """One namespace in which a user works: Secret, Repository and AppBinding, and what is asked."""

    def __init__(self, kubectl: Kubectl, cluster: Cluster, namespace: str) -> None:
        self.kubectl = kubectl
        self.cluster = cluster
        self.namespace = namespace

    def parts(self, **repository: t.Any) -> None:
        """Make what invokers refer to; `repository` are more fields of its spec."""
        self.kubectl.apply(
            stash.secret(self.namespace),
            stash.repository(self.namespace, **repository),
            stash.binding(self.namespace),
        )

    def task(self, *scripts: str) -> str:
        """Make a Task of shell scripts, of this namespace by its name; returns the name."""
        name = f"{self.namespace}-{secrets.token_hex(2)}"
        self.kubectl.apply(*stash.task(name, *scripts))
        return name

    def configured(self, *scripts: str, **spec: t.Any) -> None:
        """Make a BackupConfiguration with a Task of `scripts`, and all that it needs; it is Ready
        afterwards.
        """
        self.parts()
        self.kubectl.apply(stash.configuration(self.namespace, self.task(*scripts), **spec))
        self.ends("BackupConfiguration", stash.CONFIGURATION, "Ready")

    def session(self, name: str = "first", **spec: t.Any) -> None:
        """Make a BackupSession by hand."""
        self.kubectl.apply(stash.backup_session(self.namespace, name, **spec))

    def status(self, kind: str, name: str) -> Object:
        """Return an object's status as it is now; empty where it is gone."""
        found = self.cluster.find(kind, name, self.namespace)
        return (found or {}).get("status") or {}

    def ends(self, kind: str, name: str, *phases: str, timeout_s: float = PATIENCE_S) -> Object:
        """Return the status once the object's phase is one of `phases`."""

        def look() -> Object | None:
            status = self.status(kind, name)
            return status if status.get("phase") in phases else None

        what = f"{kind} {name} to be {' or '.join(phases)}"
        return wait_for(look, what, lambda: self.status(kind, name), timeout_s=timeout_s)

    def backup(self, name: str = "first", *phases: str, timeout_s: float = PATIENCE_S) -> Object:
        """Return the status of a BackupSession once it is in one of `phases`."""
        return self.ends("BackupSession", name, *phases, timeout_s=timeout_s)

    def jobs(self) -> list[str]:
        """Return the names of the namespace's Jobs."""
        return [each["metadata"]["name"] for each in self.cluster.list("Job", self.namespace)]

    def running_pod(self, job: str) -> str:
        """Return the name of a Job's pod once one of its containers runs."""

        def look() -> str | None:
            labels = {"batch.kubernetes.io/job-name": job}
            for pod in self.cluster.list("Pod", self.namespace, labels=labels):
                status = pod.get("status") or {}
                for kind in ("initContainerStatuses", "containerStatuses"):
                    if any("running" in (x.get("state") or {}) for x in status.get(kind) or []):
                        return str(pod["metadata"]["name"])
            return None

        return wait_for(look, f"a pod of {job} to run", self.jobs)


@pytest.fixture
def bed(kubectl: Kubectl, cluster: Cluster, namespace: str) -> StashBed:
    """The test's own namespace, as a user of Stash's API has it."""
    return StashBed(kubectl, cluster, namespace)


@pytest.fixture(scope="session")
def reporting_image(kube_cluster: KubeCluster, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The image whose containers can write a status."""
    archive = tmp_path_factory.mktemp("image") / "kubectl.tar"
    write_kubectl_image(archive)
    kube_cluster.import_image(archive)


def conditions_of(holder: Object) -> dict[str, tuple[str, str]]:
    """Return (status, message) of conditions by their type."""
    found = holder.get("conditions") or []
    return {each["type"]: (each["status"], each.get("message", "")) for each in found}
