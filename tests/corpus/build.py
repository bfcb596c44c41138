# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Makes the corpus on a server: its databases, and in each of them the themes of the SQL files.

The files are for psql. They see `since_11`, `since_12` ... for every major up to the server's own,
and the sizes by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.fix_postgres import quoted
from tests.testbed.postgres import PostgresServer

FOLDER = Path(__file__).parent
FIRST_MAJOR = 11
PARALLEL_SINCE = 12
ICU_SINCE = 15
ICU_RULES_SINCE = 16
BUILTIN_SINCE = 17

SERVER_SETTINGS = {"max_locks_per_transaction": "512", "wal_level": "replica"}
"""What the thousands of tables ask of a server that they are dumped from and restored into."""

MAIN = "corpus"
GUARDED = "large objects, row security"
"""The one database that a role with nothing but pg_read_all_data may not read."""

SUBSCRIBER = "subscriber"
"""Its subscription takes a superuser to be seen, and pg_dump writes options of its own major."""

ODD_DATABASES = (
    "x=y dbname=z",
    "globals.sql",
    'it\'s "quoted" \\ % /../ $(x)\n.copy',
    "\N{ELEPHANT}" * 15 + "abc",
    "postgresql://x@y/z",
    "-d",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How large the corpus is made."""

    toast_mb: int
    row_mb: int
    rows: int
    small_tables: int


SHORT = Sizes(toast_mb=12, row_mb=1, rows=30_000, small_tables=120)
LONG = Sizes(toast_mb=500, row_mb=5, rows=300_000, small_tables=2000)


@dataclass(frozen=True, slots=True, kw_only=True)
class CorpusDatabase:
    """One database: its name, how it is created, and which files are loaded into it."""

    name: str
    clauses: str
    themes: tuple[str, ...]


_C_UTF8 = "TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C.UTF-8' LC_CTYPE 'C.UTF-8'"
_SETTINGS = """
COMMENT ON DATABASE {name} IS 'It''s a comment \\ with a backslash';
ALTER DATABASE {name} OWNER TO app_owner;
ALTER DATABASE {name} SET search_path TO public, "odd, path";
ALTER DATABASE {name} SET work_mem TO '9MB';
ALTER DATABASE {name} SET default_transaction_read_only TO on;
ALTER DATABASE {name} SET "app.setting" TO 'it''s \\ x=y';
ALTER ROLE app_user IN DATABASE {name} SET statement_timeout TO '3s';
REVOKE ALL ON DATABASE {name} FROM PUBLIC;
GRANT CONNECT ON DATABASE {name} TO reader;
GRANT CREATE, TEMPORARY ON DATABASE {name} TO app_user WITH GRANT OPTION;
ALTER DATABASE {name} CONNECTION LIMIT 33;
"""


def databases_for(major: int) -> tuple[CorpusDatabase, ...]:
    """Return the databases that a server of this major can have, in the order of their making."""
    found = [
        CorpusDatabase(
            name=MAIN,
            clauses=_C_UTF8,
            themes=(
                *("types", "partitions", "inheritance", "rights", "toast"),
                *("small_tables", "extensions"),
            ),
        ),
        CorpusDatabase(name=GUARDED, clauses=_C_UTF8, themes=("large_objects",)),
        CorpusDatabase(name=SUBSCRIBER, clauses=_C_UTF8, themes=("subscription",)),
        *(_simple(name, _C_UTF8) for name in _odd_databases(major)),
        _simple("latin1", "TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'"),
        _simple("ascii", "TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'"),
        _simple(
            "german",
            "TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'de_DE.UTF-8' LC_CTYPE 'tr_TR.UTF-8'",
        ),
    ]
    if major >= ICU_SINCE:
        rules = " ICU_RULES '&a < z'" if major >= ICU_RULES_SINCE else ""
        clauses = f"{_C_UTF8} LOCALE_PROVIDER icu ICU_LOCALE 'de-u-kn-true'{rules}"
        found.append(_simple("icu", clauses))
    if major >= BUILTIN_SINCE:
        found.append(
            _simple("builtin", f"{_C_UTF8} LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8'")
        )
    return tuple(found)


def _odd_databases(major: int) -> tuple[str, ...]:
    """Return the odd names; pg_dumpall, the only way from old servers, refuses line breaks."""
    if major >= PARALLEL_SINCE:
        return ODD_DATABASES
    return tuple(name.replace("\n", " ") for name in ODD_DATABASES)


def _simple(name: str, clauses: str) -> CorpusDatabase:
    themes = {
        "x=y dbname=z": ("names",),
        "ascii": ("names", "ascii"),
        "latin1": ("partitions", "latin1"),
        "german": ("partitions", "non_ascii"),
        "icu": ("partitions", "non_ascii"),
        "builtin": ("partitions", "non_ascii"),
    }
    return CorpusDatabase(name=name, clauses=clauses, themes=themes.get(name, ("few",)))


def build_corpus(
    server: PostgresServer, sizes: Sizes, databases: tuple[CorpusDatabase, ...] | None = None
) -> tuple[CorpusDatabase, ...]:
    """Make roles and databases, all or the given ones, on a server that has none of them yet."""
    variables = {name: str(value) for name, value in asdict(sizes).items()}
    variables |= {f"since_{major}": "1" for major in range(FIRST_MAJOR, server.major + 1)}
    _load(server, "postgres", "cluster", variables)
    databases = databases or databases_for(server.major)
    for database in databases:
        server.execute(f"CREATE DATABASE {quoted(database.name)} {database.clauses}")
        for theme in database.themes:
            _load(server, database.name, theme, variables)
    made = {database.name for database in databases}
    for name in made.intersection((MAIN, *_odd_databases(server.major))):
        settings = _SETTINGS.format(name=quoted(name))
        for statement in filter(str.strip, settings.split(";\n")):
            server.execute(statement)
    return databases


def _load(server: PostgresServer, database: str, theme: str, variables: Mapping[str, str]) -> None:
    server.client(
        *("psql", "-Xq", "-v", "ON_ERROR_STOP=1", "-o", "/dev/null"),
        *(f"--set={name}={value}" for name, value in variables.items()),
        *("-f", str(FOLDER / f"{theme}.sql"), "-d", server.dsn(database)),
        PGCLIENTENCODING="UTF8",
        PGOPTIONS="-c client_min_messages=warning -c default_transaction_read_only=off",
    )
