# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""From what was stored to what the snapshot says of itself: files, manifest, instructions for a
restore by hand.
"""

from __future__ import annotations

import dataclasses
import typing as t

from .._core.errors import DumpFailed
from .._postgres import layout, manifest
from .._postgres.by_hand import restore_md, restore_sh
from .._postgres.foreign_keys import keys_into_excluded, with_what_hangs_on
from .collector import file_content, file_entry, small_table_entry
from .snapshot_writer import PROGRAM

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from .._postgres.archive import ArchiveToc
    from .._postgres.database_contents import DatabaseContents, GlobalContents
    from .._postgres.model import ServerFacts
    from .._repository.tree import FileContent
    from .database_dump import DumpedDatabase
    from .streams import BlobSink
    from .work_units import StoredBytes


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class StoredDatabase:
    """A database as it goes into the snapshot, without what was needed only to get there.

    ``unchanged_bytes`` of its files were stored by an earlier snapshot, and not read again.
    """

    entry: manifest.DatabaseEntry
    files: dict[str, FileContent]
    unchanged_bytes: int

    @property
    def rows(self) -> int:
        """Rows of all tables that were counted."""
        return sum(table.rows or 0 for table in self.entry.tables)

    @property
    def read_bytes(self) -> int:
        """Bytes that the server sent."""
        return sum(content.size for content in self.files.values()) - self.unchanged_bytes


def store_database(
    dumped: DumpedDatabase,
    definition: manifest.DatabaseDefinition,
    contents: DatabaseContents,
) -> StoredDatabase:
    """Return the files and the manifest's entry of a database that was dumped."""
    name = definition.name
    streams = {stream: done.stored for stream, done in dumped.streams.items()}
    files = {
        layout.schema_dump(name): file_content(streams["schema.dump"]),
        layout.data_dump(name): file_content(streams["data.dump"]),
    }
    for table in dumped.rows.collectors:
        files.update(table.files(name))
    schema_toc, data_toc = (_toc(dumped, stream) for stream in ("schema.dump", "data.dump"))
    entry = manifest.DatabaseEntry(
        definition=definition,
        lsn=dumped.locked.lsn,
        schema_dump=file_entry(streams["schema.dump"]),
        data_dump=file_entry(streams["data.dump"]),
        archive_version=data_toc.version,
        tables=tuple(_table_entries(dumped)),
        excluded=tuple(manifest.TableName(*table.key) for table in dumped.choice.excluded),
        excluded_keys=_excluded_keys(dumped, schema_toc),
        extensions=contents.extensions,
        roles=contents.roles,
        tablespaces=contents.tablespaces,
        large_objects=contents.large_objects,
        snapshot_xmin=dumped.rows.snapshot_xmin,
    )
    return StoredDatabase(entry=entry, files=files, unchanged_bytes=dumped.rows.unchanged_bytes)


def _toc(dumped: DumpedDatabase, stream: str) -> ArchiveToc:
    toc = dumped.streams[stream].toc
    if toc is None:
        raise DumpFailed(f"{stream} was read without its table of contents; please report it.")
    return toc


def _excluded_keys(dumped: DumpedDatabase, schema: ArchiveToc) -> tuple[int, ...]:
    """Return the foreign keys that a restore must leave out, since the rows that they point to are
    missing.
    """
    excluded = {table.key for table in dumped.choice.excluded}
    roots = (table.root for table in dumped.choice.excluded)
    excluded |= {(root.schema, root.name) for root in roots if root is not None}
    keys = keys_into_excluded(schema, excluded)
    return tuple(sorted(with_what_hangs_on(schema, keys)))


def _table_entries(dumped: DumpedDatabase) -> Iterator[manifest.TableEntry]:
    for collected in dumped.rows.collectors:
        yield collected.entry()
    for table in dumped.choice.dumped:
        yield small_table_entry(table, dumped.counts.get(table.key))
    for table in dumped.choice.excluded:
        yield small_table_entry(table, None)


def globals_entry(stored: StoredBytes, contents: GlobalContents) -> manifest.GlobalsEntry:
    """Return globals.sql as the manifest names it."""
    return manifest.GlobalsEntry(
        file=file_entry(stored), roles=contents.roles, tablespaces=contents.tablespaces
    )


def server_entry(server: ServerFacts) -> manifest.ServerEntry:
    """Return the source as the manifest names it."""
    return manifest.ServerEntry(
        version=server.version,
        version_num=server.version_num,
        system_identifier=server.system_identifier,
        lsn=server.lsn,
        in_recovery=server.in_recovery,
    )


def store_manifest(
    sink: BlobSink,
    *,
    server: ServerFacts,
    settings: manifest.Settings,
    globals_file: manifest.GlobalsEntry | None,
    databases: tuple[manifest.DatabaseEntry, ...],
) -> dict[str, FileContent]:
    """Store RESTORE.md, restore.sh and, naming them too, manifest.json; return the three files."""
    whole = manifest.Manifest(
        program=PROGRAM,
        server=server_entry(server),
        settings=settings,
        globals=globals_file,
        databases=databases,
    )
    files: dict[str, FileContent] = {}
    named: dict[str, manifest.FileEntry] = {}
    for path, text in (
        (layout.RESTORE_MD, restore_md(whole)),
        (layout.RESTORE_SH, restore_sh(whole)),
    ):
        sink.write(text.encode("utf-8", "surrogateescape"))
        stored = sink.finish()
        files[path] = file_content(stored)
        named[path.rpartition("/")[2]] = file_entry(stored)
    sink.write(manifest.encode(dataclasses.replace(whole, files=named)))
    files[layout.MANIFEST] = file_content(sink.finish())
    return files
