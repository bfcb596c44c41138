# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""SQL text as bytes: names and literals in the encoding of the session that they are sent in.

psycopg2 encodes and decodes by a codec of its own, which is plain ASCII in an SQL_ASCII database
and missing for some encodings. So every statement that holds a name is built here as bytes, and
names that come back are decoded here. This file knows no connection.
"""

from __future__ import annotations

import dataclasses
import typing as t

if t.TYPE_CHECKING:
    from collections.abc import Sequence

# Server encodings by PostgreSQL's names (mb/encnames.c) -> Python's. The ones without a codec here
# (MULE_INTERNAL, EUC_TW, SQL_ASCII) are carried as UTF-8 with surrogate escapes: not readable
# perhaps, but never changed.
_CODECS = {
    "UTF8": "utf-8",
    "EUC_CN": "gb2312",
    "EUC_JIS_2004": "euc_jis_2004",
    "EUC_JP": "euc_jp",
    "EUC_KR": "euc_kr",
    "ISO_8859_5": "iso8859_5",
    "ISO_8859_6": "iso8859_6",
    "ISO_8859_7": "iso8859_7",
    "ISO_8859_8": "iso8859_8",
    "JOHAB": "johab",
    "KOI8R": "koi8_r",
    "KOI8U": "koi8_u",
    "LATIN1": "iso8859_1",
    "LATIN2": "iso8859_2",
    "LATIN3": "iso8859_3",
    "LATIN4": "iso8859_4",
    "LATIN5": "iso8859_9",
    "LATIN6": "iso8859_10",
    "LATIN7": "iso8859_13",
    "LATIN8": "iso8859_14",
    "LATIN9": "iso8859_15",
    "LATIN10": "iso8859_16",
    "WIN866": "cp866",
    "WIN874": "cp874",
    "WIN1250": "cp1250",
    "WIN1251": "cp1251",
    "WIN1252": "cp1252",
    "WIN1253": "cp1253",
    "WIN1254": "cp1254",
    "WIN1255": "cp1255",
    "WIN1256": "cp1256",
    "WIN1257": "cp1257",
    "WIN1258": "cp1258",
}
_ANY_BYTES = "utf-8"


@dataclasses.dataclass(frozen=True, slots=True)
class SessionText:
    """Turns ``str`` into the bytes of one PostgreSQL encoding and back, without loss.

    ``encoding`` is PostgreSQL's name. Only server encodings fit: in them every byte below 0x80 is
    ASCII, which the quoting relies on; a client-only encoding such as SJIS raises ``ValueError``.
    """

    encoding: str

    def __post_init__(self) -> None:
        if self.encoding in {"BIG5", "GB18030", "GBK", "SHIFT_JIS_2004", "SJIS", "UHC"}:
            raise ValueError(f"{self.encoding} is no server encoding")

    @property
    def codec(self) -> str:
        """The name of Python's codec."""
        return _CODECS.get(self.encoding, _ANY_BYTES)

    def decode(self, data: bytes) -> str:
        """Return the text of ``data``; bytes unknown to the codec become surrogate escapes."""
        text = data.decode(self.codec, "surrogateescape")
        if self.codec != _ANY_BYTES and text.encode(self.codec, "surrogateescape") != data:
            return data.decode("ascii", "surrogateescape")
        return text

    def encode(self, text: str) -> bytes:
        """Return the bytes of ``text``.

        Raises ``UnicodeEncodeError`` (a ``ValueError``) where the encoding lacks a character.
        """
        return text.encode(self.codec, "surrogateescape")

    def identifier(self, name: str) -> bytes:
        """Return ``name`` quoted as an identifier."""
        return b'"' + self.encode(_no_nul(name)).replace(b'"', b'""') + b'"'

    def qualified(self, schema: str, name: str) -> bytes:
        """Return ``schema.name``, both quoted."""
        return self.identifier(schema) + b"." + self.identifier(name)

    def column_list(self, names: Sequence[str]) -> bytes:
        """Return the names quoted, separated by commas."""
        return b", ".join(map(self.identifier, names))

    def literal(self, text: str) -> bytes:
        """Return ``text`` as a literal, whatever standard_conforming_strings says."""
        data = self.encode(_no_nul(text)).replace(b"'", b"''")
        if b"\\" in data:
            return b" E'" + data.replace(b"\\", b"\\\\") + b"'"
        return b"'" + data + b"'"

    def pattern(self, schema: str, name: str) -> bytes:
        """Return the pattern by which switches of pg_dump match this one table and no other.

        Inside double quotes the patterns of psql take every character for itself (a doubled quote
        for a quote).
        """
        return self.qualified(schema, name)


def conninfo_value(text: str) -> str:
    """Return ``text`` quoted as a value of a libpq connection string."""
    escaped = _no_nul(text).replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def program_dbname(name: str) -> str:
    """Return the argument that names a database to client programs, whatever the name holds."""
    return f"dbname={conninfo_value(name)}"


def _no_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("a name or text of PostgreSQL cannot hold a NUL character")
    return text
