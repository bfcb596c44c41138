# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The failure matrix on a bucket: answers that are lost, late, cut, or refusals, by a proxy."""

from __future__ import annotations

import dataclasses
import signal
import threading
import typing as t
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._storage.model import S3Settings
from tests.faults import runs
from tests.faults.oracle import Oracle, restic_complaints
from tests.faults.placement import shorten_patience
from tests.faults.site import Child, Site, in_child
from tests.fix_faults import SiteFactory
from tests.fix_repository import Place
from tests.testbed.http_proxy import Fault, HttpProxy
from tests.testbed.s3 import Bucket
from tests.waiting import wait_for

Act = Callable[[Site, str], None]
_LEAST_CELLS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class ImpatientPlace(Place):
    """A bucket behind a proxy, for runs that wait a second for an answer, and try three times."""

    @property
    def settings(self) -> S3Settings:
        """As of any place, with little patience."""
        settings = Place(where=self.where, cache_dir=self.cache_dir).settings
        assert isinstance(settings, S3Settings)
        return dataclasses.replace(settings, read_timeout_s=1.0, tries=3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A kind of run, the request that meets the fault, and the fault."""

    name: str
    act: Act
    method: str
    path: str
    skip: int
    fault: str

    def __str__(self) -> str:
        return f"{self.name} / {self.method} {self.path} {self.skip} / {self.fault}"


_FAULTS: dict[str, dict[str, t.Any]] = {
    "request lost": {"kind": "cut", "times": 1},
    "reply lost": {"kind": "cut_after", "times": 1},
    "replies lost": {"kind": "cut_after"},
    "late and doubled": {"kind": "stall", "times": 1},
    "never": {"kind": "cut"},
    "refused once": {"kind": "answer", "status": 503, "times": 1},
    "refused": {"kind": "answer", "status": 500},
    "denied": {"kind": "answer", "status": 403},
}
_PLACES: tuple[tuple[str, Act, tuple[tuple[str, str, int], ...]], ...] = (
    (
        "back up",
        runs.back_up,
        (
            ("PUT", "/locks/", 0),
            ("PUT", "/data/", 0),
            ("PUT", "/data/", 2),
            ("PUT", "/index/", 0),
            ("PUT", "/snapshots/", 0),
            ("DELETE", "/locks/", 0),
        ),
    ),
    (
        "retention",
        runs.retain,
        (
            ("DELETE", "/snapshots/", 0),
            ("PUT", "/index/", 0),
            ("DELETE", "/index/", 0),
            ("DELETE", "/data/", 0),
            ("DELETE", "/data/", 3),
            ("GET", "/data/", 0),
        ),
    ),
)
CELLS = [
    Cell(name=name, act=act, method=method, path=path, skip=skip, fault=fault)
    for name, act, points in _PLACES
    for method, path, skip in points
    for fault in _FAULTS
]


def _nothing_under_way() -> bool:
    """Whether every connection to the proxy, which is a thread of this process, has ended."""
    return not any("process_request" in thread.name for thread in threading.enumerate())


def test_there_are_enough_of_them() -> None:
    assert len(CELLS) >= _LEAST_CELLS


@pytest.mark.sampled("cell", CELLS, 3)
def test_no_fault_on_a_bucket_loses_anything(
    cell: Cell, s3_bucket: Bucket, s3_proxy: HttpProxy, sites: SiteFactory
) -> None:
    site = Site.at(s3_bucket, sites("scratch").journal.path.parent)
    runs.create(site, "creation")
    for number in range(4):
        runs.back_up(site, f"before-{number}", host=f"db{number % 2}")
    behind = dataclasses.replace(
        site,
        place=ImpatientPlace(
            where=dataclasses.replace(s3_bucket, endpoint=s3_proxy.endpoint),
            cache_dir=site.place.cache_dir,
        ),
    )
    fault = s3_proxy.add(
        Fault(method=cell.method, path=cell.path, skip=cell.skip, **_FAULTS[cell.fault])
    )

    def live() -> None:
        shorten_patience()
        cell.act(behind, "run")

    child = Child(live)
    assert child.wait() == 0
    wait_for(child.group_ended, "the end of the run")
    assert fault.hits
    s3_proxy.clear()  # what was stalled lands now
    wait_for(_nothing_under_way, "the late requests")
    assert Oracle.of(site).complaints(site) == []
    for act in (runs.back_up, runs.retain):
        assert in_child(partial(act, site, f"next {act.__name__}")) == 0
    assert site.journal.count("acknowledged", run="next back_up") == 1, site.journal.lines()[-3:]
    assert site.journal.count("done", run="next retain") == 1, site.journal.lines()[-3:]
    assert [*Oracle.of(site).complaints(site), *restic_complaints(site, "0.19")] == []


def test_a_killed_backup_on_a_bucket_is_followed_by_the_next(
    s3_bucket: Bucket, s3_proxy: HttpProxy, sites: SiteFactory
) -> None:
    site = Site.at(s3_bucket, sites("scratch").journal.path.parent)
    runs.create(site, "creation")
    behind = dataclasses.replace(
        site,
        place=Place(
            where=dataclasses.replace(s3_bucket, endpoint=s3_proxy.endpoint),
            cache_dir=site.place.cache_dir,
        ),
    )
    killed: list[Child] = []
    s3_proxy.add(
        Fault(
            kind="run",
            method="PUT",
            path="/data/",
            skip=2,
            times=1,
            action=lambda dummy: killed[0].send(signal.SIGKILL),
        )
    )
    killed.append(Child(partial(runs.back_up, behind, "killed")))
    assert killed[0].wait() == -signal.SIGKILL
    wait_for(killed[0].group_ended, "the end of the run")
    runs.back_up(site, "next")
    assert site.journal.count("acknowledged", run="next") == 1
    assert [*Oracle.of(site).complaints(site), *restic_complaints(site)] == []
