# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kinds of Stash that are not served yet: they say so instead of staying silent."""

from __future__ import annotations

import typing as t

from ansible_collections.granary.postgres.operator.controller.finalizers import (
    take_stash_finalizers_off,
)
from ansible_collections.granary.postgres.operator.controller.site import COMPONENT
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes import conditions as c
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.events import (
    WARNING,
    record_event,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.objects import (
    Object,
    is_being_deleted,
    metadata,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.phases import (
    INVALID,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.status import (
    write_status,
)

if t.TYPE_CHECKING:
    from ansible_collections.granary.postgres.operator.controller.keys import Key
    from ansible_collections.granary.postgres.operator.controller.site import Site

NOT_SUPPORTED = "Not Supported"
_INSTEAD = {
    "BackupBatch": "use one BackupConfiguration for each member",
    "RestoreBatch": "use one RestoreSession for each member",
    "BackupBlueprint": "write a Repository and a BackupConfiguration for each AppBinding",
}


def reconcile_unsupported(site: Site, key: Key) -> float | None:
    """Say in the object's status, or beside a kind without one, that nothing will happen."""
    obj = site.cluster.find(key.kind, key.name, key.namespace or None)
    if obj is None or is_being_deleted(obj):
        if obj is not None:
            take_stash_finalizers_off(site.cluster, obj)
        return None
    take_stash_finalizers_off(site.cluster, obj)
    message = f"Granary does not serve the kind {key.kind} yet; {_INSTEAD[key.kind]}."
    if key.kind == "BackupBlueprint":
        if site.announced.get(key) is None:
            record_event(site.cluster, obj, NOT_SUPPORTED, WARNING, message, component=COMPONENT)
            site.announced[key] = (metadata(obj)["uid"], 0.0)
        return None
    said = c.condition(c.SUPPORTED, c.FALSE, message)

    def change(status: Object) -> Object:
        found = c.with_condition(status.get("conditions"), said)
        return {**status, "conditions": found, "phase": INVALID}

    meta = metadata(obj)
    write_status(site.cluster, key.kind, meta["name"], meta["namespace"], change, uid=meta["uid"])
    return None
