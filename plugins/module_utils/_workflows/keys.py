# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""The passwords of a repository: which there are, a new one, one less, one in place of another."""

from __future__ import annotations

import dataclasses
import typing as t

from .._core.errors import ConfigError
from .._repository.key_change import (
    carry_out,
    plan_addition,
    plan_exchange,
    plan_listing,
    plan_removal_by_id,
    plan_removal_by_password,
)
from .._repository.keys import list_key_files
from .._repository.repository import Repository
from .stop_signals import StopSignals

if t.TYPE_CHECKING:
    from .._core.events import Events
    from .._core.redaction import Secret
    from .._repository.key_change import KeyPlan
    from .._repository.keys import KeyFile
    from .requests import Plain, RepositoryAccess


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class KeyRequest:
    """What is wanted of the keys of one repository, which ``repository``'s only password opens.

    ``present``: ``key_password`` opens it too, or, with ``replace``, in place of that password;
    without one nothing changes. ``absent``: neither ``key_password`` opens it, nor is there a key
    whose id begins with ``key_id``.
    """

    repository: RepositoryAccess
    state: t.Literal["present", "absent"] = "present"
    key_password: Secret | None = None
    key_id: str | None = None
    replace: bool = False

    @property
    def password(self) -> Secret:
        """The password that opens the repository."""
        return self.repository.passwords[0]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class KeyResult:
    """The keys as they are afterwards, or in check mode would be: then a new one has no id."""

    changed: bool
    keys: tuple[dict[str, Plain], ...]
    before: tuple[str, ...]

    def to_return(self) -> dict[str, Plain]:
        """Return it in plain types, with the ids before and after as ``diff``."""
        after: list[Plain] = [key["id"] or "(new)" for key in self.keys]
        return {
            "repository_keys": [dict(key) for key in self.keys],
            "diff": {"before": {"keys": list(self.before)}, "after": {"keys": after}},
        }


def change_keys(request: KeyRequest, *, events: Events, check_mode: bool = False) -> KeyResult:
    """Bring the keys to what is wanted, under an exclusive lock.

    A run that is killed leaves at least one password that works, and the same request completes
    it. Raises ``ConfigError`` for what would leave nobody able to open the repository.
    """
    check_request(request)
    access = request.repository
    # An exchange that is complete leaves the new password alone.
    passwords = (request.password, *_new_password(request))
    with StopSignals(), Repository.open(access.settings, passwords, events=events) as repository:
        plan = _plan(request, repository)
        if check_mode or not plan.changes:
            return _predict(plan)
        before = plan
        with repository.lock(exclusive=True, wait_seconds=access.lock_wait_seconds) as lock:
            plan = _plan(request, repository)
            current = carry_out(repository, lock, plan)
        keys = tuple(list_key_files(repository.backend))
        return _result(keys, current, before=before, changed=plan.changes)


def check_request(request: KeyRequest) -> None:
    """Raise ``ConfigError`` for options that cannot work, before anything is touched."""
    if request.key_password is not None and not request.key_password:
        raise ConfigError("key_password is empty; give one that is not.")
    if request.state == "present":
        if request.key_id is not None:
            raise ConfigError("key_id works with state=absent alone; leave it out.")
        if request.replace and request.key_password is None:
            raise ConfigError("replace needs the new password; give it by key_password.")
    elif request.replace:
        raise ConfigError("replace works with state=present alone; leave it out.")
    elif (request.key_id is None) == (request.key_password is None):
        raise ConfigError(
            "state=absent needs either key_id or key_password, to say which key is to go."
        )


def _new_password(request: KeyRequest) -> tuple[Secret, ...]:
    if request.replace and request.key_password is not None:
        return (request.key_password,)
    return ()


def _plan(request: KeyRequest, repository: Repository) -> KeyPlan:
    if request.key_id is not None:
        return plan_removal_by_id(repository, request.password, request.key_id)
    if request.key_password is None:
        return plan_listing(repository, request.password)
    if request.state == "absent":
        return plan_removal_by_password(repository, request.password, request.key_password)
    planned = plan_exchange if request.replace else plan_addition
    return planned(repository, request.password, request.key_password)


def _predict(plan: KeyPlan) -> KeyResult:
    kept = tuple(key for key in plan.keys if key.id not in plan.removed)
    result = _result(kept, plan.current, before=plan, changed=plan.changes)
    if plan.added is None:
        return result
    new: dict[str, Plain] = {
        "id": None,
        "created": None,
        "host": None,
        "username": None,
        "current": plan.current is None,
    }
    return dataclasses.replace(result, keys=(*result.keys, new))


def _result(
    keys: tuple[KeyFile, ...], current: bytes | None, *, before: KeyPlan, changed: bool
) -> KeyResult:
    return KeyResult(
        changed=changed,
        keys=tuple(_shown(key, current) for key in keys),
        before=tuple(key.id.hex() for key in before.keys),
    )


def _shown(key: KeyFile, current: bytes | None) -> dict[str, Plain]:
    return {
        "id": key.id.hex(),
        "created": key.created,
        "host": key.hostname,
        "username": key.username,
        "current": key.id == current,
    }
