# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""A check of a repository from beginning to end, and a repair.

A check takes no lock: backups and prunes go on beside it. What it finds counts only if all that it
stands on is still there at the end; otherwise it looks again. A repair holds the exclusive lock
from before its first look.
"""

from __future__ import annotations

import dataclasses
import time
import typing as t

from .._core.errors import ConfigError, RepositoryDamaged, RepositoryError, StorageError
from .._postgres import layout
from .._repository.check import Damage, is_as_it_was, survey_repository
from .._repository.check_record import CheckRecord, read_check_record, write_check_record
from .._repository.data_check import (
    Subset,
    lost_blobs,
    read_indexed_packs,
    read_other_packs,
)
from .._repository.pack import pack_name
from .._repository.repair import execute_repair, index_after, plan_repair
from .._repository.repository import Repository
from .._repository.timestamp import Timestamp
from .._repository.tree_check import LostPath, find_losses
from .check_result import CheckResult
from .damaged_snapshots import describe_losses
from .snapshot_check import LineCounts, SnapshotCheck
from .stop_signals import StopSignals

if t.TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .._core.events import Events
    from .._postgres.manifest import Manifest
    from .._repository.check import Survey
    from .._repository.index import Index
    from .._repository.locks import RepositoryLock
    from .._repository.pack_check import BlobName, PackReading
    from .._repository.snapshot import Snapshot
    from .check_result import CheckRequest
    from .damaged_snapshots import DamagedSnapshot

_TRIES = 5


def check_repository(
    request: CheckRequest, *, events: Events, check_mode: bool = False
) -> CheckResult:
    """Check, and repair if asked; damage is returned, not raised.

    In check mode nothing is written: neither the record of the result, nor any repair, of which the
    result says what it would do.

    Raises ``ConfigError`` for options that cannot work, and what keeps the repository from being
    opened or looked at.
    """
    subset = check_request(request)
    access = request.repository
    with (
        StopSignals(),
        Repository.open(
            access.settings, access.passwords, events=events, witness=access.witness
        ) as repository,
    ):
        run = _Run(repository, request, check_mode=check_mode)
        if not request.repair:
            result = run.check(subset)
        elif check_mode:
            result = run.predict_repair()
        else:
            lock = repository.lock(exclusive=True, wait_seconds=access.lock_wait_seconds)
            with lock:
                result = run.repair(lock)
        if not check_mode:
            _record(repository, result)
        return result


def check_request(request: CheckRequest) -> Subset | None:
    """Return the packs to read where that is a part of them.

    Raises ``ConfigError`` for options that cannot work, before anything is touched.
    """
    if request.read_data_subset is None:
        return None
    for option in ("read_data", "repair"):
        if getattr(request, option):
            raise ConfigError(
                f"{option} reads all packs and read_data_subset some of them; give one of the two."
            )
    return Subset.parse(request.read_data_subset)


def _record(repository: Repository, result: CheckResult) -> None:
    """Keep the result in the repository; where that cannot be, it is only said."""
    found = result.to_record()
    read = result.read_data != "none"
    try:
        data = found if read else read_check_record(repository).data
        write_check_record(repository, CheckRecord(last=found, data=data))
    except StorageError as exc:
        repository.events.warn(
            f"The result of the check could not be kept in {repository.location}: {exc.message}"
        )


@dataclasses.dataclass(slots=True)
class _Reading:
    """What was read of packs: figures, and the packs that are not as they should be."""

    packs: int = 0
    size: int = 0
    bad: list[PackReading] = dataclasses.field(default_factory=list)

    def take(self, readings: Iterator[PackReading]) -> Iterator[PackReading]:
        """Pass the readings on, counted."""
        for reading in readings:
            self.packs += 1
            self.size += reading.size
            if reading.problems or reading.misindexed:
                self.bad.append(reading)
            yield reading


class _Run:
    def __init__(self, repository: Repository, request: CheckRequest, *, check_mode: bool) -> None:
        self._repository = repository
        self._request = request
        self._check_mode = check_mode
        self._began = time.monotonic()
        self._time = str(Timestamp(unix_ns=time.time_ns()))
        self._lines: LineCounts | None = None

    def check(self, subset: Subset | None) -> CheckResult:
        """Look until nothing that was found stands on something that went away meanwhile."""
        survey = survey_repository(self._repository)
        reading = _Reading()
        if self._request.what_is_read != "none":
            self._read(survey, subset, reading)
            survey = survey_repository(self._repository)
        self._repository.events.progress("check_surveyed", snapshots=len(survey.snapshots))
        for dummy in range(_TRIES):
            damage = (*survey.damage, *_pack_damage(reading, survey))
            lost = lost_blobs(_still_there(reading, survey), survey.index)
            snapshots = self._look_at_snapshots(survey, survey.index, lost)
            if not (damage or snapshots) or is_as_it_was(self._repository, survey):
                return self._result(survey, reading, damage, snapshots)
            survey = survey_repository(self._repository)
        raise RepositoryError(
            f"The repository in {self._repository.location} is being changed faster than it can be "
            "checked; wait for the prunes that run there, then try again."
        )

    def predict_repair(self) -> CheckResult:
        """Return what a repair would find, do and leave."""
        survey = survey_repository(self._repository)
        reading = _Reading()
        plan = plan_repair(self._repository, survey, self._read_everything(survey, reading))
        damage = (*survey.damage, *_pack_damage(reading, survey))
        snapshots = self._look_at_snapshots(survey, index_after(plan), frozenset())
        figures = {"changed": not plan.nothing_to_do, **plan.to_return()}
        return self._result(survey, reading, damage, snapshots, repair=figures)

    def repair(self, lock: RepositoryLock) -> CheckResult:
        """Repair what can be repaired, and look at what that left."""
        survey = survey_repository(self._repository)
        reading = _Reading()
        plan = plan_repair(self._repository, survey, self._read_everything(survey, reading))
        damage = (*survey.damage, *_pack_damage(reading, survey))
        if not plan.nothing_to_do:
            execute_repair(self._repository, lock, plan)
            survey = survey_repository(self._repository)
        snapshots = self._look_at_snapshots(survey, survey.index, frozenset())
        figures = {"changed": not plan.nothing_to_do, **plan.to_return()}
        return self._result(survey, reading, damage, snapshots, repair=figures)

    def _read(self, survey: Survey, subset: Subset | None, reading: _Reading) -> None:
        """Read the packs that the index names, or a part of them."""
        packs = survey.packs - survey.lost_packs
        chosen = packs if subset is None else subset.choose(packs)
        self._lines = LineCounts(survey.index)
        sizes = {pack: survey.listed[pack] for pack in chosen}
        readings = read_indexed_packs(self._repository, sizes, on_blob=self._lines.tell)
        for dummy in reading.take(readings):
            pass

    def _read_everything(self, survey: Survey, reading: _Reading) -> Iterator[PackReading]:
        """Read all packs that are there."""
        self._lines = LineCounts(survey.index)
        named = read_indexed_packs(self._repository, survey.listed, on_blob=self._lines.tell)
        yield from reading.take(named)
        others = {pack: size for pack, size in survey.listed.items() if pack not in survey.packs}
        yield from reading.take(read_other_packs(self._repository, others))

    def _look_at_snapshots(
        self, survey: Survey, index: Index, lost: frozenset[BlobName]
    ) -> tuple[DamagedSnapshot, ...]:
        """Return the snapshots that are not whole, newest first."""
        reader = self._repository.reader(index)
        roots = [snapshot.tree for snapshot in survey.snapshots]
        losses = find_losses(reader, index, roots, lost)
        checked = SnapshotCheck(reader, self._lines)
        found = []
        for snapshot in reversed(survey.snapshots):
            paths = list(losses.below(snapshot.tree))
            manifest = _compare(checked, snapshot, paths)
            if paths:
                found.append(describe_losses(snapshot, paths, manifest))
        return tuple(found)

    def _result(
        self,
        survey: Survey,
        reading: _Reading,
        damage: tuple[Damage, ...],
        snapshots: tuple[DamagedSnapshot, ...],
        *,
        repair: Mapping[str, t.Any] | None = None,
    ) -> CheckResult:
        return CheckResult(
            location=self._repository.location,
            time=self._time,
            read_data=self._request.what_is_read,
            snapshots=len(survey.snapshots),
            packs=len(survey.listed),
            stored_bytes=sum(survey.listed.values()),
            packs_read=reading.packs,
            read_bytes=reading.size,
            duration_seconds=round(time.monotonic() - self._began, 3),
            damage=damage,
            repaired=repair is not None and not self._check_mode,
            damaged_snapshots=snapshots,
            notes=survey.notes,
            repair=repair,
            check_mode=self._check_mode,
        )


def _compare(checked: SnapshotCheck, snapshot: Snapshot, paths: list[LostPath]) -> Manifest | None:
    """Add to ``paths`` what differs from the manifest, and return that if it can be read."""
    if layout.ROOT not in snapshot.paths:
        paths += checked.plain_difference(snapshot)
        return None
    try:
        manifest = checked.manifest(snapshot)
    except RepositoryDamaged as exc:
        if not paths:
            paths.append(LostPath(layout.MANIFEST, f"it cannot be read: {exc.message.rstrip('.')}"))
        return None
    if manifest is None:
        if not paths:
            paths.append(LostPath(layout.MANIFEST, "it is missing"))
        return None
    paths += checked.differences(snapshot, manifest)
    return manifest


def _pack_damage(reading: _Reading, survey: Survey) -> Iterator[Damage]:
    """Yield the damaged packs that were read and that somebody still needs."""
    for one in _still_there(reading, survey):
        if one.problems:
            yield Damage(name=pack_name(one.id), reason="; ".join(one.problems))
        elif one.misindexed:
            yield Damage(
                name=pack_name(one.id), reason="it is whole, but the index says otherwise of it"
            )


def _still_there(reading: _Reading, survey: Survey) -> Iterator[PackReading]:
    known = {one.name for one in survey.damage}
    for one in reading.bad:
        if one.id in survey.listed and pack_name(one.id) not in known:
            yield one
