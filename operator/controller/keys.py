# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the operator works on: one object by kind, namespace and name, and nothing that it held when
it was seen.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.objects import (
    controller_of,
    name_of,
    namespace_of,
)

if t.TYPE_CHECKING:
    from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.objects import Object

RECONCILED = frozenset(
    {
        "Repository",
        "BackupConfiguration",
        "BackupSession",
        "RestoreSession",
        "BackupBatch",
        "RestoreBatch",
        "BackupBlueprint",
    }
)


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Key:
    """One object; ``namespace`` is empty for one of the cluster's own."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


def key_of(obj: Object) -> Key:
    """Return the key of an object that has its kind."""
    return Key(obj["kind"], namespace_of(obj) or "", name_of(obj))


def owner_key(obj: Object) -> Key | None:
    """Return the key of the object's controller, if that is a kind that we reconcile."""
    owner = controller_of(obj)
    if owner is None or owner.get("kind") not in RECONCILED:
        return None
    return Key(owner["kind"], namespace_of(obj) or "", owner["name"])
