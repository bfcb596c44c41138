# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is pushed when a session is over: how it went, as a whole and for its target."""

from __future__ import annotations

import typing as t

from ansible_collections.granary.postgres.operator.controller.configuration_metrics import (
    PUSH_TIMEOUT_S,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.app_binding import (
    app_type,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.metrics import (
    Sample,
    backup_session_metrics,
    backup_target_metrics,
    restore_session_metrics,
    restore_target_metrics,
    session_labels,
    target_labels,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.pushgateway import (
    job_key,
    push,
)

if t.TYPE_CHECKING:
    from ansible_collections.granary.postgres.operator.controller.site import Site
    from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.invoker import (
        Invoker,
    )
    from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.objects import Object


def samples_of(
    invoker: Invoker,
    binding: Object | None,
    *,
    succeeded: bool,
    duration_seconds: float,
    at: float,
) -> list[Sample]:
    """Return what is said of a session that ended at ``at`` (Unix time). Pure."""
    labels = session_labels(
        kind=invoker.kind,
        name=invoker.name,
        namespace=invoker.namespace,
        repository=invoker.repository.name,
    )
    of_target = target_labels(labels, invoker.target.name, app_type(binding) if binding else None)
    if invoker.is_backup:
        return [
            *backup_session_metrics(
                labels,
                succeeded=succeeded,
                duration_seconds=duration_seconds,
                targets=1,
                at=at,
            ),
            *backup_target_metrics(of_target, succeeded=succeeded, hosts=1, at=at),
        ]
    return [
        *restore_session_metrics(
            labels, succeeded=succeeded, duration_seconds=duration_seconds, targets=1
        ),
        *restore_target_metrics(of_target, succeeded=succeeded, hosts=1),
    ]


def push_session(
    site: Site, invoker: Invoker, *, succeeded: bool, duration_seconds: float, at: float
) -> None:
    """Push what is said of a session. Raises ``PushgatewayUnavailable``, ``ClusterError``."""
    binding = site.cluster.find("AppBinding", invoker.target.name, invoker.target.namespace)
    push(
        site.options.push_url,
        job_key(invoker.kind, invoker.namespace, invoker.name),
        samples_of(invoker, binding, succeeded=succeeded, duration_seconds=duration_seconds, at=at),
        timeout_seconds=PUSH_TIMEOUT_S,
    )
