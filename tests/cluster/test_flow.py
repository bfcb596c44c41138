# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The whole way, step by step: a user's manifests, a schedule, our image in the kubelet's pods, a
bucket, and back into another server.
"""

from __future__ import annotations

import dataclasses
import json
import re

import pytest

from tests import stash_objects as stash
from tests.corpus.build import GUARDED, MAIN, SERVER_SETTINGS, Sizes, build_corpus, databases_for
from tests.equality import Comparison, differences
from tests.fix_cluster import ServiceFactory
from tests.fix_postgres import PostgresFactory
from tests.fix_repository import PASSWORD
from tests.fix_roles import Roles
from tests.testbed.kube.kubectl import Kubectl, Object
from tests.testbed.postgres import PostgresServer
from tests.testbed.s3 import Bucket
from tests.waiting import wait_for

MAJOR = 17
FEW = Sizes(toast_mb=2, row_mb=1, rows=3_000, small_tables=20)
EVERY_MINUTE = "*/1 * * * *"
FINAL = {"Succeeded", "Failed", "Skipped"}
COLUMNS = {
    "repositories": "NAME INTEGRITY SIZE SNAPSHOT-COUNT LAST-SUCCESSFUL-BACKUP AGE",
    "backupconfigurations": "NAME TASK SCHEDULE PAUSED PHASE AGE",
    "backupsessions": "NAME INVOKER-TYPE INVOKER-NAME PHASE DURATION AGE",
    "restoresessions": "NAME REPOSITORY PHASE DURATION AGE",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flow:
    """A namespace with a source, a fresh server and a bucket behind Services."""

    kubectl: Kubectl
    namespace: str
    home: str
    source: PostgresServer
    fresh: PostgresServer
    bucket: Bucket

    def apply(self, *objects: Object) -> None:
        """As a user does."""
        self.kubectl.apply(*objects)

    def access(self) -> list[Object]:
        """Secrets, Repository, and an AppBinding of each server."""
        keys = {
            "RESTIC_PASSWORD": PASSWORD,
            "AWS_ACCESS_KEY_ID": self.bucket.access_key,
            "AWS_SECRET_ACCESS_KEY": self.bucket.secret_key,
        }
        place = {"endpoint": "http://s3:9000", "bucket": self.bucket.name, "prefix": "/demo/pg"}
        backend = {"s3": place, "storageSecretName": stash.SECRET}
        login = {"username": self.source.user, "password": self.source.password}
        return [
            {**stash.secret(self.namespace), "stringData": keys},
            {**stash.secret(self.namespace, "pg"), "stringData": login},
            stash.repository(self.namespace, backend=backend),
            *(stash.binding(self.namespace, each, each) for each in ("pg", "fresh")),
        ]

    def sessions(self, phases: set[str]) -> list[Object]:
        """The BackupSessions in one of the phases."""
        found = self.kubectl.list("backupsessions", self.namespace)
        return [each for each in found if each.get("status", {}).get("phase") in phases]

    def columns(self, kind: str) -> list[str]:
        """The words of the one line that `kubectl get` prints below its columns."""
        header, *lines = self.kubectl("get", kind, f"--namespace={self.namespace}").splitlines()
        assert " ".join(header.split()) == COLUMNS[kind]
        return re.split(r"\s{2,}", lines[0].strip())

    def pushed(self) -> str:
        """All that the operator's Pushgateway holds."""
        service = f"/api/v1/namespaces/{self.home}/services/granary:pushgateway/proxy/metrics"
        return self.kubectl("get", "--raw", service)


@pytest.fixture
def servers(private_postgres: PostgresFactory) -> tuple[PostgresServer, PostgresServer]:
    """A server with much of the corpus, and a fresh one; both ask for a password."""
    made = {"settings": SERVER_SETTINGS, "auth": "scram-sha-256"}
    source, fresh = private_postgres(MAJOR, **made), private_postgres(MAJOR, **made)
    wanted = tuple(one for one in databases_for(MAJOR) if one.name in {MAIN, GUARDED})
    build_corpus(source, FEW, wanted)
    return source, fresh


@pytest.fixture
def flow(
    namespace: str,
    roles: Roles,
    servers: tuple[PostgresServer, PostgresServer],
    s3_bucket: Bucket,
    service_for: ServiceFactory,
) -> Flow:
    """All that is there before the user begins."""
    for name, server in zip(("pg", "fresh"), servers, strict=True):
        service_for(server.port, name, namespace, service_port=5432)
    service_for(int(s3_bucket.endpoint.rpartition(":")[2]), "s3", namespace, service_port=9000)
    source, fresh = servers
    return Flow(
        kubectl=roles.kubectl,
        namespace=namespace,
        home=roles.home,
        source=source,
        fresh=fresh,
        bucket=s3_bucket,
    )


@pytest.mark.usefixtures("crds")
def test_a_schedule_backs_up_and_a_session_restores(
    flow: Flow, roles: Roles, granary_image: str
) -> None:
    assert roles.playbook("install_operator", granary_image=granary_image).status == 0
    flow.apply(
        *flow.access(),
        stash.configuration(flow.namespace, "postgres-backup-17.2", schedule=EVERY_MINUTE),
    )
    _is_backed_up_at_its_minute(flow)
    flow.apply(
        stash.restore_session(
            flow.namespace,
            "postgres-restore-17.2",
            target={
                "ref": {"apiVersion": stash.APPCATALOG, "kind": "AppBinding", "name": "fresh"},
                "rules": [{"snapshots": ["latest"]}],
            },
        )
    )
    _comes_back_equal(flow)


def _is_backed_up_at_its_minute(flow: Flow) -> None:
    """The CronJob makes the session, its Job the snapshot, and what follows it."""
    first = wait_for(lambda: flow.sessions(FINAL), "a session", lambda: _told(flow), timeout_s=180)[
        0
    ]
    pause = json.dumps({"spec": {"paused": True}})
    configuration = f"backupconfiguration/{stash.CONFIGURATION}"
    where = f"--namespace={flow.namespace}"
    flow.kubectl("patch", configuration, where, "--type=merge", f"--patch={pause}")
    assert first["status"]["phase"] == "Succeeded", first["status"]
    minute = int(first["metadata"]["name"].removeprefix(f"{stash.CONFIGURATION}-"))
    assert minute % 60 == 0
    (target,) = first["status"]["targets"]
    (host,) = target["stats"]
    assert (host["hostname"], host["phase"]) == ("host-0", "Succeeded")
    assert len(host["snapshots"]) == 1

    integrity, size, count = flow.columns("repositories")[1:4]
    assert (integrity, count) == ("true", "1")
    assert re.fullmatch(r"[\d.]+ [KMG]iB", size)
    assert flow.columns("backupconfigurations")[1:5] == [
        "postgres-backup-17.2",
        EVERY_MINUTE,
        "true",
        "Ready",
    ]
    shown = flow.columns("backupsessions")
    assert shown[1:4] == ["BackupConfiguration", stash.CONFIGURATION, "Succeeded"]
    assert re.fullmatch(r"(\d+m)?\d+(\.\d+)?s", shown[4])
    assert re.search(r"^stash_appscode_com_backupsession_success\{.*\} 1$", flow.pushed(), re.M)


def _comes_back_equal(flow: Flow) -> None:
    """The RestoreSession ends well, and the fresh server holds all that the source does."""
    restore = "pg-restore"

    def ended() -> Object | None:
        found = flow.kubectl.get("restoresession", restore, flow.namespace)
        return found if found.get("status", {}).get("phase") in FINAL else None

    done = wait_for(ended, "the restore", lambda: _told(flow), timeout_s=180)
    assert done["status"]["phase"] == "Succeeded", done["status"]
    assert flow.columns("restoresessions")[1:3] == [stash.REPOSITORY, "Succeeded"]
    assert re.search(r"^stash_appscode_com_restoresession_success\{.*\} 1$", flow.pushed(), re.M)
    found = differences(
        Comparison(
            source=flow.source, target=flow.fresh, databases={one: one for one in (MAIN, GUARDED)}
        )
    )
    assert not found, "\n".join(found)


def _told(flow: Flow) -> str:
    """What the cluster says of a flow that does not end."""
    return flow.kubectl("describe", "jobs,pods", f"--namespace={flow.namespace}")[-6000:]
