# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a session's status says of its failure, and whether a session is the one asked for."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import (
    ConfigError,
    SessionFailed,
    SessionUnfinished,
)
from ansible_collections.granary.postgres.plugins.module_utils._core.redaction import Secret
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.cluster import Cluster
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.session_objects import (
    RestoreWish,
    check_same_backup,
    check_same_restore,
    new_backup_session,
    new_restore_session,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.session_run import (
    SessionResult,
    Waiting,
    causes,
    run_backup_session,
)
from tests import stash_objects as stash
from tests.scripted_server import ScriptedServer

MISSING = (404, {"kind": "Status", "code": 404, "reason": "NotFound", "message": "not found"})
EXISTS = (409, {"kind": "Status", "code": 409, "reason": "AlreadyExists", "message": "is there"})
AT_ONCE = Waiting(enabled=True, timeout_seconds=0)
LONG = Waiting(enabled=True, timeout_seconds=60)
NOT_AT_ALL = Waiting(enabled=False, timeout_seconds=0)
WISH = RestoreWish(
    name="again",
    namespace="demo",
    target="quick-postgres",
    repository="s3-repo",
    task="postgres-restore",
    params={"clean": "true"},
    snapshot="latest",
)


def configuration() -> dict[str, t.Any]:
    """A BackupConfiguration as the server has it."""
    found = stash.configuration("demo", "postgres-backup")
    found["metadata"]["uid"] = "1-2-3"
    return found


def session(**status: t.Any) -> dict[str, t.Any]:
    """A BackupSession with a status."""
    return {**new_backup_session("now", configuration()), "status": status}


def run(
    *answers: t.Any, waiting: Waiting = AT_ONCE, check_mode: bool = False
) -> tuple[SessionResult, list[str]]:
    """Run a session against an API server's prepared answers; with the methods that it was asked
    by.
    """
    with ScriptedServer((200, configuration()), *answers) as server:
        result = run_backup_session(
            Cluster.connect(host=server.url, api_key=Secret("token"), patience_s=0.0),
            namespace="demo",
            invoker=stash.CONFIGURATION,
            name="now",
            waiting=waiting,
            check_mode=check_mode,
        )
    return result, [request.method for request in server.requests]


def test_the_hosts_errors_come_first_and_each_text_once() -> None:
    failed = session(
        phase="Failed",
        conditions=[
            {"type": "MetricsPushed", "status": "False", "message": "no gateway"},
            {"type": "RetentionPolicyApplied", "status": "False", "message": "no right."},
            {"type": "DeadlineExceeded", "status": "True", "message": "It took too long."},
            {"type": "BackendRepositoryInitialized", "status": "True", "message": "is there"},
        ],
        targets=[
            {
                "stats": [
                    {"hostname": "host-0", "phase": "Failed", "error": "dump failed."},
                    {"hostname": "host-1", "phase": "Succeeded", "error": ""},
                ],
                "conditions": [
                    {"type": "BackupExecutorEnsured", "status": "False", "message": "dump failed."}
                ],
            }
        ],
    )
    assert causes(failed) == ["dump failed", "no right", "It took too long"]


def test_a_session_belongs_to_its_invoker() -> None:
    check_same_backup(session(), stash.CONFIGURATION)
    with pytest.raises(ConfigError, match="BackupSession demo/now is there already and belongs to"):
        check_same_backup(session(), "another")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"target": "other"}, "target"),
        ({"snapshot": "0f1e2d3c"}, "snapshot"),
        ({"params": {}}, "task"),
        ({"repository_namespace": "vault"}, "repository"),
    ],
)
def test_a_restore_is_the_same_or_another(change: dict[str, t.Any], named: str) -> None:
    wanted = new_restore_session(WISH)
    check_same_restore(new_restore_session(WISH), wanted)
    fields = {name: getattr(WISH, name) for name in WISH.__dataclass_fields__}
    other = new_restore_session(RestoreWish(**{**fields, **change}))
    with pytest.raises(ConfigError, match=f"there already and has another {named}; "):
        check_same_restore(other, wanted)


def test_an_old_place_of_rules_is_the_same_restore() -> None:
    present = new_restore_session(WISH)
    present["spec"]["rules"] = present["spec"]["target"].pop("rules")
    check_same_restore(present, new_restore_session(WISH))


def test_it_is_made_and_its_end_waited_for() -> None:
    stats = [{"hostname": "host-0", "phase": "Succeeded", "duration": "1.5s"}]
    over = session(phase="Succeeded", sessionDuration="2s", targets=[{"stats": stats}])
    result, methods = run(MISSING, (201, session()), (200, session()), (200, over), waiting=LONG)
    assert methods == ["GET", "GET", "POST", "GET", "GET"]
    assert result.changed
    assert result.failure is None
    assert result.session == {
        "name": "now",
        "namespace": "demo",
        "phase": "Succeeded",
        "duration": "2s",
        "stats": stats,
        "conditions": [],
    }


def test_one_that_is_there_is_taken_up() -> None:
    result, methods = run(
        (200, session(phase="Running")), (200, session(phase="Succeeded")), waiting=LONG
    )
    assert methods == ["GET", "GET", "GET"]
    assert not result.changed
    assert result.session["phase"] == "Succeeded"


def test_one_that_another_makes_in_between_is_taken_up() -> None:
    result, methods = run(MISSING, EXISTS, (200, session(phase="Succeeded")))
    assert methods == ["GET", "GET", "POST", "GET"]
    assert not result.changed


def test_a_skipped_backup_is_none() -> None:
    skipped = {"type": "BackupSkipped", "status": "True", "message": "Skipped: it is not ready."}
    result, dummy = run((200, session(phase="Skipped", conditions=[skipped])))
    assert isinstance(result.failure, SessionFailed)
    assert result.failure.message == (
        "BackupSession demo/now is Skipped: Skipped: it is not ready."
    )


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ({}, "has not been begun in time; see that the operator runs"),
        ({"phase": "Running"}, "is still Running (nothing has failed so far); run the task again"),
    ],
)
def test_one_that_does_not_end_fails_and_goes_on(status: dict[str, t.Any], words: str) -> None:
    result, dummy = run((200, session(**status)))
    assert isinstance(result.failure, SessionUnfinished)
    assert words in result.failure.message
    assert result.session["phase"] == status.get("phase")


def test_one_that_is_deleted_meanwhile_has_failed() -> None:
    with pytest.raises(SessionFailed, match="was deleted before it had ended"):
        run((200, session(phase="Running")), MISSING, waiting=LONG)


def test_without_waiting_a_failure_is_none_of_ours() -> None:
    result, methods = run(MISSING, (201, session()), waiting=NOT_AT_ALL)
    assert (result.changed, result.failure, len(methods)) == (True, None, 3)


def test_check_mode_makes_nothing_and_waits_for_nothing() -> None:
    result, methods = run(MISSING, waiting=LONG, check_mode=True)
    assert methods == ["GET", "GET"]
    assert (result.changed, result.failure) == (True, None)
    assert result.session["phase"] is None


def test_check_mode_tells_of_a_failure_that_is_there() -> None:
    result, dummy = run((200, session(phase="Failed")), waiting=LONG, check_mode=True)
    assert not result.changed
    assert isinstance(result.failure, SessionFailed)
