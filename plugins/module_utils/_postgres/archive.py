# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""Reads the table of contents of an archive of pg_dump's custom format, as a stream.

``pg_restore -l`` mangles names with line breaks and needs a file; a backup must know what pg_dump
put into an archive that it never sees whole. Format: WriteHead, WriteToc and ReadToc in
src/bin/pg_dump/pg_backup_archiver.c and pg_backup_custom.c, versions 1.12 (PostgreSQL 9.x) to 1.16
(17 and 18). Nothing here knows of servers or repositories.
"""

from __future__ import annotations

import dataclasses
import re
import typing as t

from .._core.errors import PostgresError
from .quoting import SessionText

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterator

OLDEST = (1, 12)
NEWEST = (1, 16)
_TABLE_ACCESS_METHOD = (1, 14)
_COMPRESSION_BYTE = (1, 15)
_RELKIND = (1, 16)

_MAGIC = b"PGDMP"
_CUSTOM_FORMAT = 1
_SECTIONS = {1: "none", 2: "pre-data", 3: "data", 4: "post-data"}
_ENCODING = re.compile(rb"SET client_encoding = '([A-Za-z0-9_]+)'")
# No name, statement or table of contents is as long: such a length means that we lost our place.
_LONGEST = 1 << 30


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TocEntry:
    """One object in an archive.

    ``tag`` is its name (for what belongs to a table: ``table name``), ``desc`` its kind (TABLE,
    TABLE DATA, FK CONSTRAINT, ...), ``defn`` its SQL, ``has_data`` whether the archive holds rows,
    values or bytes for it.
    """

    dump_id: int
    catalog_id: tuple[int, int]
    tag: str
    namespace: str | None
    desc: str
    section: str
    owner: str | None
    tablespace: str | None
    access_method: str | None
    defn: str
    dependencies: tuple[int, ...]
    has_data: bool

    @property
    def table(self) -> tuple[str, str]:
        """Schema and name, of an entry whose tag is a name and nothing else."""
        return (self.namespace or "", self.tag)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveToc:
    """An archive's header and table of contents, which end ``end`` bytes after its first byte.

    The header holds the time of its making: of two archives of the same database only the bytes
    before ``end`` need to differ.
    """

    version: tuple[int, int]
    encoding: str
    database: str
    server_version: str
    program_version: str
    entries: tuple[TocEntry, ...]
    end: int

    def of(self, *kinds: str) -> Iterator[TocEntry]:
        """Return the entries of some kinds (``desc``), in the archive's order."""
        return (entry for entry in self.entries if entry.desc in kinds)

    @property
    def table_data(self) -> tuple[tuple[str, str], ...]:
        """Schema and name of every table whose rows are in the archive."""
        return tuple(entry.table for entry in self.of("TABLE DATA") if entry.has_data)


def read_toc(read: Callable[[int], bytes]) -> ArchiveToc:
    """Read exactly the header and the table of contents by ``read``, and nothing of what follows.

    ``read(n)`` returns ``n`` bytes, fewer only at the end of the stream.

    Raises ``PostgresError`` when the stream is no archive of a version that is known, or ends too
    early.
    """
    fields = _Fields(read)
    version = _read_version(fields)
    _skip_compression(fields, version)
    for dummy in range(7):  # creation time: second, minute, hour, day, month, year, dst
        fields.integer()
    database, server_version, program_version = fields.text(), fields.text(), fields.text()
    count = fields.integer()
    raw = [_read_entry(fields, version) for _dummy in range(count)]
    text = _session_text(raw)
    return ArchiveToc(
        version=version,
        encoding=text.encoding,
        database=text.decode(database or b""),
        server_version=text.decode(server_version or b""),
        program_version=text.decode(program_version or b""),
        entries=tuple(_decode(entry, text) for entry in raw),
        end=fields.position,
    )


class _Fields:
    """The integers and texts that an archive is made of."""

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read = read
        self.position = 0
        self.integer_size = 4
        self.offset_size = 8

    def raw(self, size: int) -> bytes:
        if size > _LONGEST:
            raise PostgresError(
                f"The archive of pg_dump is damaged before byte {self.position:,}: a length of "
                f"{size:,} bytes makes no sense."
            )
        found = self._read(size) if size else b""
        self.position += len(found)
        if len(found) != size:
            raise PostgresError(
                "The archive of pg_dump ends inside its table of contents, after "
                f"{self.position:,} bytes."
            )
        return found

    def byte(self) -> int:
        return self.raw(1)[0]

    def integer(self) -> int:
        raw = self.raw(1 + self.integer_size)
        value = int.from_bytes(raw[1:], "little")
        return -value if raw[0] else value

    def text(self) -> bytes | None:
        size = self.integer()
        return None if size < 0 else self.raw(size)

    def number(self) -> int:
        """Read an integer that is written as a text."""
        raw = self.text() or b"0"
        if not raw.isdigit():
            raise PostgresError(
                f"The archive of pg_dump is damaged before byte {self.position:,}: {raw[:20]!r} "
                "should be a number."
            )
        return int(raw)


class _RawEntry(t.NamedTuple):
    dump_id: int
    had_dumper: bool
    catalog_id: tuple[int, int]
    tag: bytes
    desc: bytes
    section: int
    defn: bytes
    namespace: bytes | None
    tablespace: bytes | None
    access_method: bytes | None
    owner: bytes | None
    dependencies: tuple[int, ...]


def _read_version(fields: _Fields) -> tuple[int, int]:
    if fields.raw(len(_MAGIC)) != _MAGIC:
        raise PostgresError("The stream is not an archive of pg_dump's custom format.")
    major, minor, dummy, integer_size, offset_size, kind = fields.raw(6)
    version = (major, minor)
    if not OLDEST <= version <= NEWEST or kind != _CUSTOM_FORMAT:
        raise PostgresError(
            f"The archive of pg_dump has version {major}.{minor} and format {kind}; known are "
            f"versions {OLDEST[0]}.{OLDEST[1]} to {NEWEST[0]}.{NEWEST[1]} of the custom format (1)."
        )
    fields.integer_size, fields.offset_size = integer_size, offset_size
    return version


def _skip_compression(fields: _Fields, version: tuple[int, int]) -> None:
    if version >= _COMPRESSION_BYTE:
        fields.byte()
    else:
        fields.integer()


def _read_entry(fields: _Fields, version: tuple[int, int]) -> _RawEntry:
    dump_id, had_dumper = fields.integer(), bool(fields.integer())
    catalog_id = (fields.number(), fields.number())
    tag, desc = fields.text() or b"", fields.text() or b""
    section = fields.integer()
    defn = fields.text() or b""
    fields.text()  # the statement that drops it
    fields.text()  # the COPY statement of table data
    namespace, tablespace = fields.text(), fields.text()
    access_method = fields.text() if version >= _TABLE_ACCESS_METHOD else None
    if version >= _RELKIND:
        fields.integer()
    owner = fields.text()
    fields.text()  # "false", from the days of tables with oids
    dependencies = []
    while (raw := fields.text()) is not None:
        dependencies.append(int(raw))
    fields.raw(1 + fields.offset_size)  # where the data are, which a stream cannot know
    return _RawEntry(
        dump_id=dump_id,
        had_dumper=had_dumper,
        catalog_id=catalog_id,
        tag=tag,
        desc=desc,
        section=section,
        defn=defn,
        namespace=namespace,
        tablespace=tablespace,
        access_method=access_method,
        owner=owner,
        dependencies=tuple(dependencies),
    )


def _session_text(entries: list[_RawEntry]) -> SessionText:
    for entry in entries:
        if entry.desc == b"ENCODING" and (found := _ENCODING.search(entry.defn)):
            try:
                return SessionText(found[1].decode())
            except ValueError as exc:
                raise PostgresError(
                    f"The archive of pg_dump is not in the encoding of a server: {exc}."
                ) from exc
    raise PostgresError("The archive of pg_dump does not say in which encoding it is.")


def _decode(raw: _RawEntry, text: SessionText) -> TocEntry:
    def optional(value: bytes | None) -> str | None:
        return None if value is None else text.decode(value)

    return TocEntry(
        dump_id=raw.dump_id,
        catalog_id=raw.catalog_id,
        tag=text.decode(raw.tag),
        namespace=optional(raw.namespace),
        desc=text.decode(raw.desc),
        section=_SECTIONS.get(raw.section, "none"),
        owner=optional(raw.owner),
        tablespace=optional(raw.tablespace),
        access_method=optional(raw.access_method),
        defn=text.decode(raw.defn),
        dependencies=raw.dependencies,
        has_data=raw.had_dumper,
    )
