# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A node: the container runtime with its image store, and the kubelet."""

from __future__ import annotations

import json
from pathlib import Path

from tests.testbed.components import ensure
from tests.testbed.ports import HOST, answers, free_port
from tests.testbed.process import run

from .credentials import Credentials
from .network import BRIDGE_ADDRESS, DOMAIN, cni_configuration
from .programs import Programs, program

PAUSE_IMAGE = "local.test/pause:1"

_MOST_PODS = 200

# Disabled plug-ins write to fixed places or warn of file systems that are not there. The process
# may not raise its limits everywhere, so oom_score is left as it is.
_RUNTIME = """
version = 2
root = "{root}"
state = "{state}"
oom_score = 0
disabled_plugins = [
  "io.containerd.internal.v1.opt", "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs",
]
[grpc]
  address = "{socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  stream_server_address = "127.0.0.1"
  restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
  BinaryName = "{runc}"
  SystemdCgroup = false
[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "{plugins}"
  conf_dir = "{network}"
"""


class Node:
    """One node by its name, which must lead to 127.0.0.1."""

    def __init__(
        self,
        name: str,
        folder: Path,
        *,
        programs: Programs,
        credentials: Credentials,
        cgroup: str,
    ) -> None:
        """Nothing is started yet; pods will run below the cgroup `cgroup`, which is there."""
        folder.mkdir()
        self.name = name
        self._folder = folder
        self._programs = programs
        self._credentials = credentials
        self._cgroup = cgroup
        self._socket = folder / "containerd.sock"
        self.kubelet = f"kubelet {name}"
        self.runtime = f"containerd {name}"

    def start(self) -> None:
        """Start both; the node is Ready a little later."""
        self._start_runtime()
        self._start_kubelet()

    def import_image(self, archive: Path) -> None:
        """Load the images of a tar archive; pods find them by the names that it gives them."""
        self._ctr("images", "import", str(archive))

    def stop_kubelet(self) -> None:
        """As if the node's network were cut: its containers run on, nobody hears of them."""
        self._programs.kill(self.kubelet)

    def start_kubelet(self) -> None:
        """Let it come back."""
        self._programs.start_again(self.kubelet)

    def kill_containers(self) -> None:
        """End every container with SIGKILL, as a node that loses power does."""
        for task in self._ctr("tasks", "list", "--quiet").splitlines():
            self.kill_container(task)

    def kill_container(self, identity: str) -> None:
        """End one container with SIGKILL, by the containerID in its pod's status."""
        task = identity.removeprefix("containerd://")
        self._ctr("tasks", "kill", "--signal", "SIGKILL", "--all", task)

    def _start_runtime(self) -> None:
        network = self._folder / "network"
        network.mkdir()
        (network / "10-granary.conflist").write_text(cni_configuration(), encoding="utf-8")
        configuration = self._folder / "containerd.toml"
        configuration.write_text(
            _RUNTIME.format(
                root=self._folder / "containerd",
                state=self._folder / "containerd-state",
                socket=self._socket,
                pause=PAUSE_IMAGE,
                runc=program("runc"),
                plugins=ensure("container-runtime") / "root/usr/lib/cni",
                network=network,
            ),
            encoding="utf-8",
        )
        self._programs.start(
            "containerd",
            ["--config", configuration],
            label=self.runtime,
            ready=self._socket.is_socket,
        )

    def _start_kubelet(self) -> None:
        configuration = self._folder / "kubelet.json"
        ports = free_port(), free_port()
        configuration.write_text(json.dumps(self._kubelet_settings(ports)), encoding="utf-8")
        kubeconfig = self._credentials.kubeconfig(
            f"system:node:{self.name}", organization="system:nodes"
        )
        self._programs.start(
            "kubelet",
            [
                f"--kubeconfig={kubeconfig}",
                f"--config={configuration}",
                f"--hostname-override={self.name}",
                f"--root-dir={self._folder / 'kubelet'}",
                f"--cert-dir={self._folder / 'kubelet-certificates'}",
            ],
            label=self.kubelet,
            ready=lambda: answers(ports[1]),
        )

    def _kubelet_settings(self, ports: tuple[int, int]) -> dict[str, object]:
        serving = self._credentials.authority.issue(
            f"kubelet-{self.name}", server=True, addresses=(self.name,)
        )
        never_full = ("nodefs.available", "nodefs.inodesFree", "imagefs.available")
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            **{"address": HOST, "port": ports[0], "readOnlyPort": 0},
            **{"healthzBindAddress": HOST, "healthzPort": ports[1]},
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": str(self._credentials.authority.certificate)},
            },
            "authorization": {"mode": "Webhook"},
            "tlsCertFile": str(serving.certificate),
            "tlsPrivateKeyFile": str(serving.key),
            **{"clusterDNS": [BRIDGE_ADDRESS], "clusterDomain": DOMAIN},
            "containerRuntimeEndpoint": f"unix://{self._socket}",
            # The machine's cgroups may be of version 1, and it may swap.
            **{"failCgroupV1": False, "failSwapOn": False, "cgroupDriver": "cgroupfs"},
            **{"cgroupRoot": f"/{self._cgroup}", "enforceNodeAllocatable": []},
            # A full disk of the machine is no business of the tests.
            "evictionHard": {**dict.fromkeys(never_full, "0%"), "memory.available": "50Mi"},
            "imageGCHighThresholdPercent": 100,
            "crashLoopBackOff": {"maxContainerRestartPeriod": "1s"},
            "makeIPTablesUtilChains": False,
            "maxPods": _MOST_PODS,
            **{"nodeStatusUpdateFrequency": "2s", "nodeLeaseDurationSeconds": 8},
            **{"kubeAPIQPS": 200, "kubeAPIBurst": 400},
            "podLogsDir": str(self._folder / "pod-logs"),
            "volumePluginDir": str(self._folder / "volume-plugins"),
        }

    def _ctr(self, *arguments: str) -> str:
        return run(
            [program("ctr"), "--address", self._socket, "--namespace", "k8s.io", *arguments],
            doing=f"ctr {' '.join(arguments)}",
            timeout_s=120,
        )
