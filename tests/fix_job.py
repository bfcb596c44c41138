# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The commands of a Job's containers, run on this machine against a real API server.

What the operator would have made beforehand (sessions, their targets) is made here; the commands
are given the arguments of Stash's Functions.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import typing as t
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.cluster import Cluster
from tests.fix_cluster import NamespaceFactory
from tests.fix_repository import PASSWORD, PREFIX, Place
from tests.testbed.kube.kubectl import Kubectl
from tests.testbed.postgres import PostgresServer, client_bin, client_major_for
from tests.testbed.s3 import Bucket

Object = dict[str, t.Any]
STASH = "stash.appscode.com"
TARGET = {"apiVersion": "appcatalog.appscode.com/v1alpha1", "kind": "AppBinding", "name": "pg"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """How a command ended, and what it wrote."""

    status: int
    log: str
    folder: Path

    @property
    def output(self) -> Object:
        """The document `output.json`."""
        found: Object = json.loads((self.folder / "output.json").read_text(encoding="utf-8"))
        return found

    @property
    def host(self) -> Object:
        """The one host in it."""
        (host,) = self.output["targetStatus"]["stats"]
        return dict(host)


class JobBed:
    """A namespace with a Secret, a Repository, an AppBinding and a BackupConfiguration."""

    def __init__(
        self, kubectl: Kubectl, cluster: Cluster, namespace: str, *, place: Place, scratch: Path
    ) -> None:
        """Make Secret and Repository of the place."""
        self.kubectl = kubectl
        self.cluster = cluster
        self.namespace = namespace
        self.place = place
        self.scratch = scratch
        self._server: PostgresServer | None = None
        self.secret("storage", {"RESTIC_PASSWORD": PASSWORD, **self._credentials()})
        self.make("Repository", "repo", {"backend": self._backend()}, version="v1alpha1")

    def _credentials(self) -> dict[str, str]:
        where = self.place.where
        if isinstance(where, Path):
            return {}
        return {"AWS_ACCESS_KEY_ID": where.access_key, "AWS_SECRET_ACCESS_KEY": where.secret_key}

    def _backend(self) -> Object:
        where = self.place.where
        if isinstance(where, Path):
            backend: Object = {"local": {"mountPath": str(where), "hostPath": {"path": str(where)}}}
        else:
            fields = {"endpoint": where.endpoint, "bucket": where.name, "prefix": PREFIX}
            backend = {"s3": {**fields, "region": where.region}}
        return {"storageSecretName": "storage", **backend}

    def secret(self, name: str, data: dict[str, str]) -> None:
        """Make a Secret, or make it anew."""
        encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
        self.apply({"apiVersion": "v1", "kind": "Secret", "data": encoded}, name)

    def make(self, kind: str, name: str, spec: Object, *, version: str = "v1beta1") -> Object:
        """Apply an object of Stash's and give it as it stands there."""
        self.apply({"apiVersion": f"{STASH}/{version}", "kind": kind, "spec": spec}, name)
        return self.cluster.get(kind, name, self.namespace)

    def apply(self, obj: Object, name: str) -> None:
        """Apply an object under a name in the namespace."""
        self.kubectl.apply({**obj, "metadata": {"name": name, "namespace": self.namespace}})

    def database(self, server: PostgresServer, **fields: t.Any) -> None:
        """Make the AppBinding `pg` of a server, by its URL."""
        self._server = server
        credentials = {"username": server.user, "password": server.password or "unused"}
        self.secret("pg-auth", credentials)
        url = f"tcp://{server.host}:{server.port}?sslmode=disable"
        spec = {"type": "postgres", "clientConfig": {"url": url}, "secret": {"name": "pg-auth"}}
        self.apply(
            {
                "apiVersion": "appcatalog.appscode.com/v1alpha1",
                "kind": "AppBinding",
                "spec": {**spec, **fields},
            },
            "pg",
        )

    def configuration(self, retention: Object | None = None, **fields: t.Any) -> Object:
        """Make the BackupConfiguration `pg-backup`."""
        keep = {"name": "keep", "keepLast": 5, "prune": True} if retention is None else retention
        return self.make(
            "BackupConfiguration",
            "pg-backup",
            {
                "schedule": "0 3 * * *",
                "repository": {"name": "repo"},
                "target": {"ref": TARGET},
                "retentionPolicy": keep,
                **fields,
            },
        )

    def session(self, name: str = "pg-backup-1", **fields: t.Any) -> Object:
        """Make a BackupSession whose target runs."""
        invoker = {"apiGroup": STASH, "kind": "BackupConfiguration", "name": "pg-backup"}
        made = self.make("BackupSession", name, {"invoker": invoker, **fields})
        ref = {**TARGET, "namespace": self.namespace}
        target = {"ref": ref, "totalHosts": 1, "phase": "Running"}
        return self.cluster.replace_status(
            {**made, "status": {"phase": "Running", "targets": [target]}}
        )

    def restore_session(self, name: str = "pg-restore", **fields: t.Any) -> Object:
        """Make a RestoreSession that runs."""
        spec = {"repository": {"name": "repo"}, "target": {"ref": TARGET}, **fields}
        made = self.make("RestoreSession", name, spec)
        return self.cluster.replace_status(
            {**made, "status": {"phase": "Running", "totalHosts": 1}}
        )

    def run(self, command: str, *arguments: str, folder: str = "output") -> Done:
        """Run a command as its container would, to its end."""
        environment = {
            **os.environ,
            "KUBECONFIG": str(self.kubectl.kubeconfig),
            "GRANARY_POD_NAMESPACE": self.namespace,
            "TMPDIR": str(self.scratch),
        }
        if self._server is not None:
            programs = client_bin(client_major_for(self._server.major))
            environment["PATH"] = f"{programs}{os.pathsep}{environment['PATH']}"
        done = subprocess.run(
            [
                *(sys.executable, "-m", "ansible_collections.granary.postgres.operator"),
                *(command, *arguments),
            ],
            env=environment,
            cwd="/",
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        return Done(status=done.returncode, log=done.stdout, folder=self.scratch / folder)

    def _repository_arguments(self) -> list[str]:
        ours = self.cluster.get("Repository", "repo", self.namespace)["spec"]["backend"]
        ((provider, fields),) = [pair for pair in ours.items() if pair[0] != "storageSecretName"]
        return [
            f"--provider={provider}",
            f"--bucket={fields.get('bucket') or fields.get('mountPath')}",
            f"--endpoint={fields.get('endpoint', '')}",
            f"--region={fields.get('region', '')}",
            f"--path={fields.get('prefix', '')}",
            "--storage-secret-name=storage",
            f"--storage-secret-namespace={self.namespace}",
            f"--scratch-dir={self.scratch}",
            "--insecure-tls=false",
            "--max-connections=0",
        ]

    def _database_arguments(self) -> list[str]:
        return [
            f"--namespace={self.namespace}",
            "--appbinding=pg",
            f"--appbinding-namespace={self.namespace}",
            f"--output-dir={self.scratch}/output",
            "--enable-cache=true",
            "--wait-timeout=30",
            "--user=",
            "--license-apiservice=",
        ]

    def backup(self, *arguments: str, session: str = "pg-backup-1") -> Done:
        """Run `backup-pg`."""
        return self.run(
            "backup-pg",
            *self._repository_arguments(),
            *self._database_arguments(),
            *("--hostname=host-0", "--backup-cmd=pg_dumpall", f"--backupsession={session}"),
            *("--retention-keep-last=5", "--retention-prune=true"),
            *arguments,
        )

    def restore(self, *arguments: str) -> Done:
        """Run `restore-pg`; a target without an alias has no host names."""
        return self.run(
            "restore-pg",
            *self._repository_arguments(),
            *self._database_arguments(),
            *("--hostname=", "--source-hostname=", "--snapshot=latest"),
            *arguments,
        )

    def update(self, invoker: str = "BackupConfiguration/pg-backup", *arguments: str) -> Done:
        """Run `update-status`, without a gateway unless `arguments` name one."""
        kind, dummy, name = invoker.partition("/")
        session = "pg-backup-1" if kind == "BackupConfiguration" else ""
        return self.run(
            "update-status",
            *self._repository_arguments(),
            f"--namespace={self.namespace}",
            f"--backupsession={session}",
            f"--invoker-kind={kind}",
            f"--invoker-name={name}",
            *("--target-kind=AppBinding", "--target-name=pg"),
            f"--target-namespace={self.namespace}",
            f"--output-dir={self.scratch}/output",
            *(arguments or ("--metrics-enabled=false", "--metrics-pushgateway-url=")),
        )

    def status(self, kind: str, name: str) -> Object:
        """The status of an object as it is now."""
        return dict(self.cluster.get(kind, name, self.namespace).get("status") or {})

    def conditions(self, session: str = "pg-backup-1") -> dict[str, tuple[str, str]]:
        """The conditions of a BackupSession by type: status and message."""
        found = self.status("BackupSession", session).get("conditions") or []
        return {one["type"]: (one["status"], one["message"]) for one in found}


@pytest.fixture
def make_job_bed(
    kubectl: Kubectl,
    cluster: Cluster,
    crds: list[str],
    new_namespace: NamespaceFactory,
    tmp_path: Path,
) -> Callable[[Place], JobBed]:
    """Gives a bed for a repository at a place."""
    assert crds

    def give(place: Place) -> JobBed:
        scratch = tmp_path / "stash-tmp"
        scratch.mkdir()
        return JobBed(kubectl, cluster, new_namespace(), place=place, scratch=scratch)

    return give


@pytest.fixture
def s3_job_bed(
    make_job_bed: Callable[[Place], JobBed], s3_bucket: Bucket, tmp_path: Path
) -> JobBed:
    """A bed with a bucket."""
    return make_job_bed(Place(where=s3_bucket, cache_dir=tmp_path / "restic-cache"))


@pytest.fixture
def local_job_bed(make_job_bed: Callable[[Place], JobBed], local_place: Place) -> JobBed:
    """A bed with a folder."""
    return make_job_bed(local_place)
