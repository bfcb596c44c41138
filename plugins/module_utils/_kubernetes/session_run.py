# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""Makes a BackupSession or a RestoreSession, or takes up one that is there, and waits for its end.

What is done in the cluster is the operator's: here it is only asked for and looked at.
"""

from __future__ import annotations

import dataclasses
import time
import typing as t

from .._core.errors import (
    ClusterError,
    ClusterObjectExists,
    ClusterObjectMissing,
    SessionFailed,
    SessionUnfinished,
)
from . import conditions as c
from . import phases
from .invoker import BACKUP, RESTORE
from .names import backup_session_name
from .objects import described_object, name_of, namespace_of, status_of
from .session_objects import (
    SESSION,
    check_same_backup,
    check_same_restore,
    new_backup_session,
    new_restore_session,
)

if t.TYPE_CHECKING:
    from collections.abc import Callable

    from .cluster import Cluster
    from .objects import Object
    from .session_objects import RestoreWish

_LOOK_S = 1.0
_FINAL = {
    SESSION: phases.FINAL_BACKUP_PHASES,
    # An invalid one may become valid, by other rights or labels, but nobody waits for that.
    RESTORE: phases.FINAL_RESTORE_PHASES | {phases.INVALID},
}
_BAD_IF_TRUE = frozenset(
    {c.DEADLINE_EXCEEDED, c.BACKUP_SKIPPED, c.BACKUP_DISRUPTED, c.RESTORE_DISRUPTED}
)
_HARMLESS = frozenset({c.METRICS_PUSHED, c.REPOSITORY_METRICS_PUSHED})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Whether to wait for the end, and for how many seconds."""

    enabled: bool
    timeout_seconds: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SessionResult:
    """A session as it stood when it was last seen; ``failure`` is why it is no success."""

    changed: bool
    session: dict[str, t.Any]
    failure: ClusterError | None = None


def run_backup_session(
    cluster: Cluster,
    *,
    namespace: str,
    invoker: str,
    name: str | None,
    waiting: Waiting,
    check_mode: bool,
) -> SessionResult:
    """Back up what a BackupConfiguration says, now. Without ``name`` it is always a new session.

    Raises ``ConfigError``, ``ClusterError``, ``InvalidObject``.
    """
    configuration = cluster.get(BACKUP, invoker, namespace)
    wanted = new_backup_session(
        name or backup_session_name(invoker, int(time.time())), configuration
    )

    def check(present: Object) -> None:
        check_same_backup(present, invoker)

    return _run(cluster, wanted, check, waiting, check_mode=check_mode)


def run_restore_session(
    cluster: Cluster, wish: RestoreWish, *, waiting: Waiting, check_mode: bool
) -> SessionResult:
    """Restore what is wished, once. Raises as ``run_backup_session``."""
    wanted = new_restore_session(wish)

    def check(present: Object) -> None:
        check_same_restore(present, wanted)

    return _run(cluster, wanted, check, waiting, check_mode=check_mode)


def _run(
    cluster: Cluster,
    wanted: Object,
    check: Callable[[Object], None],
    waiting: Waiting,
    *,
    check_mode: bool,
) -> SessionResult:
    present = cluster.find(wanted["kind"], name_of(wanted), namespace_of(wanted))
    changed = present is None
    if present is not None:
        check(present)
    elif check_mode:
        present = wanted
    else:
        present, changed = _create(cluster, wanted)
        check(present)
    if waiting.enabled and not check_mode:
        present = _wait(cluster, present, waiting.timeout_seconds)
    looked_at = waiting.enabled and not (check_mode and changed)
    return SessionResult(
        changed=changed,
        session=_shown(present),
        failure=_failure(present) if looked_at else None,
    )


def _create(cluster: Cluster, wanted: Object) -> tuple[Object, bool]:
    """Return the session, and whether it was us who made it."""
    try:
        return cluster.create(wanted), True
    except ClusterObjectExists:
        return cluster.get(wanted["kind"], name_of(wanted), namespace_of(wanted)), False


def _wait(cluster: Cluster, session: Object, timeout_seconds: float) -> Object:
    """Return the session once its phase is final, or as it is when the time is over."""
    kind, name, namespace = session["kind"], name_of(session), namespace_of(session)
    until = time.monotonic() + timeout_seconds
    while not _is_final(session) and time.monotonic() < until:
        time.sleep(min(_LOOK_S, max(0.0, until - time.monotonic())))
        try:
            session = cluster.get(kind, name, namespace)
        except ClusterObjectMissing as exc:
            raise SessionFailed(
                f"{described_object(session)} was deleted before it had ended; make it again."
            ) from exc
    return session


def _is_final(session: Object) -> bool:
    return status_of(session).get("phase") in _FINAL[session["kind"]]


def _failure(session: Object) -> ClusterError | None:
    phase = status_of(session).get("phase")
    if phase == phases.SUCCEEDED:
        return None
    what, why = described_object(session), "; ".join(causes(session))
    if _is_final(session):
        return SessionFailed(f"{what} is {phase}: {why or 'its status names no cause'}.")
    if not phase:
        return SessionUnfinished(
            f"{what} has not been begun in time; see that the operator runs and serves its "
            "namespace."
        )
    return SessionUnfinished(
        f"{what} is still {phase} ({why or 'nothing has failed so far'}); run the task again under "
        "the same name to wait on."
    )


def causes(session: Object) -> list[str]:
    """Return what its status says of failures: the hosts' errors first, each text once."""
    status = status_of(session)
    parts = [*(status.get("targets") or []), status]
    texts = [
        host.get("error") or ""
        for part in parts
        for host in part.get("stats") or []
        if host.get("phase") != phases.SUCCEEDED
    ]
    for part in parts:
        texts += [_complaint(each) for each in part.get("conditions") or []]
    return list(dict.fromkeys(text.strip().rstrip(".") for text in texts if text.strip()))


def _complaint(condition: Object) -> str:
    bad = c.TRUE if condition["type"] in _BAD_IF_TRUE else c.FALSE
    if condition["type"] in _HARMLESS or condition["status"] != bad:
        return ""
    return str(condition.get("message") or condition.get("reason") or condition["type"])


def _shown(session: Object) -> dict[str, t.Any]:
    status = status_of(session)
    parts = [*(status.get("targets") or []), status]
    return {
        "name": name_of(session),
        "namespace": namespace_of(session),
        "phase": status.get("phase"),
        "duration": status.get("sessionDuration"),
        "stats": [host for part in parts for host in part.get("stats") or []],
        "conditions": [each for part in parts for each in part.get("conditions") or []],
    }
