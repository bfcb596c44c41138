# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import socket
import typing as t
from pathlib import Path

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import (
    ClusterConflict,
    ClusterError,
    ClusterForbidden,
    ClusterObjectExists,
    ClusterObjectMissing,
    ClusterUnavailable,
    ConfigError,
    GranaryError,
    InvalidObject,
)
from ansible_collections.granary.postgres.plugins.module_utils._core.redaction import Secret
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.cluster import Cluster
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.wanted import (
    WANTED,
    stamped,
)
from tests.scripted_server import HANG_UP, ScriptedServer

Fields = dict[str, t.Any]
POD: Fields = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "p", "namespace": "demo", "resourceVersion": "7"},
    "spec": {"fieldOfTomorrow": 1},
}


def connect(url: str, *, patience_s: float = 0.0) -> Cluster:
    return Cluster.connect(host=url, api_key=Secret("token"), patience_s=patience_s)


def refusal(code: int, reason: str, message: str) -> tuple[int, Fields]:
    return code, {"kind": "Status", "code": code, "reason": reason, "message": message}


def test_an_object_keeps_the_fields_that_nobody_knows() -> None:
    with ScriptedServer((200, POD)) as server:
        cluster = connect(server.url)
        assert cluster.get("Pod", "p", "demo") == POD
    assert server.requests[0].path == "/api/v1/namespaces/demo/pods/p"
    assert cluster.requests == 1


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (refusal(400, "BadRequest", "bad quantity."), InvalidObject, "bad quantity"),
        (refusal(401, "Unauthorized", "Unauthorized"), ClusterForbidden, "does not know who asks"),
        (refusal(403, "Forbidden", 'cannot get "pods"'), ClusterForbidden, 'cannot get "pods"'),
        (refusal(404, "NotFound", 'pods "p" not found'), ClusterObjectMissing, 'pods "p" not'),
        ((404, "404 page not found\n"), ClusterObjectMissing, "404 page not found"),
        (refusal(409, "Conflict", "was modified"), ClusterConflict, "was modified"),
        (refusal(409, "AlreadyExists", "exists"), ClusterObjectExists, "exists already"),
        (refusal(410, "Expired", "too old"), ClusterConflict, "too old"),
        (refusal(422, "Invalid", "spec.x: wrong"), InvalidObject, "spec.x: wrong"),
        (refusal(429, "TooManyRequests", "later"), ClusterUnavailable, "overloaded: later"),
        (refusal(500, "InternalError", "etcd"), ClusterUnavailable, "HTTP 500: etcd"),
        ((503, ""), ClusterUnavailable, "HTTP 503"),
        ((418, "tea"), ClusterError, "HTTP 418: tea"),
        ((200, '"text"'), ClusterError, "is not an object"),
        (HANG_UP, ClusterUnavailable, "did not answer for Pod demo/p"),
    ],
)
def test_each_answer_becomes_one_error_with_the_servers_words(
    answer: t.Any, error: type[GranaryError], words: str
) -> None:
    with ScriptedServer(answer) as server, pytest.raises(GranaryError) as caught:
        connect(server.url).get("Pod", "p", "demo")
    assert caught.type is error
    assert "Pod demo/p" in caught.value.message
    assert words in caught.value.message
    assert caught.value.message.endswith(".")
    assert not caught.value.message.endswith("..")


def test_finding_nothing_is_no_error() -> None:
    with ScriptedServer(refusal(404, "NotFound", "no")) as server:
        assert connect(server.url).find("Task", "t") is None
    assert server.requests[0].path == "/apis/stash.appscode.com/v1beta1/tasks/t"


def test_a_list_is_read_page_by_page_and_its_items_say_what_they_are() -> None:
    first = {"metadata": {"continue": "more"}, "items": [{"metadata": {"name": "a"}}]}
    second = {"metadata": {}, "items": [{"metadata": {"name": "b"}}]}
    with ScriptedServer((200, first), (200, second)) as server:
        found = connect(server.url).list("Job", "demo", labels={"a": "b", "c": "d"})
    assert found == [
        {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}} for name in "ab"
    ]
    assert [request.query for request in server.requests] == [
        {"limit": "500", "labelSelector": "a=b,c=d"},
        {"limit": "500", "labelSelector": "a=b,c=d", "continue": "more"},
    ]


def test_a_list_that_the_server_forgot_is_begun_again() -> None:
    first = {"metadata": {"continue": "more"}, "items": [{"metadata": {"name": "old"}}]}
    whole = {"metadata": {}, "items": [{"metadata": {"name": "new"}}]}
    forgotten = refusal(410, "Expired", "too old")
    with ScriptedServer((200, first), forgotten, (200, whole)) as server:
        found = connect(server.url).list("Job")
    assert [each["metadata"]["name"] for each in found] == ["new"]


def test_what_may_be_repeated_is_tried_until_the_server_is_back() -> None:
    away = (503, "")
    with ScriptedServer(HANG_UP, away, refusal(429, "", ""), (200, POD)) as server:
        assert connect(server.url, patience_s=30).replace(POD) == POD
    assert [request.method for request in server.requests] == ["PUT"] * 4


def test_patience_ends() -> None:
    with ScriptedServer(*[(503, "")] * 50) as server, pytest.raises(ClusterUnavailable):
        connect(server.url, patience_s=0.25).get("Pod", "p", "demo")
    assert len(server.requests) == 2


@pytest.mark.parametrize("answer", [HANG_UP, (500, "")])
def test_a_creation_that_may_have_happened_is_not_repeated(answer: t.Any) -> None:
    with ScriptedServer(answer, (201, POD)) as server, pytest.raises(ClusterUnavailable):
        connect(server.url, patience_s=30).create(POD)
    assert len(server.requests) == 1


def test_a_creation_that_was_turned_away_is_repeated() -> None:
    with ScriptedServer(refusal(429, "", ""), (201, POD)) as server:
        assert connect(server.url, patience_s=30).create(POD) == POD


def test_nobody_listens() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ClusterUnavailable, match=f"{url} did not answer for Pod demo/p"):
            connect(url).create(POD)


def test_status_and_whole_are_written_apart() -> None:
    with ScriptedServer((200, POD), (200, POD)) as server:
        cluster = connect(server.url)
        cluster.replace(POD)
        cluster.replace_status(POD)
    paths = [request.path for request in server.requests]
    assert paths == [f"/api/v1/namespaces/demo/pods/p{end}" for end in ("", "/status")]


def test_what_was_not_read_is_not_written() -> None:
    unread = {**POD, "metadata": {"name": "p", "namespace": "demo"}}
    with ScriptedServer() as server, pytest.raises(InvalidObject, match="was not read"):
        connect(server.url).replace(unread)


def test_a_patch_keeps_its_nulls() -> None:
    with ScriptedServer((200, POD)) as server:
        connect(server.url).patch("Pod", "p", "demo", {"metadata": {"finalizers": None}})
    assert server.requests[0].content_type == "application/merge-patch+json"
    assert server.requests[0].body == {"metadata": {"finalizers": None}}


def test_only_the_object_that_was_meant_is_deleted() -> None:
    made_anew = refusal(409, "Conflict", "uid does not match")
    gone = refusal(404, "NotFound", "no")
    with ScriptedServer((200, {}), made_anew, gone, made_anew) as server:
        cluster = connect(server.url)
        assert cluster.delete("Pod", "p", "demo", uid="u")
        assert not cluster.delete("Pod", "p", "demo", uid="u")
        assert not cluster.delete("Pod", "p", "demo")
        with pytest.raises(ClusterConflict):
            cluster.delete("Pod", "p", "demo")
    assert server.requests[0].body == {
        "propagationPolicy": "Background",
        "preconditions": {"uid": "u"},
    }


def account(*, owner: str | None = "u1", manager: str = "m", version: str = "7") -> Fields:
    meta: Fields = {"name": "a", "namespace": "demo"}
    meta["labels"] = {"app.kubernetes.io/managed-by": manager}
    if owner:
        controller = {"kind": "BackupConfiguration", "name": "bc", "uid": owner}
        meta["ownerReferences"] = [{**controller, "controller": True}]
    if version:
        meta["resourceVersion"] = version
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta}


WANTED_ACCOUNT = account(version="")


def test_what_is_missing_is_made() -> None:
    with ScriptedServer(refusal(404, "NotFound", "no"), (201, account())) as server:
        connect(server.url).ensure(WANTED_ACCOUNT)
    assert [request.method for request in server.requests] == ["GET", "POST"]
    assert WANTED in server.requests[1].body["metadata"]["annotations"]


def test_nothing_is_sent_where_all_is_as_wanted() -> None:
    present = stamped(account())
    with ScriptedServer((200, present)) as server:
        assert connect(server.url).ensure(WANTED_ACCOUNT) == present


def test_what_is_ours_and_different_is_changed_again_after_a_conflict() -> None:
    conflict = refusal(409, "Conflict", "was modified")
    newer = account(version="8")
    with ScriptedServer((200, account()), conflict, (200, newer), (200, newer)) as server:
        connect(server.url).ensure(WANTED_ACCOUNT)
    assert [request.method for request in server.requests] == ["GET", "PUT", "GET", "PUT"]
    assert server.requests[3].body["metadata"]["resourceVersion"] == "8"


def test_somebody_else_may_have_been_faster() -> None:
    lost = [refusal(404, "NotFound", "no"), refusal(409, "AlreadyExists", "exists")]
    with ScriptedServer(*lost, (200, stamped(account()))) as server:
        connect(server.url).ensure(WANTED_ACCOUNT)
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    "present", [account(owner="other"), account(owner=None), account(owner=None, manager="x")]
)
def test_what_belongs_to_others_is_left_alone(present: Fields) -> None:
    with (
        ScriptedServer((200, present)) as server,
        pytest.raises(ClusterObjectExists, match=r"ServiceAccount demo/a .* is left alone"),
    ):
        connect(server.url).ensure(WANTED_ACCOUNT)


def test_without_an_owner_the_manager_decides() -> None:
    with ScriptedServer((200, stamped(account(owner=None)))) as server:
        connect(server.url).ensure(account(owner=None, version=""))
    with (
        ScriptedServer((200, account(owner=None, manager="x"))) as server,
        pytest.raises(ClusterObjectExists),
    ):
        connect(server.url).ensure(account(owner=None, version=""))


def test_what_is_being_deleted_is_waited_for() -> None:
    present = account()
    present["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    with (
        ScriptedServer((200, present)) as server,
        pytest.raises(ClusterConflict, match="is being deleted"),
    ):
        connect(server.url).ensure(WANTED_ACCOUNT)


def test_a_fight_over_an_object_ends() -> None:
    conflict = refusal(409, "Conflict", "was modified")
    answers = [answer for dummy in range(5) for answer in ((200, account()), conflict)]
    with (
        ScriptedServer(*answers) as server,
        pytest.raises(ClusterConflict, match="is changed by somebody else each time"),
    ):
        connect(server.url).ensure(WANTED_ACCOUNT)


def test_a_kubeconfig_that_is_not_there_is_an_error_of_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="give kubeconfig, or host and api_key"):
        Cluster.connect(kubeconfig=str(tmp_path / "nothing"))


def test_a_kubeconfig_may_be_given_as_its_content() -> None:
    with ScriptedServer((200, POD)) as server:
        content = {
            "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
            "clusters": [{"name": "k", "cluster": {"server": server.url}}],
            "users": [{"name": "u", "user": {"token": "t"}}],
        }
        assert Cluster.connect(kubeconfig=content).get("Pod", "p", "demo") == POD


def test_a_kind_that_we_never_touch_is_refused() -> None:
    with ScriptedServer() as server, pytest.raises(InvalidObject, match="'ConfigMap'"):
        connect(server.url).get("ConfigMap", "c", "demo")
