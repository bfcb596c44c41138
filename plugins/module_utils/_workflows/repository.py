# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""Making a repository, and telling what is in one."""

from __future__ import annotations

import typing as t

from .._core.errors import ConfigError, RepositoryMissing
from .._repository.check_record import read_check_record
from .._repository.model import MAX_VERSION
from .._repository.repository import Repository
from .._repository.selection import select_snapshots
from .._repository.snapshot import list_snapshots
from .._repository.stale_locks import describe_locks
from .._storage.registry import open_backend
from .requests import RepositoryDescription, RepositoryResult

if t.TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .._core.events import Events
    from .requests import Plain, RepositoryAccess


def create_repository(
    access: RepositoryAccess,
    *,
    create_bucket: bool = False,
    version: int = MAX_VERSION,
    check_mode: bool = False,
    events: Events,
) -> RepositoryResult:
    """Make the repository where there is none; one that is there must open with the password.

    In check mode nothing is made, and ``id`` is None where there is none yet.
    """
    if check_mode:
        return _predict(access, version=version, events=events)
    repository, created = Repository.create(
        access.settings,
        access.passwords,
        create_bucket=create_bucket,
        version=version,
        events=events,
    )
    with repository:
        return _result(repository, changed=created)


def _predict(access: RepositoryAccess, *, version: int, events: Events) -> RepositoryResult:
    try:
        with Repository.open(access.settings, access.passwords, events=events) as repository:
            return _result(repository, changed=False)
    except RepositoryMissing:
        with open_backend(access.settings, events) as backend:
            return RepositoryResult(
                changed=True, id=None, version=version, location=backend.location
            )


def _result(repository: Repository, *, changed: bool) -> RepositoryResult:
    return RepositoryResult(
        changed=changed,
        id=repository.config.id,
        version=repository.version,
        location=repository.location,
    )


def describe_repository(
    access: RepositoryAccess,
    *,
    host: str | None = None,
    tags: Sequence[str] = (),
    limit: int | None = None,
    events: Events,
) -> RepositoryDescription:
    """Return the snapshots of ``host`` that carry all of ``tags``, newest first, at most ``limit``,
    the locks, the results of the last checks, and the sizes of all.

    Reads without a lock: nothing that it says depends on what may be removed meanwhile.
    Raises ``ConfigError`` for a negative ``limit``.
    """
    if limit is not None and limit < 0:
        raise ConfigError(f"limit is {limit}; give 0 or more.")
    with Repository.open(access.settings, access.passwords, events=events) as repository:
        snapshots = list_snapshots(repository)
        packs = repository.list_packs()
        index = repository.load_index_for_reading()
        record = read_check_record(repository)
        selected = select_snapshots(snapshots, host=host, tags=tags)[::-1]
        stats: Mapping[str, Plain] = {
            "snapshots": len(selected),
            "packs": len(packs),
            "stored_bytes": sum(packs.values()),
            "blobs": len(index),
        }
        return RepositoryDescription(
            repository=_result(repository, changed=False),
            snapshots=tuple(_shown(one.to_return()) for one in selected[:limit]),
            last_check=record.last,
            last_data_check=record.data,
            locks=tuple(dict(lock) for lock in describe_locks(repository)),
            stats=stats,
        )


_SHOWN = ("id", "time", "host", "paths", "tags", "original", "size_bytes")


def _shown(fields: Mapping[str, Plain]) -> Mapping[str, Plain]:
    return {name: fields[name] for name in _SHOWN}
