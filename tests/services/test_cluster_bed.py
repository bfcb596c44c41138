# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A test cluster seen from outside: it disturbs nothing, and nothing of it stays."""

from __future__ import annotations

import ast
import contextlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.testbed.components import ensure
from tests.testbed.kube import cgroups
from tests.testbed.kube.inside import KERNEL_SETTINGS
from tests.testbed.kube.namespaces import KUBECONFIG
from tests.testbed.process import run

ROOT = Path(__file__).parents[2]
SCRIPT = """
from tests.testbed.kube.cluster import KubeCluster
from tests.testbed.kube.pods import job
with KubeCluster() as cluster:
    cluster.kubectl.apply(job("say", "default", "echo from a pod"))
    cluster.kubectl.wait("job/say", "condition=Complete", "default")
    print(cluster.kubectl.logs("job/say", "default"), end="")
"""
FIXED_PLACES = (
    *("/etc/cni", "/etc/kubernetes", "/opt/containerd", "/run/containerd", "/run/flannel"),
    *("/run/granary", "/run/netns", "/usr/libexec/kubernetes", "/var/lib/cni"),
    *("/var/lib/containerd", "/var/lib/kubelet", "/var/log/containers", "/var/log/pods"),
)
SETTINGS = (*KERNEL_SETTINGS, "net/ipv4/ip_forward", "net/netfilter/nf_conntrack_max")


def test_two_clusters_at_once_leave_nothing(tmp_path: Path) -> None:
    """Each runs a Job; processes, mounts, cgroups, files and settings are as before."""
    before = _traces(tmp_path)
    with _start(SCRIPT, tmp_path) as one, _start(SCRIPT, tmp_path) as other:
        assert [each.communicate(timeout=300)[0] for each in (one, other)] == ["from a pod\n"] * 2
    assert not _traces(tmp_path) - before


def test_a_killed_cluster_goes_at_once_and_the_next_one_clears_up(tmp_path: Path) -> None:
    """Its processes end with the one that started it, its cgroups and files with the next start."""
    before = _traces(tmp_path)
    script = SCRIPT.replace("    print(", "    print('up'); input(); print(")
    with _start(script, tmp_path) as killed:
        assert killed.stdout is not None
        assert killed.stdout.readline() == "up\n"
        assert _traces(tmp_path) - before  # they can be seen at all
        killed.kill()
        assert killed.stdout.read() == ""  # the last process that had it has ended
    with _start("print('next')", tmp_path) as following:
        assert following.communicate(timeout=60)[0] == "next\n"
    assert not _traces(tmp_path) - before


def test_a_cluster_is_not_started_outside_of_its_namespaces() -> None:
    """The error says how it is done."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "python -m tests.testbed.kube pytest tests/cluster" in done.stderr


@pytest.mark.parametrize("status", [0, 3])
def test_a_command_has_a_network_of_its_own_and_its_status_is_given(
    tmp_path: Path, status: int
) -> None:
    """Nothing but the loopback device and the bridge of pods."""
    script = f"import socket; print(socket.if_nameindex()); raise SystemExit({status})"
    with _start(script, tmp_path) as started:
        said = started.communicate(timeout=60)[0]
    assert [name for dummy, name in ast.literal_eval(said)] == ["lo", "granary0"]
    assert started.returncode == status


def _start(script: str, folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.testbed.kube", sys.executable, "-uc", script]
    environment = {**os.environ, "GRANARY_TEST_DIR": str(folder)}
    environment.pop(KUBECONFIG, None)
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def _traces(folder: Path) -> set[str]:
    """What a cluster with its files in `folder` could have left on this machine, in words."""
    tables = run([ensure("network-tools") / "bin/nft", "list", "tables"], doing="nft")
    mounts = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
    return {
        *(f"firewall {table}" for table in tables.splitlines() if "granary" in table),
        *(f"mount {mount}" for mount in mounts if str(folder) in mount),
        *(f"device {path.name}" for path in Path("/sys/class/net").glob("granary*")),
        *(f"cgroup {name}" for name in cgroups.of_the_dead()),  # those of the living are others'
        *(f"file {path}" for path in folder.iterdir()),
        *(f"file {path}" for path in FIXED_PLACES if Path(path).exists()),
        *(f"setting {name} {_setting(name)}" for name in SETTINGS),
        *(f"process {process}" for process in _processes_that_know(folder)),
    }


def _setting(name: str) -> str:
    path = Path("/proc/sys", name)
    return path.read_text(encoding="utf-8").strip() if path.exists() else "not there"


def _processes_that_know(folder: Path) -> list[str]:
    """Those with `folder` in their environment, which every program of a cluster inherits."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if os.fsencode(folder) in path.read_bytes():
                found.append((path.parent / "cmdline").read_text(encoding="utf-8"))
    return found
