# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""The files of one snapshot, compared with what its manifest says before anything is loaded from
them.

``restic rewrite --exclude`` and ``restic repair snapshots`` leave snapshots that look whole; the
manifest tells.
"""

from __future__ import annotations

import contextlib
import dataclasses
import typing as t

from .._core.errors import RepositoryDamaged
from .._core.units import listed, plural
from .._postgres import layout
from .._repository.model import ID_BYTES, BlobKind, split_ids
from .._repository.tree import walk

if t.TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from .._postgres.manifest import DatabaseEntry, FileEntry, Manifest, TableEntry
    from .._repository.reader import BlobReader

NAMED_PROBLEMS = 5


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    """A file as the ids of its blobs, 32 bytes each, one after the other, and its size in bytes."""

    ids: bytes
    size: int

    @property
    def blobs(self) -> int:
        """The number of blobs."""
        return len(self.ids) // ID_BYTES


class SnapshotFiles:
    """The files below the tree of one snapshot, by path."""

    def __init__(self, reader: BlobReader, root: bytes) -> None:
        self._reader = reader
        self._files = {
            path: StoredFile(ids=b"".join(node.content), size=node.size)
            for path, node in walk(reader, root)
            if node.kind == "file"
        }

    def __contains__(self, path: str) -> bool:
        return path in self._files

    def __getitem__(self, path: str) -> StoredFile:
        """Return the file at ``path``.

        Raises ``RepositoryDamaged`` if the snapshot has none there.
        """
        found = self._files.get(path)
        if found is None:
            raise RepositoryDamaged(
                f"The snapshot has no file {path}; it is not whole, choose another one."
            )
        return found

    def stream(self, path: str) -> Generator[bytes, None, None]:
        """Yield the content of a file, blob after blob, each of them checked."""
        return self._reader.stream(split_ids(self[path].ids))

    def read(self, path: str) -> bytes:
        """Return the content of a small file."""
        return b"".join(self.stream(path))

    def read_start(self, path: str, size: int) -> bytes:
        """Return the first ``size`` bytes of a file, or more, or all that there is."""
        data = bytearray()
        with contextlib.closing(self.stream(path)) as blocks:
            for block in blocks:
                data += block
                if len(data) >= size:
                    break
        return bytes(data)

    def read_end(self, path: str, size: int) -> bytes:
        """Return the last ``size`` bytes of a file, or more, or all that there is."""
        ids = split_ids(self[path].ids)
        number, length = len(ids), 0
        while number and length < size:
            number -= 1
            length += self._length(ids[number])
        return b"".join(self._reader.stream(ids[number:]))

    def blocks_from_end(self, path: str) -> Iterator[bytes]:
        """Yield the blobs of a file, the last one first."""
        for blob in reversed(split_ids(self[path].ids)):
            yield self._reader.read(BlobKind.DATA, blob)

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(stored.size for stored in self._files.values())

    def missing_bytes(self, path: str) -> int:
        """Return how many bytes of a file the repository cannot give."""
        return self[path].size - self._stored_length(self[path])

    def problems(self, manifest: Manifest) -> list[str]:
        """Return what differs between the files and the manifest, one sentence each, in order of
        the paths."""
        found = []
        for path, expected in sorted(expected_files(manifest).items()):
            stored = self._files.get(path)
            if stored is None:
                found.append(f"{path} is missing")
            elif (stored.size, stored.blobs) != (expected.size, expected.blobs):
                found.append(
                    f"{path} has {stored.size} bytes in {plural(stored.blobs, 'blob')} "
                    f"instead of {expected.size} in {expected.blobs}"
                )
            elif (length := self._stored_length(stored)) != expected.size:
                found.append(f"of {path} only {length} of {expected.size} bytes can be found")
        return found

    def _stored_length(self, stored: StoredFile) -> int:
        """Sum the lengths that the index knows; a blob that it does not know counts nothing."""
        return sum(map(self._length, split_ids(stored.ids)))

    def _length(self, blob: bytes) -> int:
        try:
            return self._reader.length(BlobKind.DATA, blob)
        except RepositoryDamaged:
            return 0

    def table_ids(self, database: str, table: TableEntry) -> bytes:
        """Return the ids of all blobs of a table that was taken over, file after file."""
        paths = (
            layout.table_file(database, table.schema, table.name, number)
            for number in range(len(table.files))
        )
        return b"".join(self[path].ids for path in paths)


def refuse_damaged(files: SnapshotFiles, manifest: Manifest, snapshot: str) -> None:
    """Raise ``RepositoryDamaged``, naming the files, unless the snapshot is as its manifest
    says."""
    problems = files.problems(manifest)
    if not problems:
        return
    raise RepositoryDamaged(
        f"Snapshot {snapshot} is not what was backed up: "
        f"{listed(problems, NAMED_PROBLEMS, '; ')}; nothing was restored, choose another snapshot."
    )


def expected_files(manifest: Manifest) -> dict[str, FileEntry]:
    """Return path and size of every file that the manifest names; itself is not among them."""
    expected = {f"{layout.ROOT}/{name}": entry for name, entry in manifest.files.items()}
    if manifest.globals is not None:
        expected[layout.GLOBALS] = manifest.globals.file
    for database in manifest.databases:
        expected.update(_database_files(database))
    return expected


def _database_files(database: DatabaseEntry) -> Iterator[tuple[str, FileEntry]]:
    name = database.name
    yield layout.schema_dump(name), database.schema_dump
    yield layout.data_dump(name), database.data_dump
    for table in database.tables:
        for number, entry in enumerate(table.files):
            yield layout.table_file(name, table.schema, table.name, number), entry


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LoadUnit:
    """Some neighbouring segments of one table, loaded by one COPY: ids of their blobs, and rows."""

    ids: bytes
    rows: int


def load_units(table: TableEntry, ids: bytes, unit_bytes: int) -> Iterator[LoadUnit]:
    """Cut a table's segments into units of at least ``unit_bytes`` where it has that much.

    ``ids`` are those of ``SnapshotFiles.table_ids``. Empty segments are left out. Raises
    ``RepositoryDamaged`` when the segments are not made of the given ids.
    """
    blobs = sum(segment.blobs for segment in table.segments)
    if blobs * ID_BYTES != len(ids):
        raise RepositoryDamaged(
            f"The segments of table {table.schema}.{table.name} do not add up to its files; choose "
            "another snapshot."
        )
    start = end = rows = size = 0
    for number, segment in enumerate(table.segments, 1):
        end += segment.blobs * ID_BYTES
        rows += segment.rows
        size += segment.size
        if size >= unit_bytes or (size and number == len(table.segments)):
            yield LoadUnit(ids=ids[start:end], rows=rows)
            start, rows, size = end, 0, 0
