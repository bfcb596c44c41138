# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Finalizers: Stash's are taken off, for nobody else would; ours is on a Repository with wipeOut.

Merge patches replace the whole list, so each is bound to the version that was read.
"""

from __future__ import annotations

import typing as t

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import (
    ClusterObjectMissing,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.names import (
    STASH_FINALIZERS,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.objects import (
    Object,
    metadata,
    name_of,
    namespace_of,
)

if t.TYPE_CHECKING:
    from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.cluster import (
        Cluster,
    )


def take_stash_finalizers_off(cluster: Cluster, obj: Object) -> None:
    """Take off what a Stash that is gone left on an object. Raises ``ClusterConflict``."""
    present = metadata(obj).get("finalizers") or []
    write_finalizers(cluster, obj, [each for each in present if each not in STASH_FINALIZERS])


def write_finalizers(cluster: Cluster, obj: Object, wanted: list[str]) -> None:
    """Write the list of finalizers where it is another one. Raises ``ClusterConflict``."""
    meta = metadata(obj)
    if wanted == (meta.get("finalizers") or []):
        return
    patch = {"metadata": {"resourceVersion": meta["resourceVersion"], "finalizers": wanted}}
    try:
        written = cluster.patch(obj["kind"], name_of(obj), namespace_of(obj), patch)
    except ClusterObjectMissing:
        return  # gone with its last finalizer, or before
    meta["finalizers"] = wanted
    meta["resourceVersion"] = metadata(written).get("resourceVersion")
