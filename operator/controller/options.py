# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the operator is told on its command line and by its environment."""

from __future__ import annotations

import argparse
import dataclasses
import os
import socket
import typing as t

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import ConfigError

if t.TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SERVICE_ACCOUNT_NAMESPACE = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"
_LEVELS = ("debug", "info", "warning", "error")
_MOST_WORKERS = 64


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """``namespaces`` empty is the whole cluster. ``pushgateway_url`` is where Jobs push to,
    ``push_url`` where we do ourselves; both empty: metrics are not pushed.
    """

    namespaces: tuple[str, ...]
    image: str
    pushgateway_url: str
    push_url: str
    exec_hooks: bool
    own_namespace: str
    identity: str
    lease: str
    health_host: str
    health_port: int
    workers: int
    log_level: str

    @property
    def is_cluster_wide(self) -> bool:
        """Whether every namespace is served, those to come too."""
        return not self.namespaces

    def serves(self, namespace: str) -> bool:
        """Whether objects of a namespace are ours to look at."""
        return self.is_cluster_wide or namespace in self.namespaces


def parse_options(arguments: Sequence[str], environment: Mapping[str, str]) -> Options:
    """Read the options; the process ends with a usage message where they are wrong.

    Raises ``ConfigError`` where our own namespace cannot be told.
    """
    told = _parser().parse_args(arguments)
    if not 1 <= told.workers <= _MOST_WORKERS:
        raise ConfigError(f"--workers is {told.workers}; give 1 to {_MOST_WORKERS}.")
    return Options(
        namespaces=tuple(sorted({each for each in told.namespace if each})),
        image=told.image,
        pushgateway_url=told.pushgateway_url,
        push_url=told.push_url or told.pushgateway_url,
        exec_hooks=told.exec_hooks,
        own_namespace=_own_namespace(environment),
        identity=environment.get("GRANARY_POD_NAME") or f"{socket.gethostname()}-{os.getpid()}",
        lease=told.lease,
        health_host=told.health_host,
        health_port=told.health_port,
        workers=told.workers,
        log_level=told.log_level,
    )


def _own_namespace(environment: Mapping[str, str]) -> str:
    told = environment.get("GRANARY_POD_NAMESPACE")
    if told:
        return told
    try:
        with open(SERVICE_ACCOUNT_NAMESPACE, encoding="utf-8") as file:
            return file.read().strip()
    except OSError as exc:
        raise ConfigError(
            "The operator does not know its own namespace, where its Lease lies; "
            "set GRANARY_POD_NAMESPACE."
        ) from exc


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="granary operator", description="Serves Stash's API for PostgreSQL in a cluster."
    )
    add = parser.add_argument
    add("--namespace", action="append", default=[], help="namespace to serve; none: all")
    add("--image", required=True, help="image of the Jobs, which is the operator's own")
    add("--pushgateway-url", default="", help="where Jobs push their metrics to")
    add("--push-url", default="", help="where the operator itself pushes, if elsewhere")
    add("--exec-hooks", action="store_true", help="serve hooks that run commands in pods")
    add("--lease", default="granary-operator", help="name of the Lease that the leader holds")
    add("--health-host", default="0.0.0.0", help="address of the health endpoints")
    add("--health-port", type=int, default=8080, help="port of the health endpoints; 0: any")
    add("--workers", type=int, default=8, help="how many objects are worked on at once")
    add("--log-level", choices=_LEVELS, default="info")
    return parser
