# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How a container of a Job ends: with 0 or 1, and on 1 with the cause where Kubernetes shows it."""

from __future__ import annotations

import contextlib
import os
import typing as t

from ansible_collections.granary.postgres.operator.job.log_lines import LogEvents
from ansible_collections.granary.postgres.plugins.module_utils._core.errors import (
    ConfigError,
    GranaryError,
)

if t.TYPE_CHECKING:
    from collections.abc import Callable

TERMINATION_LOG = "/dev/termination-log"
_MOST_BYTES = 4096  # the kubelet keeps no more


def ended(work: Callable[[LogEvents], None], events: LogEvents | None = None) -> int:
    """Do the container's work and return its exit status."""
    events = events or LogEvents()
    try:
        work(events)
    except GranaryError as exc:
        events.error("failed", code=exc.code, message=exc.sentence)
        tell_cause(exc.sentence)
        return 1
    return 0


def tell_cause(sentence: str) -> None:
    """Leave the cause of the end for whoever looks at the pod; outside a pod nobody does."""
    with contextlib.suppress(OSError):
        # Never made: outside a pod this would leave a file in /dev.
        descriptor = os.open(TERMINATION_LOG, os.O_WRONLY | os.O_TRUNC)
        with open(descriptor, "wb") as file:
            file.write(sentence.encode()[:_MOST_BYTES])


def own_namespace() -> str:
    """Return the namespace of the pod. Raises ``ConfigError`` outside one."""
    namespace = os.environ.get("GRANARY_POD_NAMESPACE", "")
    if not namespace:
        raise ConfigError(
            "The namespace is not known; give --namespace, or set GRANARY_POD_NAMESPACE."
        )
    return namespace
