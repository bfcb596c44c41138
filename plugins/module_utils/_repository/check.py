# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""What a repository consists of, and which of its files are not what they should be.

Reads keys, config, snapshots, index files and the listing of everything, in an order in which
backups that go on meanwhile cannot be mistaken for damage: they write packs, index files and then
the snapshot, so snapshots are read first and the packs are listed last. A prune deletes in that
order; what it does is seen by files that went away meanwhile (``is_as_it_was``). No lock is needed.
"""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import dataclasses
import hashlib
import itertools
import typing as t

from .._core.errors import (
    ObjectMissing,
    ObjectTooShort,
    RepositoryDamaged,
    RepositoryError,
)
from .._core.units import listed, plural
from .check_record import CHECK_RECORD, SET_ASIDE
from .index import IndexBuilder
from .index_file import ENTRY, FULL_FILE_BLOBS, decode_index
from .keys import key_name
from .pack import pack_name
from .pack_check import reason_of
from .polynomial import is_irreducible
from .read_ahead import read_ahead
from .snapshot import SNAPSHOTS, read_snapshot
from .unpacked import list_ids, parse_id, read_unpacked

if t.TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from .index import Index
    from .index_file import IndexedPack
    from .repository import Repository
    from .snapshot import Snapshot

_READ_AHEAD = 8
_AHEAD_BYTES = 4 << 20
_TRIES = 5
# More of the same kind are counted, not named.
_NAMED_NOTES = 5
_FOLDERS = ("keys", "snapshots", "index", "locks")
_OUR_FOLDER = CHECK_RECORD.partition("/")[0] + "/"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """A file of the repository that is not what it should be, by its name, and why."""

    name: str
    reason: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """A repository at one moment.

    ``packs`` are those that an index names, ``listed`` those that are there, with their sizes.
    ``lost_packs`` are named and are missing or of another size, ``disputed_packs`` are named by the
    index in several ways. ``index`` knows all that the index files which can be read name, but for
    the lost packs. ``small_index_files`` counts those that are not full.
    """

    damage: tuple[Damage, ...]
    notes: tuple[str, ...]
    snapshots: tuple[Snapshot, ...]
    snapshot_files: frozenset[bytes]
    index: Index
    index_files: frozenset[bytes]
    unreadable_index_files: frozenset[bytes]
    small_index_files: int
    packs: frozenset[bytes]
    listed: Mapping[bytes, int]
    lost_packs: frozenset[bytes]
    disputed_packs: frozenset[bytes]


def survey_repository(repository: Repository) -> Survey:
    """Look at everything but the bytes of packs.

    Raises what the storage raises; what is damaged is returned.
    """
    return _Surveyor(repository).survey()


def is_as_it_was(repository: Repository, survey: Survey) -> bool:
    """Tell whether all snapshots and index files of a survey are still there.

    While they are, nobody has pruned, and what was found missing is missing.
    """
    index_files = set(list_ids(repository.backend, "index"))
    snapshot_files = set(list_ids(repository.backend, SNAPSHOTS))
    return survey.index_files <= index_files and survey.snapshot_files <= snapshot_files


def indexed_packs(
    repository: Repository, file_ids: Collection[bytes]
) -> Iterator[tuple[bytes, list[IndexedPack] | RepositoryDamaged]]:
    """Yield each index file's id with its packs, or with why it cannot be read, in any order.

    Raises ``ObjectMissing`` when one is not there any more.
    """

    def fetch(file_id: bytes) -> bytes:
        return read_unpacked(repository.backend, repository.key, "index", file_id)

    ahead = read_ahead(
        ((file_id, 1) for file_id in file_ids),
        fetch,
        threads=_READ_AHEAD,
        ahead=_READ_AHEAD,
        ahead_bytes=_AHEAD_BYTES,
    )
    with contextlib.closing(ahead):
        for file_id, outcome in ahead:
            name = f"index/{file_id.hex()}"
            try:
                yield file_id, decode_index(outcome.result(), name=name)
            except RepositoryDamaged as exc:
                yield file_id, exc


def some_of(names: Collection[str], limit: int = _NAMED_NOTES) -> str:
    """Name the first ``limit`` of some names, in their order, and count the others."""
    return listed(sorted(names), limit)


class _Surveyor:
    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._backend = repository.backend
        self._damage: list[Damage] = []
        self._notes: list[str] = []

    def survey(self) -> Survey:
        self._look_at_config()
        self._look_at_keys()
        snapshot_files = frozenset(list_ids(self._backend, SNAPSHOTS))
        snapshots = tuple(self._read_snapshots(snapshot_files))
        named = self._read_index()
        self._damage += named.damage
        self._notes += named.notes
        listed = self._list()
        lost = frozenset(self._compare_packs(named.packs, listed))
        unnamed = {pack: size for pack, size in listed.items() if pack not in named.packs}
        # Read once more where packs are lost: blobs that are kept until then would be kept twice.
        index = (self._read_index(without=lost) if lost else named).builder.build()
        self._note_copies(index)
        self._note_unnamed(unnamed)
        return Survey(
            damage=tuple(self._damage),
            notes=tuple(self._notes),
            snapshots=tuple(sorted(snapshots, key=lambda one: (one.time, one.id))),
            snapshot_files=snapshot_files,
            index=index,
            index_files=named.files,
            unreadable_index_files=frozenset(named.unreadable),
            small_index_files=named.small,
            packs=frozenset(named.packs),
            listed=listed,
            lost_packs=lost,
            disputed_packs=frozenset(named.disputed),
        )

    def _found(self, name: str, reason: str) -> None:
        self._damage.append(Damage(name=name, reason=reason))

    def _look_at_config(self) -> None:
        """The config opens, or nobody were here; restic refuses one without its polynomial."""
        if not is_irreducible(self._repository.config.polynomial):
            self._found("config", "it holds no polynomial that restic could cut files with")

    def _look_at_keys(self) -> None:
        for key_id in sorted(list_ids(self._backend, "keys")):
            name = key_name(key_id)
            try:
                data = self._backend.read(name)
            except ObjectMissing:
                continue  # somebody took it away just now
            if hashlib.sha256(data).digest() != key_id:
                self._found(name, f"the SHA-256 of its {len(data):,} bytes is not its name")

    def _read_snapshots(self, ids: Collection[bytes]) -> Iterator[Snapshot]:
        def fetch(snapshot_id: bytes) -> Snapshot | Damage | None:
            try:
                return read_snapshot(self._repository, snapshot_id)
            except ObjectMissing:
                return None  # somebody forgot it just now
            except (RepositoryDamaged, ObjectTooShort) as exc:
                name = f"{SNAPSHOTS}/{snapshot_id.hex()}"
                return Damage(name=name, reason=reason_of(exc))

        with concurrent.futures.ThreadPoolExecutor(_READ_AHEAD) as pool:
            for found in pool.map(fetch, sorted(ids)):
                if isinstance(found, Damage):
                    self._damage.append(found)
                elif found is not None:
                    yield found

    def _read_index(self, *, without: Collection[bytes] = ()) -> _Named:
        """Read all index files; where a prune replaces one meanwhile, all are read again."""
        vanished: ObjectMissing | None = None
        for dummy in range(_TRIES):
            named = _Named(frozenset(list_ids(self._backend, "index")), without)
            try:
                for file_id, found in indexed_packs(self._repository, sorted(named.files)):
                    named.take(file_id, found)
            except ObjectMissing as exc:
                vanished = exc
                continue
            return named
        raise RepositoryError(
            f"The index files in {self._repository.location} are being replaced faster than they "
            f"can be read ({vanished}); wait for the prune that runs there, then try again."
        ) from vanished

    def _list(self) -> dict[bytes, int]:
        """Return all packs in their places with their sizes; note what does not belong there."""
        packs: dict[bytes, int] = {}
        strange: list[str] = []
        for entry in self._backend.entries(""):
            folder, dummy, last = entry.name.rpartition("/")
            file_id = parse_id(last)
            if file_id is not None and entry.name == pack_name(file_id):
                packs[file_id] = entry.size
            elif entry.name == "config" or (file_id is not None and folder in _FOLDERS):
                continue
            elif not entry.name.startswith(_OUR_FOLDER):
                strange.append(entry.name)
            elif entry.name.startswith(SET_ASIDE):
                self._notes.append(f"{entry.name} was set aside by a repair")
        if strange:
            self._notes.append(
                f"{plural(len(strange), 'file')} that no repository has, and that nothing here or "
                f"in restic looks at: {some_of(strange)}"
            )
        return packs

    def _compare_packs(
        self, named: Mapping[bytes, int], listed: Mapping[bytes, int]
    ) -> Iterator[bytes]:
        for pack_id, size in sorted(named.items()):
            found = listed.get(pack_id)
            if found == size:
                continue
            if found is None:
                self._found(pack_name(pack_id), "it is missing")
            else:
                self._found(
                    pack_name(pack_id),
                    f"it has {found:,} bytes, and should have {size:,} by the index",
                )
            yield pack_id

    def _note_copies(self, index: Index) -> None:
        places = ((blob_id, kind) for blob_id, kind, *dummy in index.records())
        copies = len(index) - sum(1 for dummy in itertools.groupby(places))
        if copies:
            self._notes.append(
                f"{plural(copies, 'blob is', 'blobs are')} stored once more than needed, which a "
                "prune ends"
            )

    def _note_unnamed(self, unnamed: Mapping[bytes, int]) -> None:
        if unnamed:
            size = sum(unnamed.values())
            names = some_of([pack_name(pack) for pack in unnamed])
            self._notes.append(
                f"{plural(len(unnamed), 'pack')} with {size:,} bytes that no index names, of a "
                "backup that is running, or of one that was stopped, whose work the next backup "
                f"takes up: {names}"
            )


class _Named:
    """What all index files together say."""

    def __init__(self, files: frozenset[bytes], without: Collection[bytes]) -> None:
        self.files = files
        self._without = without
        self.packs: dict[bytes, int] = {}
        self.builder = IndexBuilder()
        self.damage: list[Damage] = []
        self.notes: list[str] = []
        self.unreadable: list[bytes] = []
        self.disputed: set[bytes] = set()
        self.small = 0
        self._digests: dict[bytes, int] = {}

    def take(self, file_id: bytes, found: list[IndexedPack] | RepositoryDamaged) -> None:
        name = f"index/{file_id.hex()}"
        if isinstance(found, RepositoryDamaged):
            self.unreadable.append(file_id)
            self.damage.append(Damage(name=name, reason=reason_of(found)))
            return
        self.small += sum(len(pack.blobs) for pack in found) < FULL_FILE_BLOBS
        for pack_id, count in collections.Counter(pack.id for pack in found).items():
            if count > 1:
                self.disputed.add(pack_id)
                self.notes.append(
                    f"{name} names {pack_name(pack_id)} {count} times, which a repair ends"
                )
        for pack in found:
            self._take_pack(name, pack)

    def _take_pack(self, name: str, pack: IndexedPack) -> None:
        end = 0
        for offset, length in sorted(ENTRY.unpack(entry)[1:3] for dummy, entry in pack.blobs):
            if offset != end:
                self._found(name, f"it leaves a gap in {pack_name(pack.id)} at byte {end:,}")
                break
            end += length
        digest = hash(tuple(sorted(pack.blobs)))
        if self._digests.setdefault(pack.id, digest) != digest:
            self.disputed.add(pack.id)
            self._found(name, f"it says of {pack_name(pack.id)} what another index file denies")
        self.packs[pack.id] = pack.size
        if pack.id not in self._without:
            self.builder.add(pack.id, pack.blobs)

    def _found(self, name: str, reason: str) -> None:
        self.damage.append(Damage(name=name, reason=reason))
