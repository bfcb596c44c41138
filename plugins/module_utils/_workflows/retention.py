# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""Removes snapshots by a policy or by their ids, then what no other snapshot uses.

Everything is decided, the prune included, before the first snapshot goes: where the repository
cannot be pruned, or a guard says no, nothing is removed. A run that failed has left no snapshot, so
none is counted.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import time
import typing as t

from .._core.errors import (
    ConfigError,
    RepositoryDamaged,
    SnapshotAmbiguous,
    SnapshotMissing,
    StorageError,
    StorageFull,
)
from .._core.units import plural
from .._repository.abandoned import make_room
from .._repository.deletion import delete_objects
from .._repository.model import ID_BYTES
from .._repository.prune import execute_prune, plan_prune
from .._repository.repository import Repository
from .._repository.retention_policy import Decision, apply_policy, group_snapshots
from .._repository.retention_time import process_zone
from .._repository.selection import select_snapshots
from .._repository.snapshot import SNAPSHOTS, list_snapshots, read_snapshot
from .._repository.unpacked import list_ids
from .retention_request import JudgedSnapshot, RetentionResult, check_request
from .stop_signals import StopSignals

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from .._core.events import Events
    from .._repository.locks import RepositoryLock
    from .._repository.prune import PrunePlan
    from .._repository.retention_policy import Policy
    from .._repository.snapshot import Snapshot
    from .requests import Plain, RepositoryAccess
    from .retention_request import RetentionRequest

NEWEST = "newest snapshot of its host and paths"
NO_RULE = "no rule keeps it"
NAMED = "named by its id"
_AMBIGUOUS_SHOWN = 5


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RetentionPlan:
    """What stays and what goes, newest first; ``prune`` is None where none is asked for."""

    kept: tuple[JudgedSnapshot, ...]
    removed: tuple[JudgedSnapshot, ...]
    prune: PrunePlan | None

    @property
    def changes(self) -> bool:
        """Whether anything would be removed."""
        return bool(self.removed) or not (self.prune is None or self.prune.nothing_to_do)


def run_retention(
    request: RetentionRequest, *, events: Events, check_mode: bool = False
) -> RetentionResult:
    """Remove snapshots and prune, and return what was kept and removed, with reasons.

    In check mode nothing is written, no lock either, and the result has the same shape.

    Raises ``ConfigError`` for a policy that keeps nothing of some group, ``SnapshotMissing`` and
    ``SnapshotAmbiguous`` for an id, ``RepositoryDamaged`` where the repository cannot be pruned:
    in all these cases nothing was removed. ``StorageError`` when the storage would not delete.
    """
    started = time.monotonic()
    policy = check_request(request)
    access = request.repository
    with (
        StopSignals(),
        Repository.open(
            access.settings, access.passwords, events=events, witness=access.witness
        ) as repository,
    ):
        if check_mode:
            plan = plan_retention(repository, request, policy)
            done = None if plan.prune is None else {**plan.prune.to_return(), "undeleted_packs": 0}
        else:
            with _locked(repository, access) as lock:
                plan = plan_retention(repository, request, policy)
                done = _execute(repository, lock, plan)
    figures: dict[str, Plain] | None = None if done is None else {**done}
    return RetentionResult(
        changed=plan.changes,
        kept=plan.kept,
        removed=plan.removed,
        prune=figures,
        duration_seconds=round(time.monotonic() - started, 3),
    )


@contextlib.contextmanager
def _locked(repository: Repository, access: RepositoryAccess) -> Iterator[RepositoryLock]:
    """Hold the exclusive lock, for which room is made where none is left."""
    lock = repository.lock(exclusive=True, wait_seconds=access.lock_wait_seconds)
    try:
        lock.acquire()
    except StorageFull as exc:
        if not make_room(repository):
            raise StorageFull(
                f"{repository.location} has no room for a lock, which takes less than 1 KiB, and "
                f"nothing abandoned to remove ({exc.message.rstrip('.')}); make room, then run it "
                "again."
            ) from exc
        lock.acquire()
    try:
        yield lock
    finally:
        lock.release()


def plan_retention(
    repository: Repository, request: RetentionRequest, policy: Policy
) -> RetentionPlan:
    """Decide what stays and what goes; reads only. See ``run_retention`` for what it raises."""
    kept: tuple[JudgedSnapshot, ...] = ()
    if request.snapshots is not None:
        removed = tuple(_find_named(repository, request.snapshots))
    elif policy:
        kept, removed = _apply(repository, request, policy)
    else:
        removed = tuple(
            JudgedSnapshot.of(one, NO_RULE) for one in reversed(_selected(repository, request))
        )
    return RetentionPlan(
        kept=kept,
        removed=removed,
        prune=_plan_prune(repository, removed) if request.prune else None,
    )


def _selected(repository: Repository, request: RetentionRequest) -> list[Snapshot]:
    return select_snapshots(
        list_snapshots(repository),
        host=request.host,
        paths=request.wanted_paths,
        tags=request.wanted_tags,
    )


def _apply(
    repository: Repository, request: RetentionRequest, policy: Policy
) -> tuple[tuple[JudgedSnapshot, ...], tuple[JudgedSnapshot, ...]]:
    """Return what the policy keeps and what it removes, guarded."""
    now_ns, zone = time.time_ns(), process_zone(os.environ)
    selected = _selected(repository, request)
    decisions: list[Decision] = []
    for key, group in group_snapshots(selected, request.group_by).items():
        decided = apply_policy(group, policy, now_ns=now_ns, zone=zone)
        if not (request.allow_remove_all or any(one.kept for one in decided)):
            raise ConfigError(
                f"The policy would leave nothing of {key} ({plural(len(group), 'snapshot')}), so "
                "nothing was removed; correct its rules, or set allow_remove_all."
            )
        decisions += decided
    if not request.allow_remove_all:
        decisions = _keep_newest(decisions, now_ns)
    decisions.sort(key=lambda one: one.snapshot.time, reverse=True)
    return (
        tuple(JudgedSnapshot.of(one.snapshot, *one.reasons) for one in decisions if one.kept),
        tuple(JudgedSnapshot.of(one.snapshot, NO_RULE) for one in decisions if not one.kept),
    )


def _keep_newest(decisions: Sequence[Decision], now_ns: int) -> list[Decision]:
    """Keep of each host and its paths the newest snapshot that is not in the future, whatever the
    rules say: it is the backup that was just made.
    """
    newest: dict[object, Decision] = {}
    for one in decisions:
        snapshot = one.snapshot
        place = (snapshot.hostname, tuple(sorted(snapshot.paths)))
        if snapshot.time.unix_ns <= now_ns and (
            place not in newest or newest[place].snapshot.time < snapshot.time
        ):
            newest[place] = one
    saved = {one.snapshot.id for one in newest.values() if not one.kept}
    return [
        dataclasses.replace(one, reasons=(NEWEST,)) if one.snapshot.id in saved else one
        for one in decisions
    ]


def _find_named(repository: Repository, wanted: Iterable[str]) -> Iterator[JudgedSnapshot]:
    """Yield each snapshot that is named once, readable or not.

    One that is named in full may be gone: it was removed before.
    """
    ids = sorted(list_ids(repository.backend, SNAPSHOTS))
    chosen: dict[bytes, None] = {}
    for text in wanted:
        found = [one for one in ids if one.hex().startswith(text)]
        if len(found) > 1:
            shown = ", ".join(one.hex() for one in found[:_AMBIGUOUS_SHOWN])
            raise SnapshotAmbiguous(
                f"{plural(len(found), 'snapshot')} have an id that begins with {text}, so nothing "
                f"was removed; give more digits of one of {shown}."
            )
        if not found and len(text) < 2 * ID_BYTES:
            raise SnapshotMissing(
                f"No snapshot has an id that begins with {text}, among "
                f"{plural(len(ids), 'snapshot')}, so nothing was removed; `repository_info` lists "
                "them."
            )
        if not found:
            repository.events.warn(f"There is no snapshot {text}; it may have been removed before.")
        chosen.update(dict.fromkeys(found))
    for snapshot_id in chosen:
        try:
            yield JudgedSnapshot.of(read_snapshot(repository, snapshot_id), NAMED)
        except RepositoryDamaged:
            yield JudgedSnapshot(
                id=snapshot_id.hex(), time=None, host=None, paths=(), tags=(), reasons=(NAMED,)
            )


def _plan_prune(repository: Repository, removed: Sequence[JudgedSnapshot]) -> PrunePlan:
    try:
        return plan_prune(repository, forgetting=[bytes.fromhex(one.id) for one in removed])
    except RepositoryDamaged as exc:
        raise RepositoryDamaged(
            "No snapshot was removed, since it could not be pruned afterwards (prune=false "
            f"removes snapshots alone): {exc.message}",
            **exc.details,
        ) from exc


def _execute(
    repository: Repository, lock: RepositoryLock, plan: RetentionPlan
) -> dict[str, int | bool] | None:
    """Delete the snapshots, oldest first, then prune; return the figures of the prune."""
    names = [f"{SNAPSHOTS}/{one.id}" for one in reversed(plan.removed)]
    deletion = delete_objects(repository, lock, names)
    if deletion.undeleted:
        first = deletion.undeleted[0]
        raise StorageError(
            f"{plural(len(deletion.undeleted), 'snapshot')} of {len(names)} could not be removed "
            f"from {repository.location}, and nothing was pruned: {first.name}: {first.reason}",
            snapshot=first.name.rpartition("/")[2],
        )
    repository.events.progress("snapshots_removed", count=deletion.deleted)
    if plan.prune is None:
        return None
    return execute_prune(repository, lock, plan.prune).to_return()
