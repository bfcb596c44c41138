# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who leads: one operator at a time, by a Lease.

The library ``kubernetes`` brings the procedure and knows ConfigMaps alone; this brings the Lease.
"""

from __future__ import annotations

import datetime
import http
import json
import logging
import threading
import typing as t

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import (
    ClusterError,
    ClusterObjectMissing,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.objects import spec_of

if t.TYPE_CHECKING:
    from collections.abc import Callable

    from kubernetes.leaderelection.leaderelectionrecord import LeaderElectionRecord

    from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.cluster import (
        Cluster,
    )
    from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.objects import Object

_log = logging.getLogger("granary.election")

LEASE_SECONDS = 15
"""So long a leader that is gone keeps others waiting."""
RENEW_SECONDS = 10
"""So long a leader tries to renew before it gives up, which is before others may begin."""
RETRY_SECONDS = 2


class _Refused(Exception):
    """What the library wants to be told instead of an exception: a body with a code."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.body = json.dumps({"code": code})
        self.reason = reason


class LeaseLock:
    """A Lease as the library's lock. Every change is bound to the version that was read."""

    def __init__(self, cluster: Cluster, name: str, namespace: str, identity: str) -> None:
        self.name = name
        self.namespace = namespace
        self.identity = identity
        self._cluster = cluster
        self._read: Object | None = None
        self._is_released = False

    def get(self, name: str, namespace: str) -> tuple[bool, LeaderElectionRecord | _Refused | None]:
        """Return whether there is a Lease, and its record or why there is none."""
        from kubernetes.leaderelection.leaderelectionrecord import LeaderElectionRecord

        try:
            self._read = self._cluster.get("Lease", name, namespace)
        except ClusterObjectMissing as exc:
            return False, _Refused(http.HTTPStatus.NOT_FOUND, exc.sentence)
        except ClusterError as exc:
            return False, _Refused(http.HTTPStatus.SERVICE_UNAVAILABLE, exc.sentence)
        spec = spec_of(self._read)
        if not spec.get("holderIdentity"):
            return True, None
        return True, LeaderElectionRecord(
            spec["holderIdentity"],
            str(spec.get("leaseDurationSeconds") or LEASE_SECONDS),
            spec.get("acquireTime") or "",
            spec.get("renewTime") or "",
        )

    def create(self, name: str, namespace: str, election_record: LeaderElectionRecord) -> bool:
        """Make the Lease; False where somebody else was first."""
        lease = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": name, "namespace": namespace},
            "spec": self._spec(election_record),
        }
        return self._written(lambda: self._cluster.create(lease))

    def update(self, name: str, namespace: str, updated_record: LeaderElectionRecord) -> bool:
        """Write the Lease as it was read; False where it was changed since."""
        read = self._read
        if read is None or self._is_released:
            return False
        lease = {**read, "spec": {**spec_of(read), **self._spec(updated_record)}}
        return self._written(lambda: self._cluster.replace(lease))

    def release(self) -> None:
        """Let the next one begin at once, where we lead and the Lease can be written.

        We do not stand again afterwards.
        """
        self._is_released = True
        present, record = self.get(self.name, self.namespace)
        holder = getattr(record, "holder_identity", None)
        if present and holder == self.identity and self._read is not None:
            lease = {**self._read, "spec": {**spec_of(self._read), "holderIdentity": ""}}
            self._written(lambda: self._cluster.replace(lease))

    def _written(self, write: Callable[[], Object]) -> bool:
        try:
            self._read = write()
        except ClusterError as exc:
            _log.info('event=lease_not_written error="%s"', exc.sentence)
            return False
        return True

    def _spec(self, record: LeaderElectionRecord) -> Object:
        return {
            "holderIdentity": record.holder_identity,
            "leaseDurationSeconds": LEASE_SECONDS,
            "acquireTime": _micro_time(record.acquire_time),
            "renewTime": _micro_time(record.renew_time),
        }


def _micro_time(text: str) -> str:
    """Return a time of the library's (local, without zone) or of a Lease as a Lease has it."""
    moment = datetime.datetime.fromisoformat(text) if text else datetime.datetime.now(datetime.UTC)
    utc = moment.astimezone(datetime.UTC)
    return utc.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def campaign(lock: LeaseLock, *, won: threading.Event, lost: Callable[[], None]) -> None:
    """Stand for leader in a thread of its own: sets ``won`` once we lead.

    ``lost`` is called in that thread when we do not lead any more; by then others may.
    """
    from kubernetes.leaderelection import electionconfig, leaderelection

    config = electionconfig.Config(
        lock,
        lease_duration=LEASE_SECONDS,
        renew_deadline=RENEW_SECONDS,
        retry_period=RETRY_SECONDS,
        onstarted_leading=won.set,
        onstopped_leading=None,
    )

    def run() -> None:
        try:
            leaderelection.LeaderElection(config).run()
        finally:
            lost()

    threading.Thread(target=run, name="election", daemon=True).start()
