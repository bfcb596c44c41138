# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`granary operator`: leads or stands by, watches, and works until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import threading
import typing as t

from ansible_collections.granary.postgres.operator.controller.election import LeaseLock, campaign
from ansible_collections.granary.postgres.operator.controller.health import HealthServer
from ansible_collections.granary.postgres.operator.controller.log_lines import begin_logging
from ansible_collections.granary.postgres.operator.controller.options import Options, parse_options
from ansible_collections.granary.postgres.operator.controller.reconcilers import reconcile
from ansible_collections.granary.postgres.operator.controller.relist import Relist
from ansible_collections.granary.postgres.operator.controller.site import Site
from ansible_collections.granary.postgres.operator.controller.workers import Workers
from ansible_collections.granary.postgres.plugins.module_utils._core.errors import (
    ClusterForbidden,
    GranaryError,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.cluster import Cluster
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.objects import uid_of

if t.TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_log = logging.getLogger("granary.operator")
PATIENCE_S = 5.0
LONGEST_STEP_S = 300.0
"""A step makes a handful of requests, each with a time limit; one that takes longer hangs."""
LOOK_S = 0.5


def main(arguments: Sequence[str]) -> int:
    """Run the operator; return the exit status of its process."""
    try:
        options = parse_options(arguments, os.environ)
        begin_logging(options.log_level)
        return _Operator(options, Cluster.connect(patience_s=PATIENCE_S)).run()
    except GranaryError as exc:
        _log.error('event=ended code=%s error="%s"', exc.code, exc.sentence)
        return 1


class _Operator:
    """The parts of the process and the order in which they begin and end."""

    def __init__(self, options: Options, cluster: Cluster) -> None:
        self._options = options
        self._cluster = cluster
        self._stop = threading.Event()
        self._leads = threading.Event()
        self._watches = threading.Event()
        self._site: Site | None = None
        self._workers: Workers | None = None
        self._relist: Relist | None = None

    def run(self) -> int:
        """Lead or stand by until a signal comes; 0 if it did."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *dummy: self._stop.set())
        health = HealthServer(
            self._options.health_host,
            self._options.health_port,
            alive=self._what_hangs,
            ready=self._what_is_missing,
            figures=self._figures,
        )
        health.start()
        _log.info("event=started health_port=%d identity=%s", health.port, self._options.identity)
        options = self._options
        lock = LeaseLock(self._cluster, options.lease, options.own_namespace, options.identity)
        campaign(lock, won=self._leads, lost=self._end_at_once)
        try:
            while not self._leads.wait(LOOK_S):
                if self._stop.is_set():
                    return 0
            _log.info("event=leading identity=%s", options.identity)
            return self._lead()
        finally:
            self._stop.set()
            lock.release()
            health.stop()

    def _lead(self) -> int:
        site = Site(
            cluster=self._cluster, options=self._options, cluster_uid=_cluster_uid(self._cluster)
        )
        relist = Relist(site)
        workers = Workers(site.queue, lambda key: reconcile(site, key), count=self._options.workers)
        self._site, self._relist, self._workers = site, relist, workers
        workers.start()
        relist.start()
        try:
            # kopf looks only once which kinds there are, so they must be there.
            while not relist.listed.wait(LOOK_S):
                if self._stop.is_set():
                    return 0
            return self._watch(site)
        finally:
            relist.stop()
            workers.stop()

    def _watch(self, site: Site) -> int:
        from ansible_collections.granary.postgres.operator.controller.watcher import watch

        with contextlib.suppress(asyncio.CancelledError):
            asyncio.run(watch(site, ready=self._watches))
        # Without an error it ends by a signal alone.
        _log.info("event=stopping")
        return 0

    def _end_at_once(self) -> None:
        """End the process where it stands: another one may lead by now, and two that write would
        undo each other's work.
        """
        if not self._stop.is_set():
            _log.error("event=lease_lost")
            os._exit(1)

    def _what_hangs(self) -> str | None:
        if self._site is None or self._workers is None:
            return None
        longest = self._site.queue.longest_work_s()
        if longest > LONGEST_STEP_S:
            return f"a step has taken {longest:.0f} s"
        if not self._workers.is_alive() and not self._stop.is_set():
            return "nothing is worked on"
        return None

    def _what_is_missing(self) -> str | None:
        if not self._leads.is_set() or self._relist is None:
            return None  # it stands by, ready to lead
        if not self._relist.listed.is_set():
            return self._relist.complaint
        return None if self._watches.is_set() else "the watch has not begun"

    def _figures(self) -> Mapping[str, float]:
        workers = self._workers
        return {
            "operator_up": 1,
            "operator_leads": float(self._leads.is_set()),
            "operator_steps_total": workers.steps if workers else 0,
            "operator_step_failures_total": workers.failures if workers else 0,
            "operator_api_requests_total": self._cluster.requests,
        }


def _cluster_uid(cluster: Cluster) -> str:
    """Return what tells this cluster from others, or nothing where we may not read it: then locks
    of this cluster's pods go by age alone.
    """
    try:
        return uid_of(cluster.find("Namespace", "kube-system") or {})
    except ClusterForbidden as exc:
        _log.warning('event=cluster_unknown error="%s"', exc.sentence)
        return ""
