# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""etcd, the API server, the controllers and the scheduler."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

from tests.testbed.ports import HOST, answers, free_port

from .credentials import Credentials
from .network import BRIDGE_ADDRESS, SERVICE_RANGE
from .programs import Programs

API_SERVER = "kube-apiserver"

_MANY_REQUESTS = ("--kube-api-qps=500", "--kube-api-burst=1000")
"""The defaults hold back a hundred Jobs at once for a minute."""

_LOST_NODE = ("--node-monitor-period=1s", "--node-monitor-grace-period=8s")
"""A node without a sign for so long is lost; kubelets give one each 2 seconds."""

# Who asked for what, of those that are not the cluster's own programs.
_AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "None", "userGroups": ["system:serviceaccounts:kube-system"]},
        {"level": "Metadata", "userGroups": ["system:serviceaccounts"]},
        {"level": "None"},
    ],
}


class ControlPlane:
    """Answers at `credentials.api_port`, on the bridge and on 127.0.0.1."""

    def __init__(self, folder: Path, programs: Programs, credentials: Credentials) -> None:
        """Nothing is started yet."""
        folder.mkdir()
        self._folder = folder
        self._programs = programs
        self._credentials = credentials
        self.audit_log = folder / "audit.log"

    def start(self) -> None:
        """Start all; the API server is ready then, the others soon will be."""
        etcd_port = self._start_etcd()
        self._start_api_server(etcd_port)
        self._start_controllers()
        self._start_scheduler()

    def requests_of(self, namespace: str, account: str) -> list[dict[str, t.Any]]:
        """The audit events of a service account, in their order.

        Each has verb, objectRef and responseStatus. Not kept are those of kube-system, and what an
        administrator asks in somebody's name.
        """
        user = f"system:serviceaccount:{namespace}:{account}"
        with self.audit_log.open(encoding="utf-8") as file:
            events = [json.loads(line) for line in file if f'"{user}"' in line]
        return [event for event in events if event["user"]["username"] == user]

    def _start_etcd(self) -> int:
        port, peer_port = free_port(), free_port()
        client, peer = (f"http://{HOST}:{number}" for number in (port, peer_port))
        self._programs.start(
            "etcd",
            [
                *("--data-dir", self._folder / "etcd", "--name", "test", "--unsafe-no-fsync"),
                *("--listen-client-urls", client, "--advertise-client-urls", client),
                *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
                *("--initial-cluster", f"test={peer}"),
            ],
            ready=lambda: answers(port),
        )
        return port

    def _start_api_server(self, etcd_port: int) -> None:
        known = self._credentials
        policy = self._folder / "audit-policy.json"
        policy.write_text(json.dumps(_AUDIT_POLICY), encoding="utf-8")
        self._programs.start(
            API_SERVER,
            [
                "--bind-address=0.0.0.0",
                f"--advertise-address={BRIDGE_ADDRESS}",
                f"--secure-port={known.api_port}",
                f"--etcd-servers=http://{HOST}:{etcd_port}",
                f"--service-cluster-ip-range={SERVICE_RANGE}",
                f"--client-ca-file={known.authority.certificate}",
                f"--tls-cert-file={known.api_server.certificate}",
                f"--tls-private-key-file={known.api_server.key}",
                f"--service-account-key-file={known.service_account_public_key}",
                f"--service-account-signing-key-file={known.service_account_key}",
                "--service-account-issuer=https://kubernetes.default.svc",
                "--authorization-mode=Node,RBAC",
                # OpenShift has it on: whoever owns an object must be allowed to say so.
                "--enable-admission-plugins=OwnerReferencesPermissionEnforcement",
                "--allow-privileged=true",
                f"--kubelet-client-certificate={known.admin.certificate}",
                f"--kubelet-client-key={known.admin.key}",
                "--default-not-ready-toleration-seconds=5",
                "--default-unreachable-toleration-seconds=5",
                f"--audit-policy-file={policy}",
                f"--audit-log-path={self.audit_log}",
                f"--cert-dir={self._folder / 'api-server'}",
            ],
            ready=known.api_says_ready,
        )

    def _start_controllers(self) -> None:
        known = self._credentials
        kubeconfig = known.kubeconfig("system:kube-controller-manager")
        self._programs.start(
            "kube-controller-manager",
            [
                f"--kubeconfig={kubeconfig}",
                f"--bind-address={HOST}",
                f"--secure-port={free_port()}",
                f"--cert-dir={self._folder / 'controllers'}",
                "--leader-elect=false",
                "--use-service-account-credentials",
                f"--service-account-private-key-file={known.service_account_key}",
                f"--root-ca-file={known.authority.certificate}",
                f"--flex-volume-plugin-dir={self._folder / 'volume-plugins'}",
                *_MANY_REQUESTS,
                *_LOST_NODE,
            ],
        )

    def _start_scheduler(self) -> None:
        self._programs.start(
            "kube-scheduler",
            [
                f"--kubeconfig={self._credentials.kubeconfig('system:kube-scheduler')}",
                f"--bind-address={HOST}",
                f"--secure-port={free_port()}",
                f"--cert-dir={self._folder / 'scheduler'}",
                "--leader-elect=false",
                *_MANY_REQUESTS,
            ],
        )
