# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The repository of an invoker, as object and as read."""

from __future__ import annotations

import typing as t

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import (
    InvalidObject,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.repository_spec import (
    RepositorySpec,
)

if t.TYPE_CHECKING:
    from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.cluster import (
        Cluster,
    )
    from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.invoker import (
        Invoker,
    )
    from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.objects import Object


def repository_of(cluster: Cluster, invoker: Invoker) -> tuple[Object, RepositorySpec]:
    """Return the repository of an invoker.

    Raises ``InvalidObject`` where it is gone or cannot be served, ``ClusterError``.
    """
    name, namespace = invoker.repository.name, invoker.repository.namespace
    found = cluster.find("Repository", name, namespace)
    if found is None:
        raise InvalidObject(f"Repository {namespace}/{name} does not exist; create it.")
    spec = RepositorySpec.parse(found)
    spec.check_supported()
    return found, spec
