# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Snapshots of ours without a server: the real layout, a real manifest, made-up rows.

A made-up server is a mapping of databases to tables to rows; each segment of a table has 200 rows.
"""

from __future__ import annotations

import dataclasses
import random
import time
import typing as t
from collections.abc import Iterator, Mapping, Sequence

from ansible_collections.granary.postgres.plugins.module_utils._postgres import layout, manifest
from ansible_collections.granary.postgres.plugins.module_utils._repository.index_file import (
    IndexWriter,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.model import BlobKind
from ansible_collections.granary.postgres.plugins.module_utils._repository.repository import (
    Repository,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.saver import BlobSaver
from ansible_collections.granary.postgres.plugins.module_utils._repository.snapshot import (
    Snapshot,
    SnapshotFigures,
    list_snapshots,
    read_snapshot,
    unused_time,
    write_snapshot,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.tree import (
    FileContent,
    save_tree,
)

SEGMENT_ROWS = 200
SEGMENTS_PER_FILE = 2
_PIECE_BYTES = 4096

Rows: t.TypeAlias = Sequence[bytes]
Databases: t.TypeAlias = Mapping[str, Mapping[str, Rows]]
Change: t.TypeAlias = "t.Callable[[manifest.Manifest], manifest.Manifest]"


def made_rows(seed: str, count: int) -> list[bytes]:
    """Rows as COPY writes them, the same for a seed."""
    chance = random.Random(seed)
    return [b"%d\t%s\n" % (n, chance.randbytes(24).hex().encode()) for n in range(count)]


SHOP: Databases = {
    "shop": {
        "sales.orders": made_rows("orders", 900),
        "public.customers": made_rows("customers", 500),
        "public.visits": made_rows("visits", 700),
    },
    "blog": {"public.posts": made_rows("posts", 300)},
}
SMALL_TABLE = "public.tags"


class SnapshotMaker:
    """Stores one made-up server in a repository; `change` edits the manifest before it is stored,
    `rewrite` the content of files, whose entries in the manifest then stay as they were.
    """

    def __init__(
        self,
        repository: Repository,
        *,
        change: Change = lambda whole: whole,
        rewrite: Mapping[str, bytes] | None = None,
        leave_out: Sequence[str] = (),
        pack_size: int = 64 * 1024,
    ) -> None:
        self._repository = repository
        self._change = change
        self._rewrite = dict(rewrite or {})
        self._leave_out = leave_out
        self._pack_size = pack_size
        self._files: dict[str, FileContent] = {}

    def make(self, databases: Databases | None = None, *, host: str = "main") -> Snapshot:
        """Store it (the shop by default), as a backup does, and return the snapshot."""
        repository = self._repository
        with repository.lock() as lock:
            index, report = repository.load_index()
            writer = IndexWriter(
                key=repository.key,
                version=repository.version,
                backend=repository.backend,
                guard=lock.check,
            )
            for record in report.adopted:
                writer.add(record)
            saver = repository.saver(
                index, pack_size=self._pack_size, on_pack=writer.add, guard=lock.check
            )
            self._store(saver, SHOP if databases is None else databases)
            files = {path: one for path, one in self._files.items() if path not in self._leave_out}
            tree = save_tree(saver, files)
            saver.finish()
            writer.flush()
            made = self._describe(tree, files, host)
            return read_snapshot(repository, write_snapshot(repository, made))

    def _describe(self, tree: bytes, files: Mapping[str, FileContent], host: str) -> Snapshot:
        moment = unused_time(list_snapshots(self._repository), time.time_ns(), host)
        size = sum(content.size for content in files.values())
        return Snapshot(
            time=moment,
            tree=tree,
            paths=(layout.ROOT,),
            hostname=host,
            tags=("granary",),
            program_version="granary.postgres 0.1.0",
            summary=SnapshotFigures(
                backup_start=moment, backup_end=moment, total_bytes_processed=size
            ),
        )

    def _store(self, saver: BlobSaver, databases: Databases) -> None:
        entries = tuple(self._store_database(saver, *one) for one in databases.items())
        script = self._save(saver, layout.GLOBALS, b"CREATE ROLE somebody;\n")
        whole = manifest.Manifest(
            program="granary.postgres 0.1.0",
            server=manifest.ServerEntry(
                version="17.5",
                version_num=170005,
                system_identifier="7",
                lsn="0/1",
                in_recovery=False,
            ),
            settings=manifest.Settings(segment_threshold=0, dump_program="pg_dump 17.5"),
            globals=manifest.GlobalsEntry(file=script, roles=("somebody",)),
            databases=entries,
            files={
                "RESTORE.md": self._save(saver, layout.RESTORE_MD, b"# How to restore\n"),
                "restore.sh": self._save(saver, layout.RESTORE_SH, b"#!/bin/sh\n"),
            },
        )
        self._save(saver, layout.MANIFEST, manifest.encode(self._change(whole)))

    def _store_database(
        self, saver: BlobSaver, name: str, tables: Mapping[str, Rows]
    ) -> manifest.DatabaseEntry:
        small = manifest.TableEntry(schema="public", name="tags", taken_over=False, rows=3)
        empty = manifest.TableEntry(schema="public", name="nothing", taken_over=False, rows=0)
        definition = manifest.DatabaseDefinition(
            name=name,
            owner="postgres",
            encoding="UTF8",
            locale_provider="libc",
            collate="C",
            ctype="C",
        )
        return manifest.DatabaseEntry(
            definition=definition,
            lsn="0/1",
            schema_dump=self._save(saver, layout.schema_dump(name), f"schema {name}".encode()),
            data_dump=self._save(saver, layout.data_dump(name), f"data of {name}".encode()),
            archive_version=(1, 16),
            tables=(
                *(self._store_table(saver, name, *one) for one in tables.items()),
                small,
                empty,
            ),
        )

    def _store_table(
        self, saver: BlobSaver, database: str, table: str, rows: Rows
    ) -> manifest.TableEntry:
        schema, dummy, name = table.partition(".")
        texts = [
            (len(rows[at : at + SEGMENT_ROWS]), b"".join(rows[at : at + SEGMENT_ROWS]))
            for at in range(0, len(rows), SEGMENT_ROWS)
        ]
        segments, files = [], []
        for number, at in enumerate(range(0, len(texts), SEGMENTS_PER_FILE)):
            path = layout.table_file(database, schema, name, number)
            together = texts[at : at + SEGMENTS_PER_FILE]
            files.append(self._save(saver, path, *(text for dummy, text in together)))
            segments += [
                manifest.SegmentEntry(count, len(text), len(list(_pieces(text))))
                for count, text in together
            ]
        return manifest.TableEntry(
            schema=schema,
            name=name,
            taken_over=True,
            rows=len(rows),
            columns=("id", "text"),
            size=sum(len(text) for dummy, text in texts),
            segment_pages=1024,
            segments=tuple(segments),
            files=tuple(files),
        )

    def _save(self, saver: BlobSaver, path: str, *texts: bytes) -> manifest.FileEntry:
        """Store a file; no blob holds bytes of two of the texts."""
        entry = manifest.FileEntry(
            sum(map(len, texts)), sum(len(list(_pieces(text))) for text in texts)
        )
        if path in self._rewrite:
            texts = tuple(_cut(self._rewrite[path], [len(text) for text in texts]))
        blobs = [saver.save(BlobKind.DATA, piece) for text in texts for piece in _pieces(text)]
        self._files[path] = FileContent(blobs=tuple(blobs), size=sum(map(len, texts)))
        return entry


def _cut(text: bytes, lengths: Sequence[int]) -> Iterator[bytes]:
    """Cut at the same places as the texts that it replaces; the last part may be of any length."""
    at = 0
    for length in lengths[:-1]:
        yield text[at : at + length]
        at += length
    yield text[at:]


def _pieces(text: bytes) -> Iterator[bytes]:
    for start in range(0, len(text), _PIECE_BYTES):
        yield text[start : start + _PIECE_BYTES]


def changed_table(whole: manifest.Manifest, table: str, **fields: t.Any) -> manifest.Manifest:
    """Return a manifest that says something else of one table of the first database."""
    first, *others = whole.databases
    tables = tuple(
        dataclasses.replace(one, **fields) if f"{one.schema}.{one.name}" == table else one
        for one in first.tables
    )
    return dataclasses.replace(
        whole, databases=(dataclasses.replace(first, tables=tables), *others)
    )
