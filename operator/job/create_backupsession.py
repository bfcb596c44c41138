# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`create-backupsession`: what the CronJob of a schedule runs at its minute to make a session.

It speaks to the API server by the standard library alone: the client library takes longer to import
than all of this takes to run. The name of a session is that of its minute, so two triggers of one
minute make one session.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import ssl
import time
import typing as t
import urllib.error
import urllib.request
from pathlib import Path

from ansible_collections.granary.postgres.operator.job.container import ended, own_namespace
from ansible_collections.granary.postgres.operator.job.plain_arguments import (
    command_parser,
    read_arguments,
)
from ansible_collections.granary.postgres.plugins.module_utils._core.errors import (
    ClusterObjectExists,
    ClusterUnavailable,
    ConfigError,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.cluster_errors import (
    answered,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.invoker import Invoker
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.names import (
    backup_session_name,
    session_labels,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.objects import (
    STASH,
    STASH_V1BETA1,
    described,
    kind_named,
    owner_reference,
)

if t.TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from ansible_collections.granary.postgres.operator.job.log_lines import LogEvents
    from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.objects import Object

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_SESSION = "BackupSession"
_TRIES = 6
_PAUSE_SECONDS = 2.0
_TIMEOUT_SECONDS = 15.0
# What a CronJob puts behind its name for its Jobs: the minutes since 1970 of the time that was due.
_MINUTES = re.compile(r"-(?P<minutes>\d{8})\Z", re.ASCII)


def main(
    arguments: Sequence[str],
    *,
    service_account: Path = SERVICE_ACCOUNT,
    pause_seconds: float = _PAUSE_SECONDS,
) -> int:
    """Return 0 once there is a session for this minute, whoever made it."""

    def work(events: LogEvents) -> None:
        options = read_arguments(_parser(), arguments, events)
        server = _Server(service_account, pause_seconds)
        namespace = options.namespace or own_namespace()
        invoker = server.get(options.invoker_kind, options.invoker_name, namespace)
        session = new_session(invoker, due_seconds(os.environ.get("GRANARY_JOB_NAME", "")))
        made = server.create(session)
        event = "session_created" if made else "session_was_there"
        events.progress(event, namespace=namespace, name=session["metadata"]["name"])

    return ended(work)


def _parser() -> argparse.ArgumentParser:
    parser = command_parser("create-backupsession")
    parser.add_argument("--invoker-name", required=True)
    parser.add_argument("--invoker-kind", required=True)
    parser.add_argument("--namespace", default="")
    return parser


def due_seconds(job_name: str) -> int:
    """Return the Unix time that a CronJob's Job of this name was due at; else this moment's."""
    found = _MINUTES.search(job_name)
    return int(found["minutes"]) * 60 if found else int(time.time())


def new_session(obj: Object, unix_seconds: int) -> Object:
    """Return the session that an invoker is due. Raises ``InvalidObject``."""
    invoker = Invoker.parse(obj)
    spec: Object = {"invoker": {"apiGroup": STASH, "kind": invoker.kind, "name": invoker.name}}
    if invoker.retry is not None:
        spec["retryLeft"] = invoker.retry.max_retry
    return {
        "apiVersion": STASH_V1BETA1,
        "kind": _SESSION,
        "metadata": {
            "name": backup_session_name(invoker.name, unix_seconds),
            "namespace": invoker.namespace,
            "labels": session_labels(invoker.labels, invoker.kind, invoker.name, invoker.target),
            "ownerReferences": [owner_reference(obj)],
        },
        "spec": spec,
    }


class _Server:
    """The API server as the pod's service account reaches it."""

    def __init__(self, service_account: Path, pause_seconds: float) -> None:
        host = os.environ.get("KUBERNETES_SERVICE_HOST", "")
        port = os.environ.get("KUBERNETES_SERVICE_PORT", "443")
        if not host:
            raise ConfigError("KUBERNETES_SERVICE_HOST is not set; run this in a pod.")
        self._url = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
        self._pause_seconds = pause_seconds
        try:
            self._token = (service_account / "token").read_text(encoding="ascii").strip()
            context = ssl.create_default_context(cafile=str(service_account / "ca.crt"))
        except (OSError, ValueError) as exc:
            raise ConfigError(
                f"The service account in {service_account} cannot be used: {exc}; let the pod "
                "mount its token."
            ) from exc
        # No proxy: the API server is inside the cluster.
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )

    def get(self, kind: str, name: str, namespace: str) -> Object:
        """Return an object. Raises ``ClusterError``, ``InvalidObject``."""
        path = kind_named(kind).path(namespace, name)
        found = self._ask("GET", path, described(kind, name, namespace))
        return {**found, "kind": kind}

    def create(self, session: Object) -> bool:
        """Create a session; False where one of its name is there already."""
        metadata = session["metadata"]
        namespace, name = metadata["namespace"], metadata["name"]
        path = kind_named(_SESSION).path(namespace)
        try:
            self._ask("POST", path, described(_SESSION, name, namespace), session)
        except ClusterObjectExists:
            return False
        return True

    def _ask(self, method: str, path: str, what: str, body: Object | None = None) -> Object:
        """Send a request, again while the server is away: a name cannot be given twice."""
        for dummy in range(_TRIES - 1):
            try:
                return self._send(method, path, what, body)
            except ClusterUnavailable:
                time.sleep(self._pause_seconds)
        return self._send(method, path, what, body)

    def _send(self, method: str, path: str, what: str, body: Object | None) -> Object:
        request = urllib.request.Request(
            self._url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Authorization": f"Bearer {self._token}",
                "Accept": "application/json",
                "Content-Type": "application/json",
            },
        )
        try:
            with self._opener.open(request, timeout=_TIMEOUT_SECONDS) as response:
                found: Object = json.load(response)
                return found
        except urllib.error.HTTPError as exc:
            with exc:
                raise answered(exc.code, exc.read().decode("utf-8", "replace"), what) from exc
        except (OSError, http.client.HTTPException, ValueError) as exc:
            raise ClusterUnavailable(
                f"The API server {self._url} did not answer for {what}: {exc}."
            ) from exc
