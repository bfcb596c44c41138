# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rights in a repository's namespace whose invoker, in another one, is gone.

Nothing can own an object of another namespace, and we put no finalizer on users' invokers: so they
are looked for when an invoker goes and when its Repository is looked at.
"""

from __future__ import annotations

import logging
import typing as t

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import (
    ClusterForbidden,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.names import (
    INVOKER_NAME,
    INVOKER_TYPE,
    MANAGED_BY,
    MANAGER,
    label_value,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.objects import (
    Object,
    metadata,
    uid_of,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.rights import (
    INVOKER_NAMESPACE,
    INVOKER_UID,
)

if t.TYPE_CHECKING:
    from ansible_collections.granary.postgres.operator.controller.keys import Key
    from ansible_collections.granary.postgres.operator.controller.site import Site

_log = logging.getLogger("granary.rights")
_KINDS = ("RoleBinding", "Role")


def remove_orphans(site: Site, invoker: Key) -> None:
    """Remove the rights, in every namespace that we serve, of an invoker that is gone."""
    labels = {
        MANAGED_BY: MANAGER,
        INVOKER_TYPE: invoker.kind,
        INVOKER_NAME: label_value(invoker.name),
        INVOKER_NAMESPACE: label_value(invoker.namespace),
    }
    for namespace in site.options.namespaces or (None,):
        _remove(site, namespace, labels)


def remove_orphans_in(site: Site, namespace: str) -> None:
    """Remove the rights in a namespace whose invokers are gone, however long ago."""
    _remove(site, namespace, {MANAGED_BY: MANAGER})


def _remove(site: Site, namespace: str | None, labels: dict[str, str]) -> None:
    try:
        for kind in _KINDS:
            for right in site.cluster.list(kind, namespace, labels=labels):
                if _is_orphan(site, right):
                    meta = metadata(right)
                    site.cluster.delete(kind, meta["name"], meta["namespace"], uid=meta["uid"])
    except ClusterForbidden as exc:
        _log.warning('event=orphans_not_sought error="%s"', exc.sentence)


def _is_orphan(site: Site, right: Object) -> bool:
    """Whether the invoker is surely gone; its labels may hold a shortened name."""
    labels = metadata(right).get("labels") or {}
    uid, namespace = labels.get(INVOKER_UID), labels.get(INVOKER_NAMESPACE)
    if not uid or not namespace or not site.options.serves(namespace):
        return False
    kind = labels.get(INVOKER_TYPE) or ""
    name = labels.get(INVOKER_NAME) or ""
    found = site.cluster.find(kind, name, namespace)
    if found is not None:
        return bool(uid_of(found) != uid)
    return all(uid_of(each) != uid for each in site.cluster.list(kind, namespace))
