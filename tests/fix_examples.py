# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The world that the examples of Stash's documentation take for granted: their namespaces, Secrets,
database and stores, and an operator that serves the whole cluster.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import ssl
import threading
import typing as t
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.examples import Examples
from tests.fix_ansible import Ansible
from tests.fix_cluster import ServiceFactory, claimed_volume, describe_namespace, services
from tests.fix_roles import KINDS, OURS, Roles, changes
from tests.testbed.certificates import Authority
from tests.testbed.emulators import AzureServer, GcsServer
from tests.testbed.kube.cluster import KubeCluster
from tests.testbed.kube.kubectl import Kubectl, Object
from tests.testbed.kube.pods import pod
from tests.testbed.ports import HOST
from tests.testbed.postgres import PostgresOptions, PostgresServer
from tests.testbed.s3 import S3Server

NAMESPACES = {
    "demo": "privileged",  # a hostPath, and pods of root
    **dict.fromkeys(
        ("dev", "prod", "staging", "backup", "minio-namespace", "my-database-namespace"),
        "restricted",
    ),
}
DATABASES = {
    "demo": ("sample-postgres", "quick-postgres", "restored-postgres"),
    "dev": ("quick-postgres",),
    "prod": ("sample-postgres",),
    "staging": ("restored-postgres",),
    "my-database-namespace": ("my-database-service",),
}
"""Services by their namespaces; the one server is behind all of them."""
MINIO = "my-minio-service.minio-namespace.svc"
FUNCTIONS = ("postgres-backup-11.9", "postgres-restore-11.9", "update-status")


@contextlib.contextmanager
def _namespaces(kubectl: Kubectl, request: pytest.FixtureRequest) -> Iterator[None]:
    """The namespaces as written; told of where a test failed, and removed."""
    failed = request.session.testsfailed
    for name, level in NAMESPACES.items():
        labels = {"pod-security.kubernetes.io/enforce": level}
        metadata = {"name": name, "labels": labels}
        kubectl.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        kubectl.wait("serviceaccount/default", "create", name)
    yield
    for name in NAMESPACES:
        if request.session.testsfailed > failed:
            describe_namespace(kubectl, name)
        kubectl("delete", "namespace", name, "--wait=false")


@contextlib.contextmanager
def _slack(folder: Path) -> Iterator[tuple[int, list[str]]]:
    """A web server with a certificate that nobody vouches for; its port, and what it is sent."""
    received: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            received.append(f"{self.path} {self.rfile.read(length).decode()}")
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: t.Any) -> None:  # noqa: A002 # its name there
            """Say nothing."""

    files = Authority(folder).issue("slack", server=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    with ThreadingHTTPServer((HOST, 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port, received
        server.shutdown()


def _secrets(outside: Outside) -> Iterator[Object]:
    """The access to stores and databases, under the examples' names."""
    server, store = outside.postgres, outside.minio
    password = {"RESTIC_PASSWORD": "changeit"}
    gcs = {"GOOGLE_PROJECT_ID": "project", "GOOGLE_SERVICE_ACCOUNT_JSON_KEY": "{}"}
    azure = {"AZURE_ACCOUNT_NAME": AzureServer.account, "AZURE_ACCOUNT_KEY": AzureServer.key}
    s3 = {
        "AWS_ACCESS_KEY_ID": store.access_key,
        "AWS_SECRET_ACCESS_KEY": store.secret_key,
        "CA_CERT_DATA": outside.authority.certificate.read_text(encoding="ascii"),
    }
    stores = {"gcs": gcs, "azure": azure, "s3": s3, "local": {}, "b2": {}, "swift": {}, "rest": {}}
    for name, keys in stores.items():
        yield _secret(f"{name}-secret", "demo", {**password, **keys})
    for namespace in ("backup", "my-database-namespace"):
        yield _secret("gcs-secret", namespace, {**password, **gcs})
    login = {"username": server.user, "password": server.password}
    raw = {"POSTGRES_USER": server.user, "POSTGRES_PASSWORD": server.password}
    for namespace, names in DATABASES.items():
        for name in names:
            yield _secret(f"{name}-auth", namespace, raw if name == "quick-postgres" else login)
    yield _secret("my-database-credentials-secret", "my-database-namespace", {**login, **raw})


def _secret(name: str, namespace: str, keys: Mapping[str, str | None]) -> Object:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": dict(keys)}


def _database_pod(image: str, password: str | None, address: str) -> Iterator[Object]:
    """A pod with psql in a container called postgres, which the database's Service names as the
    one behind its address.
    """
    made = pod("sample-postgres-0", "demo", "trap exit TERM; while true; do sleep 0.2; done")
    (container,) = made["spec"]["containers"]
    environment = {
        "PATH": "/usr/lib/postgresql/18/bin:/usr/bin:/bin",
        "PGHOST": "sample-postgres",
        "POSTGRES_PASSWORD": password or "",
    }
    variables = [{"name": name, "value": value} for name, value in environment.items()]
    container.update(name="postgres", image=image, env=variables)
    yield made
    yield {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {"name": "sample-postgres", "namespace": "demo"},
        "subsets": [
            {
                "addresses": [
                    {
                        "ip": address,
                        "targetRef": {
                            "kind": "Pod",
                            "name": "sample-postgres-0",
                            "namespace": "demo",
                        },
                    }
                ],
                "ports": [{"name": "main", "port": 5432}],
            }
        ],
    }


def _tell_functions(kubectl: Kubectl, environment: Mapping[str, str]) -> None:
    """Give the catalogue's Functions variables, so that no example has to be changed."""
    variables = [{"name": name, "value": value} for name, value in environment.items()]
    patch = json.dumps({"spec": {"runtimeSettings": {"container": {"env": variables}}}})
    for name in FUNCTIONS:
        kubectl("patch", "function", name, "--type=merge", f"--patch={patch}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outside:
    """The servers that the examples' objects name: of this machine, each with its port."""

    postgres: PostgresServer
    minio: S3Server
    authority: Authority
    gcs: GcsServer
    azure: AzureServer
    slack_port: int
    posted: list[str]

    def serve(self, give: ServiceFactory) -> tuple[str, dict[str, str]]:
        """Give them their names in the cluster; the database's address behind the first of its
        names, and the variables that say where the clouds are.
        """
        give(self.minio.port, "my-minio-service", "minio-namespace", service_port=443)
        give(self.slack_port, "slack", "demo", service_port=443)
        addresses = [
            give(self.postgres.port, name, namespace, service_port=5432)
            for namespace, names in DATABASES.items()
            for name in names
        ]
        gcs = give(self.gcs.port, "gcs", "demo")
        azure = give(self.azure.port, "azure", "demo")
        return addresses[0], {
            "STORAGE_EMULATOR_HOST": f"http://{gcs}:{self.gcs.port}",
            # By a name Azurite would take its first label for the account.
            "AZURE_STORAGE_SERVICE_ENDPOINT": (
                f"http://{azure}:{self.azure.port}/{self.azure.account}"
            ),
        }


@pytest.fixture(scope="module")
def outside(
    gcs_server: GcsServer, azure_server: AzureServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Outside]:
    """A database server that asks for a password, and the stores."""
    folder = tmp_path_factory.mktemp("outside")
    authority = Authority(folder / "authority")
    with contextlib.ExitStack() as stack:
        server = PostgresServer(18, PostgresOptions(auth="scram-sha-256"))
        stack.callback(server.close)
        server.start()
        minio = stack.enter_context(S3Server(authority=authority, addresses=[MINIO]))
        minio.make_bucket("stash-demo")
        port, posted = stack.enter_context(_slack(folder / "slack"))
        yield Outside(
            postgres=server,
            minio=minio,
            authority=authority,
            gcs=gcs_server,
            azure=azure_server,
            slack_port=port,
            posted=posted,
        )


@pytest.fixture(scope="module")
def installed(
    ansible: Ansible, kubectl: Kubectl, crds: list[str], granary_image: str
) -> Iterator[str]:
    """The role's operator of the whole cluster, with hooks that run commands; its image."""
    roles = Roles(ansible=ansible, kubectl=kubectl, home="granary-test")
    changes(roles.operator(image=granary_image, exec_hooks=True, wait=True))
    yield granary_image
    kubectl("delete", KINDS, "--all-namespaces", f"--selector={OURS}")
    kubectl("delete", "namespace", roles.home, "--ignore-not-found")


@pytest.fixture(scope="module")
def examples(
    request: pytest.FixtureRequest,
    kube_cluster: KubeCluster,
    kubectl: Kubectl,
    outside: Outside,
    installed: str,
) -> Iterator[Examples]:
    """All of it, once for a module."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(_namespaces(kubectl, request))
        give = stack.enter_context(services(kube_cluster, kubectl))
        address, clouds = outside.serve(give)
        _tell_functions(kubectl, clouds)
        claimed = kube_cluster.new_volume_folder("examples-repo")
        kubectl.apply(
            *_secrets(outside),
            *_database_pod(installed, outside.postgres.password, address),
            *claimed_volume("examples-repo", "repo-pvc", "demo", claimed),
        )
        stack.callback(kubectl, "delete", "persistentvolume", "examples-repo", "--wait=false")
        kubectl.wait("pod/sample-postgres-0", "condition=Ready", "demo")
        made = Examples(
            kubectl=kubectl,
            server=outside.postgres,
            received=outside.posted,
            host_path=kube_cluster.new_volume_folder("examples-host-path", mode=0o700),
        )
        made.fill()
        yield made
