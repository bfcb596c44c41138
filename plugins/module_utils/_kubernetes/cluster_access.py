# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""How the API server is reached and as whom: by options, the pod's service account or kubeconfig.

Uses the library ``kubernetes`` for exactly this, so that every kind of kubeconfig works.
"""

from __future__ import annotations

import dataclasses
import os
import sys
import typing as t
from pathlib import Path

from .._core.errors import ConfigError

if t.TYPE_CHECKING:
    from collections.abc import Mapping

    from kubernetes.client import ApiClient, Configuration

    from .._core.redaction import Secret

CONNECTIONS = 16
"""Kept open for each process; more threads than these wait for none, their connection is dropped
after its answer."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ClusterAccess:
    """The options that ``kubernetes.core`` has too.

    Nothing given: the service account of the pod that we run in, else ``$KUBECONFIG``, else
    ``~/.kube/config``. ``host`` together with a token or a client certificate is used alone,
    without any file. ``kubeconfig`` is a path, or the content of such a file.
    """

    kubeconfig: str | Mapping[str, t.Any] | None = None
    context: str | None = None
    host: str | None = None
    api_key: Secret | None = None
    ca_cert: str | None = None
    verify: bool = True
    client_cert: str | None = None
    client_key: str | None = None
    proxy: str | None = None
    no_proxy: str | None = None

    @property
    def is_complete(self) -> bool:
        """Whether no file is needed to know where to go and as whom."""
        return bool(self.host and (self.api_key or self.client_cert))


def connected(access: ClusterAccess) -> ApiClient:
    """Return the library's client; nobody is asked anything yet.

    Raises ``ConfigError``.
    """
    try:
        from kubernetes.client import ApiClient, Configuration
    except ImportError as exc:
        raise ConfigError(
            f"Kubernetes needs the Python library kubernetes, which {sys.executable} does not "
            f"have ({exc}); install it there."
        ) from exc
    configuration = Configuration()
    if not access.is_complete:
        _load(configuration, access)
    _apply(configuration, access)
    # We try again ourselves: only we know which requests may be repeated.
    configuration.retries = False
    configuration.connection_pool_maxsize = CONNECTIONS
    try:
        for path in (configuration.ssl_ca_cert, configuration.cert_file, configuration.key_file):
            if path:  # read by the first connection only
                Path(path).read_bytes()
        client = ApiClient(configuration)
    except (OSError, ValueError) as exc:
        raise ConfigError(
            f"The certificates for the API server cannot be used: {exc}; correct them."
        ) from exc
    client.user_agent = "granary"
    return client


def _load(configuration: Configuration, access: ClusterAccess) -> None:
    from kubernetes import config

    try:
        if access.kubeconfig is None and access.context is None and in_a_pod():
            config.load_incluster_config(client_configuration=configuration)
        elif access.kubeconfig is None or isinstance(access.kubeconfig, str):
            config.load_kube_config(
                config_file=access.kubeconfig,
                context=access.context,
                client_configuration=configuration,
                persist_config=False,
            )
        else:
            config.load_kube_config_from_dict(
                dict(access.kubeconfig),
                context=access.context,
                client_configuration=configuration,
                persist_config=False,
            )
    except (config.ConfigException, OSError, ValueError) as exc:
        raise ConfigError(
            f"There is no usable way into a cluster: {str(exc).rstrip('.')}; "
            "give kubeconfig, or host and api_key."
        ) from exc


def in_a_pod() -> bool:
    """Whether Kubernetes told this process where its API server is."""
    return bool(os.environ.get("KUBERNETES_SERVICE_HOST"))


def _apply(configuration: Configuration, access: ClusterAccess) -> None:
    if access.host:
        configuration.host = access.host.rstrip("/")
    if access.api_key:
        configuration.api_key["BearerToken"] = f"Bearer {access.api_key.reveal()}"
        configuration.refresh_api_key_hook = None
    configuration.verify_ssl = access.verify and configuration.verify_ssl
    for name, value in (
        ("ssl_ca_cert", access.ca_cert),
        ("cert_file", access.client_cert),
        ("key_file", access.client_key),
        ("proxy", access.proxy),
        ("no_proxy", access.no_proxy),
    ):
        if value is not None:
            setattr(configuration, name, value)
