# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""Removes a repository: exactly its objects, and none of them while anything else is in its place.

The order lets a second run complete what a first one has begun: snapshots, index files, packs and
the rest, then keys, and config last of all. While config and a key are there the password is asked
for. What a killed run can leave after that (config alone, or lock files alone) opens nothing any
more, and is removed without it; so is what an interrupted creation has left, once it is old.
"""

from __future__ import annotations

import dataclasses
import re
import typing as t

from .._core.errors import (
    RepositoryDamaged,
    RepositoryLocked,
    RepositoryNotEmpty,
    StorageError,
)
from .._core.units import plural
from .._storage.base import finished_name
from .config import CONFIG
from .creation import ABANDONED_SECONDS
from .deletion import BATCH, delete_objects, require_lock
from .keys import key_name

if t.TYPE_CHECKING:
    from collections.abc import Sequence

    from .._storage.base import Backend
    from .locks import RepositoryLock
    from .repository import Repository

_ID = "[0-9a-f]{64}"
_OURS = re.compile(
    rf"(?:(config)|(keys|snapshots|index|locks)/{_ID}"
    rf"|(data)/([0-9a-f]{{2}})/(?=\4){_ID}|(granary)/.+)\Z"
)
# What our own storage layer writes to try something out, and removes at once.
_TRIALS = frozenset({"probe", "clock"})
_CONTENT = ("snapshots", "index", "data")
# In this order nothing depends on what goes next.
_FIRST = (*_CONTENT, "granary")
_LOCKS = "locks"
_FOLDERS = (*(f"data/{number:02x}" for number in range(256)), *_CONTENT, "granary")
_NAMED = 3


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RemovalPlan:
    """What is in the place: names by kind (``config``, ``keys``, ``snapshots``, ``index``,
    ``data``, ``granary``, and the ``locks`` that somebody holds), unfinished writes and empty lock
    files, and what is not a repository's.
    """

    names: dict[str, list[str]]
    empty_locks: list[str]
    unfinished: list[str]
    strangers: list[str]
    stored_bytes: int

    @property
    def snapshots(self) -> int:
        """How many snapshots go."""
        return len(self.names["snapshots"])

    @property
    def objects(self) -> int:
        """How many objects go, but for locks."""
        kinds = (*_FIRST, "keys", CONFIG)
        return sum(len(self.names[kind]) for kind in kinds) + len(self.unfinished)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing of a repository."""
        return not any(self.names.values()) and not self.unfinished and not self.empty_locks


def plan_removal(backend: Backend) -> RemovalPlan:
    """Look over the whole place."""
    names: dict[str, list[str]] = {kind: [] for kind in (CONFIG, "keys", _LOCKS, *_FIRST)}
    empty_locks: list[str] = []
    strangers = list(backend.strangers())
    stored_bytes = 0
    for entry in backend.entries(""):
        kind = _kind_of(entry.name)
        if kind is None:
            strangers.append(entry.name)
        elif kind == _LOCKS and not entry.size:
            empty_locks.append(entry.name)
        else:
            names[kind].append(entry.name)
            stored_bytes += entry.size if kind != _LOCKS else 0
    unfinished: list[str] = []
    for left in backend.unfinished():
        finished = finished_name(left.name) or ""
        ours = finished in _TRIALS or _kind_of(finished) is not None
        (unfinished if ours else strangers).append(left.name)
        stored_bytes += left.size if ours else 0
    return RemovalPlan(
        names=names,
        empty_locks=empty_locks,
        unfinished=unfinished,
        strangers=sorted(strangers),
        stored_bytes=stored_bytes,
    )


def _kind_of(name: str) -> str | None:
    match = _OURS.match(name)
    return next(filter(None, match.groups())) if match else None


def check_plan(plan: RemovalPlan, location: str, *, force: bool) -> None:
    """Raise ``RepositoryNotEmpty`` for what must not go: things of others, or, without ``force``,
    snapshots.
    """
    if plan.strangers:
        more = ", ..." if len(plan.strangers) > _NAMED else ""
        raise RepositoryNotEmpty(
            f"{location} holds {plural(len(plan.strangers), 'object')} not of the repository "
            f"({', '.join(plan.strangers[:_NAMED])}{more}), so it was not removed; move what is "
            "not the repository's elsewhere."
        )
    if plan.snapshots and not force:
        raise RepositoryNotEmpty(
            f"The repository in {location} holds {plural(plan.snapshots, 'snapshot')}, so it was "
            "not removed; set force to remove them with it, for good."
        )


def remove_all_but_locks(
    repository: Repository, lock: RepositoryLock, plan: RemovalPlan, *, last_key: bytes
) -> None:
    """Remove what a checked plan holds, under the exclusive lock that it was made under.

    ``last_key`` is the one that opened the repository: a second run needs it again, so it goes
    after the others.

    Raises ``LockLost`` when that does not hold any more, ``StorageError`` when something cannot be
    removed, ``OutcomeUnknown``; a second run completes what is left.
    """
    for kind in _FIRST:
        _delete(repository, lock, plan.names[kind])
    _delete(repository, lock, plan.empty_locks)
    for number, name in enumerate(plan.unfinished):
        if number % BATCH == 0:
            require_lock(repository, lock)
        repository.backend.discard_unfinished(name)
    repository.backend.remove_folders(_FOLDERS)
    opened_by = key_name(last_key)
    _delete(repository, lock, [name for name in plan.names["keys"] if name != opened_by])
    _delete(repository, lock, [opened_by])
    repository.backend.remove_folders(["keys"])
    _delete(repository, lock, plan.names[CONFIG])


def _delete(repository: Repository, lock: RepositoryLock, names: Sequence[str]) -> None:
    left = delete_objects(repository, lock, names).undeleted
    if left:
        raise StorageError(
            f"{plural(len(left), 'object')} of the repository in {repository.location} could not "
            f"be removed, the first is {left[0].name}: {left[0].reason.rstrip('.')}; run it again "
            "once that is mended, which completes it."
        )


def check_remains(backend: Backend, plan: RemovalPlan) -> None:
    """See that a place without config, or without any key, holds nothing that could be wanted.

    Raises ``RepositoryDamaged`` when it does, ``RepositoryLocked`` for a creation that may still be
    under way.
    """
    lacking = "key" if plan.names[CONFIG] else "config"
    content = next((kind for kind in _CONTENT if plan.names[kind]), None)
    if content is not None:
        damaged = RepositoryDamaged(
            f"{backend.location} holds files of a repository ({content}/) but no {lacking}, so "
            "nobody can open it, and it was not removed; bring config and keys back from a copy, "
            "or remove it by hand."
        )
        damaged.advice = ""  # what cannot be opened cannot be checked
        raise damaged
    if any((backend.age_seconds(name) or 0) < ABANDONED_SECONDS for name in plan.names["keys"]):
        raise RepositoryLocked(
            f"Somebody makes a repository in {backend.location} at this moment; try again in "
            f"{ABANDONED_SECONDS / 60:.0f} minutes."
        )


def remove_remains(backend: Backend, plan: RemovalPlan) -> None:
    """Remove what a checked plan holds of a repository that nobody can open any more."""
    for names in (*plan.names.values(), plan.empty_locks):
        for name in names:
            backend.delete(name)
    for name in plan.unfinished:
        backend.discard_unfinished(name)
    remove_empty_folders(backend)


def remove_empty_folders(backend: Backend) -> None:
    """Remove the folders of a repository that is gone; the place itself stays."""
    backend.remove_folders((*_FOLDERS, "keys", "locks"))
