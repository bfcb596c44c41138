# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The whole cluster: control plane, network, nodes, images, and what tests do to it."""

from __future__ import annotations

import os
import shutil
import subprocess
import typing as t
from pathlib import Path

from tests.testbed import folders
from tests.testbed.components import ensure
from tests.testbed.errors import TestBedError
from tests.testbed.ports import HOST, answers, free_port

from . import cgroups, network
from .control_plane import API_SERVER, ControlPlane
from .credentials import Credentials
from .images import write_busybox_image, write_pause_image
from .kubectl import Kubectl, KubectlRefusedError
from .namespaces import FOLDER, PLACE
from .node import Node
from .programs import Programs

NODE = "node-1"
SECOND_NODE = "node-2"

_NAMES_USER = "system:coredns"
_NAMES_MAY_READ: tuple[dict[str, t.Any], ...] = (
    {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": _NAMES_USER},
        "rules": [
            {
                "apiGroups": [""],
                "resources": ["services", "pods", "namespaces"],
                "verbs": ["list", "watch"],
            },
            {
                "apiGroups": ["discovery.k8s.io"],
                "resources": ["endpointslices"],
                "verbs": ["list", "watch"],
            },
        ],
    },
    {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": _NAMES_USER},
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "ClusterRole",
            "name": _NAMES_USER,
        },
        "subjects": [
            {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": _NAMES_USER}
        ],
    },
)


class KubeCluster:
    """A context manager: all is started and ready, then ended."""

    def __init__(self) -> None:
        """Nothing is started yet; raises TestBedError outside of the namespaces."""
        if FOLDER not in os.environ:
            raise TestBedError(
                "a cluster is started in namespaces of its own: "
                "python -m tests.testbed.kube pytest tests/cluster"
            )
        self.folder = PLACE / "cluster"
        self.folder.mkdir()
        self._cgroup = Path(os.environ[FOLDER]).name
        self.programs = Programs(self.folder / "logs")
        self.credentials = Credentials(self._new_folder("credentials"), free_port())
        self.kubectl = Kubectl(self.credentials.admin_kubeconfig, self.folder / "kubectl")
        self.control_plane = ControlPlane(
            self.folder / "control-plane", self.programs, self.credentials
        )
        self.host_servers = network.HostServers()
        self.nodes: dict[str, Node] = {}
        self._images = self._new_folder("images")
        self._archives: list[Path] = []

    def __enter__(self) -> t.Self:
        """Start all; the node is Ready."""
        try:
            self.control_plane.start()
            self._start_network()
            self._write_images()
            self.ensure_node(NODE)
        except (TestBedError, OSError):
            self.close(keep_logs=True)
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        """End all."""
        self.close()

    def close(self, *, keep_logs: bool = False) -> None:
        """End every program; containers and mounts end with the namespaces."""
        self.programs.kill_all()
        if keep_logs:
            name = f"cluster-{self._cgroup}"
            self.programs.keep_logs(folders.base() / "granary-test-logs" / name)

    def ensure_node(self, name: str) -> Node:
        """The node of that name, started if it is not there yet.

        It is Ready then, and has every image that was imported so far.
        """
        if name not in self.nodes:
            self._add_node(name)
        return self.nodes[name]

    def import_image(self, archive: Path) -> None:
        """Load the images of a tar archive into every node, those that come later too."""
        kept = self._images / f"{len(self._archives)}-{archive.name}"
        try:
            os.link(archive, kept)
        except OSError:
            shutil.copy(archive, kept)
        self._archives.append(kept)
        for node in self.nodes.values():
            node.import_image(kept)

    def node_is_ready(self, name: str) -> bool:
        """Whether the node is there and says that it is Ready."""
        try:
            conditions = self.kubectl.get("node", name)["status"]["conditions"]
        except KubectlRefusedError:
            return False
        return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)

    def resolves(self, service: str, namespace: str) -> bool:
        """Whether the cluster's DNS gives an address for a service's name."""
        name = f"{service}.{namespace}.svc.{network.DOMAIN}"
        asked = [str(ensure("busybox") / "bin/busybox"), "nslookup", name, network.BRIDGE_ADDRESS]
        return subprocess.run(asked, capture_output=True, check=False).returncode == 0

    def kill_container(self, pod: str, namespace: str, container: str | None = None) -> None:
        """SIGKILL for the processes of one container of a pod, its first if none is named."""
        found = self.kubectl.get("pod", pod, namespace)
        statuses = found["status"]["containerStatuses"]
        wanted = container or found["spec"]["containers"][0]["name"]
        (status,) = [item for item in statuses if item["name"] == wanted]
        self.nodes[found["spec"]["nodeName"]].kill_container(status["containerID"])

    def new_volume_folder(self, name: str, *, mode: int = 0o770) -> Path:
        """A folder of this machine for a volume, of root and with `mode`."""
        folder = self.folder / "volumes" / name
        folder.mkdir(parents=True)
        folder.chmod(mode)
        return folder

    def restart_api_server(self) -> None:
        """Kill it and start it again; it is ready then."""
        self.stop_api_server()
        self.start_api_server()

    def stop_api_server(self) -> None:
        """Kill it: the API is away until `start_api_server`."""
        self.programs.kill(API_SERVER)

    def start_api_server(self) -> None:
        """Start it again; it is ready then."""
        self.programs.start_again(API_SERVER)

    def _add_node(self, name: str) -> None:
        with Path("/etc/hosts").open("a", encoding="utf-8") as file:
            file.write(f"\n{HOST} {name}\n")
        # A kubelet ends what it does not know in its cgroup: each node has its own.
        cgroup = f"{self._cgroup}/{name}"
        cgroups.make(cgroup)
        node = Node(
            name,
            self.folder / name,
            programs=self.programs,
            credentials=self.credentials,
            cgroup=cgroup,
        )
        node.start()
        self.nodes[name] = node
        for archive in self._archives:
            node.import_image(archive)
        self.kubectl.wait(f"node/{name}", "create")
        self.kubectl.wait(f"node/{name}", "condition=Ready")

    def _start_network(self) -> None:
        self.kubectl.apply(*_NAMES_MAY_READ)
        proxy = self.folder / "kube-proxy.json"
        ports = free_port(), free_port()
        kubeconfig = self.credentials.kubeconfig("system:kube-proxy")
        proxy.write_text(
            network.proxy_configuration(kubeconfig, node=NODE, ports=ports), encoding="utf-8"
        )
        self.programs.start("kube-proxy", [f"--config={proxy}"])
        names = self.folder / "Corefile"
        ready_port = free_port()
        names.write_text(
            network.names_configuration(
                self.credentials.kubeconfig(_NAMES_USER), context="test", ready_port=ready_port
            ),
            encoding="utf-8",
        )
        self.programs.start("coredns", ["-conf", names], ready=lambda: answers(ready_port))

    def _write_images(self) -> None:
        for name, write in (("pause", write_pause_image), ("busybox", write_busybox_image)):
            write(self._images / f"{name}.tar")
            self._archives.append(self._images / f"{name}.tar")

    def _new_folder(self, name: str) -> Path:
        folder = self.folder / name
        folder.mkdir()
        return folder
