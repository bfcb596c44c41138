# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who may speak to whom in the cluster: one authority, a certificate and a kubeconfig each."""

from __future__ import annotations

import http.client
import json
import ssl
from pathlib import Path

from tests.testbed.certificates import Authority, CertificateFiles, write_key
from tests.testbed.ports import HOST

from .network import API_SERVICE_ADDRESS, BRIDGE_ADDRESS

_API_NAMES = ("kubernetes", "kubernetes.default", "kubernetes.default.svc")


class Credentials:
    """Certificates and kubeconfigs of one cluster, whose API server is at `api_port`."""

    def __init__(self, folder: Path, api_port: int) -> None:
        """Make the authority, the API server's certificate and the administrator's access."""
        self._folder = folder
        self.api_port = api_port
        self.authority = Authority(folder, "Granary test cluster")
        self.api_server = self.authority.issue(
            "kube-apiserver",
            server=True,
            addresses=(API_SERVICE_ADDRESS, BRIDGE_ADDRESS, *_API_NAMES),
        )
        self.admin = self.authority.issue("admin", organization="system:masters")
        self.admin_kubeconfig = self.write_kubeconfig("admin", self.admin)
        self.service_account_key = folder / "service-accounts.key"
        self.service_account_public_key = folder / "service-accounts.pub"
        self._make_service_account_keys()

    def kubeconfig(self, user: str, *, organization: str | None = None) -> Path:
        """A new certificate for a client and the kubeconfig that uses it."""
        return self.write_kubeconfig(user, self.authority.issue(user, organization=organization))

    def write_kubeconfig(self, user: str, files: CertificateFiles) -> Path:
        """A kubeconfig for a certificate that is there."""
        cluster = {
            "server": f"https://{BRIDGE_ADDRESS}:{self.api_port}",
            "certificate-authority": str(self.authority.certificate),
        }
        access = {
            "client-certificate": str(files.certificate),
            "client-key": str(files.key),
        }
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": user, "user": access}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": user}}],
            "current-context": "test",
        }
        path = self._folder / f"{user}.kubeconfig"
        path.touch(mode=0o600)
        path.write_text(json.dumps(content), encoding="utf-8")
        return path

    def api_says_ready(self) -> bool:
        """Whether the API server calls itself ready."""
        context = ssl.create_default_context(cafile=str(self.authority.certificate))
        context.load_cert_chain(self.admin.certificate, self.admin.key)
        connection = http.client.HTTPSConnection(HOST, self.api_port, timeout=5, context=context)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == http.HTTPStatus.OK
        except OSError:
            return False
        finally:
            connection.close()

    def _make_service_account_keys(self) -> None:
        from cryptography.hazmat.primitives import serialization as form
        from cryptography.hazmat.primitives.asymmetric import rsa

        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        write_key(self.service_account_key, key)
        public = key.public_key().public_bytes(
            form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo
        )
        self.service_account_public_key.write_bytes(public)
