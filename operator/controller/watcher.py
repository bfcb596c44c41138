# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""kopf as our watcher: it lists and watches, and tells us each event; nothing else of it is used.

Its other handlers write annotations and finalizers on users' objects, which stay there when the
operator is gone.
"""

from __future__ import annotations

import typing as t

import kopf

from ansible_collections.granary.postgres.operator.controller.keys import RECONCILED
from ansible_collections.granary.postgres.operator.controller.wake_rules import WakeRules
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.names import (
    MANAGED_BY,
    MANAGER,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.objects import (
    KINDS,
    Object,
)

if t.TYPE_CHECKING:
    import threading

    from ansible_collections.granary.postgres.operator.controller.site import Site

OURS = ("Job", "CronJob")
"""Watched only where they carry the label of what we make."""
CONNECT_TIMEOUT_S = 10.0
WATCH_S = 300
"""So long is one request of a watch; a new one goes on where it ended."""
LIST_CHUNK = 200
IDLE_S = 1.0


def watched_kinds(*, cluster_wide: bool) -> list[str]:
    """Return the kinds that are watched; those of the cluster's own only in the whole of it."""
    kinds = sorted({*RECONCILED, "AppBinding", *OURS})
    return [kind for kind in kinds if cluster_wide or KINDS[kind].namespaced]


async def watch(site: Site, *, ready: threading.Event) -> None:
    """Watch until SIGTERM or SIGINT comes, of which kopf takes notice itself; sets ``ready`` once
    it has begun.

    Raises what kopf raises where it cannot watch any longer.
    """
    rules = WakeRules(site.dependants)
    registry = kopf.OperatorRegistry()
    kopf.on.login(registry=registry)(_login)
    for kind in watched_kinds(cluster_wide=site.options.is_cluster_wide):
        _watch_kind(site, rules, registry, kind)
    await kopf.operator(
        registry=registry,
        settings=_settings(),
        standalone=True,
        clusterwide=site.options.is_cluster_wide,
        namespaces=list(site.options.namespaces),
        ready_flag=ready,
    )


def _watch_kind(site: Site, rules: WakeRules, registry: kopf.OperatorRegistry, kind: str) -> None:
    where = KINDS[kind]
    version = where.api_version.rpartition("/")[2]

    async def seen(event: kopf.RawEvent, **dummy: t.Any) -> None:
        obj: Object = {**event["object"], "kind": kind, "apiVersion": where.api_version}
        for key in rules.keys_for(event["type"], obj):
            site.queue.add(key)

    handler_id = f"seen-{kind.lower()}"
    kopf.on.event(where.group, version, where.plural, id=handler_id, registry=registry)(seen)


def _login(**arguments: t.Any) -> kopf.ConnectionInfo | None:
    """Log in as our own client does: by the pod's service account, else by kubeconfig."""
    return kopf.login_via_client(**arguments)


def _settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.peering.standalone = True
    settings.scanning.disabled = True
    settings.networking.connect_timeout = CONNECT_TIMEOUT_S
    settings.watching.connect_timeout = CONNECT_TIMEOUT_S
    settings.watching.server_timeout = WATCH_S
    settings.watching.chunk_size = LIST_CHUNK
    settings.queueing.idle_timeout = IDLE_S
    for kind in OURS:
        where = KINDS[kind]
        version = where.api_version.rpartition("/")[2]
        selector = (where.group, version, where.plural)
        settings.watching.label_selectors[selector] = f"{MANAGED_BY}={MANAGER}"
    return settings
