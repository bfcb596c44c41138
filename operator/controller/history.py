# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which sessions of an invoker are kept, who comes first, and when a failed one is tried again.
Pure.
"""

from __future__ import annotations

import datetime
import typing as t

from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.durations import (
    parse_time,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.names import (
    backup_session_name,
    session_labels,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.objects import (
    STASH,
    STASH_V1BETA1,
    Object,
    metadata,
    name_of,
    owner_reference,
    spec_of,
    status_of,
    uid_of,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.phases import (
    FAILED,
    FINAL_BACKUP_PHASES,
    RUNNING,
    SUCCEEDED,
)

if t.TYPE_CHECKING:
    from collections.abc import Iterable

    from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.invoker import (
        Invoker,
    )

_TELLING = frozenset({SUCCEEDED, FAILED})


def is_final(session: Object) -> bool:
    """Whether a BackupSession is over."""
    return status_of(session).get("phase") in FINAL_BACKUP_PHASES


def invoked_by(sessions: Iterable[Object], kind: str, name: str) -> list[Object]:
    """Return the sessions of one invoker; those made by hand may have no labels."""
    wanted = (kind, name)
    return [
        each
        for each in sessions
        if (_invoker(each).get("kind"), _invoker(each).get("name")) == wanted
    ]


def sessions_to_delete(
    sessions: Iterable[Object], current: Object, phase: str, limit: int
) -> list[Object]:
    """Return the sessions of one invoker beyond ``limit``, newest first.

    ``current`` is about to end with ``phase``; it is kept, and so are sessions that are not over.
    Of all others the newest that succeeded or failed is kept beyond the limit too, unless that is
    0: after a row of skipped ones it is the one that tells how it stands with the backups.
    """

    def phase_of(session: Object) -> str | None:
        return phase if session is current else status_of(session).get("phase")

    others = [each for each in sessions if uid_of(each) != uid_of(current)]
    newest_first = sorted([current, *others], key=_age, reverse=True)
    telling = (each for each in newest_first if phase_of(each) in _TELLING)
    news = next(telling, None) if limit > 0 else None
    return [
        each
        for each in newest_first[max(limit, 0) :]
        if each is not current and each is not news and is_final(each)
    ]


def reason_to_skip(session: Object, siblings: Iterable[Object]) -> str | None:
    """Return why a session that has not begun gives way to another one of its invoker."""
    for each in siblings:
        if uid_of(each) == uid_of(session) or is_final(each):
            continue
        if status_of(each).get("phase") == RUNNING or _age(each) < _age(session):
            return f"BackupSession {name_of(each)} of the same invoker is not over yet."
    return None


def busy_session(session: Object, target: Object, others: Iterable[Object]) -> Object | None:
    """Return a session of another invoker that is running on the same target, or None."""
    own = (_invoker(session).get("kind"), _invoker(session).get("name"))
    for each in others:
        same_invoker = (
            metadata(each).get("namespace") == metadata(session).get("namespace")
            and (_invoker(each).get("kind"), _invoker(each).get("name")) == own
        )
        if same_invoker or status_of(each).get("phase") != RUNNING:
            continue
        if any(entry.get("ref") == target for entry in status_of(each).get("targets") or []):
            return each
    return None


def wants_retry(session: Object) -> bool:
    """Whether a session that is over is to be tried again."""
    status = status_of(session)
    left = spec_of(session).get("retryLeft") or 0
    return status.get("phase") == FAILED and left > 0 and not status.get("retried")


def retry_session(session: Object, invoker_object: Object, invoker: Invoker) -> Object:
    """Return the session that tries a failed one again, once its ``nextRetry`` is set.

    It is named after that moment, so that to make it twice meets the first one.
    """
    due: datetime.datetime = parse_time(status_of(session)["nextRetry"])
    return {
        "apiVersion": STASH_V1BETA1,
        "kind": "BackupSession",
        "metadata": {
            "name": backup_session_name(invoker.name, int(due.timestamp())),
            "namespace": invoker.namespace,
            "labels": session_labels(invoker.labels, invoker.kind, invoker.name, invoker.target),
            "ownerReferences": [owner_reference(invoker_object)],
        },
        "spec": {
            "invoker": {"apiGroup": STASH, "kind": invoker.kind, "name": invoker.name},
            "retryLeft": int(spec_of(session)["retryLeft"]) - 1,
        },
    }


def _invoker(session: Object) -> Object:
    return spec_of(session).get("invoker") or {}


def _age(session: Object) -> tuple[str, str]:
    """Return what sorts sessions from the oldest to the newest; times have whole seconds."""
    return str(metadata(session).get("creationTimestamp") or ""), name_of(session)
