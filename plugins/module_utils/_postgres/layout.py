# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""Where each file of a snapshot lies: public, described in docs/format.md, frozen once released.

Paths and names are ``str`` in which bytes that are not UTF-8 are surrogates (PEP 383), as in
``os.fsdecode``. This module knows names only, nothing of what the files hold.
"""

from __future__ import annotations

import hashlib
import re

ROOT = "/postgres"
MANIFEST = f"{ROOT}/manifest.json"
RESTORE_MD = f"{ROOT}/RESTORE.md"
RESTORE_SH = f"{ROOT}/restore.sh"
GLOBALS = f"{ROOT}/globals.sql"
DATABASES = f"{ROOT}/databases"

# The path of snapshots of `format: plain`, the name that Stash gives its dumps.
PLAIN_DUMP = "/dumpfile.sql"

SEGMENTS_PER_FILE = 128
FILES_PER_FOLDER = 16
# Servers 12 and 13, where a table is one segment: a new file begins at the first row's end past
# this.
WHOLE_TABLE_FILE_BYTES = 1 << 30

NAME_BYTES = 255  # NAME_MAX of every Linux file system that people restore to
_HASH_DIGITS = 32
# Never part of an escaped name: there `%` is always followed by two hexadecimal digits.
_SHORTENED = b"%~"

_ESCAPED = re.compile(rb"^\.|[/%\x00-\x1f\x7f]")
_ESCAPE = re.compile(rb"%([0-9A-F]{2})")
_UTF8_CONTINUATION = range(0x80, 0xC0)
_CUT_ESCAPE = re.compile(rb"%[0-9A-F]?\Z")


def escape(name: str) -> str:
    """Return the name of the file or folder that stands for a PostgreSQL name.

    Different names give different results. A result of over 255 bytes is cut and ends in a hash of
    the name; it cannot be turned back (see ``unescape``), the manifest holds the name whole.
    """
    raw = _raw(name)
    escaped = _ESCAPED.sub(lambda found: b"%%%02X" % found[0][0], raw)
    if len(escaped) > NAME_BYTES:
        digest = hashlib.sha256(raw).hexdigest()[:_HASH_DIGITS].encode()
        escaped = _cut(escaped, NAME_BYTES - len(_SHORTENED) - _HASH_DIGITS) + _SHORTENED + digest
    return escaped.decode("utf-8", "surrogateescape")


def unescape(component: str) -> str | None:
    """Return the PostgreSQL name that ``escape`` was given, or None if the result was shortened."""
    raw = _raw(component)
    if _SHORTENED in raw:
        return None
    plain = _ESCAPE.sub(lambda found: bytes([int(found[1], 16)]), raw)
    return plain.decode("utf-8", "surrogateescape")


def database_folder(database: str) -> str:
    """Return the folder of everything that belongs to one database."""
    return f"{DATABASES}/{escape(database)}"


def schema_dump(database: str) -> str:
    """Return the path of the archive with the pre-data and post-data sections."""
    return f"{database_folder(database)}/schema.dump"


def data_dump(database: str) -> str:
    """Return the path of the archive with the data section: all that was not taken over."""
    return f"{database_folder(database)}/data.dump"


def table_folder(database: str, schema: str, table: str) -> str:
    """Return the folder of the segment files of one table that was taken over."""
    return f"{database_folder(database)}/tables/{escape(schema)}/{escape(table)}"


def segment_file(number: int) -> str:
    """Return the path below its table's folder of a segment file; numbers start at 0."""
    return f"{number // FILES_PER_FOLDER:03d}/{number:06d}.copy"


def table_file(database: str, schema: str, table: str, number: int) -> str:
    """Return the whole path of a table's segment file; numbers start at 0."""
    return f"{table_folder(database, schema, table)}/{segment_file(number)}"


def _raw(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


def _cut(escaped: bytes, size: int) -> bytes:
    """Shorten to at most ``size`` bytes, never inside an escape or a UTF-8 character."""
    head = _CUT_ESCAPE.sub(b"", escaped[:size])
    # A cut character would turn into surrogates, which are no text in other tools.
    while head and escaped[len(head)] in _UTF8_CONTINUATION:
        head = head[:-1]
    return head
