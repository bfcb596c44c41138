# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""The accounts that triggers and Jobs run as, and what they may do. Pure.

Within a namespace they get a ClusterRole of ours by a RoleBinding. In the namespace of a repository
that lies elsewhere they get that Repository and its Secret by name, and nothing else.
"""

from __future__ import annotations

import dataclasses
import typing as t

from .names import INVOKER_NAME, INVOKER_TYPE, label_value, offshoot_labels
from .objects import RBAC_V1, STASH, name_of, namespace_of, owner_reference

if t.TYPE_CHECKING:
    from collections.abc import Mapping

    from .objects import Object
    from .repository_spec import RepositorySpec

INVOKER_NAMESPACE = "granary.postgres/invoker-namespace"
INVOKER_UID = "granary.postgres/invoker-uid"
_RBAC_GROUP = "rbac.authorization.k8s.io"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A ServiceAccount by its name and namespace."""

    name: str
    namespace: str

    @property
    def subject(self) -> Object:
        """The account as a binding names it."""
        return {"kind": "ServiceAccount", "name": self.name, "namespace": self.namespace}


def service_account(
    account: Account,
    owner: Object,
    labels: Mapping[str, str],
    annotations: Mapping[str, str] | None = None,
) -> Object:
    """Return an account of ours; clouds give it an identity of theirs by ``annotations``."""
    obj = _owned("v1", "ServiceAccount", account.name, owner, labels)
    if annotations:
        obj["metadata"]["annotations"] = dict(annotations)
    return obj


def role_binding(
    name: str,
    cluster_role: str,
    account: Account,
    owner: Object,
    labels: Mapping[str, str],
) -> Object:
    """Return what lets ``account`` do, in its owner's namespace, what a ClusterRole allows."""
    return {
        **_owned(RBAC_V1, "RoleBinding", name, owner, labels),
        "roleRef": {"apiGroup": _RBAC_GROUP, "kind": "ClusterRole", "name": cluster_role},
        "subjects": [account.subject],
    }


def repository_rights(
    name: str,
    account: Account,
    repository: Object,
    spec: RepositorySpec,
    labels: Mapping[str, str],
) -> list[Object]:
    """Return a Role for one Repository and its Secret, by name, and its RoleBinding.

    Both lie in the Repository's namespace and go with the Repository.
    """
    role = {
        **_owned(RBAC_V1, "Role", name, repository, labels),
        "rules": [
            _rule(STASH, "repositories", spec.name, "get"),
            _rule(STASH, "repositories/status", spec.name, "get", "update"),
            _rule("", "secrets", spec.secret_name, "get"),
        ],
    }
    binding = {
        **_owned(RBAC_V1, "RoleBinding", name, repository, labels),
        "roleRef": {"apiGroup": _RBAC_GROUP, "kind": "Role", "name": name},
        "subjects": [account.subject],
    }
    return [role, binding]


def foreign_labels(invoker: Object) -> dict[str, str]:
    """Return the labels of what an invoker has in another namespace, where it can own nothing; by
    them it is found when the invoker is gone.
    """
    return {
        **offshoot_labels({}),
        INVOKER_TYPE: invoker["kind"],
        INVOKER_NAME: label_value(name_of(invoker)),
        INVOKER_NAMESPACE: label_value(namespace_of(invoker) or ""),
        INVOKER_UID: label_value(invoker["metadata"]["uid"]),
    }


def _rule(group: str, resource: str, name: str, *verbs: str) -> Object:
    return {
        "apiGroups": [group],
        "resources": [resource],
        "resourceNames": [name],
        "verbs": list(verbs),
    }


def _owned(
    api_version: str, kind: str, name: str, owner: Object, labels: Mapping[str, str]
) -> Object:
    return {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {
            "name": name,
            "namespace": namespace_of(owner),
            "labels": dict(labels),
            "ownerReferences": [owner_reference(owner)],
        },
    }
