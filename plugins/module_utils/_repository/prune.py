# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""Removes what no snapshot uses, in an order in which a crash at any moment loses nothing.

Packs that no index names go first; then what is still used of others is copied and indexed; then
the index is written anew without the packs that are to go; then those go. Whatever is left over by
a crash is stored twice or named by nothing, and the next prune goes on from there.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import typing as t

from .._core.errors import ObjectMissing, RepositoryDamaged, StorageError, StorageFull
from .._core.units import MIB, listed, plural
from .abandoned import abandoned_files
from .deletion import delete_objects, require_lock
from .index_load import load_index
from .index_rewrite import MANY_FILES, rewrite_index
from .pack import pack_name
from .prune_plan import PrunePlanner
from .repack import repack
from .saver import DEFAULT_PACK_BYTES
from .snapshot import SNAPSHOTS, Snapshot, read_snapshot
from .unpacked import list_ids
from .usage import find_usage, snapshots_lacking

if t.TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from .index import Index
    from .index_load import IndexReport
    from .locks import RepositoryLock
    from .prune_plan import PackChoice
    from .repository import Repository
    from .usage import Usage

MAX_UNUSED_PERCENT = 5.0
"""Of the stored blobs' bytes, what may stay unused rather than be copied; restic's default."""

_READ_AHEAD = 8
_NAMED = 5
# What an index file takes for each blob, generously (52 bytes were seen).
_INDEX_BYTES = 80


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PrunePlan:
    """What a prune would do, as figures by ``to_return``, and what it needs to do it."""

    choice: PackChoice
    planner: PrunePlanner
    index: Index
    report: IndexReport
    stored: Mapping[bytes, int]
    abandoned: tuple[str, ...]

    @property
    def merges_index(self) -> bool:
        """Whether many small index files are made into few."""
        return self.report.not_full_files > MANY_FILES

    @property
    def nothing_to_do(self) -> bool:
        """Whether a prune would change nothing."""
        choice = self.choice
        return not (
            choice.unreferenced
            or choice.unneeded
            or choice.lost
            or choice.repacked
            or self.merges_index
            or self.abandoned
        )

    def to_return(self) -> dict[str, int | bool]:
        """Return the figures in plain types; sizes are bytes."""
        choice = self.choice
        return {
            "packs_deleted": len(choice.unneeded),
            "packs_repacked": len(choice.repacked),
            "packs_kept": choice.kept,
            "unreferenced_packs": len(choice.unreferenced),
            "blobs_removed": choice.removed_blobs,
            "freed_bytes": choice.freed_bytes,
            "repacked_bytes": choice.repacked_bytes,
            "used_bytes": choice.used_bytes,
            "unused_bytes_before": choice.unused_bytes,
            "unused_bytes_after": choice.unused_bytes_after,
            "index_files": self.report.files,
            "merge_index": self.merges_index,
            "abandoned_files": len(self.abandoned),
        }


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PruneResult:
    """What a prune did: ``choice`` is what was carried out, ``freed_bytes`` what the storage holds
    less now, ``undeleted_packs`` those that it would not delete, which the next prune tries again.
    """

    plan: PrunePlan
    choice: PackChoice
    freed_bytes: int
    undeleted_packs: int

    def to_return(self) -> dict[str, int | bool]:
        """Return the figures in plain types; sizes are bytes."""
        done = dataclasses.replace(self.plan, choice=self.choice).to_return()
        return {
            **done,
            "freed_bytes": self.freed_bytes,
            "undeleted_packs": self.undeleted_packs,
        }


def plan_prune(
    repository: Repository,
    *,
    forgetting: Collection[bytes] = (),
    max_unused_percent: float = MAX_UNUSED_PERCENT,
) -> PrunePlan:
    """Return what a prune would do once the snapshots ``forgetting`` (ids) are gone. Reads only.

    To be carried out, it is made under the exclusive lock that is held until then. Raises
    ``RepositoryDamaged`` where something that a snapshot needs is missing, naming the snapshots:
    such a repository is not pruned.
    """
    # In the order in which they are written last, so that without a lock nothing looks missing.
    snapshots = _read_snapshots(repository, forgetting)
    stored = repository.list_packs()
    index, report = load_index(repository.backend, repository.key)
    reader = repository.reader(index)
    usage = find_usage(reader, index, [one.tree for one in snapshots])
    planner = PrunePlanner(index, usage.marks, stored, version=repository.version)
    _refuse_damaged(repository, planner, index, usage, snapshots)
    return PrunePlan(
        choice=planner.choose(max_unused_percent=max_unused_percent),
        planner=planner,
        index=index,
        report=report,
        stored=stored,
        abandoned=tuple(one.name for one in abandoned_files(repository)),
    )


def _read_snapshots(repository: Repository, forgetting: Collection[bytes]) -> list[Snapshot]:
    """Return all snapshots but these. Raises ``RepositoryDamaged`` for one that is unreadable."""

    def read(snapshot_id: bytes) -> Snapshot | RepositoryDamaged | None:
        try:
            return read_snapshot(repository, snapshot_id)
        except ObjectMissing:
            return None
        except RepositoryDamaged as exc:
            exc.details.update(snapshot=snapshot_id.hex())
            return exc

    forgotten = set(forgetting)
    ids = [one for one in list_ids(repository.backend, SNAPSHOTS) if one not in forgotten]
    with concurrent.futures.ThreadPoolExecutor(_READ_AHEAD) as pool:
        found = list(pool.map(read, ids))
    damaged = [one for one in found if isinstance(one, RepositoryDamaged)]
    if damaged:
        names = ", ".join(str(one.details["snapshot"]) for one in damaged[:_NAMED])
        raise RepositoryDamaged(
            f"{repository.location} cannot be pruned, since what "
            f"{plural(len(damaged), 'unreadable snapshot')} needs is unknown "
            f"({damaged[0].message.rstrip('.')}); nothing was pruned. Bring the file back, or "
            f"forget it: retention with snapshots: [{names}].",
            snapshot=damaged[0].details["snapshot"],
        ) from damaged[0]
    return [one for one in found if isinstance(one, Snapshot)]


def _refuse_damaged(
    repository: Repository,
    planner: PrunePlanner,
    index: Index,
    usage: Usage,
    snapshots: Iterable[Snapshot],
) -> None:
    broken = planner.broken_packs()
    if not broken and not usage.lacking:
        return
    by_id = {one.id: one for one in snapshots}
    reader = repository.reader(index)
    paths = snapshots_lacking(reader, index, by_id.values(), planner.lacks)
    said = [
        f"{one.hex()} of host {by_id[one].hostname} ({by_id[one].time}) lacks something of {path}"
        for one, path in sorted(paths.items(), key=lambda found: by_id[found[0]].time)
    ]
    what = (
        f"{plural(len(broken), 'pack')} missing or of another size (the first is "
        f"{pack_name(min(broken))})"
        if broken
        else f"{plural(len(usage.lacking), 'blob')} missing or damaged"
    )
    raise RepositoryDamaged(
        f"{repository.location} cannot be pruned, since snapshots need what is not there: {what}; "
        f"nothing was pruned. {listed(said, _NAMED, '; ')}. Run repository_check with repair, "
        "then forget the snapshots that stay damaged (retention with snapshots: [their ids]).",
        snapshot=next(iter(paths)).hex() if paths else None,
    )


def execute_prune(
    repository: Repository,
    lock: RepositoryLock,
    plan: PrunePlan,
    *,
    pack_size: int = DEFAULT_PACK_BYTES,
) -> PruneResult:
    """Carry out a plan that was made under the same exclusive ``lock``.

    Where there is no room for copies, packs that are wholly unused go nevertheless, with a warning.
    Packs that cannot be deleted are a warning too. Raises ``LockLost``, ``StorageFull`` with the
    room that it takes, ``RepositoryDamaged`` for a blob that cannot be copied, and what the storage
    raises; nothing that a snapshot needs is lost then.
    """
    return _Execution(repository, lock, plan).run(pack_size)


def prune(
    repository: Repository,
    lock: RepositoryLock,
    *,
    max_unused_percent: float = MAX_UNUSED_PERCENT,
    pack_size: int = DEFAULT_PACK_BYTES,
) -> PruneResult:
    """Plan and carry out; see ``plan_prune`` and ``execute_prune``. The lock is held, exclusive."""
    plan = plan_prune(repository, max_unused_percent=max_unused_percent)
    return execute_prune(repository, lock, plan, pack_size=pack_size)


class _Execution:
    def __init__(self, repository: Repository, lock: RepositoryLock, plan: PrunePlan) -> None:
        self._repository = repository
        self._lock = lock
        self._plan = plan
        self._choice = plan.choice
        self._freed_bytes = 0
        self._undeleted = 0

    def run(self, pack_size: int) -> PruneResult:
        self._discard_abandoned()
        self._delete_packs(self._choice.unreferenced)
        self._tell("unreferenced_packs_deleted")
        if self._choice.repacked:
            self._repack(pack_size)
        self._tell("packs_copied")
        repacked = self._repacked()
        without = {*self._choice.unneeded, *self._choice.lost, *repacked}
        if without or self._plan.merges_index:
            self._rewrite_index(without)
        self._tell("index_rewritten")
        self._delete_packs((*self._choice.unneeded, *repacked))
        self._tell("packs_deleted")
        return PruneResult(
            plan=self._plan,
            choice=self._choice,
            freed_bytes=self._freed_bytes,
            undeleted_packs=self._undeleted,
        )

    def _tell(self, event: str) -> None:
        self._repository.events.progress(event)

    def _repacked(self) -> list[bytes]:
        packs = self._plan.index.packs() if self._choice.repacked else []
        return [packs[number] for number in self._choice.repacked]

    def _discard_abandoned(self) -> None:
        if self._plan.abandoned:
            require_lock(self._repository, self._lock)
        for name in self._plan.abandoned:
            self._lock.check()
            try:
                self._repository.backend.discard_unfinished(name)
            except StorageError as exc:
                self._repository.events.warn(f"{name} was left by a write: {exc.message}")

    def _delete_packs(self, packs: Iterable[bytes]) -> None:
        packs = list(packs)
        done = delete_objects(self._repository, self._lock, map(pack_name, packs))
        left = {one.name for one in done.undeleted}
        self._freed_bytes += sum(
            self._plan.stored[pack] for pack in packs if pack_name(pack) not in left
        )
        self._undeleted += len(left)
        if left:
            first = done.undeleted[0]
            self._repository.events.warn(
                f"{plural(len(left), 'pack')} that nothing needs could not be deleted from "
                f"{self._repository.location}, the first is {first.name}: {first.reason}"
            )

    def _repack(self, pack_size: int) -> None:
        records = self._plan.planner.blobs_to_repack(self._choice)
        try:
            self._freed_bytes -= repack(
                self._repository, self._lock, self._plan.index, records, pack_size=pack_size
            )
        except StorageFull as exc:
            room = self._choice.repacked_bytes
            self._choice = self._plan.planner.choose(repack=False)
            text = (
                f"There is no room to copy what is still used of {len(self._plan.choice.repacked)} "
                f"packs of {self._repository.location}, which takes up to {_mib(room)} "
                f"({exc.message.rstrip('.')})"
            )
            if not self._choice.unneeded:
                raise StorageFull(f"{text}; make that room, then run it again.") from exc
            self._repository.events.warn(
                f"{text}; only packs that are wholly unused were deleted. Run it again now that "
                "there is more room."
            )

    def _rewrite_index(self, without: Collection[bytes]) -> None:
        try:
            rewrite_index(
                self._repository, self._lock, without=without, merge=self._plan.merges_index
            )
        except StorageFull as exc:
            room = _INDEX_BYTES * len(self._plan.index)
            raise StorageFull(
                f"There is no room to write the index of {self._repository.location} anew, which "
                f"takes up to {_mib(room)}, so no pack that it names was deleted "
                f"({exc.message.rstrip('.')}); make that room, then run it again."
            ) from exc


def _mib(size_bytes: int) -> str:
    return f"{-(-size_bytes // MIB):,} MiB"
