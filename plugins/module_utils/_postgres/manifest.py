# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""What a snapshot says of itself: ``manifest.json``, described in docs/format.md.

Restore and verify stand on it, so it names the size and blob count of every other file, and the
rows of every table. It holds plain facts only; how they are read from a server or laid back is no
business of this module.
"""

from __future__ import annotations

import dataclasses
import typing as t

from .._core.errors import RepositoryDamaged
from .json_record import decode_record, encode_record, parse_object

FORMAT = 1
WHAT = "The snapshot's manifest.json"


class FileEntry(t.NamedTuple):
    """A file's size in bytes and the number of blobs that make it; JSON: an array."""

    size: int
    blobs: int


class SegmentEntry(t.NamedTuple):
    """Rows (the server's own count), COPY text in bytes and blobs of a segment; JSON: an array."""

    rows: int
    size: int
    blobs: int


class AclEntry(t.NamedTuple):
    """Some privileges that one role gave another; JSON: an array. No grantee means PUBLIC."""

    grantee: str | None
    grantor: str
    privileges: tuple[str, ...]
    grantable: bool


class SettingEntry(t.NamedTuple):
    """A setting of pg_db_role_setting; JSON: an array. No role: for all roles in the database."""

    role: str | None
    name: str
    value: str


class LabelEntry(t.NamedTuple):
    """A security label; JSON: an array."""

    provider: str
    label: str


class ExtensionEntry(t.NamedTuple):
    """An installed extension; JSON: an array."""

    name: str
    version: str
    schema: str


class TablespaceEntry(t.NamedTuple):
    """A tablespace of the server, other than the built-in two; JSON: an array."""

    name: str
    location: str


class TableName(t.NamedTuple):
    """A table's schema and name; JSON: an array."""

    schema: str
    name: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseDefinition:
    """How to make the database anew; ``acl`` None stands for the built-in rights.

    ``locale_provider`` is libc, icu or builtin; ``locale`` is the provider's own (icu, builtin),
    while ``collate`` and ``ctype`` are always those of libc. ``collation_version`` is a fact of
    the source and is not restored.
    """

    name: str
    owner: str
    encoding: str
    locale_provider: str
    collate: str
    ctype: str
    locale: str | None = None
    icu_rules: str | None = None
    collation_version: str | None = None
    tablespace: str = "pg_default"
    connection_limit: int = -1
    allow_connections: bool = True
    is_template: bool = False
    acl: tuple[AclEntry, ...] | None = None
    settings: tuple[SettingEntry, ...] = ()
    comment: str | None = None
    labels: tuple[LabelEntry, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RootEntry:
    """The topmost partitioned table above a leaf.

    ``strategies`` (range, list, hash) are those of every level, from the top down.
    """

    schema: str
    name: str
    strategies: tuple[str, ...]

    @property
    def hashed(self) -> bool:
        """Whether a hash decides somewhere above: rows may fall into other leaves elsewhere."""
        return "hash" in self.strategies


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TableEntry:
    """One table with rows of its own.

    ``rows`` is None when nobody counted them: rows left out by ``exclude_tables``, and those of
    extension members. ``columns`` are the ones that COPY writes, in its order; a table that was
    not taken over has neither these nor ``segments`` nor ``files``. ``table_size`` is
    pg_table_size at the time, in bytes. ``lineage``: see ``row_versions``; None where nothing
    tells whether rows changed.
    """

    schema: str
    name: str
    taken_over: bool
    rows: int | None
    table_size: int = 0
    columns: tuple[str, ...] = ()
    size: int = 0
    segment_pages: int | None = None
    segments: tuple[SegmentEntry, ...] = ()
    files: tuple[FileEntry, ...] = ()
    root: RootEntry | None = None
    lineage: str | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseEntry:
    """One database of the snapshot.

    ``archive_version`` is that of both archives, such as (1, 14): it decides which pg_restore can
    read them. ``roles`` own something or were granted something in it; ``tablespaces`` hold
    something of it (pg_default and pg_global not named). ``excluded`` lists the tables whose rows
    were left out on the user's wish, ``excluded_keys`` the dump ids in schema.dump of the foreign
    keys that point to one of them (and of comments on such keys). ``snapshot_xmin`` is the oldest
    transaction that was running when the snapshot was taken, as 64 bits.
    """

    definition: DatabaseDefinition
    lsn: str
    schema_dump: FileEntry
    data_dump: FileEntry
    archive_version: tuple[int, ...]
    tables: tuple[TableEntry, ...]
    excluded: tuple[TableName, ...] = ()
    excluded_keys: tuple[int, ...] = ()
    extensions: tuple[ExtensionEntry, ...] = ()
    roles: tuple[str, ...] = ()
    tablespaces: tuple[str, ...] = ()
    large_objects: int = 0
    snapshot_xmin: int | None = None

    @property
    def name(self) -> str:
        """The database's name on the source."""
        return self.definition.name


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ServerEntry:
    """The source server.

    ``system_identifier`` in decimal, as pg_controldata shows it; None where the role may not ask.
    """

    version: str
    version_num: int
    system_identifier: str | None
    lsn: str
    in_recovery: bool


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the backup was asked for and used, as far as it shapes the snapshot."""

    segment_threshold: int
    dump_program: str
    role_passwords: bool = True


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class GlobalsEntry:
    """What globals.sql defines: ``file``, and the names for a restore's plan."""

    file: FileEntry
    roles: tuple[str, ...] = ()
    tablespaces: tuple[TablespaceEntry, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """Everything; ``files`` are those of the root folder (RESTORE.md, restore.sh)."""

    format: int = FORMAT
    program: str
    server: ServerEntry
    settings: Settings
    globals: GlobalsEntry | None
    databases: tuple[DatabaseEntry, ...]
    files: dict[str, FileEntry] = dataclasses.field(default_factory=dict)


def encode(manifest: Manifest) -> bytes:
    """Return the content of manifest.json: compact, and the same for equal manifests."""
    return encode_record(manifest)


def decode(data: bytes) -> Manifest:
    """Return the manifest in ``data``.

    Raises ``RepositoryDamaged`` when it is not one, or one of a format newer than this code knows.
    """
    found = parse_object(data, WHAT).get("format")
    if isinstance(found, int) and found > FORMAT:
        newer = RepositoryDamaged(
            f"{WHAT} has format {found}, this version of granary.postgres reads up to {FORMAT}; "
            "use a newer version of the collection."
        )
        newer.advice = ""
        raise newer
    return decode_record(Manifest, data, WHAT)
