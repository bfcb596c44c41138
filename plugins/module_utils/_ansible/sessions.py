# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""From the parameters of the session modules to what the engine takes, and back."""

from __future__ import annotations

import typing as t

from .._core.redaction import Secret
from .._kubernetes.cluster import Cluster
from .._kubernetes.session_objects import RestoreWish
from .._kubernetes.session_run import Waiting
from .face import failure

if t.TYPE_CHECKING:
    from .._kubernetes.session_run import SessionResult

Params = t.Mapping[str, t.Any]

PATIENCE_S = 60.0
"""For how long an API server that does not answer is asked again, while a session goes on."""


def cluster(params: Params) -> Cluster:
    """Return the cluster that the options name. Raises ``ConfigError``."""
    same = ("kubeconfig", "context", "host", "ca_cert", "client_cert", "client_key")
    token = params["api_key"]
    return Cluster.connect(
        patience_s=PATIENCE_S,
        **{name: params[name] for name in (*same, "proxy", "no_proxy")},
        api_key=Secret(token) if token else None,
        verify=params["validate_certs"] is not False,
    )


def waiting(params: Params) -> Waiting:
    """Return whether and how long to wait."""
    return Waiting(enabled=params["wait"], timeout_seconds=params["wait_timeout"])


def restore_wish(params: Params) -> RestoreWish:
    """Return what is to be restored."""
    return RestoreWish(
        name=params["name"],
        namespace=params["namespace"],
        target=params["target"],
        repository=params["repository"],
        repository_namespace=params["repository_namespace"] or "",
        task=params["task"],
        params={name: _word(value) for name, value in params["params"].items()},
        snapshot=params["snapshot"],
        source_host=params["source_host"] or "",
    )


def _word(value: t.Any) -> str:
    """Return a value of YAML as a Task's parameter: a text, booleans as Go writes them."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def session_return(result: SessionResult) -> dict[str, t.Any]:
    """Return what the module returns; a session without success makes it a failure."""
    failed = {} if result.failure is None else failure(result.failure)
    return {"changed": result.changed, "session": result.session, **failed}
