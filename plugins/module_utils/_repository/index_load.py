# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""Reads the index of a repository: its index files, and the packs that none of them names.

Blobs count as stored only where the listing of ``data/`` shows their pack with the right size: a
backup must not build on what is not there. Packs that no index file names are what a killed run
left; their headers say what they hold, and a retry uploads only the rest.
"""

from __future__ import annotations

import contextlib
import dataclasses
import typing as t

from .._core.errors import (
    ObjectMissing,
    ObjectTooShort,
    RepositoryDamaged,
    RepositoryError,
)
from .._core.units import listed, plural
from .index import Index, IndexBuilder
from .index_file import ENTRY, FULL_FILE_BLOBS, NOT_COMPRESSED, decode_index
from .pack import TRAILER, decode_pack, header_length, pack_name
from .read_ahead import read_ahead
from .unpacked import parse_id, read_unpacked

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from concurrent.futures import Future

    from .._storage.base import Backend
    from .crypto import MasterKey
    from .model import PackRecord, StoredBlob

_Found = t.TypeVar("_Found")
_THREADS = 8
_AHEAD = 16
_AHEAD_BYTES = 4 << 20  # as stored; three times as much as JSON
_TRIES = 5
_REASONS_SHOWN = 3
_HEADER_GUESS = 4096  # the headers of most packs are shorter: 41 bytes for each MiB or so


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DamagedFile:
    """A file that cannot be used, by its name in the repository, and why."""

    name: str
    reason: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class IndexReport:
    """What was met while the index was read; all tuples are sorted by id.

    ``not_full_files`` are index files with room left (more than 64 of them are worth a merge).
    ``missing_packs`` and ``resized_packs`` are named by an index, but are not in the listing, or
    with another size: their blobs are unknown. ``adopted`` are whole packs that no index names,
    their blobs are known: they are to be indexed. ``unreadable_packs`` are named by no index and do
    not parse; they are in nobody's way.
    """

    files: int
    not_full_files: int
    packs: int
    blobs: int
    unreadable_files: tuple[DamagedFile, ...]
    missing_packs: tuple[bytes, ...]
    resized_packs: tuple[bytes, ...]
    adopted: tuple[PackRecord, ...]
    unreadable_packs: tuple[DamagedFile, ...]


def load_index(
    backend: Backend,
    key: MasterKey,
    *,
    known_packs: Mapping[bytes, int] | None = None,
    tolerant: bool = False,
) -> tuple[Index, IndexReport]:
    """Read all index files and return the index.

    ``known_packs`` is the listing of ``data/`` (id -> size), taken after the lock was; with None
    every index entry is believed and nothing is adopted. ``tolerant`` goes on without index files
    that cannot be read, and reports them.

    Raises ``RepositoryDamaged`` naming every index file that cannot be read, unless ``tolerant``.
    """
    vanished: ObjectMissing | None = None
    for dummy in range(_TRIES):
        loader = _Loader(backend, key, known_packs)
        try:
            loader.read_files()
        except ObjectMissing as exc:
            # Without a lock, a prune may replace index files between our listing and our read.
            vanished = exc
            continue
        if loader.unreadable_files and not tolerant:
            raise _unreadable(backend, loader.unreadable_files)
        loader.adopt_packs()
        return loader.finish()
    raise RepositoryError(
        f"The index files in {backend.location} are being replaced faster than they can be read "
        f"({vanished}); wait for the prune that runs there, then try again."
    ) from vanished


def _unreadable(backend: Backend, files: list[DamagedFile]) -> RepositoryDamaged:
    said = listed((file.reason.rstrip(".") for file in files), _REASONS_SHOWN, "; ")
    return RepositoryDamaged(
        f"{plural(len(files), 'index file')} in {backend.location} cannot be read ({said}); "
        "make the index anew with repository_check and repair: true, then try again.",
        file=files[0].name,
    )


class _Loader:
    def __init__(
        self, backend: Backend, key: MasterKey, known_packs: Mapping[bytes, int] | None
    ) -> None:
        self._backend = backend
        self._key = key
        self._known_packs = known_packs
        self._builder = IndexBuilder()
        self._files = self._not_full_files = 0
        self._refused: dict[bytes, int | None] = {}
        self._adopted: list[PackRecord] = []
        self._unreadable_packs: list[DamagedFile] = []
        self.unreadable_files: list[DamagedFile] = []

    def read_files(self) -> None:
        """Read every index file; one that cannot be read is noted. Raises ``ObjectMissing``."""
        for file_id, outcome in self._read_ahead(self._list_files(), self._fetch_file):
            self._files += 1
            name = f"index/{file_id.hex()}"
            try:
                self._take_file(outcome.result(), name)
            except (RepositoryDamaged, ObjectTooShort) as exc:
                self.unreadable_files.append(DamagedFile(name=name, reason=exc.message))

    def adopt_packs(self) -> None:
        """Read the headers of the packs that no index file names."""
        for pack_id, outcome in self._read_ahead(self._list_unnamed(), self._fetch_header):
            try:
                pack = outcome.result()
            except (RepositoryDamaged, ObjectMissing, ObjectTooShort) as exc:
                damaged = DamagedFile(name=pack_name(pack_id), reason=exc.message)
                self._unreadable_packs.append(damaged)
                continue
            self._adopted.append(pack)
            self._builder.add(pack_id, [(blob.kind, _entry(blob)) for blob in pack.blobs])

    @staticmethod
    def _read_ahead(
        ids: Iterable[tuple[bytes, int]], fetch: Callable[[bytes], _Found]
    ) -> Iterator[tuple[bytes, Future[_Found]]]:
        ahead = read_ahead(ids, fetch, threads=_THREADS, ahead=_AHEAD, ahead_bytes=_AHEAD_BYTES)
        with contextlib.closing(ahead):
            yield from ahead

    def finish(self) -> tuple[Index, IndexReport]:
        refused = {p: size for p, size in self._refused.items() if not self._builder.has_pack(p)}
        index = self._builder.build()
        return index, IndexReport(
            files=self._files,
            not_full_files=self._not_full_files,
            packs=index.pack_count,
            blobs=len(index),
            unreadable_files=tuple(sorted(self.unreadable_files, key=lambda file: file.name)),
            missing_packs=tuple(sorted(p for p, size in refused.items() if size is None)),
            resized_packs=tuple(sorted(p for p, size in refused.items() if size is not None)),
            adopted=tuple(sorted(self._adopted, key=lambda pack: pack.id)),
            unreadable_packs=tuple(sorted(self._unreadable_packs, key=lambda file: file.name)),
        )

    def _list_files(self) -> Iterable[tuple[bytes, int]]:
        for entry in self._backend.entries("index/"):
            file_id = parse_id(entry.name.rpartition("/")[2])
            if file_id is not None:
                yield file_id, entry.size

    def _fetch_file(self, file_id: bytes) -> bytes:
        return read_unpacked(self._backend, self._key, "index", file_id)

    def _take_file(self, json_bytes: bytes, name: str) -> None:
        packs = decode_index(json_bytes, name=name)
        if sum(len(pack.blobs) for pack in packs) < FULL_FILE_BLOBS:
            self._not_full_files += 1
        for pack in packs:
            if self._known_packs is not None:
                size = self._known_packs.get(pack.id)
                if size != pack.size:
                    self._refused[pack.id] = size
                    continue
            self._builder.add(pack.id, pack.blobs)

    def _list_unnamed(self) -> Iterable[tuple[bytes, int]]:
        for pack_id in self._known_packs or ():
            if pack_id not in self._refused and not self._builder.has_pack(pack_id):
                yield pack_id, _HEADER_GUESS

    def _fetch_header(self, pack_id: bytes) -> PackRecord:
        size = (self._known_packs or {})[pack_id]
        name = f"{pack_name(pack_id)} in {self._backend.location}"
        guess = min(size, _HEADER_GUESS)
        if guess < TRAILER.size:
            raise RepositoryDamaged(f"{name} is damaged: {size} bytes are no pack.")
        end = self._backend.read(pack_name(pack_id), size - guess, guess)
        length = header_length(size, end[-TRAILER.size :], name=name)
        if length + TRAILER.size > guess:
            header = self._backend.read(pack_name(pack_id), size - length - TRAILER.size, length)
        else:
            header = end[-length - TRAILER.size : -TRAILER.size]
        return decode_pack(self._key, pack_id, size, header, name=name)


def _entry(blob: StoredBlob) -> bytes:
    plain_length = NOT_COMPRESSED if blob.plain_length is None else blob.plain_length
    return ENTRY.pack(blob.id, blob.offset, blob.length, plain_length)
