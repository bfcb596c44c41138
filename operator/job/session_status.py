# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The status of one session as a Job's containers write it: its conditions, its target, its hosts.

Everything goes through the one writer; what the operator writes meanwhile stays.
"""

from __future__ import annotations

import typing as t

from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.conditions import (
    condition,
    find,
    with_condition,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.objects import (
    name_of,
    namespace_of,
    spec_of,
    status_of,
    uid_of,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.phases import (
    target_phase,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.status import (
    write_status,
)

if t.TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.cluster import (
        Cluster,
    )
    from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.conditions import (
        Status,
    )
    from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.objects import Object

_SAME = ("kind", "name", "namespace")


class SessionStatus:
    """A BackupSession with one of its targets, or a RestoreSession, as it was read.

    ``target`` is a TargetRef with its namespace. Methods that write raise ``ClusterError``.
    """

    def __init__(self, cluster: Cluster, session: Object, target: Mapping[str, str]) -> None:
        self._cluster = cluster
        self._session = session
        self._target = target

    @property
    def session(self) -> Object:
        """The object as it was read or written last."""
        return self._session

    @property
    def is_backup(self) -> bool:
        """Whether it is a BackupSession: only these list several targets."""
        return bool(self._session["kind"] == "BackupSession")

    @property
    def created(self) -> str:
        """When the session was created, as the server writes it."""
        return str(self._session["metadata"]["creationTimestamp"])

    @property
    def retry_left(self) -> int:
        """How often the session will be tried again if it fails."""
        return int(spec_of(self._session).get("retryLeft") or 0)

    @property
    def target_status(self) -> Object:
        """What the status says of the target (of a restore: the whole status)."""
        return self._holder(status_of(self._session))

    def condition_of_target(self, type_: str) -> Object | None:
        """Return a condition of the target, or None."""
        return find(self.target_status.get("conditions"), type_)

    def set_condition(self, type_: str, status: Status, message: str) -> None:
        """Write a condition of the session."""
        new = condition(type_, status, message)
        self._write(lambda now: {**now, "conditions": with_condition(now.get("conditions"), new)})

    def set_condition_of_target(self, type_: str, status: Status, message: str) -> None:
        """Write a condition of the target (of a restore: of the session)."""
        new = condition(type_, status, message)
        self._write_holder(
            lambda holder: {
                **holder,
                "conditions": with_condition(holder.get("conditions"), new),
            }
        )

    def set_hosts(self, stats: Sequence[Object]) -> None:
        """Write how the target's hosts ended, each in the place of what stood there of it."""
        self._write_holder(lambda holder: _with_hosts(holder, stats))

    def _write_holder(self, change: Callable[[Object], Object]) -> None:
        if not self.is_backup:
            self._write(change)
            return

        def in_target(status: Object) -> Object:
            targets = [dict(one) for one in status.get("targets") or []]
            place = next((at for at, one in enumerate(targets) if self._is_mine(one)), None)
            if place is None:
                targets.append({"ref": dict(self._target), "totalHosts": 1})
                place = len(targets) - 1
            changed = change(targets[place])
            targets[place] = {**changed, "phase": target_phase(changed)}
            return {**status, "targets": targets}

        self._write(in_target)

    def _holder(self, status: Object) -> Object:
        if not self.is_backup:
            return status
        targets = status.get("targets") or []
        return next((one for one in targets if self._is_mine(one)), {})

    def _is_mine(self, target: Object) -> bool:
        ref = target.get("ref") or {}
        own = namespace_of(self._session)
        there = {**ref, "namespace": ref.get("namespace") or own}
        return all(there.get(name) == self._target[name] for name in _SAME)

    def _write(self, change: Callable[[Object], Object]) -> None:
        session = self._session
        self._session = write_status(
            self._cluster,
            session["kind"],
            name_of(session),
            namespace_of(session),
            change,
            uid=uid_of(session),
        )


def _with_hosts(holder: Object, stats: Sequence[Object]) -> Object:
    new = {one.get("hostname"): one for one in stats}
    kept = [one for one in holder.get("stats") or [] if one.get("hostname") not in new]
    return {
        **holder,
        "totalHosts": holder.get("totalHosts") or len(new),
        "stats": [*kept, *new.values()],
    }
