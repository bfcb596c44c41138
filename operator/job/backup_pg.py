# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`backup-pg`: one host's backup, from an AppBinding into a Repository."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.granary.postgres.operator.job.arguments import (
    add_database,
    add_repository,
    repository_spec,
    target_of,
)
from ansible_collections.granary.postgres.operator.job.container import ended, own_namespace
from ansible_collections.granary.postgres.operator.job.dump_arguments import (
    PG_DUMPALL,
    choose_dump,
)
from ansible_collections.granary.postgres.operator.job.host_work import run_host_work
from ansible_collections.granary.postgres.operator.job.output import backup_outcome
from ansible_collections.granary.postgres.operator.job.plain_arguments import (
    command_parser,
    flag,
    names,
    read_arguments,
)
from ansible_collections.granary.postgres.operator.job.settings import (
    connection_settings,
    repository_access,
)
from ansible_collections.granary.postgres.plugins.module_utils._core.errors import GranaryError
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.cluster import Cluster
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.conditions import (
    BACKEND_REPOSITORY_INITIALIZED,
    condition,
    with_condition,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.names import DEFAULT_HOST
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.status import (
    write_status,
)
from ansible_collections.granary.postgres.plugins.module_utils._workflows.backup import run_backup
from ansible_collections.granary.postgres.plugins.module_utils._workflows.repository import (
    create_repository,
)
from ansible_collections.granary.postgres.plugins.module_utils._workflows.requests import (
    BackupRequest,
)
from ansible_collections.granary.postgres.plugins.module_utils._workflows.server_wait import (
    wait_for_server,
)

if t.TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from ansible_collections.granary.postgres.operator.job.host_work import Stopwatch
    from ansible_collections.granary.postgres.operator.job.log_lines import LogEvents
    from ansible_collections.granary.postgres.operator.job.output import HostOutcome
    from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.conditions import (
        Status,
    )
    from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.objects import Object
    from ansible_collections.granary.postgres.plugins.module_utils._workflows.requests import (
        RepositoryAccess,
    )


def main(arguments: Sequence[str], *, cluster: Cluster | None = None) -> int:
    """Back up; return 0 once the outcome is written, whatever it is."""

    def work(events: LogEvents) -> None:
        options = read_arguments(_parser(), arguments, events)
        backup = _Backup(options, cluster or Cluster.connect(), events)
        run_host_work(
            backup.run,
            hostname=backup.hostname,
            target=backup.target,
            folder=options.output_dir,
            events=events,
        )

    return ended(work)


def _parser() -> argparse.ArgumentParser:
    parser = command_parser("backup-pg")
    add_repository(parser)
    add_database(parser)
    parser.add_argument("--backup-cmd", default="")
    parser.add_argument("--backupsession", default="")
    parser.add_argument("--new-system", type=flag, default=False, nargs="?", const=True)
    parser.add_argument("--accept-warnings", type=flag, default=False, nargs="?", const=True)
    parser.add_argument("--exclude-tables", type=names, default=())
    return parser


class _Backup:
    def __init__(self, options: argparse.Namespace, cluster: Cluster, events: LogEvents) -> None:
        self._options = options
        self._cluster = cluster
        self._events = events
        self.hostname: str = options.hostname or DEFAULT_HOST
        self.target = target_of(options)

    def run(self, watch: Stopwatch) -> HostOutcome:
        """Do it all. Raises ``GranaryError``."""
        options, events = self._options, self._events
        access = self._prepared_repository()
        connection = connection_settings(
            self._cluster, self.target, user=options.user, scratch=options.scratch_dir
        )
        choice = choose_dump(
            options.backup_cmd or PG_DUMPALL, options.pg_args, user=connection.user or ""
        )
        if choice.connect_to is not None:
            connection = dataclasses.replace(connection, dbname=choice.connect_to)
        wait_for_server(connection, options.wait_timeout or 0, events=events)
        request = BackupRequest(
            repository=access,
            connection=connection,
            host=self.hostname,
            databases=None if choice.database is None else (choice.database,),
            format=choice.format,
            dump_args=choice.arguments,
            exclude_tables=options.exclude_tables,
            jobs=options.jobs,
            new_system=options.new_system,
            accept_warnings=options.accept_warnings,
        )
        events.progress("backup_begun", host=self.hostname, format=choice.format)
        result = run_backup(request, events=events)
        return backup_outcome(self.hostname, result, watch.seconds)

    def _prepared_repository(self) -> RepositoryAccess:
        """Open the repository, made where there was none, and say so in the session."""
        options = self._options
        try:
            access = repository_access(
                self._cluster, repository_spec(options), scratch=options.scratch_dir
            )
            # restic makes the bucket too, so Stash does.
            made = create_repository(access, create_bucket=True, events=self._events)
        except GranaryError as exc:
            self._say_initialized("False", exc.sentence)
            raise
        if made.changed:
            self._events.progress("repository_made", location=made.location)
        self._say_initialized("True", "Repository exist in the backend.")
        return access

    def _say_initialized(self, status: Status, message: str) -> None:
        """Set the session's condition; a session that cannot be written does not stop the backup,
        whose outcome stands in the output too.
        """
        options = self._options
        if not options.backupsession:
            return
        new = condition(BACKEND_REPOSITORY_INITIALIZED, status, message)

        def change(session_status: Object) -> Object:
            conditions = with_condition(session_status.get("conditions"), new)
            return {**session_status, "conditions": conditions}

        namespace = options.namespace or own_namespace()
        try:
            write_status(self._cluster, "BackupSession", options.backupsession, namespace, change)
        except GranaryError as exc:
            self._events.warn(f"The condition {new['type']} was not written: {exc.sentence}")
