# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""What writes that never ended have left in a repository: temporary files of a local folder, and
announcements of exclusive writes in a bucket. No listing shows them and restic never deletes them.
"""

from __future__ import annotations

import re
import typing as t

from .._core.errors import RepositoryLocked
from .._storage.base import finished_name
from .lock_file import list_locks
from .stale_locks import without_stale

if t.TYPE_CHECKING:
    from .._storage.model import Unfinished
    from .repository import Repository

ABANDONED_SECONDS = 24 * 3600.0
"""Nobody writes one file for so long."""

_OURS = re.compile(
    r"(?:config|probe|granary/.+|(?:keys|snapshots|index|locks)/[0-9a-f]{64}"
    r"|data/[0-9a-f]{2}/[0-9a-f]{64})\Z"
)


def abandoned_files(repository: Repository) -> list[Unfinished]:
    """Return what is left of writes, of a repository's files, that began over a day ago."""
    return [
        one
        for one in repository.backend.unfinished()
        if one.age_seconds > ABANDONED_SECONDS and _OURS.match(finished_name(one.name) or "")
    ]


def make_room(repository: Repository) -> int:
    """Remove what abandoned writes have left, for a lock that found no room; return the bytes.

    Raises ``RepositoryLocked`` while anybody else has a lock.
    """
    others = without_stale(repository, list_locks(repository))
    if others:
        raise RepositoryLocked(
            f"There is no room for a lock in {repository.location}, and it is locked by "
            f"{others[0].holder()}: make room there, or wait for its end.",
            lock=others[0].id.hex(),
        )
    freed = 0
    for one in abandoned_files(repository):
        repository.backend.discard_unfinished(one.name)
        freed += one.size
    return freed
