# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From what the watcher sees to the keys that are to be worked on. No API, no threads.

Many events say nothing new: our own writes of a status, a schedule that was kept. For kinds whose
status is nobody's business but ours only a change of the rest counts.
"""

from __future__ import annotations

import typing as t

from ansible_collections.granary.postgres.operator.controller.history import is_final, wants_retry
from ansible_collections.granary.postgres.operator.controller.keys import (
    RECONCILED,
    key_of,
    owner_key,
)
from ansible_collections.granary.postgres.operator.controller.session_end import awaits_push
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.objects import (
    Object,
    metadata,
    status_of,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.phases import (
    FINAL_RESTORE_PHASES,
)

if t.TYPE_CHECKING:
    from ansible_collections.granary.postgres.operator.controller.dependants import Dependants
    from ansible_collections.granary.postgres.operator.controller.keys import Key

BY_GENERATION = frozenset({"Repository", "BackupConfiguration", "AppBinding", "CronJob"})
DELETED = "DELETED"


class WakeRules:
    """Remembers a number for each object of the kinds ``BY_GENERATION``. For one thread."""

    def __init__(self, dependants: Dependants) -> None:
        self._dependants = dependants
        self._seen: dict[Key, int] = {}

    def keys_for(self, event: str | None, obj: Object) -> set[Key]:
        """Return what is to be worked on after ``event`` (None: it was there when we began)."""
        key = key_of(obj)
        dependants = set(self._dependants.of(key))
        if key.kind in BY_GENERATION and not self._is_news(key, event, obj):
            # Those who wait for a configuration wait for its status.
            return dependants if key.kind == "BackupConfiguration" else set()
        keys = dependants
        if key.kind in RECONCILED and not (event is None and is_settled(obj)):
            keys = {key, *keys}
        owner = owner_key(obj)
        if owner is not None and key.kind not in RECONCILED:
            keys = {owner, *keys}
        return keys

    def _is_news(self, key: Key, event: str | None, obj: Object) -> bool:
        if event == DELETED:
            self._seen.pop(key, None)
            return True
        print_ = _fingerprint(obj)
        if self._seen.get(key) == print_:
            return False
        self._seen[key] = print_
        # What we have just made ourselves needs no second look.
        return not (key.kind == "CronJob" and event in {None, "ADDED"})


def is_settled(obj: Object) -> bool:
    """Whether a session is over and nothing is left to do for it."""
    if obj["kind"] == "BackupSession":
        return is_final(obj) and not wants_retry(obj) and not awaits_push(obj)
    if obj["kind"] == "RestoreSession":
        return status_of(obj).get("phase") in FINAL_RESTORE_PHASES and not awaits_push(obj)
    return False


def _fingerprint(obj: Object) -> int:
    """Return a number for everything but the status."""
    meta = metadata(obj)
    labels = tuple(sorted((meta.get("labels") or {}).items()))
    finalizers = tuple(meta.get("finalizers") or ())
    parts = (meta.get("uid"), meta.get("generation"), meta.get("deletionTimestamp"))
    return hash((parts, labels, finalizers))
