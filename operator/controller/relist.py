# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Looks at everything: once at the beginning, then from time to time.

Whatever was missed (while no operator ran, by a watch that broke, a wish kept in memory alone) is
found again by it. At the beginning it also proves that we may read what we serve.
"""

from __future__ import annotations

import logging
import random
import threading
import typing as t

from ansible_collections.granary.postgres.operator.controller.configuration_metrics import (
    pushed_keys,
)
from ansible_collections.granary.postgres.operator.controller.keys import (
    RECONCILED,
    Key,
    key_of,
)
from ansible_collections.granary.postgres.operator.controller.wake_rules import is_settled
from ansible_collections.granary.postgres.plugins.module_utils._core.errors import (
    ClusterError,
    ClusterObjectMissing,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.objects import (
    KINDS,
)

if t.TYPE_CHECKING:
    from ansible_collections.granary.postgres.operator.controller.site import Site

_log = logging.getLogger("granary.relist")
EVERY_S = 900.0
SPREAD_S = 600.0
AFTER_ERROR_S = 3.0
NEEDED = frozenset({"Repository", "BackupConfiguration", "BackupSession", "RestoreSession"})
"""Without these kinds there is nothing to serve; others may be absent."""


class Relist:
    """A thread that lists and puts keys into the queue; ``complaint`` says why it could not."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="relist", daemon=True)
        self.listed = threading.Event()
        self.complaint = "Nothing has been listed yet."

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End it; a list under way is not waited for."""
        self._stop.set()

    def _run(self) -> None:
        pause = 0.0
        while not self._stop.wait(pause):
            try:
                self._list_all(spread_s=SPREAD_S if self.listed.is_set() else 0.0)
            except ClusterError as exc:
                self.complaint = exc.sentence
                _log.warning('event=not_listed error="%s"', exc.sentence)
                pause = AFTER_ERROR_S
            else:
                self.listed.set()
                self.complaint = ""
                pause = EVERY_S

    def _list_all(self, *, spread_s: float) -> None:
        there: set[Key] = set()
        for kind in sorted(RECONCILED):
            namespaces = self._site.options.namespaces or (None,)
            if not KINDS[kind].namespaced:
                if not self._site.options.is_cluster_wide:
                    continue
                namespaces = (None,)
            for namespace in namespaces:
                there |= self._list(kind, namespace, spread_s)
        for key in pushed_keys(self._site) - there:
            self._site.queue.add(key, random.uniform(0, spread_s))

    def _list(self, kind: str, namespace: str | None, spread_s: float) -> set[Key]:
        """Put those that may need something into the queue; return the keys of all."""
        try:
            found = self._site.cluster.list(kind, namespace)
        except ClusterObjectMissing:
            if kind in NEEDED:
                raise
            return set()
        for obj in found:
            if not is_settled(obj):
                self._site.queue.add(key_of(obj), random.uniform(0, spread_s))
        return {key_of(obj) for obj in found}
