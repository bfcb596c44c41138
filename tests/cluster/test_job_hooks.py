# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hooks of a session, in a real pod behind a real Service."""

from __future__ import annotations

import json
import threading
import typing as t
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from tests.fix_job import Done, JobBed, Object
from tests.testbed.kube.pods import pod
from tests.testbed.ports import HOST

BACKUP = "BackupConfiguration/pg-backup"
RESTORE = "RestoreSession/pg-restore"


@pytest.fixture
def bed(local_job_bed: JobBed) -> JobBed:
    """A bed whose AppBinding has a pod behind its Service; it serves nothing but hooks."""
    kept = local_job_bed
    script = "trap exit TERM; while true; do sleep 0.1; done"
    kept.kubectl.apply(pod("pg", kept.namespace, script))
    kept.kubectl.wait("pod/pg", "condition=Ready", kept.namespace)
    spec = {"selector": {"app": "pg"}, "ports": [{"port": 5432}]}
    kept.apply({"apiVersion": "v1", "kind": "Service", "spec": spec}, "pg")
    kept.kubectl.wait("endpoints/pg", "jsonpath={.subsets[0].addresses[0].ip}", kept.namespace)
    binding(kept, {"service": {"name": "pg", "port": 5432, "scheme": "postgresql"}})
    return kept


def binding(bed: JobBed, client: Object) -> None:
    spec = {"type": "postgres", "clientConfig": client, "secret": {"name": "storage"}}
    api = "appcatalog.appscode.com/v1alpha1"
    bed.apply({"apiVersion": api, "kind": "AppBinding", "spec": spec}, "pg")


def run_hook(bed: JobBed, kind: str, invoker: str = BACKUP) -> Done:
    invoker_kind, dummy, name = invoker.partition("/")
    return bed.run(
        "run-hook",
        f"--backupsession={'pg-backup-1' if invoker == BACKUP else ''}",
        f"--invoker-kind={invoker_kind}",
        f"--invoker-name={name}",
        *("--target-kind=AppBinding", "--target-name=pg"),
        f"--target-namespace={bed.namespace}",
        *(f"--hook-type={kind}", "--hostname=host-0"),
        f"--output-dir={bed.scratch}/output",
        *("--metrics-enabled=false", "--metrics-pushgateway-url="),
    )


def condition(bed: JobBed, kind: str) -> tuple[str, str]:
    (target,) = bed.status("BackupSession", "pg-backup-1")["targets"]
    name = f"{kind[0].upper()}{kind[1:]}HookExecutionSucceeded"
    (found,) = [one for one in target["conditions"] if one["type"] == name]
    return found["status"], found["message"]


def outcome(bed: JobBed, phase: str, **more: str) -> None:
    """Leave the output of the step before."""
    host = {"hostname": "host-0", "phase": phase, "duration": "1s", **more}
    folder = bed.scratch / "output"
    folder.mkdir(exist_ok=True)
    document = {"targetStatus": {"stats": [host]}}
    (folder / "output.json").write_text(json.dumps(document), encoding="utf-8")


def commands(script: str) -> Object:
    return {"exec": {"command": ["sh", "-c", script]}, "containerName": "main"}


def test_a_command_runs_once_in_the_databases_pod(bed: JobBed) -> None:
    bed.configuration(hooks={"preBackup": commands("echo here >&2; echo run >/proc/1/fd/1")})
    bed.session()
    done = run_hook(bed, "preBackup")
    assert done.status == 0, done.log
    assert condition(bed, "preBackup") == ("True", "Successfully executed preBackup hook.")
    assert run_hook(bed, "preBackup").status == 0
    assert bed.kubectl.logs("pod/pg", bed.namespace) == "run\n"


def test_a_first_hook_that_fails_ends_the_job_in_the_commands_words(bed: JobBed) -> None:
    bed.configuration(hooks={"preBackup": commands("echo no room; exit 3")})
    bed.session()
    done = run_hook(bed, "preBackup")
    assert done.status == 1
    status, message = condition(bed, "preBackup")
    assert status == "False"
    assert "exit code 3" in message
    assert "it said: no room" in message
    # Also when it is asked again: nothing may run after it.
    assert run_hook(bed, "preBackup").status == 1
    assert bed.status("BackupSession", "pg-backup-1")["targets"][0]["phase"] == "Failed"


def test_a_last_hook_that_fails_only_says_so(bed: JobBed) -> None:
    bed.configuration(hooks={"postBackup": commands("exit 1")})
    bed.session()
    outcome(bed, "Succeeded")
    assert run_hook(bed, "postBackup").status == 0
    assert condition(bed, "postBackup")[0] == "False"


def test_a_policy_decides_by_what_the_step_before_has_left(bed: JobBed) -> None:
    hook = {**commands("echo run >/proc/1/fd/1"), "executionPolicy": "OnFinalRetryFailure"}
    bed.configuration(hooks={"postBackup": hook})
    bed.session(retryLeft=1)
    outcome(bed, "Failed", error="The disk is full.")
    assert run_hook(bed, "postBackup").status == 0
    status, message = condition(bed, "postBackup")
    assert status == "True"
    assert message.startswith("Skipping executing postBackup hook, since the session will be tried")
    assert bed.kubectl.logs("pod/pg", bed.namespace) == ""


def test_a_session_whose_job_died_has_failed_for_its_hook(bed: JobBed) -> None:
    hook = {**commands("echo run >/proc/1/fd/1"), "executionPolicy": "OnFailure"}
    bed.configuration(hooks={"postBackup": hook})
    bed.session()
    assert run_hook(bed, "postBackup").status == 0
    assert bed.kubectl.logs("pod/pg", bed.namespace) == "run\n"


def test_hooks_of_a_restore_stand_in_the_restore(bed: JobBed) -> None:
    hooks = {"preRestore": commands("exit 0"), "postRestore": {"tcpSocket": {"port": "none"}}}
    bed.restore_session(hooks=hooks)
    outcome(bed, "Succeeded")
    assert run_hook(bed, "preRestore", RESTORE).status == 0
    assert run_hook(bed, "postRestore", RESTORE).status == 0
    found = bed.status("RestoreSession", "pg-restore")["conditions"]
    assert [(one["type"], one["status"]) for one in found] == [
        ("PreRestoreHookExecutionSucceeded", "True"),
        ("PostRestoreHookExecutionSucceeded", "False"),
    ]
    assert "has no port called 'none'" in found[1]["message"]


@pytest.fixture
def site() -> Iterator[tuple[int, list[str]]]:
    """A web server and what it was sent."""
    received: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: t.Any) -> None:  # noqa: A002 # its name there
            """Say nothing."""

    with HTTPServer((HOST, 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port, received
        server.shutdown()


def test_a_post_to_a_host_needs_no_pod(local_job_bed: JobBed, site: tuple[int, list[str]]) -> None:
    bed = local_job_bed
    binding(bed, {"url": "tcp://db.example:5432"})
    port, received = site
    post = {"httpPost": {"host": HOST, "port": port, "scheme": "HTTP", "body": '{"text": "up"}'}}
    bed.configuration(hooks={"preBackup": post, "postBackup": commands("true")})
    bed.session()
    done = run_hook(bed, "preBackup")
    assert done.status == 0, done.log
    assert received == ['{"text": "up"}']
    outcome(bed, "Succeeded")
    assert run_hook(bed, "postBackup").status == 0
    status, message = condition(bed, "postBackup")
    assert status == "False"
    assert "names no Service, so there is no pod to run the hook in" in message
