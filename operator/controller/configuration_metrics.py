# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The metric by which an alert can tell that an invoker has never had a good backup: since when it
should have them.
"""

from __future__ import annotations

import logging
import typing as t
import urllib.parse

from ansible_collections.granary.postgres.operator.controller.keys import Key, key_of
from ansible_collections.granary.postgres.plugins.module_utils._core.errors import (
    PushgatewayUnavailable,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.durations import (
    parse_time,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.invoker import (
    BACKUP,
    RESTORE,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.metrics import (
    Family,
    Sample,
    session_labels,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.objects import (
    metadata,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.pushgateway import (
    delete_group,
    job_key,
    push,
    pushed_invokers,
)

if t.TYPE_CHECKING:
    from ansible_collections.granary.postgres.operator.controller.site import Site
    from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.invoker import (
        Invoker,
    )
    from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.objects import Object

_log = logging.getLogger("granary.metrics")
PUSH_TIMEOUT_S = 5.0
PUSH_AGAIN_S = 60.0
_HERE = frozenset({"localhost", "127.0.0.1", "::1"})
CREATED = Family(
    "backupconfiguration_created",
    "backupconfiguration_created",
    "Unix time since which backups are due; 0 while they are not",
)


def announce(site: Site, obj: Object, invoker: Invoker) -> float | None:
    """Push since when backups of an invoker are due, where that has changed since we last did.

    They are due unless it is paused: one that is not ready misses them. Returns when to try again
    after a push that failed.
    """
    created = parse_time(metadata(obj)["creationTimestamp"]).timestamp()
    since = 0.0 if invoker.paused else created
    key, news = key_of(obj), (invoker.uid, since)
    if not site.options.push_url or site.announced.get(key) == news:
        return None
    labels = session_labels(
        kind=invoker.kind,
        name=invoker.name,
        namespace=invoker.namespace,
        repository=invoker.repository.name,
    )
    group = job_key(invoker.kind, invoker.namespace, invoker.name)
    try:
        push(
            site.options.push_url,
            group,
            [Sample(CREATED, labels, since)],
            timeout_seconds=PUSH_TIMEOUT_S,
        )
    except PushgatewayUnavailable as exc:
        _log.warning('event=metrics_not_pushed object="%s" error="%s"', key, exc.sentence)
        return PUSH_AGAIN_S
    site.announced[key] = news
    return None


def withdraw(site: Site, key: Key) -> float | None:
    """Remove the whole group of an invoker that is gone; returns when to try again."""
    site.announced.pop(key, None)
    if not site.options.push_url:
        return None
    group = job_key(key.kind, key.namespace, key.name)
    try:
        delete_group(site.options.push_url, group, timeout_seconds=PUSH_TIMEOUT_S)
    except PushgatewayUnavailable as exc:
        _log.warning('event=metrics_not_removed object="%s" error="%s"', key, exc.sentence)
        return PUSH_AGAIN_S
    return None


def pushed_keys(site: Site) -> set[Key]:
    """Return the invokers in the namespaces that we serve of which our gateway has metrics.

    Some may have been deleted while nobody looked. A gateway that is not our sidecar is not asked:
    other clusters may push to it, whose invokers are none of ours.
    """
    if urllib.parse.urlsplit(site.options.push_url).hostname not in _HERE:
        return set()
    try:
        found = pushed_invokers(site.options.push_url, timeout_seconds=PUSH_TIMEOUT_S)
    except PushgatewayUnavailable as exc:
        _log.warning('event=metrics_not_listed error="%s"', exc.sentence)
        return set()
    return {
        Key(each.kind, each.namespace, each.name)
        for each in found
        if each.kind in {BACKUP, RESTORE}
        and (site.options.is_cluster_wide or each.namespace in site.options.namespaces)
    }
