# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""What an object of the cluster is to us: a plain dict as the server sends it, and where its kind
lives.

Plain dicts, because the library's classes drop the fields that they do not know.
"""

from __future__ import annotations

import dataclasses
import typing as t

from .._core.errors import InvalidObject

if t.TYPE_CHECKING:
    from collections.abc import Mapping

Object: t.TypeAlias = "dict[str, t.Any]"

STASH = "stash.appscode.com"
STASH_V1ALPHA1 = f"{STASH}/v1alpha1"
STASH_V1BETA1 = f"{STASH}/v1beta1"
APPCATALOG = "appcatalog.appscode.com"
APPCATALOG_V1ALPHA1 = f"{APPCATALOG}/v1alpha1"
RBAC_V1 = "rbac.authorization.k8s.io/v1"


@dataclasses.dataclass(frozen=True, slots=True)
class Kind:
    """Where objects of a kind live: ``group/version`` (``v1`` for the core), plural, scope."""

    api_version: str
    plural: str
    namespaced: bool = True

    @property
    def group(self) -> str:
        """The API group; the core's is empty."""
        return self.api_version.rpartition("/")[0]

    def path(self, namespace: str | None = None, name: str | None = None) -> str:
        """Return the path of one object, or of the list where ``name`` is None.

        The list of a namespaced kind without ``namespace`` is that of the whole cluster.
        """
        root = "apis" if self.group else "api"
        scope = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        return f"/{root}/{self.api_version}{scope}/{self.plural}{f'/{name}' if name else ''}"


KINDS: Mapping[str, Kind] = {
    "Repository": Kind(STASH_V1ALPHA1, "repositories"),
    "BackupConfiguration": Kind(STASH_V1BETA1, "backupconfigurations"),
    "BackupSession": Kind(STASH_V1BETA1, "backupsessions"),
    "RestoreSession": Kind(STASH_V1BETA1, "restoresessions"),
    "BackupBatch": Kind(STASH_V1BETA1, "backupbatches"),
    "RestoreBatch": Kind(STASH_V1BETA1, "restorebatches"),
    "BackupBlueprint": Kind(STASH_V1BETA1, "backupblueprints", namespaced=False),
    "Function": Kind(STASH_V1BETA1, "functions", namespaced=False),
    "Task": Kind(STASH_V1BETA1, "tasks", namespaced=False),
    "AppBinding": Kind(APPCATALOG_V1ALPHA1, "appbindings"),
    "Namespace": Kind("v1", "namespaces", namespaced=False),
    "Node": Kind("v1", "nodes", namespaced=False),
    "Pod": Kind("v1", "pods"),
    "Secret": Kind("v1", "secrets"),
    "Service": Kind("v1", "services"),
    "ServiceAccount": Kind("v1", "serviceaccounts"),
    "Endpoints": Kind("v1", "endpoints"),
    "Event": Kind("v1", "events"),
    "PersistentVolumeClaim": Kind("v1", "persistentvolumeclaims"),
    "EndpointSlice": Kind("discovery.k8s.io/v1", "endpointslices"),
    "Deployment": Kind("apps/v1", "deployments"),
    "Job": Kind("batch/v1", "jobs"),
    "CronJob": Kind("batch/v1", "cronjobs"),
    "Lease": Kind("coordination.k8s.io/v1", "leases"),
    "Role": Kind(RBAC_V1, "roles"),
    "RoleBinding": Kind(RBAC_V1, "rolebindings"),
    "ClusterRole": Kind(RBAC_V1, "clusterroles", namespaced=False),
    "ClusterRoleBinding": Kind(RBAC_V1, "clusterrolebindings", namespaced=False),
    "CustomResourceDefinition": Kind(
        "apiextensions.k8s.io/v1", "customresourcedefinitions", namespaced=False
    ),
    "APIService": Kind("apiregistration.k8s.io/v1", "apiservices", namespaced=False),
    "ValidatingWebhookConfiguration": Kind(
        "admissionregistration.k8s.io/v1", "validatingwebhookconfigurations", namespaced=False
    ),
    "MutatingWebhookConfiguration": Kind(
        "admissionregistration.k8s.io/v1", "mutatingwebhookconfigurations", namespaced=False
    ),
}


def kind_named(kind: str) -> Kind:
    """Return where ``kind`` lives. Raises ``InvalidObject`` for one that we never touch."""
    try:
        return KINDS[kind]
    except KeyError as exc:
        raise InvalidObject(f"The kind {kind!r} is not one that Granary works with.") from exc


def metadata(obj: Object) -> Object:
    """Return the object's metadata; an empty dict where there is none."""
    return obj.get("metadata") or {}


def name_of(obj: Object) -> str:
    """Return the object's name; empty where it has none yet."""
    return str(metadata(obj).get("name") or "")


def namespace_of(obj: Object) -> str | None:
    """Return the object's namespace; None for one of the cluster's own."""
    return metadata(obj).get("namespace") or None


def uid_of(obj: Object) -> str:
    """Return the object's uid; empty where the server has not given one yet."""
    return str(metadata(obj).get("uid") or "")


def spec_of(obj: Object) -> Object:
    """Return the object's spec; an empty dict where there is none."""
    return obj.get("spec") or {}


def status_of(obj: Object) -> Object:
    """Return the object's status; an empty dict where there is none."""
    return obj.get("status") or {}


def is_being_deleted(obj: Object) -> bool:
    """Whether somebody has deleted the object and only finalizers or time keep it."""
    return bool(metadata(obj).get("deletionTimestamp"))


def described(kind: str, name: str | None, namespace: str | None) -> str:
    """Return an object as sentences name it: ``Secret demo/pg``."""
    if not name:
        return f"{kind} in {namespace}" if namespace else kind
    return f"{kind} {namespace}/{name}" if namespace else f"{kind} {name}"


def described_object(obj: Object) -> str:
    """Return an object as sentences name it."""
    shown = name_of(obj) or f"{metadata(obj).get('generateName', '')}..."
    return described(str(obj.get("kind") or "object"), shown, namespace_of(obj))


def controller_of(obj: Object) -> Object | None:
    """Return the owner reference of the object's controller, or None."""
    for owner in metadata(obj).get("ownerReferences") or []:
        if owner.get("controller"):
            return dict(owner)
    return None


def owner_reference(owner: Object) -> Object:
    """Return what makes ``owner`` the controller of another object.

    Its deletion waits for the other's (blockOwnerDeletion), which under the admission plugin
    OwnerReferencesPermissionEnforcement needs ``update`` on the owner's ``finalizers``.
    """
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": name_of(owner),
        "uid": uid_of(owner),
        "controller": True,
        "blockOwnerDeletion": True,
    }
