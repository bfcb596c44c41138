# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""The pod that executes a database's hooks: the one behind the Service of its AppBinding."""

from __future__ import annotations

import typing as t

from .._core.errors import ClusterObjectMissing, HookFailed

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from .cluster import Cluster
    from .objects import Object


def executor_pod(cluster: Cluster, binding: Object) -> Object:
    """Return the first ready pod behind the AppBinding's Service, or the first one that is not.

    Raises ``HookFailed`` where there is none: for an AppBinding of an address outside, or a Service
    without pods.
    """
    metadata = binding["metadata"]
    place = f"AppBinding {metadata['namespace']}/{metadata['name']}"
    service = binding.get("spec", {}).get("clientConfig", {}).get("service")
    if not service:
        raise HookFailed(
            f"{place} names no Service, so there is no pod to run the hook in; name a host in the "
            "hook, or give the AppBinding clientConfig.service."
        )
    namespace = service.get("namespace") or metadata["namespace"]
    try:
        endpoints = cluster.get("Endpoints", service["name"], namespace)
    except ClusterObjectMissing as exc:
        raise _nobody(namespace, service["name"], place) from exc
    for name in _pod_names(endpoints):
        pod = cluster.find("Pod", name, namespace)
        if pod is not None:
            return pod
    raise _nobody(namespace, service["name"], place)


def _nobody(namespace: str, service: str, place: str) -> HookFailed:
    return HookFailed(
        f"No pod is behind the Service {namespace}/{service} of {place}, so there is none to run "
        "the hook in; check the Service's selector and that the database runs."
    )


def _pod_names(endpoints: Object) -> Iterator[str]:
    """Yield the names of the pods, those that are ready first."""
    subsets = endpoints.get("subsets") or ()
    for kind in ("addresses", "notReadyAddresses"):
        for subset in subsets:
            for address in subset.get(kind) or ():
                target = address.get("targetRef") or {}
                if target.get("kind") == "Pod":
                    yield target["name"]


def address_of(pod: Object) -> str:
    """Return the pod's address. Raises ``HookFailed`` while it has none."""
    address = pod.get("status", {}).get("podIP")
    if not address:
        raise HookFailed(
            f"The pod {pod['metadata']['namespace']}/{pod['metadata']['name']} has no address yet, "
            "so the hook cannot reach it; check that it runs."
        )
    return str(address)


def port_of(pod: Object, name: str, container: str | None) -> int:
    """Return the number of a port that a container calls ``name``; of any container for None.

    Raises ``HookFailed``.
    """
    for one in pod["spec"]["containers"]:
        if container in {None, one["name"]}:
            for port in one.get("ports") or ():
                if port.get("name") == name:
                    return int(port["containerPort"])
    raise HookFailed(
        f"The pod {pod['metadata']['namespace']}/{pod['metadata']['name']} has no port called "
        f"{name!r}; correct the hook's port or its containerName."
    )
