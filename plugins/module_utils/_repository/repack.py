# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""Copies blobs that are still used out of packs that are to go, into new packs.

Each blob is checked when it is read and proved before it is uploaded, as in a backup. Blobs stay
compressed as they are. Nothing is deleted here, and what is copied is indexed before this ends.
"""

from __future__ import annotations

import contextlib
import dataclasses
import typing as t

from .._core.errors import ObjectMissing, ObjectTooShort, RepositoryDamaged, StorageFull
from .blob_codec import BlobDecoder
from .deletion import delete_objects
from .index import IndexBuilder
from .index_file import NOT_COMPRESSED, IndexWriter
from .model import BlobKind, Location
from .pack import pack_name
from .read_ahead import read_ahead

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from .._storage.model import Buffer
    from .index import Index, Record
    from .locks import RepositoryLock
    from .repository import Repository
    from .saver import BlobSaver

# As a reader of files has them: large enough that a store's latency does not count.
_RUN_BYTES = 8 << 20
_GAP_BYTES = 128 << 10
_THREADS = 2
_RUNS_AHEAD = 3


@dataclasses.dataclass(slots=True)
class _Run:
    """Blobs of one pack that are read at once."""

    pack: bytes
    start: int
    end: int
    blobs: list[Record]


def repack(
    repository: Repository,
    lock: RepositoryLock,
    index: Index,
    records: Sequence[int],
    *,
    pack_size: int,
) -> int:
    """Copy the blobs with these record numbers of ``index``, which come pack by pack in the order
    of offsets, into new packs of ``pack_size`` bytes; return the bytes of the new packs.

    On return all of them are durable and indexed. Raises ``RepositoryDamaged`` for a blob of which
    no copy is whole, ``StorageFull`` after the new packs that no index names yet are deleted, and
    ``LockLost``.
    """
    writer = IndexWriter(
        key=repository.key,
        version=repository.version,
        backend=repository.backend,
        guard=lock.check,
    )
    saver = repository.saver(
        # Asked for nothing: everything here is known, and is to be stored again.
        IndexBuilder().build(),
        pack_size=pack_size,
        on_pack=writer.add,
        guard=lock.check,
    )
    try:
        _Copier(repository, index, saver).copy(records)
        saver.finish()
        writer.flush()
    except StorageFull:
        saver.close()
        delete_objects(repository, lock, map(pack_name, writer.waiting))
        raise
    finally:
        saver.close()
    return saver.stats.stored_bytes


class _Copier:
    def __init__(self, repository: Repository, index: Index, saver: BlobSaver) -> None:
        self._repository = repository
        self._index = index
        self._saver = saver
        self._decoder = BlobDecoder(repository.key)

    def copy(self, records: Iterable[int]) -> None:
        runs = ((run, run.end - run.start) for run in self._plan_runs(records))
        ahead = read_ahead(
            runs,
            self._fetch,
            threads=_THREADS,
            ahead=_RUNS_AHEAD,
            ahead_bytes=_RUNS_AHEAD * _RUN_BYTES,
        )
        with contextlib.closing(ahead):
            for run, outcome in ahead:
                sealed = outcome.result()
                for record in run.blobs:
                    self._copy_blob(run, sealed, record)

    def _plan_runs(self, records: Iterable[int]) -> Iterator[_Run]:
        packs = self._index.packs()
        run: _Run | None = None
        for record in map(self._index.record, records):
            pack, end = packs[record.pack], record.offset + record.length
            if run is not None and _continues(run, pack, record.offset, end):
                run.blobs.append(record)
                run.end = end
                continue
            if run is not None:
                yield run
            run = _Run(pack, record.offset, end, [record])
        if run is not None:
            yield run

    def _fetch(self, run: _Run) -> bytes | None:
        try:
            return self._repository.backend.read(
                pack_name(run.pack), run.start, run.end - run.start
            )
        except (ObjectMissing, ObjectTooShort):
            return None

    def _copy_blob(self, run: _Run, sealed: bytes | None, record: Record) -> None:
        kind = BlobKind(record.kind)
        content, plain_length = self._content(run, sealed, record)
        if content is None:
            # Another copy may be whole; if none is, the reader says what is damaged.
            plain = self._repository.reader(self._index).read(kind, record.id)
            self._saver.save(kind, plain)
        else:
            self._saver.save_again(kind, record.id, content, plain_length)

    def _content(
        self, run: _Run, sealed: bytes | None, record: Record
    ) -> tuple[Buffer | None, int | None]:
        """Return what was sealed, checked, and the plain length if that is compressed."""
        if sealed is None:
            return None, None
        plain_length = None if record.plain_length == NOT_COMPRESSED else record.plain_length
        location = Location(
            pack=run.pack, offset=record.offset, length=record.length, plain_length=plain_length
        )
        at = record.offset - run.start
        view = memoryview(sealed)[at : at + record.length]
        name = f"Blob {record.id.hex()} in {pack_name(run.pack)}"
        try:
            return self._decoder.content(record.id, location, view, name=name), plain_length
        except RepositoryDamaged:
            return None, None


def _continues(run: _Run, pack: bytes, offset: int, end: int) -> bool:
    return (
        pack == run.pack and 0 <= offset - run.end <= _GAP_BYTES and end - run.start <= _RUN_BYTES
    )
