# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`wipe-out`: deletes what a Repository with `wipeOut` holds, before the object goes."""

from __future__ import annotations

import typing as t
from pathlib import Path

from ansible_collections.granary.postgres.operator.job.container import ended
from ansible_collections.granary.postgres.operator.job.plain_arguments import (
    command_parser,
    read_arguments,
)
from ansible_collections.granary.postgres.operator.job.settings import repository_access
from ansible_collections.granary.postgres.plugins.module_utils._core.errors import InvalidObject
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.cluster import Cluster
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.names import SCRATCH_PATH
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.repository_spec import (
    RepositorySpec,
)
from ansible_collections.granary.postgres.plugins.module_utils._workflows.removal import (
    remove_repository,
)

if t.TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from ansible_collections.granary.postgres.operator.job.log_lines import LogEvents


def main(arguments: Sequence[str], *, cluster: Cluster | None = None) -> int:
    """Return 0 once the repository is gone, also where there was none."""

    def work(events: LogEvents) -> None:
        options = read_arguments(_parser(), arguments, events)
        _wipe_out(options, cluster or Cluster.connect(), events)

    return ended(work)


def _parser() -> argparse.ArgumentParser:
    parser = command_parser("wipe-out")
    parser.add_argument("--namespace", required=True)
    parser.add_argument("--repository-name", required=True)
    parser.add_argument("--scratch-dir", type=Path, default=Path(SCRATCH_PATH))
    return parser


def _wipe_out(options: argparse.Namespace, cluster: Cluster, events: LogEvents) -> None:
    """Remove the repository. Raises ``InvalidObject`` for a Repository that does not ask for it."""
    spec = RepositorySpec.parse(
        cluster.get("Repository", options.repository_name, options.namespace)
    )
    if not spec.wipe_out:
        raise InvalidObject(
            f"Repository {spec.namespace}/{spec.name} does not ask for its data to be deleted; "
            "set spec.wipeOut if that is meant."
        )
    access = repository_access(cluster, spec, scratch=options.scratch_dir)
    removed = remove_repository(access, force=True, events=events)
    events.progress(
        "wiped_out",
        location=removed.location,
        snapshots=removed.snapshots,
        objects=removed.objects,
        bytes=removed.stored_bytes,
    )
