# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the containers of a Job do, with a real API server, PostgreSQL and S3.

They run on this machine; that they do so in pods too is seen where the whole flow is tested.
"""

from __future__ import annotations

import contextlib
import datetime
from pathlib import Path

import pytest

from tests.fix_backup import files_of
from tests.fix_job import JobBed
from tests.fix_postgres import PostgresFactory
from tests.fix_restore import clear
from tests.testbed.ports import HOST, free_port
from tests.testbed.postgres import PostgresServer
from tests.testbed.s3 import Bucket

GOOD = "Succeeded"
BAD = "Failed"


@pytest.fixture(scope="module")
def source(postgres: PostgresFactory) -> PostgresServer:
    """A server with two databases and a role."""
    server = postgres(18)
    clear(server)
    server.execute("CREATE ROLE clerk LOGIN")
    for name in ("shop", "my notes"):
        server.execute(f'CREATE DATABASE "{name}" OWNER clerk')
    server.execute(
        "CREATE TABLE orders AS SELECT g id, md5(g::text) note FROM generate_series(1, 5000) g",
        database="shop",
    )
    server.execute("CREATE TABLE notes (t text)", database="my notes")
    return server


@pytest.fixture
def target(private_postgres: PostgresFactory) -> PostgresServer:
    """A fresh server."""
    return private_postgres(18)


def orders(server: PostgresServer) -> list[tuple[object, ...]]:
    return server.execute(
        "SELECT count(*), md5(string_agg(note, ',' ORDER BY id)) FROM orders", database="shop"
    )


def test_a_backup_and_what_is_written_of_it(s3_job_bed: JobBed, source: PostgresServer) -> None:
    bed = s3_job_bed
    bed.database(source)
    bed.configuration()
    bed.session()

    done = bed.backup()
    assert (done.status, done.host["phase"]) == (0, GOOD), done.log
    assert "info database_read database=shop" in done.log
    assert bed.conditions() == {
        "BackendRepositoryInitialized": ("True", "Repository exist in the backend.")
    }
    assert "stats" not in bed.status("BackupSession", "pg-backup-1")["targets"][0]

    updated = bed.update()
    assert updated.status == 0, updated.log
    (target,) = bed.status("BackupSession", "pg-backup-1")["targets"]
    assert (target["phase"], target["totalHosts"]) == (GOOD, 1)
    (host,) = target["stats"]
    (snapshot,) = bed.place.restic("0.19").json("snapshots")
    assert host["hostname"] == "host-0"
    assert host["snapshots"][0]["name"] == snapshot["id"]
    assert host["snapshots"][0]["path"] == "postgres"
    assert host["snapshots"][0]["fileStats"]["totalFiles"] > 5
    found = bed.conditions()
    assert found["RetentionPolicyApplied"] == ("True", "1 snapshot kept, 0 removed.")
    assert found["RepositoryIntegrityVerified"][0] == "True"
    assert "RepositoryMetricsPushed" not in found  # nowhere to push to

    repository = bed.status("Repository", "repo")
    created = bed.cluster.get("BackupSession", "pg-backup-1", bed.namespace)["metadata"]
    assert repository["lastBackupTime"] == created["creationTimestamp"]
    assert repository["integrity"] is True
    assert (repository["snapshotCount"], repository["snapshotsRemovedOnLastCleanup"]) == (1, 0)
    assert repository["totalSize"].endswith("KiB")
    first = datetime.datetime.fromisoformat(repository["firstBackupTime"])
    assert first <= datetime.datetime.fromisoformat(snapshot["time"][:26] + "+00:00")
    reasons = {event["reason"] for event in bed.kubectl.list("events", bed.namespace)}
    assert "Host Backup Succeeded" in reasons


def test_a_restore_into_a_fresh_server(
    local_job_bed: JobBed, source: PostgresServer, target: PostgresServer
) -> None:
    bed = local_job_bed
    bed.database(source)
    bed.configuration()
    bed.session()
    assert bed.backup().host["phase"] == GOOD

    bed.database(target)
    bed.restore_session()
    done = bed.restore()
    assert (done.status, done.host["phase"]) == (0, GOOD), done.log
    assert orders(target) == orders(source)
    updated = bed.update("RestoreSession/pg-restore")
    assert updated.status == 0, updated.log
    status = bed.status("RestoreSession", "pg-restore")
    assert [(one["hostname"], one["phase"]) for one in status["stats"]] == [("host-0", GOOD)]
    reasons = {event["reason"] for event in bed.kubectl.list("events", bed.namespace)}
    assert "Host Restore Succeeded" in reasons

    # What holds something is not touched unless that is asked for.
    target.execute("DELETE FROM orders WHERE id > 10", database="shop")
    refused = bed.restore()
    assert (refused.status, refused.host["phase"]) == (0, BAD)
    assert "is not empty; use clean to drop it" in refused.host["error"]
    assert orders(target)[0][0] == 10
    snapshot = bed.place.restic("0.19").json("snapshots")[0]["id"]
    again = bed.restore("--clean=true", f"--snapshot={snapshot[:8]}")
    assert again.host["phase"] == GOOD, again.log
    assert orders(target) == orders(source)


def test_a_repository_of_stash_goes_on(
    local_job_bed: JobBed, source: PostgresServer, target: PostgresServer
) -> None:
    bed = local_job_bed
    restic = bed.place.init("0.18")
    script = source.client("pg_dumpall").encode()
    for dummy in range(2):
        restic.raw(
            *("backup", "--stdin", "--stdin-filename", "dumpfile.sql", "--host", "host-0"),
            stdin=script,
        )
    bed.database(target)
    bed.restore_session(rules=[{"snapshots": ["latest"]}])
    done = bed.restore()
    assert (done.status, done.host["phase"]) == (0, GOOD), done.log
    assert orders(target) == orders(source)

    # A second time every database is in the way; the first error ends it, in the server's words.
    again = bed.restore()
    assert (again.status, again.host["phase"]) == (0, BAD)
    assert "already exists" in again.host["error"]
    allowed = bed.restore("--pg-args=-v ON_ERROR_STOP=0")
    assert allowed.host["phase"] == GOOD, allowed.log
    assert "which allow_errors forgives" in allowed.log

    bed.database(source)
    bed.configuration({"name": "one", "keepLast": 1, "prune": True})
    bed.session()
    assert bed.backup().host["phase"] == GOOD
    assert bed.update().status == 0
    paths = [one["paths"] for one in restic.json("snapshots")]
    assert sorted(paths) == [["/dumpfile.sql"], ["/postgres"]]
    assert bed.conditions()["RetentionPolicyApplied"][1] == "2 snapshots kept, 1 removed."
    restic.run("check", "--read-data")


def test_arguments_of_pg_dump_make_a_plain_dump(
    local_job_bed: JobBed, source: PostgresServer
) -> None:
    bed = local_job_bed
    bed.database(source)
    bed.configuration()
    bed.session()
    done = bed.backup("--backup-cmd=pg_dump", "--pg-args='my notes' --no-owner")
    assert done.host["phase"] == GOOD, done.log
    assert done.host["snapshots"][0]["path"] == "dumpfile.sql"
    script = bed.place.restic("0.19").raw("dump", "latest", "/dumpfile.sql").decode()
    assert "CREATE TABLE public.notes" in script
    assert "OWNER TO" not in script

    refused = bed.backup("--pg-args=--file=/tmp/x")
    assert (refused.status, refused.host["phase"]) == (0, BAD)
    assert "'--file=/tmp/x'" in refused.host["error"]


def test_a_wrong_password_is_no_missing_repository(
    local_job_bed: JobBed, source: PostgresServer
) -> None:
    bed = local_job_bed
    bed.database(source)
    bed.configuration()
    bed.session()
    assert bed.backup().host["phase"] == GOOD
    before = files_of(bed.place)
    bed.secret("storage", {"RESTIC_PASSWORD": "another"})
    bed.session("pg-backup-2")
    done = bed.backup(session="pg-backup-2")
    assert (done.status, done.host["phase"]) == (0, BAD)
    assert "password" in done.host["error"]
    assert done.output["granary"]["code"] == "wrong_password"
    status, message = bed.conditions("pg-backup-2")["BackendRepositoryInitialized"]
    assert (status, message) == ("False", done.host["error"])
    assert files_of(bed.place) == before


def test_a_server_that_never_comes_is_waited_for_and_named(local_job_bed: JobBed) -> None:
    bed = local_job_bed
    nobody = PostgresServer(18)
    nobody.port = free_port()
    bed.database(nobody)
    bed.configuration()
    bed.session()
    done = bed.backup("--wait-timeout=2")
    assert done.output["granary"]["code"] == "server_unreachable"
    assert done.host["error"].endswith("waited 2 seconds for it.")
    assert bed.update().status == 0
    (target,) = bed.status("BackupSession", "pg-backup-1")["targets"]
    assert (target["phase"], target["stats"][0]["error"]) == (BAD, done.host["error"])
    # Nothing follows a backup that failed.
    assert set(bed.conditions()) == {"BackendRepositoryInitialized"}
    assert "lastBackupTime" not in bed.status("Repository", "repo")
    warnings = [
        one for one in bed.kubectl.list("events", bed.namespace) if one["type"] == "Warning"
    ]
    assert [one["reason"] for one in warnings] == ["Host Backup Failed"]


def test_objects_that_are_not_there_are_named(local_job_bed: JobBed) -> None:
    bed = local_job_bed
    bed.configuration()
    bed.session()
    done = bed.backup()
    assert done.host["error"].startswith(f"The AppBinding {bed.namespace}/pg does not exist")
    bed.kubectl("delete", "secret", "storage", f"--namespace={bed.namespace}")
    done = bed.backup()
    assert done.host["error"].startswith(f"The Secret {bed.namespace}/storage does not exist")


def test_an_output_that_cannot_be_written_fails_the_container(
    local_job_bed: JobBed, source: PostgresServer
) -> None:
    bed = local_job_bed
    bed.database(source)
    (bed.scratch / "file").write_text("")
    done = bed.backup(f"--output-dir={bed.scratch}/file/below", session="")
    assert done.status == 1
    assert "could not be written to" in done.log


def test_a_session_without_output_has_failed(local_job_bed: JobBed) -> None:
    bed = local_job_bed
    bed.configuration()
    bed.session()
    assert bed.update().status == 0
    (target,) = bed.status("BackupSession", "pg-backup-1")["targets"]
    assert target["phase"] == BAD
    assert "left no readable" in target["stats"][0]["error"]


def test_a_policy_that_keeps_nothing_fails_retention_alone(
    local_job_bed: JobBed, source: PostgresServer
) -> None:
    bed = local_job_bed
    bed.database(source)
    bed.configuration({"name": "none", "prune": True})
    bed.session()
    assert bed.backup().host["phase"] == GOOD
    assert bed.update().status == 0
    found = bed.conditions()
    assert found["RetentionPolicyApplied"][0] == "False"
    assert "says nothing of what to keep" in found["RetentionPolicyApplied"][1]
    assert "RepositoryIntegrityVerified" not in found
    (target,) = bed.status("BackupSession", "pg-backup-1")["targets"]
    assert target["phase"] == GOOD


def test_damage_is_said_and_the_repository_shows_it(
    local_job_bed: JobBed, source: PostgresServer
) -> None:
    bed = local_job_bed
    bed.database(source)
    bed.configuration()
    bed.session()
    assert bed.backup().host["phase"] == GOOD
    assert isinstance(bed.place.where, Path)
    pack = max((bed.place.where / "data").rglob("*"), key=lambda path: path.stat().st_size)
    pack.unlink()
    assert bed.update().status == 0
    found = bed.conditions()
    if found["RetentionPolicyApplied"][0] == "True":
        assert found["RepositoryIntegrityVerified"][0] == "False"
        assert bed.status("Repository", "repo")["integrity"] is False
    else:
        assert pack.name[:8] in found["RetentionPolicyApplied"][1]


def test_a_gateway_that_is_down_fails_nothing(
    local_job_bed: JobBed, source: PostgresServer
) -> None:
    bed = local_job_bed
    bed.database(source)
    bed.configuration({"name": "try", "keepLast": 1, "dryRun": True, "prune": True})
    bed.session()
    assert bed.backup().host["phase"] == GOOD
    url = f"http://{HOST}:{free_port()}"
    updated = bed.update(
        "BackupConfiguration/pg-backup",
        *("--metrics-enabled=true", f"--metrics-pushgateway-url={url}"),
    )
    assert updated.status == 0, updated.log
    status, message = bed.conditions()["RepositoryMetricsPushed"]
    assert (status, url in message) == ("False", True)
    assert bed.conditions()["RetentionPolicyApplied"][1].endswith("(dryRun).")
    (target,) = bed.status("BackupSession", "pg-backup-1")["targets"]
    assert target["phase"] == GOOD
    assert bed.status("Repository", "repo")["snapshotCount"] == 1


def test_a_repository_is_wiped_out_only_where_it_asks_for_it(
    s3_job_bed: JobBed, source: PostgresServer
) -> None:
    bed = s3_job_bed
    bed.database(source)
    assert bed.backup(session="").host["phase"] == GOOD
    arguments = [f"--namespace={bed.namespace}", "--repository-name=repo"]
    arguments.append(f"--scratch-dir={bed.scratch}")
    refused = bed.run("wipe-out", *arguments)
    assert refused.status == 1
    assert "does not ask for its data to be deleted" in refused.log
    bed.cluster.patch("Repository", "repo", bed.namespace, {"spec": {"wipeOut": True}})
    assert bed.run("wipe-out", *arguments).status == 0
    bucket = bed.place.where
    assert isinstance(bucket, Bucket)
    with contextlib.closing(bucket.client()) as client:
        assert not client.list_objects_v2(Bucket=bucket.name).get("Contents")
    # Again, as after a Job that was killed at its end.
    assert bed.run("wipe-out", *arguments).status == 0
