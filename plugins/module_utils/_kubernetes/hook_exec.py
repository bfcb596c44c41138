# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""A command in a container of a running pod, by the pod's exec subresource (a WebSocket)."""

from __future__ import annotations

import collections
import time
import typing as t

from .._core.errors import ClusterForbidden, HookFailed

if t.TYPE_CHECKING:
    from kubernetes.stream.ws_client import WSClient

    from .cluster import Cluster
    from .objects import Object

_WORDS = 2000  # characters of what the command said last
_POLL_SECONDS = 1.0
_FORBIDDEN = 403


def execute_in_pod(
    cluster: Cluster,
    pod: Object,
    container: str | None,
    command: tuple[str, ...],
    timeout_seconds: float,
) -> None:
    """Run ``command`` to its end; ``container`` None is the first one.

    Raises ``HookFailed`` with the last words of the command, ``ClusterForbidden``.
    """
    names = [one["name"] for one in pod["spec"]["containers"]]
    place = f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
    if container is not None and container not in names:
        raise HookFailed(
            f"The pod {place} has no container {container!r}; it has {', '.join(names)}."
        )
    client = _open(cluster, pod, container or names[0], command)
    try:
        said = _follow(client, timeout_seconds)
        if said is None:
            raise HookFailed(
                f"The hook's command in pod {place} did not end within {timeout_seconds:.0f} "
                "seconds; it is left to itself."
            )
        _judge(client, said, place)
    finally:
        client.close()


def _open(cluster: Cluster, pod: Object, container: str, command: tuple[str, ...]) -> WSClient:
    from kubernetes.client import CoreV1Api
    from kubernetes.client.exceptions import ApiException
    from kubernetes.stream import stream

    metadata = pod["metadata"]
    try:
        client: WSClient = stream(
            CoreV1Api(cluster.api_client).connect_get_namespaced_pod_exec,
            metadata["name"],
            metadata["namespace"],
            container=container,
            command=list(command),
            stdin=False,
            stdout=True,
            stderr=True,
            tty=False,
            _preload_content=False,
        )
    except ApiException as exc:
        place = f"{metadata['namespace']}/{metadata['name']}"
        kind = ClusterForbidden if _is_forbidden(exc) else HookFailed
        raise kind(
            f"The hook's command could not be started in pod {place}: {exc.reason or exc}; check "
            "that the pod runs and that hooks of this kind are granted (pods/exec)."
        ) from exc
    return client


def _is_forbidden(exc: t.Any) -> bool:
    """The WebSocket's library tells the status only in words."""
    return exc.status == _FORBIDDEN or "403 Forbidden" in str(exc.reason)


def _follow(client: WSClient, timeout_seconds: float) -> str | None:
    """Return the command's last words once it has ended, None if it did not in time."""
    deadline = time.monotonic() + timeout_seconds
    words: collections.deque[str] = collections.deque(maxlen=_WORDS)
    while client.is_open():
        left = deadline - time.monotonic()
        if left <= 0:
            return None
        client.update(timeout=min(left, _POLL_SECONDS))
        for channel in (1, 2):  # output and errors, in the order of their coming
            words.extend(client.read_channel(channel))
    return " ".join("".join(words).split())


def _judge(client: WSClient, said: str, place: str) -> None:
    import yaml

    verdict = yaml.safe_load(client.read_channel(3) or "{}")  # the API server's Status object
    if verdict.get("status") == "Success":
        return
    words = verdict.get("message") or "the connection broke"
    raise HookFailed(
        f"The hook's command in pod {place} failed: {words}{f'; it said: {said}' if said else ''}."
    )
