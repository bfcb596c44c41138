# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Many objects at once: how long, how much memory, how many requests."""

from __future__ import annotations

import dataclasses
import secrets
import statistics
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.cluster import Cluster
from tests import stash_objects as stash
from tests.fix_operator import OperatorFactory, OperatorProcess, StashBed
from tests.testbed.kube.kubectl import Kubectl
from tests.waiting import wait_for

FINAL = {"Succeeded", "Failed", "Skipped", "Unknown"}
MOST_MIB = 250
READY_S = 120
REQUESTS_EACH = 30
"""For a new configuration: what it refers to, its account, binding, CronJob and status, twice."""


@dataclasses.dataclass(frozen=True)
class Size:
    """How many of what."""

    namespaces: int
    configurations: int
    sessions: int

    @property
    def each(self) -> int:
        """Configurations of a namespace."""
        return self.configurations // self.namespaces


SHORT, WHOLE = Size(4, 40, 12), Size(50, 500, 100)


@pytest.fixture(params=[SHORT, pytest.param(WHOLE, marks=pytest.mark.slow)], ids=str)
def size(request: pytest.FixtureRequest) -> Size:
    """How much there is."""
    found: Size = request.param
    return found


@pytest.fixture
def places(size: Size, kubectl: Kubectl, cluster: Cluster, crds: list[str]) -> Iterator[list[str]]:
    """Namespaces with a Secret, a Repository and an AppBinding each."""
    mark = secrets.token_hex(2)
    names = [f"scale-{mark}-{number}" for number in range(size.namespaces)]
    for name in names:
        cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        for part in (stash.secret(name), stash.repository(name), stash.binding(name)):
            cluster.create(part)
    yield names
    for name in names:
        cluster.delete("Namespace", name)


@pytest.fixture
def whole_operator(new_operator: OperatorFactory) -> OperatorProcess:
    """An operator for the whole cluster."""
    operator = new_operator()
    operator.start()
    return operator


def _phases(cluster: Cluster, kind: str, places: list[str]) -> list[str]:
    time.sleep(1)  # a list of five hundred is work for the server that is measured
    found = [each for each in cluster.list(kind) if each["metadata"]["namespace"] in places]
    return [(each.get("status") or {}).get("phase") or "" for each in found]


def test_many_configurations_and_sessions(
    *,
    size: Size,
    places: list[str],
    kubectl: Kubectl,
    cluster: Cluster,
    whole_operator: OperatorProcess,
    record_property: Callable[[str, object], None],
) -> None:
    task = f"scale-{secrets.token_hex(2)}"
    kubectl.apply(*stash.task(task, "true"))
    before = whole_operator.figure("operator_api_requests_total")
    begun = time.monotonic()
    names = [(place, f"pg-{number}") for place in places for number in range(size.each)]
    for place, name in names:
        cluster.create(stash.configuration(place, task, name))

    def ready() -> bool:
        return _phases(cluster, "BackupConfiguration", places) == ["Ready"] * len(names)

    wait_for(ready, "all to be Ready", whole_operator.log_tail, timeout_s=READY_S)
    took = time.monotonic() - begun
    asked = (whole_operator.figure("operator_api_requests_total") - before) / len(names)
    record_property("Ready", f"in {took:.0f} s, {asked:.1f} requests each")
    assert asked <= REQUESTS_EACH

    took, rss = _sessions_end(size, names, places, cluster, whole_operator)
    record_property("sessions over", f"in {took:.0f} s, {rss:.0f} MiB at most")
    assert rss <= MOST_MIB
    assert whole_operator.figure("operator_step_failures_total") == 0
    for place, name in names[:: len(names) // 10]:
        meta = cluster.get("BackupConfiguration", name, place)["metadata"]
        assert not {"annotations", "finalizers", "labels"} & set(meta)


def _sessions_end(
    size: Size,
    names: list[tuple[str, str]],
    places: list[str],
    cluster: Cluster,
    operator: OperatorProcess,
) -> tuple[float, float]:
    """Make sessions, all at once, and wait until all are over; returns the seconds that it took,
    and the most MiB seen.
    """
    seen: list[float] = []
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.2):
            seen.append(operator.rss_mib())

    watcher = threading.Thread(target=watch)
    watcher.start()
    begun = time.monotonic()
    try:
        step = len(names) // size.sessions
        for place, name in names[::step][: size.sessions]:
            cluster.create(stash.backup_session(place, f"{name}-now", name))

        def all_over() -> bool:
            phases = _phases(cluster, "BackupSession", places)
            return len(phases) == size.sessions and set(phases) <= FINAL

        wait_for(all_over, "all to be over", operator.log_tail, timeout_s=600)
    finally:
        over.set()
        watcher.join()
    return time.monotonic() - begun, max(seen)


@pytest.mark.slow
def test_a_session_has_its_job_within_a_second(
    operator: OperatorProcess, bed: StashBed, record_property: Callable[[str, object], None]
) -> None:
    """Seen from outside, the poll included; the median of twenty."""
    bed.configured("exit 1", backupHistoryLimit=2)
    waits = []
    for number in range(20):
        name = f"s{number}"
        begun = time.monotonic()
        bed.cluster.create(stash.backup_session(bed.namespace, name))
        wait_for(lambda: f"stash-backup-{name}-0" in bed.jobs(), "a Job")  # noqa: B023 # at once
        waits.append(time.monotonic() - begun)
        bed.backup(name, "Failed")
    record_property("wait", f"{statistics.median(waits):.3f} s median, {max(waits):.3f} s longest")
    assert statistics.median(waits) <= 1
