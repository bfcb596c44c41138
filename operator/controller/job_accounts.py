# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The accounts that triggers and Jobs run as: made for each invoker, or the user's own."""

from __future__ import annotations

import typing as t

from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.names import (
    repository_role_name,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.objects import (
    uid_of,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.repository_spec import (
    RepositorySpec,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.rights import (
    Account,
    foreign_labels,
    repository_rights,
    role_binding,
    service_account,
)

if t.TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.cluster import (
        Cluster,
    )
    from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.invoker import (
        Invoker,
    )
    from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.objects import Object


def ensure_account(
    cluster: Cluster,
    owner: Object,
    invoker: Invoker,
    *,
    name: str,
    cluster_roles: Sequence[str],
    labels: Mapping[str, str],
) -> str:
    """See that there is an account that may do what ``cluster_roles`` allow; return its name.

    It is the user's, where ``runtimeSettings`` name one, else one of ours called ``name``. The
    binding of the first role has the account's name, those of others a suffix. Raises as
    ``Cluster.ensure``.
    """
    pod = invoker.runtime_settings.get("pod") or {}
    users = pod.get("serviceAccountName")
    account = Account(name=users or name, namespace=invoker.namespace)
    if not users:
        annotations = pod.get("serviceAccountAnnotations")
        cluster.ensure(service_account(account, owner, labels, annotations))
    for index, role in enumerate(cluster_roles):
        binding = name if index == 0 else f"{name}-{index}"
        cluster.ensure(role_binding(binding, role, account, owner, labels))
    return account.name


def ensure_repository_rights(
    cluster: Cluster,
    invoker_object: Object,
    invoker: Invoker,
    repository: Object,
    spec: RepositorySpec,
    *,
    account: str,
) -> None:
    """See that the account may use a repository of another namespace. Raises as
    ``Cluster.ensure``.
    """
    if spec.namespace == invoker.namespace or not uid_of(repository):
        return
    name = repository_role_name(invoker.namespace, invoker.kind, invoker.name)
    rights = repository_rights(
        name,
        Account(name=account, namespace=invoker.namespace),
        repository,
        spec,
        foreign_labels(invoker_object),
    )
    for each in rights:
        cluster.ensure(each)
