# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import (
    ClusterConflict,
    ClusterObjectMissing,
)
from ansible_collections.granary.postgres.plugins.module_utils._core.redaction import Secret
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.cluster import Cluster
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.events import (
    WARNING,
    record_event,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.status import (
    write_status,
)
from tests.scripted_server import ScriptedServer

Fields = dict[str, t.Any]
CONFLICT = (409, {"reason": "Conflict", "message": "was modified"})


def session(version: str, **status: t.Any) -> Fields:
    meta = {"name": "s", "namespace": "demo", "uid": "u1", "resourceVersion": version}
    kind = {"apiVersion": "stash.appscode.com/v1beta1", "kind": "BackupSession"}
    return {**kind, "metadata": meta, "spec": {"invoker": {}}, "status": status}


def write(server: ScriptedServer, change: t.Any, uid: str | None = None) -> Fields:
    cluster = Cluster.connect(host=server.url, api_key=Secret("token"))
    return write_status(cluster, "BackupSession", "s", "demo", change, uid=uid)


def run(status: Fields) -> Fields:
    return {**status, "phase": "Running"}


def test_a_change_is_written_to_the_version_that_was_read() -> None:
    with ScriptedServer((200, session("1", a=1)), (200, session("2", a=1))) as server:
        assert write(server, run, uid="u1")["metadata"]["resourceVersion"] == "2"
    put = server.requests[1]
    assert put.path.endswith("/backupsessions/s/status")
    assert put.body == session("1", a=1, phase="Running")


def test_after_a_conflict_the_change_is_made_to_what_the_other_wrote() -> None:
    answers = [(200, session("1")), CONFLICT, (200, session("2", theirs=1)), (200, session("3"))]
    with ScriptedServer(*answers) as server:
        write(server, run)
    assert server.requests[3].body == session("2", theirs=1, phase="Running")


@pytest.mark.parametrize("change", [lambda dummy: None, lambda status: status, dict])
def test_nothing_is_sent_for_nothing_new(change: t.Any) -> None:
    with ScriptedServer((200, session("1", a=1))) as server:
        assert write(server, change) == session("1", a=1)


def test_a_change_in_place_is_seen() -> None:
    def change(status: Fields) -> Fields:
        status["hosts"].append("b")
        return status

    with ScriptedServer((200, session("1", hosts=["a"])), (200, session("2"))) as server:
        write(server, change)
    assert server.requests[1].body["status"] == {"hosts": ["a", "b"]}


def test_an_object_made_anew_is_not_touched() -> None:
    with (
        ScriptedServer((200, session("1"))) as server,
        pytest.raises(ClusterObjectMissing, match="BackupSession demo/s was deleted and made anew"),
    ):
        write(server, run, uid="u0")


def test_a_fight_over_a_status_ends() -> None:
    answers = [answer for dummy in range(12) for answer in ((200, session("1")), CONFLICT)]
    with (
        ScriptedServer(*answers) as server,
        pytest.raises(ClusterConflict, match="was written by somebody else each of 12 times"),
    ):
        write(server, run)


def record(server: ScriptedServer) -> bool:
    cluster = Cluster.connect(host=server.url, api_key=Secret("token"), patience_s=0)
    return record_event(
        cluster, session("1"), "Host Backup Failed", WARNING, "x" * 2000, component="Status Updater"
    )


def test_an_event_names_its_object_and_is_cut_to_its_length() -> None:
    with ScriptedServer((201, {})) as server:
        assert record(server)
    body = server.requests[0].body
    assert server.requests[0].path == "/api/v1/namespaces/demo/events"
    assert body["metadata"]["name"].startswith("s.")
    assert body["involvedObject"]["uid"] == "u1"
    assert (body["reason"], body["type"]) == ("Host Backup Failed", "Warning")
    assert body["source"] == {"component": "Status Updater"}
    assert len(body["message"]) == 1024


@pytest.mark.parametrize("status", [403, 422, 503])
def test_an_event_that_cannot_be_left_stops_nothing(status: int) -> None:
    with ScriptedServer((status, {})) as server:
        assert not record(server)
