# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What every reconciler works with: the cluster, the options, the queue; and locks and notes that
live as long as the process.
"""

from __future__ import annotations

import dataclasses
import threading
import typing as t

from ansible_collections.granary.postgres.operator.controller.dependants import Dependants
from ansible_collections.granary.postgres.operator.controller.keys import Key
from ansible_collections.granary.postgres.operator.controller.queue import KeyedQueue
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.pod_spec import (
    JobSettings,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.variables import (
    Installation,
)

if t.TYPE_CHECKING:
    from ansible_collections.granary.postgres.operator.controller.options import Options
    from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.cluster import (
        Cluster,
    )

COMPONENT: t.Final = "granary-operator"
"""The source of the events that we record."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """``cluster_uid`` is the uid of the namespace kube-system, empty where we may not read it.

    ``starting`` is held while a session is looked at and claimed, so that two sessions never both
    see the other one waiting. ``announced`` holds what a configuration's metrics last said.
    """

    cluster: Cluster
    options: Options
    cluster_uid: str
    queue: KeyedQueue[Key] = dataclasses.field(default_factory=KeyedQueue)
    dependants: Dependants = dataclasses.field(default_factory=Dependants)
    starting: threading.Lock = dataclasses.field(default_factory=threading.Lock)
    announced: dict[Key, tuple[str, float]] = dataclasses.field(default_factory=dict)

    @property
    def job_settings(self) -> JobSettings:
        """What all pods that we make have in common."""
        return JobSettings(image=self.options.image, cluster_uid=self.cluster_uid)

    @property
    def installation(self) -> Installation:
        """What variables of Functions say of us."""
        return Installation(image=self.options.image, pushgateway_url=self.options.pushgateway_url)
