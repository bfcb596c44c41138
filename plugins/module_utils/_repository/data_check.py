# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""Reads the bytes of packs, all of them or a part, several packs at once.

Hashing, decryption and decompression leave Python's global lock, so threads are enough. Memory is
bounded by the number of threads, whatever the packs' sizes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import random
import re
import threading
import typing as t

from .._core.errors import ConfigError, ObjectMissing, RepositoryDamaged, RepositoryError
from .check import indexed_packs
from .index_file import to_record
from .pack_check import WHOLE_BYTES, PackReader
from .read_ahead import read_ahead
from .unpacked import list_ids

if t.TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

    from .index import Index
    from .model import StoredBlob
    from .pack_check import BlobName, PackReading
    from .repository import Repository

_MOST_THREADS = 4
_TRIES = 5
_PERCENT = re.compile(r"(\d{1,3}(?:\.\d{1,6})?)%\Z", re.ASCII)
_PART = re.compile(r"(\d{1,3})/(\d{1,3})\Z", re.ASCII)
# restic's bound too: parts are told apart by the first byte of a pack's id.
_MOST_PARTS = 256


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Subset:
    """Some of the packs: a random share of them, or one of equal parts by their ids.

    Each part is always the same packs, as in restic, so that all parts together are everything.
    """

    text: str
    percent: float | None = None
    part: int = 1
    parts: int = 1

    @classmethod
    def parse(cls, text: str) -> Subset:
        """Read ``5%`` or ``2/10``. Raises ``ConfigError`` for anything else."""
        if found := _PERCENT.match(text):
            percent = float(found[1])
            if 0 < percent <= 100:  # noqa: PLR2004 - per cent
                return cls(text=text, percent=percent)
        if found := _PART.match(text):
            part, parts = int(found[1]), int(found[2])
            if 1 <= part <= parts <= _MOST_PARTS:
                return cls(text=text, part=part, parts=parts)
        raise ConfigError(
            f"read_data_subset is {text!r}; give a share above 0% and up to 100% such as 5%, or a "
            f"part such as 2/10, from 1/1 to {_MOST_PARTS}/{_MOST_PARTS}."
        )

    def choose(self, packs: Collection[bytes]) -> frozenset[bytes]:
        """Return the packs to read; a share is at least one pack, drawn anew each time."""
        if self.percent is None:
            return frozenset(pack for pack in packs if pack[0] % self.parts == self.part - 1)
        count = math.ceil(len(packs) * self.percent / 100)
        return frozenset(random.SystemRandom().sample(sorted(packs), count))


def read_indexed_packs(
    repository: Repository,
    sizes: Mapping[bytes, int],
    *,
    on_blob: Callable[[BlobName, bytes], None] = lambda name, plain: None,
) -> Iterator[PackReading]:
    """Yield a reading of each of the packs in ``sizes`` (bytes, by the listing) that an index file
    names and that is there.

    Packs that a prune takes away meanwhile are passed over, and index files that it replaces are
    read again. Raises ``RepositoryError`` when that happens again and again.
    """
    done: set[bytes] = set()
    for dummy in range(_TRIES):
        try:
            for reading in _read_packs(repository, _named(repository, sizes, done), on_blob):
                done.add(reading.id)
                yield reading
        except _IndexReplaced:
            continue
        return
    raise RepositoryError(
        f"The index files in {repository.location} are being replaced faster than the packs can be "
        "read; wait for the prune that runs there, then try again."
    )


def read_other_packs(repository: Repository, packs: Mapping[bytes, int]) -> Iterator[PackReading]:
    """Yield a reading of each of ``packs`` (with their sizes), which no index names."""
    items = ((pack, size, None) for pack, size in packs.items())
    yield from _read_packs(repository, items, lambda name, plain: None)


_Item: t.TypeAlias = "tuple[bytes, int, tuple[StoredBlob, ...] | None]"


class _IndexReplaced(Exception):
    """An index file went away before it was read."""


def _named(
    repository: Repository, sizes: Mapping[bytes, int], done: Collection[bytes]
) -> Iterator[_Item]:
    """Yield the packs in ``sizes`` but not in ``done`` as the index files name them, each once."""
    taken: set[bytes] = set()
    files = sorted(list_ids(repository.backend, "index"))
    try:
        for dummy, packs in indexed_packs(repository, files):
            if isinstance(packs, RepositoryDamaged):
                continue
            for pack in packs:
                if pack.id in sizes and pack.id not in done and pack.id not in taken:
                    taken.add(pack.id)
                    yield pack.id, sizes[pack.id], to_record(pack).blobs
    except ObjectMissing as exc:
        raise _IndexReplaced from exc


def _read_packs(
    repository: Repository, packs: Iterable[_Item], on_blob: Callable[[BlobName, bytes], None]
) -> Iterator[PackReading]:
    threads = min(_MOST_THREADS, os.cpu_count() or 1)
    own = threading.local()

    def read(item: _Item) -> PackReading:
        if not hasattr(own, "reader"):
            own.reader = PackReader(repository.key, repository.backend, on_blob=on_blob)
        reader: PackReader = own.reader
        return reader.read(*item)

    ahead = read_ahead(
        ((item, min(item[1], WHOLE_BYTES)) for item in packs),
        read,
        threads=threads,
        ahead=2 * threads,
        ahead_bytes=threads * WHOLE_BYTES,
    )
    with contextlib.closing(ahead):
        for dummy, outcome in ahead:
            with contextlib.suppress(ObjectMissing):  # pruned meanwhile, or known to be missing
                yield outcome.result()


def lost_blobs(readings: Iterable[PackReading], index: Index) -> frozenset[BlobName]:
    """Return the blobs that come out of none of the packs which hold them."""
    bad_in: dict[BlobName, set[bytes]] = {}
    for reading in readings:
        for name in reading.bad:
            bad_in.setdefault(name, set()).add(reading.id)
    return frozenset(
        name
        for name, packs in bad_in.items()
        if all(place.pack in packs for place in index.locations(*name))
    )
