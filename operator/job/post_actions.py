# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What follows a good backup: retention, a check, the Repository's status and its metrics.

The first step that fails sets its condition, and the rest is left out: what was not looked at must
not be said. Metrics that cannot be pushed are the exception, since nothing of the data hangs on
them.
"""

from __future__ import annotations

import dataclasses
import datetime
import typing as t

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import (
    GranaryError,
    InvalidObject,
)
from ansible_collections.granary.postgres.plugins.module_utils._core.units import plural
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes import (
    metrics,
    pushgateway,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.conditions import (
    REPOSITORY_INTEGRITY_VERIFIED,
    REPOSITORY_METRICS_PUSHED,
    RETENTION_POLICY_APPLIED,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.durations import (
    format_size,
    format_time,
    parse_time,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.status import (
    write_status,
)
from ansible_collections.granary.postgres.plugins.module_utils._workflows.check_result import (
    CheckRequest,
)
from ansible_collections.granary.postgres.plugins.module_utils._workflows.repository_check import (
    check_repository,
)
from ansible_collections.granary.postgres.plugins.module_utils._workflows.retention import (
    run_retention,
)
from ansible_collections.granary.postgres.plugins.module_utils._workflows.retention_request import (
    RetentionRequest,
)

if t.TYPE_CHECKING:
    from ansible_collections.granary.postgres.operator.job.log_lines import LogEvents
    from ansible_collections.granary.postgres.operator.job.session_status import SessionStatus
    from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.cluster import (
        Cluster,
    )
    from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.invoker import (
        Retention,
    )
    from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.objects import Object
    from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.references import (
        RepositoryRef,
    )
    from ansible_collections.granary.postgres.plugins.module_utils._workflows.check_result import (
        CheckResult,
    )
    from ansible_collections.granary.postgres.plugins.module_utils._workflows.requests import (
        RepositoryAccess,
    )
    from ansible_collections.granary.postgres.plugins.module_utils._workflows.retention_request import (  # noqa: E501 - one name
        RetentionResult,
    )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """Where metrics go: ``url`` empty is nowhere; ``key`` is the invoker's group."""

    url: str
    key: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PostActions:
    """One session's; ``labels`` are those of the repository's metrics."""

    cluster: Cluster
    session: SessionStatus
    access: RepositoryAccess
    repository: RepositoryRef
    retention: Retention
    gateway: Gateway
    labels: metrics.Labels
    events: LogEvents

    def run(self) -> None:
        """Do them all, as far as they go. Raises ``ClusterError`` where a status is not written."""
        forgotten = self._apply_retention()
        if forgotten is None:
            return
        check = self._check()
        if check is None:
            return
        removed = 0 if self.retention.dry_run else len(forgotten.removed)
        self._write_repository(forgotten, check, removed)
        self._push(check, removed)

    def _apply_retention(self) -> RetentionResult | None:
        self.events.progress("retention_begun", policy=self.retention.name)
        try:
            result = run_retention(
                retention_request(self.retention, self.access),
                events=self.events,
                check_mode=self.retention.dry_run,
            )
        except GranaryError as exc:
            self._failed(RETENTION_POLICY_APPLIED, exc.sentence)
            return None
        kept, removed = len(result.kept), len(result.removed)
        self.events.progress("retention_applied", kept=kept, removed=removed)
        said = f"{plural(kept, 'snapshot')} kept, {removed:,} removed."
        if self.retention.dry_run:
            said = f"{plural(kept, 'snapshot')} would be kept, {removed:,} removed (dryRun)."
        self.session.set_condition(RETENTION_POLICY_APPLIED, "True", said)
        return result

    def _check(self) -> CheckResult | None:
        self.events.progress("check_begun")
        try:
            result = check_repository(CheckRequest(repository=self.access), events=self.events)
        except GranaryError as exc:
            self._failed(REPOSITORY_INTEGRITY_VERIFIED, exc.sentence)
            return None
        failure = result.failure()
        if failure is None:
            self.session.set_condition(REPOSITORY_INTEGRITY_VERIFIED, "True", result.summary())
        else:
            self._failed(REPOSITORY_INTEGRITY_VERIFIED, failure.sentence)
        return result

    def _failed(self, type_: str, sentence: str) -> None:
        self.events.error("post_action_failed", condition=type_, message=sentence)
        self.session.set_condition(type_, "False", sentence)

    def _write_repository(
        self, forgotten: RetentionResult, check: CheckResult, removed: int
    ) -> None:
        created = self.session.created
        times = [one.time.unix_ns for one in forgotten.kept if one.time is not None]
        # Stash never writes the first one; an older repository's is that of its oldest snapshot.
        oldest = min((_moment(ns) for ns in times), default=created)

        def change(status: Object) -> Object:
            known = status.get("firstBackupTime")
            first = min(oldest, known or oldest, created, key=parse_time)
            return {
                **status,
                "firstBackupTime": first,
                "lastBackupTime": created,
                "integrity": check.ok,
                "totalSize": format_size(check.stored_bytes),
                "snapshotCount": check.snapshots,
                "snapshotsRemovedOnLastCleanup": removed,
            }

        name, namespace = self.repository.name, self.repository.namespace
        write_status(self.cluster, "Repository", name, namespace, change)

    def _push(self, check: CheckResult, removed: int) -> None:
        if not self.gateway.url:
            return
        samples = metrics.repository_metrics(
            self.labels,
            integrity=check.ok,
            size_bytes=check.stored_bytes,
            snapshots=check.snapshots,
            removed=removed,
        )
        try:
            pushgateway.push(self.gateway.url, self.gateway.key, samples)
        except GranaryError as exc:
            self.events.warn(exc.sentence)
            self.session.set_condition(REPOSITORY_METRICS_PUSHED, "False", exc.sentence)
            return
        self.session.set_condition(
            REPOSITORY_METRICS_PUSHED, "True", "The repository's metrics were pushed."
        )


def retention_request(retention: Retention, access: RepositoryAccess) -> RetentionRequest:
    """Return what a BackupConfiguration's policy asks for: over all snapshots of the repository,
    by host and paths, as Stash.

    Raises ``InvalidObject`` for a policy that says nothing, which would remove everything.
    """
    counts = {unit: str(count) for unit, count in retention.keep.items() if count}
    if not (counts or retention.keep_tags):
        raise InvalidObject(
            "spec.retentionPolicy says nothing of what to keep, so nothing was removed; give "
            "keepLast, keepHourly, keepDaily, keepWeekly, keepMonthly, keepYearly or keepTags."
        )
    return RetentionRequest(
        repository=access,
        paths=(),
        tags=(),
        keep_last=counts.get("last"),
        keep_hourly=counts.get("hourly"),
        keep_daily=counts.get("daily"),
        keep_weekly=counts.get("weekly"),
        keep_monthly=counts.get("monthly"),
        keep_yearly=counts.get("yearly"),
        keep_tags=retention.keep_tags or None,
        prune=retention.prune,
    )


def _moment(unix_ns: int) -> str:
    return format_time(datetime.datetime.fromtimestamp(unix_ns / 1e9, datetime.UTC))
