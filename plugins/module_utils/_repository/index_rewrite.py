# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""Writes index files anew: without the packs that are to go, and many small ones as few full ones.

All new files are there before the first old one is deleted, so that at every moment each blob that
stays is named. What is found out about packs is the caller's business; index files are believed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import typing as t

from .._core.errors import StorageError, StorageFull
from .._core.units import plural
from .deletion import delete_objects
from .index_file import FULL_FILE_BLOBS, IndexWriter, decode_index, to_record
from .read_ahead import read_ahead
from .unpacked import parse_id, read_unpacked

if t.TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from .index_file import IndexedPack
    from .locks import RepositoryLock
    from .repository import Repository

MANY_FILES = 64
"""More index files than these that are not full are worth a merge: a store answers each one on its
own (8,760 small ones take half a minute).
"""

_THREADS = 8
_AHEAD = 16
_AHEAD_BYTES = 4 << 20


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class IndexRewrite:
    """The ids of the index files that were written and of those that were deleted."""

    written: tuple[bytes, ...]
    deleted: tuple[bytes, ...]


def rewrite_index(
    repository: Repository,
    lock: RepositoryLock,
    *,
    without: Collection[bytes] = (),
    unreadable: Collection[bytes] = (),
    untouched: Collection[bytes] = (),
    merge: bool = False,
) -> IndexRewrite:
    """Replace the index files that name a pack in ``without``, and with ``merge`` all that are not
    full, by files that name the other packs.

    ``unreadable`` are files that are not read, only deleted; ``untouched`` stay as they are. All
    three are ids. The lock is exclusive and is looked at before each deletion.

    Raises ``RepositoryDamaged`` for a file that cannot be read, ``StorageFull`` (the new files are
    taken back then), ``LockLost``, and ``StorageError`` when an old file could not be deleted: no
    pack that it names may be then.
    """
    writer = IndexWriter(
        key=repository.key,
        version=repository.version,
        backend=repository.backend,
        guard=lock.check,
    )
    entries = _Entries(writer)
    old: list[bytes] = []
    try:
        for file_id, packs in _read_files(repository, passed_over={*unreadable, *untouched}):
            if _is_replaced(packs, without, merge=merge):
                old.append(file_id)
                entries.add(packs, without)
        written = writer.flush()
    except StorageFull:
        delete_objects(repository, lock, map(_name, writer.written), batch_size=1)
        raise
    repository.events.progress("index_files_written", files=len(written))
    old += unreadable
    _delete(repository, lock, old)
    return IndexRewrite(written=written, deleted=tuple(old))


def _name(file_id: bytes) -> str:
    return f"index/{file_id.hex()}"


def _is_replaced(packs: list[IndexedPack], without: Collection[bytes], *, merge: bool) -> bool:
    if merge and sum(len(pack.blobs) for pack in packs) < FULL_FILE_BLOBS:
        return True
    return any(pack.id in without for pack in packs)


def _read_files(
    repository: Repository, *, passed_over: Collection[bytes]
) -> Iterator[tuple[bytes, list[IndexedPack]]]:
    """Yield the files that are there now with what they name."""

    def listed() -> Iterator[tuple[bytes, int]]:
        # Taken whole at once: what is written meanwhile is not read again.
        for entry in list(repository.backend.entries("index/")):
            file_id = parse_id(entry.name.rpartition("/")[2])
            if file_id is not None and file_id not in passed_over:
                yield file_id, entry.size

    def fetch(file_id: bytes) -> bytes:
        return read_unpacked(repository.backend, repository.key, "index", file_id)

    ahead = read_ahead(listed(), fetch, threads=_THREADS, ahead=_AHEAD, ahead_bytes=_AHEAD_BYTES)
    with contextlib.closing(ahead):
        for file_id, outcome in ahead:
            yield file_id, decode_index(outcome.result(), name=_name(file_id))


class _Entries:
    """Takes packs into new files, each once.

    Two files may say different things of one pack. Both are kept, but never in one file, which
    restic 0.19 calls damaged.
    """

    def __init__(self, writer: IndexWriter) -> None:
        self._writer = writer
        self._seen: dict[bytes, bytes] = {}

    def add(self, packs: list[IndexedPack], without: Collection[bytes]) -> None:
        for pack in packs:
            if pack.id in without:
                continue
            blobs = b"".join(bytes((kind,)) + entry for kind, entry in pack.blobs)
            digest = hashlib.sha256(blobs).digest()
            before = self._seen.setdefault(pack.id, digest)
            if before is digest:
                self._writer.add(to_record(pack))
            elif before != digest:
                self._writer.flush()
                self._writer.add(to_record(pack))


def _delete(repository: Repository, lock: RepositoryLock, old: list[bytes]) -> None:
    done = delete_objects(repository, lock, map(_name, old), batch_size=1)
    if done.undeleted:
        count = len(done.undeleted)
        raise StorageError(
            f"{plural(count, 'index file')} of {repository.location} could not be deleted, the "
            f"first is {done.undeleted[0].name} ({done.undeleted[0].reason.rstrip('.')}); what "
            "they name stays. Let this user delete there, then run it again.",
            file=done.undeleted[0].name,
        )
