# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""Deletes objects of a repository, and only while our lock surely holds.

Whoever lost his lock may delete what somebody else has begun to rely on. So the lock is looked at
before every batch, in the storage too, not only by the clock. What may be deleted, and in which
order, is the caller's business.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import itertools
import time
import typing as t

from .._core.errors import LockLost, OutcomeUnknown, StorageError

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from .locks import RepositoryLock
    from .repository import Repository

BATCH = 100
"""Objects that are deleted between two looks at the lock; index files are deleted one by one."""

# To a bucket eight cover the round trips; a folder's deletions wait for the same disk.
_THREADS_TO_S3 = 8
_SETTLE_SECONDS = 120.0
_SETTLE_PAUSE_SECONDS = 2.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Undeleted:
    """An object that is still there, by its name in the repository, and why."""

    name: str
    reason: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Deletion:
    """How many objects are gone, and which are not, in the order in which they were named."""

    deleted: int
    undeleted: tuple[Undeleted, ...]


def require_lock(repository: Repository, lock: RepositoryLock) -> None:
    """Return if our lock holds at this moment, by the clocks and by the storage's listing.

    Raises ``LockLost``, or what the storage raises.
    """
    lock.check()
    if not lock.still_there():
        raise LockLost(
            f"The lock on {repository.location} is gone: somebody removed it, or it could not be "
            "refreshed. Nothing more was deleted; run it again."
        )


def delete_objects(
    repository: Repository,
    lock: RepositoryLock,
    names: Iterable[str],
    *,
    batch_size: int = BATCH,
) -> Deletion:
    """Delete ``names``, each batch after a look at the lock; one that is missing counts as deleted.

    What the storage refuses is returned, and the others are still tried; after a batch of which
    nothing could be deleted no further one is. Every batch is over before the next one begins.

    Raises ``LockLost`` before a batch whose lock does not hold, ``OutcomeUnknown`` when the storage
    did not say for two minutes whether an object is gone: it may vanish later.
    """
    deleted = 0
    undeleted: list[Undeleted] = []
    batches = _batches(names, batch_size)
    for batch in batches:
        require_lock(repository, lock)
        failed = _delete_batch(repository, batch)
        deleted += len(batch) - len(failed)
        undeleted += failed
        if len(failed) == len(batch):
            undeleted += (
                Undeleted(name=name, reason=failed[-1].reason) for rest in batches for name in rest
            )
    return Deletion(deleted=deleted, undeleted=tuple(undeleted))


def _batches(names: Iterable[str], size: int) -> Iterator[list[str]]:
    rest = iter(names)
    while batch := list(itertools.islice(rest, size)):
        yield batch


def _delete_batch(repository: Repository, names: Sequence[str]) -> list[Undeleted]:
    if not repository.backend.writes_beside or len(names) == 1:
        outcomes = [_delete(repository, name) for name in names]
    else:
        with concurrent.futures.ThreadPoolExecutor(_THREADS_TO_S3, "delete") as pool:
            outcomes = list(pool.map(lambda name: _delete(repository, name), names))
    return [outcome for outcome in outcomes if outcome is not None]


def _delete(repository: Repository, name: str) -> Undeleted | None:
    try:
        try:
            repository.backend.delete(name)
        except OutcomeUnknown as exc:
            _settle(repository, name, exc)
    except OutcomeUnknown:
        raise
    except StorageError as exc:
        return Undeleted(name=name, reason=exc.message)
    return None


def _settle(repository: Repository, name: str, cause: OutcomeUnknown) -> None:
    """Delete until the object is seen to be gone: only then can a late deletion do no harm.

    Names are hashes over random bytes, so an object that is gone never comes back.
    """
    deadline = time.monotonic() + _SETTLE_SECONDS
    while time.monotonic() < deadline:
        try:
            if repository.backend.size(name) is None:
                return
            repository.backend.delete(name)
        except StorageError as exc:
            if not (exc.retryable or isinstance(exc, OutcomeUnknown)):
                raise
            time.sleep(_SETTLE_PAUSE_SECONDS)
        else:
            return
    raise OutcomeUnknown(
        f"Whether {name} was deleted from {repository.location} is unknown, since the storage does "
        f"not answer: {cause.message} It may vanish later; run it again once the storage answers, "
        "before the next backup.",
        object=name,
    ) from cause
