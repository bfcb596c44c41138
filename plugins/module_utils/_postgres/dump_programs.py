# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""How pg_dump and pg_dumpall are called for each stream of a snapshot, and what their words mean.

A dump runs inside the exported snapshot, with a bounded wait for table locks. The caller reads the
stream and waits for the program's end; only then is a dump whole. Nothing here knows what becomes
of the bytes.
"""

from __future__ import annotations

import dataclasses
import os
import re
import typing as t

from .._core.errors import ConfigError
from .._core.process import DEVNULL, PIPE, Child
from .connection import program_environment
from .quoting import SessionText, program_dbname

if t.TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from .model import ConnectionSettings
    from .programs import Program

# execve(2): arguments and environment together may take a quarter of the stack's limit. The rest is
# for the environment and the pointers.
_ARGUMENTS_BYTES = os.sysconf("SC_ARG_MAX") // 2
FILTER_SINCE = 17
_NO_STATISTICS_SINCE = 18

# Switches that would take the stream away from us, change its form, or connect elsewhere.
_OURS = re.compile(
    r"-[fFjZdhpUWl].*|-[wV?]|--(file|format|jobs|compress|dbname|host|port|username|password"
    r"|no-password|database|encoding|version|help|snapshot|restrict-key)(=.*)?"
)
_LOSES = re.compile(
    r"not (be )?dumped|skipp(ed|ing)|ignor(ed|ing)|omitt(ed|ing)|could not (find|resolve|parse)"
    r"|bogus value|appears to be invalid|unrecognized|don't know how",
    re.IGNORECASE,
)
# Said of a dump that has rows without foreign keys; ours are restored before the keys are.
_HARMLESS = re.compile(r"circular foreign-key constraints|dependency loop", re.IGNORECASE)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DumpTarget:
    """One database as pg_dump is to see it: inside an exported snapshot, in its own encoding.

    ``lock_wait_seconds`` bounds the wait for each table lock.
    """

    program: Program
    settings: ConnectionSettings
    database: str
    encoding: str
    snapshot_id: str
    lock_wait_seconds: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DumpWarning:
    """What a dump program said and went on; ``loses``: something is not in the dump."""

    text: str
    loses: bool


def schema_dump(target: DumpTarget) -> Child:
    """Start pg_dump for schema.dump: definitions before and after the rows, as one archive."""
    return _start(target, ["--section=pre-data", "--section=post-data"])


def data_dump(target: DumpTarget, without_rows: Collection[tuple[str, str]]) -> Child:
    """Start pg_dump for data.dump: rows, sequence values, large objects.

    The rows of ``without_rows`` (schema and name of tables) are left out. Whether each name met its
    table must be proved from the archive (``archive.read_toc``): pg_dump does not say.

    Raises ``ConfigError`` when there are more names than this pg_dump can be told.
    """
    text = SessionText(target.encoding)
    patterns = [text.pattern(schema, name) for schema, name in without_rows]
    argument = b"--exclude-table-data="
    if sum(len(argument) + len(pattern) + 9 for pattern in patterns) < _ARGUMENTS_BYTES:
        return _start(
            target,
            ["--section=data", *(os.fsdecode(argument + pattern) for pattern in patterns)],
        )
    if target.program.major < FILTER_SINCE:
        raise ConfigError(
            f"{len(patterns):,} tables are too many to be named to pg_dump {target.program.major}: "
            f"install the client programs of PostgreSQL {FILTER_SINCE} or newer, or raise "
            "segment_threshold so that fewer tables are taken over."
        )
    return _start_filtered(target, patterns)


def globals_dump(program: Program, settings: ConnectionSettings, *, role_passwords: bool) -> Child:
    """Start pg_dumpall for globals.sql: roles (with their passwords, if wished) and tablespaces."""
    arguments = ["--globals-only", "--no-password", "--quote-all-identifiers"]
    if not role_passwords:
        arguments.append("--no-role-passwords")
    if settings.dbname:
        arguments.append(f"--dbname={program_argument(program_dbname(settings.dbname))}")
    return _run(program, settings, arguments)


def plain_dump(
    program: Program,
    settings: ConnectionSettings,
    *,
    database: str | None,
    arguments: Sequence[str],
) -> Child:
    """Start a dump as one stream of SQL: pg_dump of ``database``, or pg_dumpall if that is None.

    ``arguments`` are the user's own.

    Raises ``ConfigError`` when one of them would take the stream away or connect elsewhere.
    """
    for argument in arguments:
        if _OURS.fullmatch(argument):
            raise ConfigError(
                f"dump_args cannot hold {argument!r}: the connection, the format and the place of "
                "the dump are given by other options."
            )
    if database is None:
        database = settings.dbname
    where = [f"--dbname={program_argument(program_dbname(database))}"] if database else []
    return _run(program, settings, ["--no-password", *where, *arguments])


def dump_warnings(lines: Sequence[str]) -> tuple[DumpWarning, ...]:
    """Return what a dump that exited with status 0 said; details and hints stay with their line."""
    found: list[str] = []
    for line in lines:
        if re.match(r"[\w-]+: (detail|hint):|(DETAIL|HINT|CONTEXT): |\s", line) and found:
            found[-1] += f" {line.strip()}"
        elif line.strip():
            found.append(line.strip())
    return tuple(
        DumpWarning(text=text, loses=bool(_LOSES.search(text)) and not _HARMLESS.search(text))
        for text in found
    )


def program_argument(text: str) -> str:
    """Return ``text`` so that a program gets it as UTF-8, or a name's own bytes, in any locale."""
    return os.fsdecode(text.encode("utf-8", "surrogateescape"))


def _start(target: DumpTarget, arguments: Sequence[str], stdin: int = DEVNULL) -> Child:
    own = [
        "--format=custom",
        "--compress=0",
        "--no-password",
        # What is a plain word for this version may be a reserved one for that of the restore.
        "--quote-all-identifiers",
        f"--encoding={target.encoding}",
        f"--snapshot={target.snapshot_id}",
        f"--lock-wait-timeout={max(1, round(target.lock_wait_seconds * 1000))}",
        f"--dbname={program_argument(program_dbname(target.database))}",
    ]
    if target.program.major >= _NO_STATISTICS_SINCE:
        own.append("--no-statistics")
    return _run(target.program, target.settings, [*own, *arguments], stdin)


def _start_filtered(target: DumpTarget, patterns: Sequence[bytes]) -> Child:
    # A filter loses the carriage returns inside quotes.
    if any(b"\r" in pattern for pattern in patterns):
        raise ConfigError(
            "The name of a table that is to be taken over holds a carriage return, and "
            "there are too many such tables to name them otherwise: raise segment_threshold."
        )
    child = _start(target, ["--section=data", "--filter=-"], PIPE)
    try:
        with child.stdin as stream:
            for pattern in patterns:
                # filter.c: a backslash escapes itself and `n` inside quotes.
                quoted = pattern.replace(b"\\", b"\\\\").replace(b"\n", b"\\n")
                stream.write(b"exclude table_data " + quoted + b"\n")
    except BrokenPipeError:
        # It has ended, and says why to whoever waits for it.
        return child
    return child


def _run(
    program: Program,
    settings: ConnectionSettings,
    arguments: Sequence[str],
    stdin: int = DEVNULL,
) -> Child:
    return Child(
        [str(program.path), *arguments],
        env=program_environment(settings),
        stdin=stdin,
        secrets=[settings.password] if settings.password else [],
    )
