# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""RESTORE.md and restore.sh: how a snapshot is restored without us.

A name in the snapshot may hold anything (quotes, line breaks, shell syntax): whatever comes from a
manifest enters the script inside single quotes, where the shell sees nothing, or as quoted SQL.
Both texts are ``str`` with surrogates for bytes that are not UTF-8.
"""

from __future__ import annotations

import typing as t

from .._core.errors import ServerUnsupported
from .by_hand_texts import MARKDOWN, SCRIPT_END, SCRIPT_HEAD, SCRIPT_START
from .database_definition import create_statements, early_statements, finish_statements
from .layout import ROOT, database_folder, table_folder
from .quoting import SessionText

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .manifest import DatabaseDefinition, DatabaseEntry, Manifest, TableEntry

# Locale providers are named to servers from this version on.
_PROVIDER_SINCE = 15
_NEWEST = 18
# These exist on every server.
_ALWAYS_THERE = {"postgres", "template1"}
# The statements are made for this name, and psql's variable put in its place.
_TARGET = "granary target database"
_UTF8 = SessionText("UTF8")


def restore_md(manifest: Manifest) -> str:
    """Return RESTORE.md; it depends on the dump program's version only."""
    return MARKDOWN.format(dump_program=manifest.settings.dump_program)


def restore_sh(manifest: Manifest) -> str:
    """Return restore.sh, with the names, columns and numbers of rows of this snapshot in it."""
    script = [SCRIPT_HEAD.encode()]
    source = manifest.server.version_num // 10000
    for number, database in enumerate(manifest.databases):
        script += _functions(number, database)
    script.append(SCRIPT_START.replace("@source@", str(source)).encode())
    for number, database in enumerate(manifest.databases):
        keys = "|".join(map(str, sorted(database.excluded_keys)))
        script.append(
            b"database %b %b %b %d %b\n"
            % (
                _shell(_UTF8.encode(database.name)),
                _shell(_below_root(database_folder(database.name))),
                _shell(_names_of(database).encoding.encode()),
                number,
                _shell(keys.encode()),
            )
        )
    script.append(SCRIPT_END.encode())
    return b"".join(script).decode("utf-8", "surrogateescape")


def _functions(number: int, database: DatabaseEntry) -> Iterator[bytes]:
    text = _names_of(database)
    yield b"\ncreate_%d() {\n%b}\n" % (number, _print(_create_sql(database.definition)))
    yield b"rows_%d() {\n    :\n" % number
    for table in database.tables:
        if table.taken_over:
            yield _table_call(database, table, text)
    yield b"}\ncount_%d() {\n%b}\n" % (number, _print(_count_sql(database, text)))
    finish = finish_statements(database.definition, _TARGET, text=_UTF8)
    yield b"finish_%d() {\n%b}\n" % (number, _print(_as_target(finish)))


def _names_of(database: DatabaseEntry) -> SessionText:
    """Return the encoding in which the script names this database's tables.

    UTF-8, which the server converts; where there is no such conversion, the database's own bytes.
    """
    text = SessionText(database.definition.encoding)
    return text if text.codec == _UTF8.codec else _UTF8


def _create_sql(definition: DatabaseDefinition) -> Iterator[bytes]:
    if definition.name in _ALWAYS_THERE:
        yield (
            b"SELECT count(*) = 0 AS missing FROM pg_catalog.pg_database "
            b"WHERE datname = :'db' \\gset\n\\if :missing\n"
        )
    yield (
        b"SELECT pg_catalog.current_setting('server_version_num')::int >= %d AS providers \\gset\n"
        % (_PROVIDER_SINCE * 10000)
    )
    newer = _create_database(definition, _NEWEST)
    yield b"\\if :providers\n" + newer
    yield b"\\else\n" + _create_database(definition, _PROVIDER_SINCE - 1, otherwise=newer)
    yield b"\\endif\n"
    if definition.name in _ALWAYS_THERE:
        yield b"\\endif\n"
    yield b'\\if :owners\nALTER DATABASE :"db" OWNER TO %b;\n\\endif\n' % _UTF8.identifier(
        definition.owner
    )
    # A database is made where template0 is, in pg_default; nobody can be in it yet.
    if definition.tablespace != "pg_default":
        yield (
            b'\\if :tablespaces\nALTER DATABASE :"db" SET TABLESPACE %b;\n\\endif\n'
            % _UTF8.identifier(definition.tablespace)
        )
    settings = list(early_statements(definition, _TARGET, _UTF8, True))
    both = list(early_statements(definition, _TARGET, _UTF8, False))
    grants = both[: len(both) - len(settings)]
    yield from _as_target(settings)
    if grants:
        yield b"\\if :privileges\n"
        yield from _as_target(grants)
        yield b"\\endif\n"


def _create_database(definition: DatabaseDefinition, major: int, otherwise: bytes = b"") -> bytes:
    """Return CREATE DATABASE for servers of a major; ``otherwise`` where such a one cannot."""
    try:
        statements = create_statements(
            definition, _TARGET, major, text=_UTF8, no_owner=True, no_tablespaces=True
        )
    except ServerUnsupported:
        return otherwise
    return b"".join(_as_target(statements[:1]))


def _as_target(statements: Iterable[bytes]) -> Iterator[bytes]:
    placeholder = _UTF8.identifier(_TARGET)
    return (statement.replace(placeholder, b':"db"') + b";\n" for statement in statements)


def _table_call(database: DatabaseEntry, table: TableEntry, text: SessionText) -> bytes:
    def copy(schema: str, name: str) -> bytes:
        return b"COPY %b (%b) FROM STDIN (ENCODING %b)" % (
            text.qualified(schema, name),
            text.column_list(table.columns),
            text.literal(database.definition.encoding),
        )

    root = table.root or table
    place = root if table.root and table.root.hashed else table
    folder = _below_root(table_folder(database.name, table.schema, table.name))
    return b"    table %b %b %b\n" % (
        _shell(folder),
        _shell(copy(place.schema, place.name)),
        _shell(copy(root.schema, root.name)),
    )


def _count_sql(database: DatabaseEntry, text: SessionText) -> Iterator[bytes]:
    """Return queries that print a line for each table whose number of rows is wrong.

    Partitions are counted together, in their root: rows may have moved between them.
    """
    expected: dict[tuple[bytes, bool], int | None] = {}
    for table in database.tables:
        place = table.root or table
        counted = (text.qualified(place.schema, place.name), table.root is None)
        before = expected.get(counted, 0)
        expected[counted] = None if before is None or table.rows is None else before + table.rows
    for (name, alone), rows in expected.items():
        if rows is not None:
            yield b"SELECT %b || count(*) FROM %b%b HAVING count(*) <> %d;\n" % (
                text.literal(text.decode(name) + f": {rows} rows were backed up, found "),
                b"ONLY " if alone else b"",
                name,
                rows,
            )


def _print(lines: Iterable[bytes]) -> bytes:
    """Return the shell command that prints ``lines`` as they are."""
    text = b"".join(lines)
    return b"    printf '%%s' %b\n" % _shell(text) if text else b"    :\n"


def _shell(raw: bytes) -> bytes:
    """Return ``raw`` as one word of the shell."""
    return b"'" + raw.replace(b"'", b"'\\''") + b"'"


def _below_root(path: str) -> bytes:
    return path.removeprefix(f"{ROOT}/").encode("utf-8", "surrogateescape")
