# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What Stash's `backupCMD` and `args` mean for a backup: pure.

Arguments that select or change what pg_dump writes cannot be had with tables in parallel; they make
a plain dump, as Stash's own.
"""

from __future__ import annotations

import dataclasses
import shlex
import typing as t

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import InvalidObject

if t.TYPE_CHECKING:
    from collections.abc import Iterator

PG_DUMPALL, PG_DUMP = "pg_dumpall", "pg_dump"

# Of both programs: these say more, or ask nobody for a password, which nobody does here anyway.
_CHANGE_NOTHING = {"-v", "--verbose", "-w", "--no-password"}
# The options that take a value as the next word, if it does not follow in the same one.
_TAKES_VALUE: t.Final = {
    PG_DUMP: (
        "eEfFhjnNpStTUZd",
        {
            *("compress", "dbname", "encoding", "exclude-extension", "exclude-schema"),
            *("exclude-table", "exclude-table-and-children", "exclude-table-data"),
            *("exclude-table-data-and-children", "extension", "extra-float-digits", "file"),
            *("filter", "format", "host", "include-foreign-data", "jobs", "lock-wait-timeout"),
            *("port", "restrict-key", "role", "rows-per-insert", "schema", "section", "snapshot"),
            *("superuser", "sync-method", "table", "table-and-children", "username"),
        },
    ),
    PG_DUMPALL: (
        "dEfhlpSU",
        {
            *("database", "dbname", "encoding", "exclude-database", "extra-float-digits", "file"),
            *("filter", "host", "lock-wait-timeout", "port", "restrict-key", "role"),
            *("rows-per-insert", "superuser", "username"),
        },
    ),
}
# By which each program is told where to connect to.
_DATABASE_OPTIONS: t.Final = {PG_DUMP: ("-d", "--dbname"), PG_DUMPALL: ("-l", "--database")}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DumpChoice:
    """How to back up. ``database``: the one to dump, None is all of the server.

    ``connect_to`` is where pg_dumpall finds what concerns the whole server, None is its own choice.
    """

    format: t.Literal["parallel", "plain"]
    database: str | None = None
    connect_to: str | None = None
    arguments: tuple[str, ...] = ()


def split_arguments(text: str) -> tuple[str, ...]:
    """Split ``args`` into words as a shell would, quotes and all. Raises ``InvalidObject``."""
    try:
        return tuple(shlex.split(text))
    except ValueError as exc:
        raise InvalidObject(
            f"The Task's args cannot be split into words: {exc}; close what was opened."
        ) from exc


def choose_dump(command: str, text: str, *, user: str) -> DumpChoice:
    """Return how to back up; pg_dump without a database dumps the one that is called as ``user``.

    Raises ``InvalidObject``.
    """
    if command not in _TAKES_VALUE:
        raise InvalidObject(
            f"backupCMD is {command!r}; expected {PG_DUMPALL} or {PG_DUMP}: correct the Task's "
            "params."
        )
    databases: list[str] = []
    arguments: list[str] = []
    for words in _options(command, split_arguments(text)):
        named = _database_of(command, words)
        if named is not None:
            databases.append(named)
        elif not set(words) <= _CHANGE_NOTHING:
            arguments += words
    if len(set(databases)) > 1:
        raise InvalidObject(
            f"The Task's args name the databases {', '.join(databases)}; {command} takes one."
        )
    database = databases[0] if databases else None
    if command == PG_DUMP:
        return DumpChoice(format="plain", database=database or user, arguments=tuple(arguments))
    return DumpChoice(
        format="plain" if arguments else "parallel",
        connect_to=database,
        arguments=tuple(arguments),
    )


def _options(command: str, words: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Yield each option with its value, and each word that is no option by itself."""
    short, long = _TAKES_VALUE[command]
    rest = iter(words)
    for word in rest:
        if word == "--":
            yield from ((one,) for one in rest)
        elif _wants_next(word, short, long):
            value = next(rest, None)
            yield (word,) if value is None else (word, value)
        else:
            yield (word,)


def _wants_next(word: str, short: str, long: set[str]) -> bool:
    if word.startswith("--"):
        return word[2:] in long
    return len(word) > 1 and word[0] == "-" and word[-1] in short and _is_bundle(word, short)


def _is_bundle(word: str, short: str) -> bool:
    """Tell whether only the last letter of ``-abc`` takes a value: a value would end the bundle."""
    return not set(word[1:-1]) & set(short)


def _database_of(command: str, words: tuple[str, ...]) -> str | None:
    """Return the database that an option or a word names. Raises ``InvalidObject``."""
    short, long = _DATABASE_OPTIONS[command]
    first = words[0]
    if first in {short, long}:
        name = words[1] if len(words) > 1 else ""
    elif first.startswith(f"{long}="):
        name = first.partition("=")[2]
    elif first.startswith(short) and not first.startswith("--"):
        name = first[len(short) :]
    elif not first.startswith("-"):
        name = first
    else:
        return None
    if not name or "=" in name or "://" in name:
        raise InvalidObject(
            f"The Task's args name the database {name!r}; give its bare name, the AppBinding says "
            "where the server is."
        )
    return name
