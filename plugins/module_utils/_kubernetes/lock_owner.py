# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""Whether the pod that took a repository's lock is gone for certain.

That a pod is not to be seen any more proves little: a node that cannot be reached may go on running
it. So either the kubelet itself has said that its containers ended, or the node is known to be well
(what it does not show does not run) or to be deleted. What may not be looked at proves nothing.
"""

from __future__ import annotations

import dataclasses
import typing as t

from .._core.errors import ClusterError

if t.TYPE_CHECKING:
    from .cluster import Cluster
    from .objects import Object

_ENDED = {"Succeeded", "Failed"}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PodIdentity:
    """A pod as its lock names it; ``node`` is where it ran, empty where that was not told."""

    cluster: str
    namespace: str
    name: str
    uid: str
    node: str


class PodWitness:
    """Looks at pods of one namespace of one cluster, which is the caller's own."""

    def __init__(self, api: Cluster, *, cluster: str, namespace: str) -> None:
        self._api = api
        self._cluster = cluster
        self._namespace = namespace

    def death_of(self, pod: PodIdentity) -> str | None:
        """Return why the pod is surely gone, as part of a sentence, or None."""
        here = (self._cluster, self._namespace)
        if not all(here) or (pod.cluster, pod.namespace) != here or not (pod.uid and pod.name):
            return None
        try:
            found = self._api.find("Pod", pod.name, pod.namespace)
            if found is not None and found["metadata"]["uid"] != pod.uid:
                found = None  # another one of its name
            if found is None:
                return self._well_or_gone(pod.node, "its pod is gone")
            if found.get("status", {}).get("phase") not in _ENDED:
                return None
            if _all_containers_ended(found):
                return "its pod has ended"
            node = found["spec"].get("nodeName") or pod.node
            return self._well_or_gone(node, "its pod has ended")
        except ClusterError:
            return None

    def _well_or_gone(self, node: str, reason: str) -> str | None:
        if not node:
            return None
        found = self._api.find("Node", node)
        if found is None:
            return f"{reason} and its node is deleted"
        conditions = found.get("status", {}).get("conditions") or ()
        ready = any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
        return reason if ready else None


def _all_containers_ended(pod: Object) -> bool:
    """Tell whether the kubelet has seen the end of every container that it began: nobody else
    writes that.
    """
    status = pod["status"]
    states = [
        one.get("state") or {}
        for kind in ("initContainerStatuses", "containerStatuses")
        for one in status.get(kind) or ()
    ]
    return any("terminated" in state for state in states) and not any(
        "running" in state for state in states
    )
