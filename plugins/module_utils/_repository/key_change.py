# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""Which keys of a repository come and which go, planned first, then done.

A key is added before any other one is removed, and is proved to open the repository in between, so
that whoever dies on the way leaves at least one password that works. The key that opened the
repository for this run is never removed unless another one has just been proved.
"""

from __future__ import annotations

import dataclasses
import re
import typing as t

from .._core.errors import (
    ConfigError,
    ObjectMissing,
    OutcomeUnknown,
    RepositoryDamaged,
    StorageError,
)
from .deletion import delete_objects, require_lock
from .keys import (
    MAX_KEYS,
    KeyFile,
    decode_key_file,
    key_name,
    keys_opened_by,
    list_key_files,
    write_key,
)

if t.TYPE_CHECKING:
    from collections.abc import Sequence

    from .._core.redaction import Secret
    from .locks import RepositoryLock
    from .repository import Repository

_SHORT = 8
_BEGINNING = re.compile(r"[0-9a-f]{1,64}\Z")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class KeyPlan:
    """What is there, by id, what comes and what goes.

    ``current`` is the key that opens the repository for this run, or that will once the plan is
    carried out and it is removed itself; None: the one that is to be added.
    """

    keys: tuple[KeyFile, ...]
    current: bytes | None
    added: Secret | None = None
    removed: tuple[bytes, ...] = ()

    @property
    def changes(self) -> bool:
        """Whether there is anything to do."""
        return self.added is not None or bool(self.removed)


def plan_listing(repository: Repository, password: Secret) -> KeyPlan:
    """Change nothing."""
    return KeyPlan(keys=_keys(repository), current=_first_opened(repository, password))


def plan_addition(repository: Repository, password: Secret, new: Secret) -> KeyPlan:
    """Let ``new`` open the repository too; nothing to do if it does.

    Raises ``ConfigError`` when there is no room for another key.
    """
    plan = plan_listing(repository, password)
    if _first_opened(repository, new) is not None:
        return plan
    return dataclasses.replace(plan, added=_with_room(repository, plan.keys, new))


def plan_exchange(repository: Repository, password: Secret, new: Secret) -> KeyPlan:
    """Let ``new`` open the repository and ``password`` no more; nothing to do if that is so.

    Raises ``ConfigError`` when there is no room for another key.
    """
    keys = _keys(repository)
    current = _first_opened(repository, new)
    if new.reveal() == password.reveal():
        return KeyPlan(keys=keys, current=current)
    return KeyPlan(
        keys=keys,
        current=current,
        added=_with_room(repository, keys, new) if current is None else None,
        removed=tuple(keys_opened_by(repository.backend, password, repository.key)),
    )


def plan_removal_by_password(repository: Repository, password: Secret, old: Secret) -> KeyPlan:
    """Let ``old`` open the repository no more; nothing to do if it does not.

    Raises ``ConfigError`` when it is the one that opens it for this run.
    """
    plan = plan_listing(repository, password)
    removed = tuple(keys_opened_by(repository.backend, old, repository.key))
    return _without(repository, plan, removed)


def plan_removal_by_id(repository: Repository, password: Secret, beginning: str) -> KeyPlan:
    """Remove the key file whose id begins so; nothing to do if there is none.

    Raises ``ConfigError`` when there are several, or when it is the one in use.
    """
    if not _BEGINNING.match(beginning):
        raise ConfigError(
            f"key_id is {beginning!r}; give the id of a key, or its beginning, in lower-case "
            "hexadecimal digits."
        )
    plan = plan_listing(repository, password)
    found = tuple(key.id for key in plan.keys if key.id.hex().startswith(beginning))
    if len(found) > 1:
        raise ConfigError(
            f"key_id {beginning} is the beginning of {len(found)} keys "
            f"({', '.join(_short(key_id) for key_id in found)}); give more of it."
        )
    return _without(repository, plan, found)


def _keys(repository: Repository) -> tuple[KeyFile, ...]:
    return tuple(list_key_files(repository.backend))


def _first_opened(repository: Repository, password: Secret) -> bytes | None:
    return next(keys_opened_by(repository.backend, password, repository.key), None)


def _with_room(repository: Repository, keys: Sequence[KeyFile], new: Secret) -> Secret:
    if len(keys) >= MAX_KEYS:
        raise ConfigError(
            f"The repository in {repository.location} has {len(keys)} keys, and restic reads no "
            f"more than {MAX_KEYS}; remove one first."
        )
    return new


def _without(repository: Repository, plan: KeyPlan, removed: tuple[bytes, ...]) -> KeyPlan:
    if plan.current in removed:
        last = "" if len(plan.keys) > 1 else " and the last one, without which nobody could open it"
        raise ConfigError(
            f"Key {_short(plan.current or b'')} is the one that password opens the repository in "
            f"{repository.location} with{last}; open it with another password to remove this one, "
            "or exchange it (replace)."
        )
    return dataclasses.replace(plan, removed=removed)


def _short(key_id: bytes) -> str:
    return key_id.hex()[:_SHORT]


def carry_out(repository: Repository, lock: RepositoryLock, plan: KeyPlan) -> bytes | None:
    """Do what the plan says, under an exclusive lock that was held while it was made; return the id
    of the key that opens the repository for this run afterwards.

    Raises ``LockLost`` before a step whose lock does not hold, ``OutcomeUnknown`` when the storage
    did not say whether a key was stored or removed, and what else it raises.
    """
    current = plan.current
    if plan.added is not None:
        require_lock(repository, lock)
        added = _add(repository, plan.added)
        current = added if current is None else current
    done = delete_objects(repository, lock, [key_name(key_id) for key_id in plan.removed])
    if done.undeleted:
        first = done.undeleted[0]
        exchanged = "The new password opens the repository, but " if plan.added else ""
        raise StorageError(
            f"{exchanged}{first.name} could not be removed: {first.reason.rstrip('.')}; run it "
            "again once that is mended."
        )
    return current


def _add(repository: Repository, password: Secret) -> bytes:
    """Write a key, prove that it opens the repository, and return its id."""
    try:
        key_id = write_key(repository.backend, repository.key, password)
    except OutcomeUnknown as exc:
        stored = _first_opened(repository, password)
        if stored is not None:
            return stored
        raise OutcomeUnknown(
            f"Whether the new key was stored in {repository.location} is unknown, since the "
            f"storage does not answer: {exc.message.rstrip('.')}; no key was removed, run it again."
        ) from exc
    _prove(repository, key_id, password)
    return key_id


def _prove(repository: Repository, key_id: bytes, password: Secret) -> None:
    name = f"{key_name(key_id)} in {repository.location}"
    try:
        found = decode_key_file(repository.backend.read(key_name(key_id)), password, name=name)
    except ObjectMissing:
        found = None
    if found != repository.key:
        damaged = RepositoryDamaged(
            f"{name} was stored, but does not open the repository when it is read back; no key was "
            "removed, look after the storage."
        )
        damaged.advice = ""  # it is there already, and of no snapshot
        raise damaged
