# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""Removing a repository, or what an interrupted removal has left of one."""

from __future__ import annotations

import dataclasses
import typing as t

from .._core.errors import ObjectMissing, StorageError, WrongPassword
from .._repository.config import CONFIG
from .._repository.keys import keys_opened_by
from .._repository.removal import (
    check_plan,
    check_remains,
    plan_removal,
    remove_all_but_locks,
    remove_empty_folders,
    remove_remains,
)
from .._repository.repository import Repository
from .._repository.unpacked import list_ids
from .._storage.registry import open_backend
from .stop_signals import StopSignals

if t.TYPE_CHECKING:
    from .._core.events import Events
    from .._repository.removal import RemovalPlan
    from .._storage.base import Backend
    from .requests import Plain, RepositoryAccess


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RemovalResult:
    """A repository that is gone, or in check mode would be, and what went with it; ``id`` and
    ``version`` are None where it could not be opened, or was not there.
    """

    changed: bool
    location: str
    id: str | None = None
    version: int | None = None
    snapshots: int = 0
    objects: int = 0
    stored_bytes: int = 0

    def to_return(self) -> dict[str, Plain]:
        """Return it in plain types, with what was there as ``diff``."""
        repository: dict[str, Plain] = {
            "id": self.id,
            "version": self.version,
            "location": self.location,
        }
        removed: dict[str, Plain] = {
            "snapshots": self.snapshots,
            "objects": self.objects,
            "stored_bytes": self.stored_bytes,
        }
        before = {**repository, **removed} if self.changed else {}
        return {
            "repository": repository,
            "removed": removed,
            "diff": {"before": before, "after": {}},
        }


def remove_repository(
    access: RepositoryAccess, *, force: bool = False, check_mode: bool = False, events: Events
) -> RemovalResult:
    """Remove the repository, or what an interrupted removal has left of it; where there is none
    that is fine. The place itself, a folder or a bucket, stays.

    Raises ``RepositoryNotEmpty`` when it holds snapshots and ``force`` is not given, or when
    anything else is in its place: nothing was removed then.
    """
    with open_backend(access.settings, events) as backend:
        try:
            if not _can_be_opened(backend):
                return _remove_remains(backend, check_mode=check_mode)
        except ObjectMissing:  # the folder, or the bucket
            return RemovalResult(changed=False, location=backend.location)
    with (
        StopSignals(),
        Repository.open(
            access.settings, access.passwords, events=events, witness=access.witness
        ) as repository,
    ):
        plan = plan_removal(repository.backend)
        check_plan(plan, repository.location, force=force)
        if not check_mode:
            # Again under the lock: a backup may have ended meanwhile.
            with repository.lock(exclusive=True, wait_seconds=access.lock_wait_seconds) as lock:
                last_key = _opened_by(access, repository)
                plan = plan_removal(repository.backend)
                check_plan(plan, repository.location, force=force)
                remove_all_but_locks(repository, lock, plan, last_key=last_key)
            if lock.trouble is not None:
                raise StorageError(
                    f"The repository in {repository.location} is removed, but its lock could not "
                    f"be ({lock.trouble.rstrip('.')}); run it again once that is mended."
                )
            remove_empty_folders(repository.backend)
        done = _result(plan, repository.location)
        return dataclasses.replace(done, id=repository.config.id, version=repository.version)


def _can_be_opened(backend: Backend) -> bool:
    """Tell whether there is what a password is tried on."""
    keys = list_ids(backend, "keys")
    return backend.size(CONFIG) is not None and next(keys, None) is not None


def _opened_by(access: RepositoryAccess, repository: Repository) -> bytes:
    for password in access.passwords:
        for key_id in keys_opened_by(repository.backend, password, repository.key):
            return key_id
    raise WrongPassword(
        f"The password does not open the repository in {repository.location} any more, so it was "
        "not removed; give one that does."
    )


def _remove_remains(backend: Backend, *, check_mode: bool) -> RemovalResult:
    plan = plan_removal(backend)
    if plan.is_empty:
        return RemovalResult(changed=False, location=backend.location)
    check_plan(plan, backend.location, force=True)
    check_remains(backend, plan)
    if not check_mode:
        remove_remains(backend, plan)
    return _result(plan, backend.location)


def _result(plan: RemovalPlan, location: str) -> RemovalResult:
    return RemovalResult(
        changed=True,
        location=location,
        snapshots=plan.snapshots,
        objects=plan.objects,
        stored_bytes=plan.stored_bytes,
    )
