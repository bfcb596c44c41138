# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an invoker refers to, read from the cluster: its Repository, the Secret, the target."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.granary.postgres.operator.controller.keys import Key
from ansible_collections.granary.postgres.plugins.module_utils._core.errors import (
    ClusterForbidden,
    InvalidObject,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.objects import (
    Object,
    metadata,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.repository_spec import (
    SELECTOR,
    RepositorySpec,
)

if t.TYPE_CHECKING:
    from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.cluster import (
        Cluster,
    )
    from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.invoker import (
        Invoker,
    )

Fact: t.TypeAlias = "Object | ClusterForbidden | None"
"""An object, None where there is none, or why it could not be looked for."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """``secret`` has its name alone where it was found. ``namespace_labels`` are those of the
    invoker's Namespace, read only for a usage policy that selects by them.
    """

    repository: Fact
    secret: Fact
    binding: Fact
    namespace_labels: Fact = dataclasses.field(default_factory=dict)


def read_facts(cluster: Cluster, invoker: Invoker) -> Facts:
    """Read them all. Raises ``ClusterError`` where the server does not answer."""
    place = invoker.repository
    repository = _look(cluster, "Repository", place.name, place.namespace)
    secret: Fact = None
    labels: Fact = {}
    if isinstance(repository, dict):
        name = ((repository.get("spec") or {}).get("backend") or {}).get("storageSecretName")
        secret = _look(cluster, "Secret", name, place.namespace) if name else None
        if isinstance(secret, dict):
            secret = {"metadata": {"name": name}}  # its content is not ours to keep
        if _selects(repository) and place.namespace != invoker.namespace:
            labels = _look(cluster, "Namespace", invoker.namespace, None)
            labels = metadata(labels).get("labels") or {} if isinstance(labels, dict) else labels
    return Facts(
        repository=repository,
        secret=secret,
        binding=_look(cluster, "AppBinding", invoker.target.name, invoker.target.namespace),
        namespace_labels=labels,
    )


def needs_of(invoker: Invoker) -> list[Key]:
    """Return what the invoker is to be looked at again for when it changes."""
    return [
        Key("Repository", invoker.repository.namespace, invoker.repository.name),
        Key("AppBinding", invoker.target.namespace, invoker.target.name),
    ]


def _selects(repository: Object) -> bool:
    try:
        policy = RepositorySpec.parse(repository).usage_policy
    except InvalidObject:
        return False
    return ((policy or {}).get("allowedNamespaces") or {}).get("from") == SELECTOR


def _look(cluster: Cluster, kind: str, name: str, namespace: str | None) -> Fact:
    try:
        return cluster.find(kind, name, namespace)
    except ClusterForbidden as exc:
        return exc
