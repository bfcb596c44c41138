# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""Repairs what can be repaired, and loses nothing that can still be read.

Every pack is read first. Then, under an exclusive lock: what still opens in damaged packs is stored
again in new ones; index files name these, and whole packs that no index named; damaged files are
copied aside, byte for byte; the index is written anew without packs that are missing or damaged;
only then are the damaged files deleted. Whoever dies in between has lost nothing, and the next
repair goes on. Snapshots are never touched: what they have lost is named by the check.
"""

from __future__ import annotations

import dataclasses
import typing as t

from .._core.errors import RepositoryDamaged, StorageError
from .._core.units import plural
from .check import indexed_packs
from .check_record import SET_ASIDE
from .deletion import delete_objects
from .index import IndexBuilder
from .index_file import ENTRY, NOT_COMPRESSED, IndexedPack, IndexWriter, to_record
from .index_rewrite import MANY_FILES, rewrite_index
from .model import ID_BYTES, BlobKind, PackRecord, StoredBlob
from .pack import pack_name
from .pack_check import PackReader

if t.TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from .check import Survey
    from .index import Index
    from .locks import RepositoryLock
    from .pack_check import BlobName, PackReading
    from .repository import Repository


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RepairPlan:
    """What is to be done, by what was read.

    ``index`` knows the blobs of whole packs alone. ``unindexed`` are whole packs of which the index
    says nothing or something wrong, packed as ``_pack_up`` does. ``damaged`` are packs that are
    there, ``salvageable`` the blobs in them, each once, that no whole pack holds and that still
    open, with the pack. ``lost`` are blobs that the index names and nothing holds any more,
    ``dropped`` the packs whose present index entries go.
    """

    index: Index
    unindexed: tuple[tuple[bytes, int, bytes], ...]
    damaged: tuple[PackReading, ...]
    salvageable: tuple[tuple[bytes, StoredBlob], ...]
    lost: frozenset[BlobName]
    dropped: frozenset[bytes]
    missing: frozenset[bytes]
    unreadable_index_files: frozenset[bytes]
    merge: bool

    @property
    def nothing_to_do(self) -> bool:
        """Whether the repository needs no repair."""
        return not (
            self.unindexed
            or self.damaged
            or self.dropped
            or self.unreadable_index_files
            or self.merge
        )

    def to_return(self) -> dict[str, t.Any]:
        """Return its figures in plain types; packs by their names in the repository."""
        aside = sorted(pack_name(pack.id) for pack in self.damaged)
        aside += sorted(f"index/{file_id.hex()}" for file_id in self.unreadable_index_files)
        return {
            "packs_indexed": len(self.unindexed),
            "packs_missing": sorted(map(pack_name, self.missing)),
            "set_aside": aside,
            "blobs_saved": len(self.salvageable),
            "blobs_lost": len(self.lost),
            "index_merged": self.merge,
        }


def plan_repair(
    repository: Repository, survey: Survey, readings: Iterable[PackReading]
) -> RepairPlan:
    """Return what a repair has to do; ``readings`` are those of every pack that is there.

    Nothing is written. Raises what the storage raises.
    """
    builder = IndexBuilder()
    damaged: list[PackReading] = []
    unindexed: list[tuple[bytes, int, bytes]] = []
    wrongly: set[bytes] = set(survey.disputed_packs)
    for reading in readings:
        if reading.problems or reading.record is None:
            damaged.append(reading)
            continue
        builder.add(reading.id, _entries(reading.record))
        if reading.misindexed:
            wrongly.add(reading.id)
        if reading.id in wrongly or reading.id not in survey.packs:
            unindexed.append(_pack_up(reading.record))
    index = builder.build()
    missing = frozenset(survey.packs - survey.listed.keys())
    named_damaged = {reading.id for reading in damaged} & survey.packs
    salvageable = tuple(_find_salvageable(repository, index, damaged))
    kept = {(blob.kind, blob.id) for dummy, blob in salvageable}
    named = {name for reading in damaged for name in reading.bad}
    named |= _blobs_of(repository, survey, missing)
    return RepairPlan(
        index=index,
        unindexed=tuple(unindexed),
        damaged=tuple(damaged),
        salvageable=salvageable,
        lost=frozenset(name for name in named - kept if not index.has(*name)),
        dropped=frozenset(missing | named_damaged | (wrongly & survey.listed.keys())),
        missing=missing,
        unreadable_index_files=survey.unreadable_index_files,
        merge=survey.small_index_files > MANY_FILES,
    )


def index_after(plan: RepairPlan) -> Index:
    """Return the index of the blobs that a repair keeps, at the places where they can be read now:
    for whoever wants to know what a repair would leave lost.
    """
    builder = IndexBuilder()
    packs = plan.index.packs()
    for blob_id, kind, pack, offset, length, plain_length in plan.index.records():
        entry = ENTRY.pack(blob_id, offset, length, plain_length)
        builder.add(packs[pack], [(BlobKind(kind), entry)])
    for pack_id, blob in plan.salvageable:
        builder.add(pack_id, [(blob.kind, _entry(blob))])
    return builder.build()


def execute_repair(repository: Repository, lock: RepositoryLock, plan: RepairPlan) -> None:
    """Do what was planned, with the exclusive lock that was held since before the survey.

    Raises ``LockLost``, and what the storage raises: nothing that can be read is lost then.
    """
    writer = IndexWriter(
        key=repository.key,
        version=repository.version,
        backend=repository.backend,
        guard=lock.check,
    )
    _salvage(repository, lock, plan, writer)
    for packed in plan.unindexed:
        writer.add(_unpack(packed))
    written = writer.flush()
    repository.events.progress("repair_index_written", files=len(written))
    packs = [reading.id for reading in plan.damaged]
    for file_id in plan.unreadable_index_files:
        _copy_aside(repository, lock, f"index/{file_id.hex()}", file_id)
    for pack_id in packs:
        _copy_aside(repository, lock, pack_name(pack_id), pack_id)
    repository.events.progress("repair_copied_aside", packs=len(packs))
    rewrite_index(
        repository,
        lock,
        without=plan.dropped,
        unreadable=plan.unreadable_index_files,
        untouched=written,
        merge=plan.merge,
    )
    repository.events.progress("repair_index_rewritten")
    done = delete_objects(repository, lock, map(pack_name, packs))
    if done.undeleted:
        raise StorageError(
            f"{plural(len(done.undeleted), 'damaged pack')} of {repository.location} could not be "
            f"deleted, the first is {done.undeleted[0].name} "
            f"({done.undeleted[0].reason.rstrip('.')}); copies are below {SET_ASIDE}, so let this "
            "user delete there, then run it again.",
            file=done.undeleted[0].name,
        )


def _salvage(
    repository: Repository, lock: RepositoryLock, plan: RepairPlan, writer: IndexWriter
) -> None:
    """Store again what still opens in damaged packs and is in no whole one."""
    if not plan.salvageable:
        return
    saver = repository.saver(plan.index, on_pack=writer.add, guard=lock.check)
    reader = PackReader(repository.key, repository.backend)
    try:
        for reading in plan.damaged:
            for blob, plain in reader.salvage(reading):
                saver.save(blob.kind, plain)
        saver.finish()
    finally:
        saver.close()


def _find_salvageable(
    repository: Repository, index: Index, damaged: Iterable[PackReading]
) -> Iterator[tuple[bytes, StoredBlob]]:
    reader = PackReader(repository.key, repository.backend)
    seen: set[BlobName] = set()
    for reading in damaged:
        for blob, dummy in reader.salvage(reading):
            name = blob.kind, blob.id
            if name not in seen and not index.has(*name):
                seen.add(name)
                yield reading.id, blob


def _blobs_of(repository: Repository, survey: Survey, packs: Collection[bytes]) -> set[BlobName]:
    """Return the blobs that the index places in some packs."""
    if not packs:
        return set()
    files = survey.index_files - survey.unreadable_index_files
    return {
        (kind, entry[:ID_BYTES])
        for dummy, found in indexed_packs(repository, sorted(files))
        if not isinstance(found, RepositoryDamaged)
        for pack in found
        if pack.id in packs
        for kind, entry in pack.blobs
    }


def _copy_aside(repository: Repository, lock: RepositoryLock, name: str, file_id: bytes) -> None:
    """Copy a damaged file to where neither we nor restic look, whatever is in it."""
    data = repository.backend.read(name)
    lock.check()
    repository.backend.write(f"{SET_ASIDE}{file_id.hex()}", data)


def _entry(blob: StoredBlob) -> bytes:
    plain_length = NOT_COMPRESSED if blob.plain_length is None else blob.plain_length
    return ENTRY.pack(blob.id, blob.offset, blob.length, plain_length)


def _entries(record: PackRecord) -> list[tuple[BlobKind, bytes]]:
    return [(blob.kind, _entry(blob)) for blob in record.blobs]


_PackedUp: t.TypeAlias = tuple[bytes, int, bytes]


def _pack_up(record: PackRecord) -> _PackedUp:
    """Return a record in 45 bytes a blob: where the whole index was lost, all wait in memory."""
    entries = (bytes((blob.kind,)) + _entry(blob) for blob in record.blobs)
    return record.id, record.size, b"".join(entries)


def _unpack(packed: _PackedUp) -> PackRecord:
    pack_id, size, entries = packed
    step = 1 + ENTRY.size
    blobs = [
        (BlobKind(entries[at]), entries[at + 1 : at + step]) for at in range(0, len(entries), step)
    ]
    return to_record(IndexedPack(pack_id, size, blobs))
