# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`restore-pg`: one snapshot from a Repository into the server of an AppBinding.

Whole databases come into a server that runs: those that are not there are made, those that are
there and empty are filled, and one that holds something is refused unless `clean` is asked for.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.granary.postgres.operator.job.arguments import (
    add_database,
    add_repository,
    repository_spec,
    target_of,
)
from ansible_collections.granary.postgres.operator.job.container import ended
from ansible_collections.granary.postgres.operator.job.host_work import run_host_work
from ansible_collections.granary.postgres.operator.job.load_arguments import choose_load
from ansible_collections.granary.postgres.operator.job.output import HostOutcome
from ansible_collections.granary.postgres.operator.job.plain_arguments import (
    command_parser,
    flag,
    mapping,
    names,
    read_arguments,
)
from ansible_collections.granary.postgres.operator.job.settings import (
    connection_settings,
    repository_access,
)
from ansible_collections.granary.postgres.plugins.module_utils._core.errors import InvalidObject
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.cluster import Cluster
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.names import DEFAULT_HOST
from ansible_collections.granary.postgres.plugins.module_utils._postgres.layout import (
    PLAIN_DUMP,
    ROOT,
)
from ansible_collections.granary.postgres.plugins.module_utils._workflows.repository import (
    describe_repository,
)
from ansible_collections.granary.postgres.plugins.module_utils._workflows.requests import (
    RestoreRequest,
)
from ansible_collections.granary.postgres.plugins.module_utils._workflows.restore import run_restore
from ansible_collections.granary.postgres.plugins.module_utils._workflows.server_wait import (
    wait_for_server,
)

if t.TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from ansible_collections.granary.postgres.operator.job.host_work import Stopwatch
    from ansible_collections.granary.postgres.operator.job.log_lines import LogEvents
    from ansible_collections.granary.postgres.plugins.module_utils._workflows.requests import (
        RepositoryAccess,
    )

LATEST = "latest"


def main(arguments: Sequence[str], *, cluster: Cluster | None = None) -> int:
    """Restore; return 0 once the outcome is written, whatever it is."""

    def work(events: LogEvents) -> None:
        options = read_arguments(_parser(), arguments, events)
        restore = _Restore(options, cluster or Cluster.connect(), events)
        run_host_work(
            restore.run,
            hostname=restore.hostname,
            target=restore.target,
            folder=options.output_dir,
            events=events,
        )

    return ended(work)


def _parser() -> argparse.ArgumentParser:
    parser = command_parser("restore-pg")
    add_repository(parser)
    add_database(parser)
    parser.add_argument("--source-hostname", default="")
    parser.add_argument("--snapshot", default="")
    parser.add_argument("--clean", type=flag, default=False, nargs="?", const=True)
    parser.add_argument("--allow-errors", type=flag, default=False, nargs="?", const=True)
    parser.add_argument("--databases", type=names, default=())
    parser.add_argument("--rename", type=mapping, default={})
    return parser


class _Restore:
    def __init__(self, options: argparse.Namespace, cluster: Cluster, events: LogEvents) -> None:
        self._options = options
        self._cluster = cluster
        self._events = events
        # Stash leaves the host empty where the target has no alias; statuses show its default.
        self.hostname: str = options.hostname or DEFAULT_HOST
        self.target = target_of(options)

    def run(self, watch: Stopwatch) -> HostOutcome:
        """Do it all. Raises ``GranaryError``."""
        options, events = self._options, self._events
        choice = choose_load(options.pg_args)
        access = repository_access(
            self._cluster, repository_spec(options), scratch=options.scratch_dir
        )
        connection = connection_settings(
            self._cluster, self.target, user=options.user, scratch=options.scratch_dir
        )
        if choice.database is not None:
            connection = dataclasses.replace(connection, dbname=choice.database)
        wait_for_server(connection, options.wait_timeout or 0, events=events)
        snapshot = _one_snapshot(options.snapshot)
        request = RestoreRequest(
            repository=access,
            connection=connection,
            snapshot=snapshot,
            host=self._source_host(access, snapshot),
            databases=options.databases or None,
            rename=options.rename,
            clean=options.clean or choice.clean,
            allow_errors=options.allow_errors or choice.allow_errors,
            jobs=options.jobs,
        )
        events.progress("restore_begun", snapshot=snapshot, source_host=request.host)
        result = run_restore(request, events=events, check_mode=False)
        events.progress("restored", snapshot=result.snapshot.id, verified=result.verified)
        return HostOutcome(hostname=self.hostname, duration_seconds=watch.seconds)

    def _source_host(self, access: RepositoryAccess, snapshot: str) -> str | None:
        """Return whose snapshots `latest` is taken of.

        Without a host of its own a RestoreSession means the newest snapshot of the whole
        repository, whoever made it.
        """
        if snapshot != LATEST or self._options.source_hostname:
            return self._options.source_hostname or None
        description = describe_repository(access, events=self._events)
        for one in description.snapshots:  # newest first
            paths = one["paths"] if isinstance(one["paths"], list) else []
            if any(path == ROOT or f"/{path}".endswith(PLAIN_DUMP) for path in paths):
                return str(one["host"])
        return None


def _one_snapshot(text: str) -> str:
    snapshots = names(text) or (LATEST,)
    if len(snapshots) > 1:
        raise InvalidObject(
            f"The rule names {len(snapshots)} snapshots; a database is restored from one: give "
            "its id, or latest."
        )
    return snapshots[0]
