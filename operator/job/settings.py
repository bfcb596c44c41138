# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From objects of the cluster and mounted files to what the engine takes."""

from __future__ import annotations

import base64
import os
import typing as t
from pathlib import Path

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import (
    ClusterObjectMissing,
    InvalidObject,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.app_binding import (
    AppConnection,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.lock_owner import (
    PodIdentity,
    PodWitness,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.names import SECRET_PATH
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.storage import (
    password,
    storage_settings,
)
from ansible_collections.granary.postgres.plugins.module_utils._postgres.model import (
    ConnectionSettings,
)
from ansible_collections.granary.postgres.plugins.module_utils._workflows.requests import (
    RepositoryAccess,
)

if t.TYPE_CHECKING:
    from collections.abc import Callable

    from ansible_collections.granary.postgres.operator.job.arguments import Target
    from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.cluster import (
        Cluster,
    )
    from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.repository_spec import (  # noqa: E501 - one name
        RepositorySpec,
    )
    from ansible_collections.granary.postgres.plugins.module_utils._repository.lock_file import Lock

# As long as Stash waits for somebody else's exclusive lock.
LOCK_WAIT_SECONDS = 600


def read_secret(cluster: Cluster, name: str, namespace: str) -> dict[str, bytes]:
    """Return the data of a Secret. Raises ``InvalidObject`` where it is not there or no base64."""
    try:
        secret = cluster.get("Secret", name, namespace)
    except ClusterObjectMissing as exc:
        raise InvalidObject(
            f"The Secret {namespace}/{name} does not exist; make it, or correct what names it."
        ) from exc
    data: dict[str, str] = secret.get("data") or {}
    try:
        return {key: base64.b64decode(value, validate=True) for key, value in data.items()}
    except ValueError as exc:
        raise InvalidObject(f"The Secret {namespace}/{name} holds no base64: {exc}.") from exc


def mounted_secret(folder: Path) -> dict[str, bytes] | None:
    """Return a Secret that is mounted at ``folder``; None where nothing is."""
    if not folder.is_dir():
        return None
    # The kubelet keeps its own links there, all of which begin with two dots.
    files = [file for file in folder.iterdir() if not file.name.startswith("..")]
    return {file.name: file.read_bytes() for file in files}


def repository_access(
    cluster: Cluster,
    spec: RepositorySpec,
    *,
    scratch: Path,
    mounted: Path = Path(SECRET_PATH),
) -> RepositoryAccess:
    """Return where the repository is and what opens it.

    Raises ``InvalidObject`` for a Secret that does not do, ``NotSupported`` for the backend.
    """
    secret = mounted_secret(mounted)
    if secret is None:
        secret = read_secret(cluster, spec.secret_name, spec.namespace)
    return RepositoryAccess(
        settings=storage_settings(spec, secret, scratch=scratch),
        passwords=(password(spec, secret),),
        lock_wait_seconds=LOCK_WAIT_SECONDS,
        witness=lock_witness(cluster),
    )


def lock_witness(cluster: Cluster) -> Callable[[Lock], str | None]:
    """Return what tells of a lock whether the pod that took it is gone."""
    pods = PodWitness(
        cluster,
        cluster=os.environ.get("GRANARY_CLUSTER", ""),
        namespace=os.environ.get("GRANARY_POD_NAMESPACE", ""),
    )

    def death_of_owner(lock: Lock) -> str | None:
        origin = lock.origin
        if origin is None:
            return None
        pod = PodIdentity(
            cluster=origin.cluster,
            namespace=origin.namespace,
            name=lock.hostname,
            uid=origin.pod_uid,
            node=origin.node,
        )
        return pods.death_of(pod)

    return death_of_owner


def connection_settings(
    cluster: Cluster, target: Target, *, user: str, scratch: Path
) -> ConnectionSettings:
    """Return how to reach the database of an AppBinding; certificates are written to ``scratch``.

    ``user`` replaces the Secret's, as Stash has it only with a client certificate. Raises
    ``InvalidObject``.
    """
    try:
        binding = cluster.get("AppBinding", target.name, target.namespace)
    except ClusterObjectMissing as exc:
        raise InvalidObject(
            f"The AppBinding {target.namespace}/{target.name} does not exist; make it, or correct "
            "the target's name."
        ) from exc
    app = AppConnection.parse(
        binding,
        lambda name: read_secret(cluster, name, target.namespace),
        user_param=user,
        scratch=scratch,
    )
    return ConnectionSettings(
        host=app.host,
        port=app.port,
        user=app.user,
        password=app.password,
        ssl_mode=app.ssl_mode,
        ca_cert=app.ca_cert,
        ssl_cert=app.client_cert,
        ssl_key=app.client_key,
    )
