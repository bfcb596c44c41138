# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""Whether a snapshot is what its manifest says: its files, their sizes, the segments, their rows.

A table that did not change between two snapshots is looked at once. What is missing in the
repository is not told again here: blobs that no index knows have no length to compare.
"""

from __future__ import annotations

import struct
import typing as t

from .._core.errors import RepositoryDamaged
from .._core.units import plural
from .._postgres import layout
from .._repository.model import BlobKind
from .._repository.tree import Node, read_tree
from .._repository.tree_check import LostPath
from .stored_manifest import read_manifest

if t.TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from .._postgres.manifest import DatabaseEntry, FileEntry, Manifest, SegmentEntry, TableEntry
    from .._repository.index import Index
    from .._repository.pack_check import BlobName
    from .._repository.reader import BlobReader
    from .._repository.snapshot import Snapshot

_KEPT_NODES = 100_000
_COUNT = struct.Struct("<I")
_UNKNOWN = 0


class Folder(dict[str, Node]):
    """A folder's nodes by name; one that cannot be read is empty, and nothing is missing in it."""

    readable = True


class LineCounts:
    """How many lines each data blob has that was read: 4 bytes for each record of the index.

    COPY text has one line for each row. Blobs are told by several threads at once.
    """

    def __init__(self, index: Index) -> None:
        self._index = index
        self._counts = bytearray(_COUNT.size * len(index))

    def tell(self, name: BlobName, plain: bytes) -> None:
        """Count the lines of a blob."""
        kind, blob_id = name
        if kind is not BlobKind.DATA:
            return
        number = next(self._index.numbers(kind, blob_id), None)
        if number is not None:
            _COUNT.pack_into(self._counts, _COUNT.size * number, 1 + plain.count(b"\n"))

    def get(self, blob_id: bytes) -> int | None:
        """Return the lines of a data blob, None for one that was not read."""
        number = next(self._index.numbers(BlobKind.DATA, blob_id), None)
        if number is None:
            return None
        (count,) = _COUNT.unpack_from(self._counts, _COUNT.size * number)
        return None if count == _UNKNOWN else count - 1


class SnapshotCheck:
    """Compares snapshots with their manifests; ``lines`` are those of blobs that were read."""

    def __init__(self, reader: BlobReader, lines: LineCounts | None = None) -> None:
        self._reader = reader
        self._lines = lines
        self._folders: dict[bytes, Folder] = {}
        self._kept = 0
        self._tables: dict[tuple[bytes, int], tuple[str, ...]] = {}

    def manifest(self, snapshot: Snapshot) -> Manifest | None:
        """Return the manifest, None where there is none. Raises ``RepositoryDamaged``."""
        return read_manifest(self._reader, snapshot.tree)

    def differences(self, snapshot: Snapshot, manifest: Manifest) -> Iterator[LostPath]:
        """Yield what is not as the manifest says; what cannot be read is passed over."""
        top = self._below(self._folder(snapshot.tree), layout.ROOT)
        if top is None:
            return
        expected = {f"{layout.ROOT}/{name}": entry for name, entry in manifest.files.items()}
        if manifest.globals is not None:
            expected[layout.GLOBALS] = manifest.globals.file
        yield from self._files(top, layout.ROOT, expected)
        allowed = {_last(path) for path in (*expected, layout.MANIFEST, layout.DATABASES)}
        yield from _strangers(top, layout.ROOT, allowed)
        databases = self._below(top, layout.DATABASES)
        if databases is None:
            yield from _missing(top, layout.DATABASES, bool(manifest.databases))
            return
        folders = {layout.database_folder(one.name): one for one in manifest.databases}
        for path, database in folders.items():
            yield from self._database(databases, path, database)
        yield from _strangers(databases, layout.DATABASES, set(map(_last, folders)))

    def plain_difference(self, snapshot: Snapshot) -> Iterator[LostPath]:
        """Yield the SQL script of a snapshot if it has another size than the snapshot says.

        `restic repair snapshots` leaves such ones.
        """
        node = self._folder(snapshot.tree).get(_last(layout.PLAIN_DUMP))
        if node is None or snapshot.size_bytes is None:
            return
        length = self._length(node.content)
        if length is not None and length != snapshot.size_bytes:
            yield LostPath(
                layout.PLAIN_DUMP, f"it has {length:,} of the {snapshot.size_bytes:,} bytes dumped"
            )

    def _database(
        self, databases: Folder, path: str, database: DatabaseEntry
    ) -> Iterator[LostPath]:
        folder = self._below(databases, path)
        if folder is None:
            yield from _missing(databases, path, True)
            return
        name = database.name
        expected = {
            layout.schema_dump(name): database.schema_dump,
            layout.data_dump(name): database.data_dump,
        }
        yield from self._files(folder, path, expected)
        yield from _strangers(folder, path, {*map(_last, expected), "tables"})
        tables = {
            layout.table_folder(name, table.schema, table.name): table
            for table in database.tables
            if table.files
        }
        above = self._below(folder, f"{path}/tables")
        if above is None:
            yield from _missing(folder, f"{path}/tables", bool(tables))
            return
        yield from self._schemas(above, f"{path}/tables", tables)

    def _schemas(
        self, above: Folder, path: str, tables: Mapping[str, TableEntry]
    ) -> Iterator[LostPath]:
        schemas: dict[str, dict[str, TableEntry]] = {}
        for table_path, table in tables.items():
            schemas.setdefault(table_path.rpartition("/")[0], {})[table_path] = table
        yield from _strangers(above, path, set(map(_last, schemas)))
        for schema_path, inside in schemas.items():
            folder = self._below(above, schema_path)
            if folder is None:
                yield from _missing(above, schema_path, True)
                continue
            yield from _strangers(folder, schema_path, set(map(_last, inside)))
            for table_path, table in inside.items():
                node = folder.get(_last(table_path))
                if node is None or node.subtree is None:
                    yield from _missing(folder, table_path, True)
                    continue
                for problem in self._table(node.subtree, table):
                    yield LostPath(table_path, problem)

    def _table(self, tree: bytes, table: TableEntry) -> tuple[str, ...]:
        """Return what is wrong with a table; the same files with the same entry are read once."""
        key = tree, hash((table.rows, table.size, table.segments, table.files))
        if key not in self._tables:
            self._tables[key] = tuple(self._look_at_table(tree, table))
        return self._tables[key]

    def _look_at_table(self, tree: bytes, table: TableEntry) -> Iterator[str]:
        wanted = [layout.segment_file(number) for number in range(len(table.files))]
        top = self._folder(tree)
        below = {
            name: self._folder(above.subtree)
            for name, above in top.items()
            if above.subtree is not None
        }
        if not all(folder.readable for folder in (top, *below.values())):
            return
        found = {f"{name}/{last}": node for name in below for last, node in below[name].items()}
        for path in sorted(found.keys() - set(wanted)):
            yield f"{path} is not in the manifest"
        content: list[bytes] = []
        for path, entry in zip(wanted, table.files, strict=True):
            node = found.get(path)
            problem = "is missing" if node is None else self._file_problem(node, entry)
            if problem is not None or node is None:
                yield f"{path} {problem}"
            else:
                content += node.content
        if sum(entry.blobs for entry in table.files) == len(content):
            yield from self._look_at_segments(content, table)

    def _look_at_segments(self, content: Sequence[bytes], table: TableEntry) -> Iterator[str]:
        segments = table.segments
        if sum(one.blobs for one in segments) != len(content):
            yield "its segments are not made of its files"
            return
        if sum(one.size for one in segments) != table.size:
            yield f"its segments do not add up to {table.size:,} bytes"
        if table.rows is not None and sum(one.rows for one in segments) != table.rows:
            yield f"its segments do not add up to {plural(table.rows, 'row')}"
        at = 0
        for number, segment in enumerate(segments):
            problem = self._segment_problem(content[at : at + segment.blobs], segment)
            at += segment.blobs
            if problem is not None:
                yield f"segment {number} {problem}"

    def _segment_problem(self, blobs: Sequence[bytes], segment: SegmentEntry) -> str | None:
        length = self._length(blobs)
        if length is not None and length != segment.size:
            return f"has {length:,} of {segment.size:,} bytes"
        counts = [self._lines.get(blob) for blob in blobs] if self._lines is not None else [None]
        rows = sum(count for count in counts if count is not None)
        if None not in counts and rows != segment.rows:
            return f"has {plural(rows, 'row')} instead of {segment.rows:,}"
        return None

    def _files(
        self, folder: Folder, path: str, expected: Mapping[str, FileEntry]
    ) -> Iterator[LostPath]:
        for name, entry in expected.items():
            node = folder.get(_last(name))
            if node is None:
                yield from _missing(folder, name, True)
            elif (problem := self._file_problem(node, entry)) is not None:
                yield LostPath(name, f"it {problem}")

    def _file_problem(self, node: Node, entry: FileEntry) -> str | None:
        found = node.size, len(node.content)
        if found != (entry.size, entry.blobs):
            blobs = plural(found[1], "blob")
            return f"has {found[0]:,} bytes in {blobs} instead of {entry.size:,} in {entry.blobs}"
        length = self._length(node.content)
        if length is not None and length != entry.size:
            return f"has {length:,} of {entry.size:,} bytes"
        return None

    def _length(self, blobs: Sequence[bytes]) -> int | None:
        """Return the length of all blobs together, None where one of them is in no index."""
        try:
            return sum(self._reader.length(BlobKind.DATA, blob) for blob in blobs)
        except RepositoryDamaged:
            return None

    def _below(self, folder: Folder, path: str) -> Folder | None:
        """Return the folder at ``path``, of which only the last name is looked for."""
        node = folder.get(_last(path))
        return None if node is None or node.subtree is None else self._folder(node.subtree)

    def _folder(self, tree: bytes) -> Folder:
        """Return a folder's nodes by name; of one that cannot be read, none."""
        found = self._folders.get(tree)
        if found is None:
            if self._kept > _KEPT_NODES:
                self._folders.clear()
                self._kept = 0
            found = Folder()
            try:
                found.update((node.name, node) for node in read_tree(self._reader, tree))
            except RepositoryDamaged:
                found.readable = False
            self._folders[tree] = found
            self._kept += 1 + len(found)
        return found


def _last(path: str) -> str:
    return path.rpartition("/")[2]


def _missing(folder: Folder, path: str, expected: bool) -> Iterator[LostPath]:
    if expected and folder.readable and _last(path) not in folder:
        yield LostPath(path, "it is missing")


def _strangers(folder: Folder, path: str, allowed: set[str]) -> Iterator[LostPath]:
    for name in sorted(folder.keys() - allowed):
        yield LostPath(f"{path}/{name}", "the manifest does not name it")
