# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""Reads blobs and believes nothing: tag, length and SHA-256 of each are checked every time.

Where a blob lies in several packs, damage of one copy is no loss. What the blobs mean is not known
here.
"""

from __future__ import annotations

import contextlib
import dataclasses
import typing as t

from .._core.errors import ObjectMissing, ObjectTooShort, RepositoryDamaged
from .blob_codec import BlobDecoder
from .crypto import SEAL_BYTES
from .model import BlobKind, Location
from .pack import pack_name
from .read_ahead import read_ahead

if t.TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Sequence

    from .._storage.base import Backend
    from .crypto import MasterKey
    from .index import Index

# One read for neighbours: large enough that a store's latency does not count, small beside a
# worker's memory.
_RUN_BYTES = 8 << 20
# Bytes between two wanted blobs that are cheaper to read than to ask twice.
_GAP_BYTES = 128 << 10
_RUNS_AHEAD = 2  # the one that is asked for next, and one more while that is worked on


@dataclasses.dataclass(slots=True)
class _Run:
    """Blobs of one pack that are read at once."""

    pack: bytes
    start: int
    end: int
    blobs: list[tuple[bytes, Location]]


class BlobReader:
    """Reads blobs of one repository. Belongs to one thread; streams may be taken in turns."""

    def __init__(self, *, key: MasterKey, backend: Backend, index: Index) -> None:
        self._backend = backend
        self._index = index
        self._decoder = BlobDecoder(key)

    def read(self, kind: BlobKind, blob_id: bytes) -> bytes:
        """Return the plain bytes of a blob.

        Raises ``RepositoryDamaged``, naming blob, pack and offset, when no copy is whole, or none
        is indexed.
        """
        damage: RepositoryDamaged | None = None
        for location in self._index.locations(kind, blob_id):
            try:
                sealed = self._fetch(blob_id, location)
                return self._decode(blob_id, location, sealed)
            except RepositoryDamaged as exc:
                damage = damage or exc
        raise damage or self._unknown(kind, blob_id)

    def length(self, kind: BlobKind, blob_id: bytes) -> int:
        """Return the length of the plain bytes, by the index. Raises ``RepositoryDamaged`` for an
        unknown blob.
        """
        location = self._index.find(kind, blob_id)
        if location is None:
            raise self._unknown(kind, blob_id)
        if location.plain_length is None:
            return location.length - SEAL_BYTES
        return location.plain_length

    def stream(
        self, ids: Sequence[bytes], *, kind: BlobKind = BlobKind.DATA
    ) -> Generator[bytes, None, None]:
        """Yield the plain bytes of blobs of one kind in the order of ``ids``.

        Close it if you leave it early. Neighbours in a pack are read at once, and the next ones
        while the caller works: some 16 MiB at most.

        Raises ``RepositoryDamaged`` as ``read`` does, not later than where the damage is.
        """
        runs = ((run, run.end - run.start) for run in self._plan_runs(kind, ids))
        ahead = read_ahead(
            runs,
            self._fetch_run,
            threads=1,
            ahead=_RUNS_AHEAD,
            ahead_bytes=_RUNS_AHEAD * _RUN_BYTES,
        )
        with contextlib.closing(ahead):
            for run, outcome in ahead:
                sealed = outcome.result()
                for blob_id, location in run.blobs:
                    found = self._decode_from_run(run, sealed, blob_id, location)
                    # read() looks for another copy, or says what is damaged.
                    yield self.read(kind, blob_id) if found is None else found

    def _decode_from_run(
        self, run: _Run, sealed: bytes | None, blob_id: bytes, location: Location
    ) -> bytes | None:
        if sealed is not None:
            at = location.offset - run.start
            try:
                return self._decode(
                    blob_id, location, memoryview(sealed)[at : at + location.length]
                )
            except RepositoryDamaged:
                pass
        return None

    def _plan_runs(self, kind: BlobKind, ids: Iterable[bytes]) -> Iterator[_Run]:
        run: _Run | None = None
        for blob_id in ids:
            location = self._choose(run, kind, blob_id)
            end = location.offset + location.length
            if run is not None and self._continues(run, location):
                run.blobs.append((blob_id, location))
                run.end = end
                continue
            if run is not None:
                yield run
            run = _Run(location.pack, location.offset, end, [(blob_id, location)])
        if run is not None:
            yield run

    def _choose(self, run: _Run | None, kind: BlobKind, blob_id: bytes) -> Location:
        first: Location | None = None
        for location in self._index.locations(kind, blob_id):
            if run is None or self._continues(run, location):
                return location
            first = first or location
        if first is None:
            raise self._unknown(kind, blob_id)
        return first

    @staticmethod
    def _continues(run: _Run, location: Location) -> bool:
        return (
            location.pack == run.pack
            and 0 <= location.offset - run.end <= _GAP_BYTES
            and location.offset + location.length - run.start <= _RUN_BYTES
        )

    def _fetch_run(self, run: _Run) -> bytes | None:
        """Return the sealed bytes of a run, or None where each blob is to be read on its own."""
        try:
            return self._backend.read(pack_name(run.pack), run.start, run.end - run.start)
        except (ObjectMissing, ObjectTooShort):
            return None

    def _fetch(self, blob_id: bytes, location: Location) -> bytes:
        try:
            return self._backend.read(pack_name(location.pack), location.offset, location.length)
        except (ObjectMissing, ObjectTooShort) as exc:
            raise RepositoryDamaged(
                f"{self._name(blob_id, location)} cannot be read: {exc.message}",
                blob=blob_id.hex(),
                pack=location.pack.hex(),
            ) from exc

    def _decode(self, blob_id: bytes, location: Location, sealed: bytes | memoryview) -> bytes:
        name = self._name(blob_id, location)
        try:
            return self._decoder.decode(blob_id, location, sealed, name=name)
        except RepositoryDamaged as exc:
            exc.details.update(blob=blob_id.hex(), pack=location.pack.hex())
            raise

    def _name(self, blob_id: bytes, location: Location) -> str:
        return (
            f"Blob {blob_id.hex()} at byte {location.offset:,} of {pack_name(location.pack)} in "
            f"{self._backend.location}"
        )

    def _unknown(self, kind: BlobKind, blob_id: bytes) -> RepositoryDamaged:
        return RepositoryDamaged(
            f"The {kind.name.lower()} blob {blob_id.hex()} is in no index of "
            f"{self._backend.location}, so what uses it cannot be read.",
            blob=blob_id.hex(),
        )
