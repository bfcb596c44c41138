# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`update-status`: writes down how a host's backup or restore ended, and does what follows it."""

from __future__ import annotations

import typing as t

from ansible_collections.granary.postgres.operator.job.arguments import (
    add_output,
    add_repository,
    repository_spec,
)
from ansible_collections.granary.postgres.operator.job.container import ended, own_namespace
from ansible_collections.granary.postgres.operator.job.host_figures import host_backup, seconds_of
from ansible_collections.granary.postgres.operator.job.output import Output, read_output
from ansible_collections.granary.postgres.operator.job.plain_arguments import (
    command_parser,
    flag,
    read_arguments,
)
from ansible_collections.granary.postgres.operator.job.post_actions import Gateway, PostActions
from ansible_collections.granary.postgres.operator.job.session_status import SessionStatus
from ansible_collections.granary.postgres.operator.job.settings import repository_access
from ansible_collections.granary.postgres.plugins.module_utils._core.errors import (
    ClusterError,
    ConfigError,
    GranaryError,
    RepositoryLocked,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes import events as notes
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes import (
    metrics,
    pushgateway,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.app_binding import (
    app_type,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.cluster import Cluster
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.conditions import (
    RETENTION_POLICY_APPLIED,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.invoker import Invoker
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.names import DEFAULT_HOST
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.phases import (
    FAILED,
    SUCCEEDED,
)

if t.TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from ansible_collections.granary.postgres.operator.job.log_lines import LogEvents
    from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.objects import Object


def main(arguments: Sequence[str], *, cluster: Cluster | None = None) -> int:
    """Return 0 once all is written; what failed meanwhile stands in conditions."""

    def work(events: LogEvents) -> None:
        options = read_arguments(_parser(), arguments, events)
        _Update(options, cluster or Cluster.connect(), events).run()

    return ended(work)


def _parser() -> argparse.ArgumentParser:
    parser = command_parser("update-status")
    add_repository(parser)
    add_output(parser)
    for name in ("namespace", "backupsession", "target-namespace", "metrics-pushgateway-url"):
        parser.add_argument(f"--{name}", default="")
    for name in ("invoker-kind", "invoker-name", "target-kind", "target-name"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--metrics-enabled", type=flag, default=False, nargs="?", const=True)
    return parser


class _Update:
    """One run; the session's hosts are written last, since then the operator goes on."""

    def __init__(self, options: argparse.Namespace, cluster: Cluster, events: LogEvents) -> None:
        self._options = options
        self._cluster = cluster
        self._events = events
        namespace = options.namespace or own_namespace()
        self._object = cluster.get(options.invoker_kind, options.invoker_name, namespace)
        self._invoker = Invoker.parse(self._object)
        backs_up = bool(options.backupsession)
        self._session = SessionStatus(
            cluster,
            cluster.get("BackupSession", options.backupsession, namespace)
            if backs_up
            else self._object,
            {
                "apiVersion": "appcatalog.appscode.com/v1alpha1",
                "kind": options.target_kind,
                "name": options.target_name,
                "namespace": options.target_namespace or namespace,
            },
        )

    def run(self) -> None:
        """Do it all. Raises ``ClusterError`` where a status cannot be written."""
        output = self._read_output()
        if self._session.is_backup and output.succeeded:
            self._follow_up()
        self._session.set_hosts(output.stats)
        self._note(output)
        self._push(output)

    def _read_output(self) -> Output:
        try:
            return read_output(self._options.output_dir)
        except ConfigError as exc:
            self._events.error("output_missing", message=exc.sentence)
            lost: Object = {
                "hostname": self._invoker.host or DEFAULT_HOST,
                "phase": FAILED,
                "duration": "0s",
                "error": exc.sentence,
            }
            return Output(stats=(lost,), code=exc.code, exact=None)

    def _gateway(self) -> Gateway:
        options, invoker = self._options, self._invoker
        return Gateway(
            url=options.metrics_pushgateway_url if options.metrics_enabled else "",
            key=pushgateway.job_key(invoker.kind, invoker.namespace, invoker.name),
        )

    def _follow_up(self) -> None:
        """Do the post actions; what keeps them from beginning is retention's failure."""
        retention = self._invoker.retention
        if retention is None:
            return
        try:
            access = repository_access(
                self._cluster,
                repository_spec(self._options),
                scratch=self._options.scratch_dir,
            )
        except GranaryError as exc:
            self._events.error("repository_unusable", message=exc.sentence)
            self._session.set_condition(RETENTION_POLICY_APPLIED, "False", exc.sentence)
            return
        PostActions(
            cluster=self._cluster,
            session=self._session,
            access=access,
            repository=self._invoker.repository,
            retention=retention,
            gateway=self._gateway(),
            labels=self._repository_labels(),
            events=self._events,
        ).run()

    def _note(self, output: Output) -> None:
        """Leave an event for each host: on a backup's session, on a restore itself."""
        backs_up = self._session.is_backup
        for host in output.stats:
            name = host.get("hostname") or DEFAULT_HOST
            good = host.get("phase") == SUCCEEDED
            what = "backed up" if backs_up else "restored"
            if good:
                reason = notes.HOST_BACKUP_SUCCEEDED if backs_up else notes.HOST_RESTORE_SUCCEEDED
                message = f"Host {name} was {what} in {host.get('duration')}."
            else:
                reason = notes.HOST_BACKUP_FAILED if backs_up else notes.HOST_RESTORE_FAILED
                message = f"Host {name} was not {what}: {host.get('error')}"
            notes.record_event(
                self._cluster,
                self._session.session,
                reason,
                notes.NORMAL if good else notes.WARNING,
                message,
                component=notes.STATUS_UPDATER,
            )

    def _push(self, output: Output) -> None:
        gateway = self._gateway()
        if not gateway.url:
            return
        labels = self._target_labels()
        samples: list[metrics.Sample] = []
        for host in output.stats:
            name = host.get("hostname") or DEFAULT_HOST
            if self._session.is_backup:
                figures = host_backup(host, output.exact)
                samples += metrics.backup_host_metrics(labels, name, figures)
            else:
                good = host.get("phase") == SUCCEEDED
                samples += metrics.restore_host_metrics(
                    labels, name, succeeded=good, duration_seconds=seconds_of(host)
                )
        if self._session.is_backup:
            locked = output.code == RepositoryLocked.code
            samples += metrics.repository_lock_metrics(self._repository_labels(), locked=locked)
        try:
            pushgateway.push(gateway.url, gateway.key, samples)
        except GranaryError as exc:
            self._events.warn(exc.sentence)

    def _session_labels(self) -> dict[str, str]:
        invoker = self._invoker
        return metrics.session_labels(
            kind=invoker.kind,
            name=invoker.name,
            namespace=invoker.namespace,
            repository=invoker.repository.name,
        )

    def _target_labels(self) -> dict[str, str]:
        target = self._invoker.target
        try:
            app = app_type(self._cluster.get("AppBinding", target.name, target.namespace))
        except ClusterError:
            app = None
        return metrics.target_labels(self._session_labels(), target.name, app)

    def _repository_labels(self) -> dict[str, str]:
        options, repository = self._options, self._invoker.repository
        return metrics.repository_labels(
            self._session_labels(),
            name=repository.name,
            namespace=repository.namespace,
            backend=options.provider,
            bucket=options.bucket,
            prefix=options.path,
        )
