# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One call of the engine as a process of its own: python -m benchmarks.engine VERB ..."""

from __future__ import annotations

import os
import sys

from ansible_collections.granary.postgres.plugins.module_utils._core.events import SilentEvents
from ansible_collections.granary.postgres.plugins.module_utils._core.redaction import Secret
from ansible_collections.granary.postgres.plugins.module_utils._postgres.model import (
    ConnectionSettings,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.prune import (
    plan_prune,
    prune,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.repository import (
    Repository,
)
from ansible_collections.granary.postgres.plugins.module_utils._storage.model import (
    LocalSettings,
    S3Settings,
)
from ansible_collections.granary.postgres.plugins.module_utils._workflows.backup import run_backup
from ansible_collections.granary.postgres.plugins.module_utils._workflows.repository import (
    create_repository,
)
from ansible_collections.granary.postgres.plugins.module_utils._workflows.requests import (
    BackupRequest,
    RepositoryAccess,
    RestoreRequest,
)
from ansible_collections.granary.postgres.plugins.module_utils._workflows.restore import run_restore

JOBS = 2


def _settings(repository: str) -> LocalSettings | S3Settings:
    """Read a path, or s3:URL/bucket/prefix as restic writes it."""
    if not repository.startswith("s3:"):
        return LocalSettings(path=repository)
    endpoint, bucket, prefix = repository.removeprefix("s3:").rsplit("/", 2)
    return S3Settings(bucket=bucket, prefix=prefix, endpoint=endpoint)


def main(verb: str, repository: str, *arguments: str) -> None:
    """Do what ``verb`` says."""
    access = RepositoryAccess(
        settings=_settings(repository), passwords=(Secret(os.environ["RESTIC_PASSWORD"]),)
    )
    events = SilentEvents()
    if verb == "create":
        create_repository(access, create_bucket=False, check_mode=False, events=events)
        return
    if verb in {"plan", "prune"}:
        with Repository.open(access.settings, access.passwords) as opened:
            if verb == "plan":
                plan_prune(opened)
                return
            with opened.lock(exclusive=True) as lock:
                prune(opened, lock)
        return
    host, port, bin_dir, *databases = arguments
    connection = ConnectionSettings(host=host, port=int(port), user="postgres", dbname="postgres")
    if verb in {"backup", "backup-changes"}:
        backup = BackupRequest(
            repository=access,
            connection=connection,
            host="benchmark",
            databases=tuple(databases),
            jobs=JOBS,
            bin_dir=bin_dir,
            skip_unchanged=verb == "backup-changes",
        )
        run_backup(backup, events=events, check_mode=False)
    elif verb == "restore":
        restore = RestoreRequest(
            repository=access,
            connection=connection,
            databases=tuple(databases),
            jobs=JOBS,
            bin_dir=bin_dir,
        )
        run_restore(restore, events=events, check_mode=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
