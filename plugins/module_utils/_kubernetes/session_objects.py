# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""The sessions that a user asks for by name: the objects to make, and whether one that is there is
what was asked for. Pure.
"""

from __future__ import annotations

import dataclasses
import typing as t

from .._core.errors import ConfigError
from .invoker import BACKUP, RESTORE, Invoker
from .names import session_labels
from .objects import (
    APPCATALOG_V1ALPHA1,
    STASH,
    STASH_V1BETA1,
    described_object,
    owner_reference,
    spec_of,
)

if t.TYPE_CHECKING:
    from collections.abc import Mapping

    from .objects import Object

SESSION = "BackupSession"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RestoreWish:
    """A restore into the AppBinding ``target``; ``snapshot`` is an id or ``latest``.

    ``repository_namespace`` and ``source_host`` empty: the session's own; any host.
    """

    name: str
    namespace: str
    target: str
    repository: str
    repository_namespace: str = ""
    task: str
    params: Mapping[str, str]
    snapshot: str
    source_host: str = ""


def new_backup_session(name: str, configuration: Object) -> Object:
    """Return a session of a BackupConfiguration, which owns it. Raises ``InvalidObject``.

    As of one made by hand, a failure is not tried again.
    """
    invoker = Invoker.parse(configuration)
    # That the session goes with its owner is enough; to hold the owner back needs more rights.
    owner = {**owner_reference(configuration), "blockOwnerDeletion": False}
    return {
        "apiVersion": STASH_V1BETA1,
        "kind": SESSION,
        "metadata": {
            "name": name,
            "namespace": invoker.namespace,
            "labels": session_labels(invoker.labels, invoker.kind, invoker.name, invoker.target),
            "ownerReferences": [owner],
        },
        "spec": {"invoker": {"apiGroup": STASH, "kind": invoker.kind, "name": invoker.name}},
    }


def new_restore_session(wish: RestoreWish) -> Object:
    """Return the RestoreSession that does what is wished."""
    rule: Object = {"snapshots": [wish.snapshot]}
    if wish.source_host:
        rule["sourceHost"] = wish.source_host
    repository = {"name": wish.repository}
    if wish.repository_namespace:
        repository["namespace"] = wish.repository_namespace
    params = [{"name": name, "value": value} for name, value in sorted(wish.params.items())]
    reference = {"apiVersion": APPCATALOG_V1ALPHA1, "kind": "AppBinding", "name": wish.target}
    return {
        "apiVersion": STASH_V1BETA1,
        "kind": RESTORE,
        "metadata": {"name": wish.name, "namespace": wish.namespace},
        "spec": {
            "task": {"name": wish.task, **({"params": params} if params else {})},
            "repository": repository,
            "target": {"ref": reference, "rules": [rule]},
        },
    }


def check_same_backup(present: Object, invoker: str) -> None:
    """Raise ``ConfigError`` unless a BackupSession is of that BackupConfiguration."""
    theirs = spec_of(present).get("invoker") or {}
    if (theirs.get("kind") or BACKUP, theirs.get("name")) != (BACKUP, invoker):
        raise ConfigError(
            f"{described_object(present)} is there already and belongs to "
            f"{theirs.get('kind')} {theirs.get('name')}; choose another name."
        )


def check_same_restore(present: Object, wanted: Object) -> None:
    """Raise ``ConfigError`` unless a RestoreSession restores what ``wanted`` would."""
    ours, theirs = _restored(wanted), _restored(present)
    differing = [name for name, value in ours.items() if theirs[name] != value]
    if differing:
        raise ConfigError(
            f"{described_object(present)} is there already and has another "
            f"{' and '.join(differing)}; a RestoreSession runs once: choose another name."
        )


def _restored(obj: Object) -> dict[str, t.Any]:
    invoker = Invoker.parse(obj)
    return {
        "target": (invoker.target.namespace, invoker.target.name),
        "repository": (invoker.repository.namespace, invoker.repository.name),
        "task": (invoker.task.name, dict(invoker.task.params)),
        "snapshot": invoker.snapshot,
        "source_host": invoker.source_host,
    }
