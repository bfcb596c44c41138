# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether two servers hold the same: an oracle that shares no code with the engine.

Rows are compared by their number and by a hash that does not depend on their order or on that of
the columns; definitions as pg_dump prints them where the major is the same, else as the catalogs
say.
"""

from __future__ import annotations

import contextlib
import difflib
import typing as t
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from tests import equality_queries as queries
from tests.testbed.postgres import PostgresServer, client_major_for

SHORTEST_FLOATS_SINCE = 12
"""Older servers print floats in another way, unless told to print fewer digits than they have."""

SHOWN = 25

Facts = dict[str, t.Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What to compare: two servers, and databases by their names in the source and in the target.

    Without `passwords` those of roles are left out, as a role that may not read them leaves them;
    without `unlogged` the rows and values that a standby does not have.
    """

    source: PostgresServer
    target: PostgresServer
    databases: Mapping[str, str]
    passwords: bool = True
    unlogged: bool = True

    @property
    def same_major(self) -> bool:
        """Whether both print their definitions alike."""
        return self.source.major == self.target.major

    @property
    def both(self) -> tuple[PostgresServer, PostgresServer]:
        """Source and target."""
        return self.source, self.target


def differences(comparison: Comparison) -> list[str]:
    """Return what differs, one sentence or a short diff each; none if all is equal."""
    found = [f"globals: {line}" for line in _globals_differences(comparison)]
    for source, target in comparison.databases.items():
        found += [f"{source}: {line}" for line in _database_differences(comparison, source, target)]
    return found


def count_rows(server: PostgresServer, databases: Sequence[str]) -> tuple[int, int]:
    """Return the number of tables in databases and of their rows, as they are counted here."""
    tables = rows = 0
    for database in databases:
        found = read_rows(server, database, "r")
        tables += len(found)
        rows += sum(count for count, dummy in found.values())
    return tables, rows


def _globals_differences(comparison: Comparison) -> Iterator[str]:
    passwords = () if comparison.passwords else ("--no-role-passwords",)
    if comparison.same_major:
        scripts = [
            server.client(
                *("pg_dumpall", "--globals-only", *passwords, "-d", server.dsn("postgres"))
            )
            for server in comparison.both
        ]
        yield from _text_differences(
            "pg_dumpall --globals-only",
            *(
                _definitions(script, server.user)
                for script, server in zip(scripts, comparison.both, strict=True)
            ),
        )
    query = queries.ROLES if comparison.passwords else queries.ROLES_WITHOUT_PASSWORDS
    for name, text in (
        ("roles", query),
        ("memberships", queries.MEMBERS),
        ("settings", queries.SETTINGS),
    ):
        facts = [_keyed(server, "postgres", text) for server in comparison.both]
        yield from _fact_differences(name, *facts)


def _database_differences(comparison: Comparison, source: str, target: str) -> Iterator[str]:
    places = ((comparison.source, source), (comparison.target, target))
    if comparison.same_major and source == target:
        yield from _text_differences(
            "pg_dump --create --schema-only",
            *(
                _definitions(dump_schema(server, database), server.user)
                for server, database in places
            ),
        )
    floats = all(server.major >= SHORTEST_FLOATS_SINCE for server in comparison.both)

    def rows(kind: str) -> Callable[[PostgresServer, str], Facts]:
        return lambda server, name: read_rows(
            server, name, kind, floats=floats, unlogged=comparison.unlogged
        )

    readers: list[tuple[str, Callable[[PostgresServer, str], Facts]]] = [
        ("rows", rows("r")),
        ("materialized view", rows("m")),
        ("partitioned table", rows("p")),
        (
            "sequence",
            lambda server, name: read_sequences(server, name, unlogged=comparison.unlogged),
        ),
        ("large object", _query(queries.LARGE_OBJECTS)),
        (
            "database",
            lambda server, name: _keyed(server, "postgres", queries.database(name, server.major)),
        ),
        *((name, _query(text)) for name, text in queries.catalog(_oldest(comparison)).items()),
    ]
    for name, read in readers:
        yield from _fact_differences(name, *(read(server, database) for server, database in places))


def _oldest(comparison: Comparison) -> int:
    return min(server.major for server in comparison.both)


def _query(text: str) -> Callable[[PostgresServer, str], Facts]:
    return lambda server, database: _keyed(server, database, text)


def dump_schema(server: PostgresServer, database: str) -> str:
    """Return what pg_dump of the server's major prints of a database but its rows."""
    major = client_major_for(server.major)
    more = ["--no-statistics"] if major >= queries.STATISTICS_SINCE else []
    # Its \connect cannot name such a database.
    more += [] if "\n" in database else ["--create"]
    return server.client("pg_dump", "--schema-only", *more, "-d", server.dsn(database))


def _definitions(script: str, user: str) -> list[str]:
    """The lines of a dump without what differs by nature.

    The key that pg_dump draws anew for each dump; the password of the role that restores, which a
    restore leaves alone; the order of inherited columns, which come first once they are restored.
    """
    lines = script.splitlines()
    found: list[str] = []
    while lines:
        line = lines.pop(0)
        if line.startswith("CREATE TABLE") and line.endswith(" ("):
            end = next(number for number, text in enumerate(lines) if text.startswith(")"))
            inner, lines = lines[:end], lines[end:]
            if lines[1:] and lines[1].startswith("INHERITS"):
                inner = sorted(text.rstrip(",") for text in inner)
            found += [line, *inner]
        elif line.startswith(f"ALTER ROLE {user} WITH"):
            found.append(line.partition(" PASSWORD ")[0])
        elif not line.startswith(("\\restrict", "\\unrestrict")):
            found.append(line)
    return found


def read_rows(
    server: PostgresServer, database: str, kind: str, *, floats: bool = True, unlogged: bool = True
) -> Facts:
    """Return number and hash of the rows of each table of a kind, by its quoted name.

    Ordinary tables alone, without what inherits from them, and without the partitions below a hash
    root, since hashes of enums and texts differ between databases; partitioned tables as a whole.
    """
    only = "ONLY " if kind == "r" else ""
    with _reader(server, database, digits=3 if floats else 0) as read:
        tables = read(queries.TABLES_OF_KIND.format(kind=kind, unlogged=unlogged))
        return {name: read(queries.rows_hash(name, columns, only))[0] for name, columns in tables}


def read_sequences(server: PostgresServer, database: str, *, unlogged: bool = True) -> Facts:
    """Return value and definition of every sequence, by its quoted name."""
    with _reader(server, database) as read:
        return {
            name: (*row, *read(f"SELECT last_value, is_called FROM {name}"))
            for name, *row in read(queries.SEQUENCES.format(unlogged=unlogged))
        }


def _keyed(server: PostgresServer, database: str, query: str) -> Facts:
    """The rows of a query by their first column."""
    with _reader(server, database) as read:
        rows = read(query)
    found = {row[0]: row[1:] for row in rows}
    assert len(found) == len(rows), f"names that are not unique, from {query}"
    return found


@contextlib.contextmanager
def _reader(
    server: PostgresServer, database: str, *, digits: int = 3
) -> Iterator[Callable[[str], list[tuple[t.Any, ...]]]]:
    """Gives a function that runs a query; text goes and comes in the database's own bytes."""
    from psycopg2 import extensions

    opened = server.connect(database, client_encoding="SQL_ASCII")
    with contextlib.closing(opened), opened.cursor() as cursor:
        for kind in (extensions.BYTES, extensions.BYTESARRAY):
            extensions.register_type(kind, cursor)
        cursor.execute(queries.READ_ALIKE.format(digits=digits))

        def read(query: str) -> list[tuple[t.Any, ...]]:
            cursor.execute(query.encode("utf-8", "surrogateescape"))
            return [tuple(map(_decoded, row)) for row in cursor.fetchall()]

        yield read


def _decoded(value: t.Any) -> t.Any:
    if isinstance(value, list):
        return [_decoded(one) for one in value]
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value


def _text_differences(name: str, source: list[str], target: list[str]) -> Iterator[str]:
    lines = list(difflib.unified_diff(source, target, "source", "target", lineterm="", n=2))
    if lines:
        more = f"\n... {len(lines) - SHOWN} more lines" if len(lines) > SHOWN else ""
        yield f"{name} differs:\n" + "\n".join(lines[:SHOWN]) + more


def _fact_differences(name: str, source: Facts, target: Facts) -> Iterator[str]:
    for key in sorted(source.keys() | target.keys()):
        if key not in target:
            yield f"{name} {key} is missing"
        elif key not in source:
            yield f"{name} {key} came from nowhere"
        elif source[key] != target[key]:
            yield f"{name} {key} is {target[key]} and was {source[key]}"
