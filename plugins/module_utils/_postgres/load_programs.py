# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""How pg_restore and psql are called to lay a snapshot back, and which of their errors count.

Everything that they say against us is a failed restore, in their own words. Nothing here knows
where the bytes come from.
"""

from __future__ import annotations

import dataclasses
import itertools
import pathlib
import re
import tempfile
import typing as t

from .._core.errors import ProgramError, RestoreFailed
from .._core.process import DEVNULL, PIPE, Child
from .archive import read_toc
from .connection import program_environment
from .dump_programs import program_argument
from .foreign_keys import with_what_hangs_on
from .quoting import program_dbname

if t.TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from .archive import ArchiveToc
    from .model import ConnectionSettings
    from .programs import Program

# pg_restore sets the parameter from this version on, and servers have it from this version on.
_TRANSACTION_TIMEOUT_SINCE = 17
# A database (ALTER DATABASE ... SET) or a role can make all its sessions read-only.
_OPTIONS = "-c default_transaction_read_only=off"

_ERROR = re.compile(r"^(pg_restore|psql)\S*:.*\b(error|ERROR|FATAL|PANIC):")
_STATEMENT = re.compile(r"^(Command was: |LINE \d+: |\s*\^|.*\bSTATEMENT: )")
_IGNORED_ERRORS = re.compile(r"errors ignored on restore: (\d+)")
_COMMAND = "Command was: "
_CREATE_RELATION = re.compile(r"CREATE (UNLOGGED |FOREIGN )?(TABLE|SEQUENCE) ")
_WORDS_LINES = 6
_WORDS_LIMIT = 800


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Loader:
    """How pg_restore is called for one target database; ``target_major`` is the server's."""

    program: Program
    settings: ConnectionSettings
    database: str
    target_major: int
    no_owner: bool = False
    no_privileges: bool = False
    no_tablespaces: bool = False

    @property
    def forgives(self) -> bool:
        """Whether pg_restore sends a SET that this server does not know: the one error forgiven."""
        since = _TRANSACTION_TIMEOUT_SINCE
        return self.program.major >= since > self.target_major


def load_pre_data(
    loader: Loader,
    archive: pathlib.Path,
    *,
    only: Collection[int] | None = None,
    leave_out: Collection[int] = (),
) -> list[str]:
    """Run the part of schema.dump that comes before the rows; return pg_restore's warnings.

    ``only`` and ``leave_out`` choose entries by their dump ids.

    Raises ``RestoreFailed``.
    """
    arguments = ["--section=pre-data", *_listed(archive, only, leave_out), str(archive)]
    return _run(loader, arguments, "the definitions before the rows")


def load_post_data(
    loader: Loader,
    archive: pathlib.Path,
    *,
    jobs: int,
    only: Collection[int] | None = None,
    leave_out: Collection[int] = (),
) -> list[str]:
    """Run the part of schema.dump that comes after the rows on ``jobs`` connections.

    The archive must hold both sections: of post-data alone pg_restore cannot tell which entries
    stand in each other's way, and deadlocks. Otherwise as ``load_pre_data``.

    Event triggers come last, by themselves: pg_restore makes them before it fills materialized
    views, and one that writes down what it sees would add rows to those that were backed up.
    """
    with archive.open("rb") as file:
        toc = read_toc(file.read)
    triggers = with_what_hangs_on(toc, toc.of("EVENT TRIGGER"))
    arguments = [
        "--section=post-data",
        f"--jobs={jobs}",
        *_listed(archive, only, triggers.union(leave_out)),
        str(archive),
    ]
    warnings = _run(loader, arguments, "the definitions after the rows")
    last = triggers.difference(leave_out) if only is None else triggers.intersection(only)
    if last:
        arguments = ["--section=post-data", *_listed(archive, last, leave_out), str(archive)]
        warnings += _run(loader, arguments, "the event triggers")
    return warnings


def load_data(
    loader: Loader,
    blocks: Iterable[bytes],
    *,
    only: Collection[int] | None = None,
    scratch: str | None = None,
) -> list[str]:
    """Feed data.dump to pg_restore as a stream, in this thread; return its warnings.

    ``only`` chooses entries by the dump ids of data.dump; they are written down in the folder
    ``scratch``, which somebody removes who cannot be killed meanwhile.

    Raises ``RestoreFailed``, and whatever ``blocks`` raises.
    """
    what = "the small tables' rows"
    if only is None:
        return _run(loader, ["--section=data"], what, blocks)
    toc, blocks = peek_toc(blocks)
    # The order of the list is that of the restore, and a stream cannot be read backwards.
    ids = [entry.dump_id for entry in toc.entries if entry.dump_id in only]
    with tempfile.TemporaryDirectory(prefix="granary-", dir=scratch) as folder:
        chosen = _write_list(pathlib.Path(folder, "entries"), ids)
        return _run(loader, ["--section=data", chosen], what, blocks)


def peek_toc(blocks: Iterable[bytes]) -> tuple[ArchiveToc, Iterator[bytes]]:
    """Return the table of contents of an archive, and the whole archive again as blocks.

    Raises ``PostgresError`` as ``archive.read_toc``.
    """
    source = iter(blocks)
    taken = bytearray()
    position = 0

    def read(size: int) -> bytes:
        nonlocal position
        while len(taken) < position + size and (block := next(source, None)) is not None:
            taken.extend(block)
        found = bytes(taken[position : position + size])
        position += len(found)
        return found

    toc = read_toc(read)
    return toc, itertools.chain([bytes(taken)], source)


def load_globals(
    program: Program, settings: ConnectionSettings, script: bytes, *, database: str | None = None
) -> list[str]:
    """Run the script of a ``globals.GlobalsPlan`` through psql; return its warnings.

    ``database`` is where psql connects to, else the settings' own or ``postgres``.

    Raises ``RestoreFailed`` at the first error.
    """
    argv = [
        program.path,
        "--no-psqlrc",
        "--quiet",
        "--no-password",
        "--set=ON_ERROR_STOP=1",
        "--file=-",
        f"--dbname={program_argument(program_dbname(database or settings.dbname or 'postgres'))}",
    ]
    with start(argv, settings) as child:
        feed(child, [script])
        try:
            return child.wait()
        except ProgramError as exc:
            raise RestoreFailed(
                "Restoring roles and tablespaces failed: "
                f"{program_words(child.stderr_lines) or exc}."
            ) from exc


def start(
    argv: Sequence[str],
    settings: ConnectionSettings,
    *,
    stdin: int = PIPE,
    watch: t.Callable[[str], None] | None = None,
) -> Child:
    """Start a program that loads into a server; its output goes nowhere."""
    return Child(
        argv,
        env=program_environment(settings) | {"PGOPTIONS": _OPTIONS},
        stdin=stdin,
        stdout=DEVNULL,
        secrets=[settings.password] if settings.password else [],
        on_line=watch,
    )


def feed(child: Child, blocks: Iterable[bytes]) -> None:
    """Write all blocks to the program and close the pipe.

    A program that stops reading is no error here: how it ends says whether it is one.
    """
    try:
        for block in blocks:
            child.stdin.write(block)
        child.stdin.close()
    except BrokenPipeError:
        return


def program_words(lines: Sequence[str]) -> str:
    """Return a program's words on its first error, without the statement: it may hold secrets."""
    first = next((n for n, line in enumerate(lines) if _ERROR.match(line)), None)
    if first is None:
        chosen = [line for line in lines if not _STATEMENT.match(line)][-_WORDS_LINES:]
    else:
        before = [line for line in lines[:first] if "from TOC entry" in line][-1:]
        chosen = before + _up_to_statement(lines[first:])
    words = "; ".join(line.strip().rstrip(".") for line in chosen if line.strip())
    return words if len(words) <= _WORDS_LIMIT else words[:_WORDS_LIMIT] + "..."


def _up_to_statement(lines: Sequence[str]) -> list[str]:
    chosen = [lines[0]]
    for line in lines[1:_WORDS_LINES]:
        if _STATEMENT.match(line) or _ERROR.match(line):
            break
        chosen.append(line)
    return chosen


class _Watch:
    """Tells the one error that is none from all others, as pg_restore's lines come."""

    def __init__(self) -> None:
        self.failed = False
        self._pending = False

    def line(self, text: str) -> None:
        if text.startswith(_COMMAND):
            self.failed |= self._pending and "SET transaction_timeout = 0;" not in text
            self._pending = False
        elif _ERROR.match(text):
            # An error without its statement is not one of a SET.
            self.failed |= self._pending
            self._pending = True
        elif _IGNORED_ERRORS.search(text):
            self.failed |= self._pending
            self._pending = False


def _run(
    loader: Loader, arguments: Sequence[str], what: str, blocks: Iterable[bytes] | None = None
) -> list[str]:
    watch = _Watch()
    with start(
        [loader.program.path, *_own_arguments(loader), *arguments],
        loader.settings,
        stdin=DEVNULL if blocks is None else PIPE,
        watch=watch.line if loader.forgives else None,
    ) as child:
        if blocks is not None:
            feed(child, blocks)
        try:
            return child.wait()
        except ProgramError as exc:
            lines = child.stderr_lines
            if loader.forgives and not watch.failed and _only_ignored_errors(lines):
                return []
            words = program_words(_without_forgiven(lines) if loader.forgives else lines)
            raise RestoreFailed(
                f"Restoring {what} of database {loader.database!r} failed: {words or exc}.",
                database=loader.database,
                refused=_refused_command(lines),
            ) from exc


def _refused_command(lines: Sequence[str]) -> str | None:
    """Return the first line of the first relation's CREATE that the server refused."""
    commands = (line.removeprefix(_COMMAND) for line in lines if line.startswith(_COMMAND))
    return next((command for command in commands if _CREATE_RELATION.match(command)), None)


def _own_arguments(loader: Loader) -> list[str]:
    own = [
        "--format=custom",
        "--no-password",
        f"--dbname={program_argument(program_dbname(loader.database))}",
    ]
    if not loader.forgives:
        own.append("--exit-on-error")
    flags = {
        "--no-owner": loader.no_owner,
        "--no-privileges": loader.no_privileges,
        "--no-tablespaces": loader.no_tablespaces,
    }
    return own + [flag for flag, wanted in flags.items() if wanted]


def _only_ignored_errors(lines: Sequence[str]) -> bool:
    return bool(lines) and _IGNORED_ERRORS.search(lines[-1]) is not None


def _without_forgiven(lines: Sequence[str]) -> list[str]:
    """Leave out each forgiven error: its lines from ``error:`` to ``Command was:``."""
    kept: list[str] = []
    for line in lines:
        if "Command was: SET transaction_timeout = 0;" in line:
            while kept and not _ERROR.match(kept.pop()):
                continue
        else:
            kept.append(line)
    return kept


def _listed(
    archive: pathlib.Path, only: Collection[int] | None, leave_out: Collection[int]
) -> list[str]:
    if only is None and not leave_out:
        return []
    with archive.open("rb") as file:
        toc = read_toc(file.read)
    ids = [
        entry.dump_id
        for entry in toc.entries
        if entry.dump_id not in leave_out and (only is None or entry.dump_id in only)
    ]
    return [_write_list(archive.with_suffix(".entries"), ids)]


def _write_list(path: pathlib.Path, ids: Sequence[int]) -> str:
    """Write what ``pg_restore --use-list`` takes: it reads up to the semicolon."""
    path.write_text("".join(f"{number};\n" for number in ids), encoding="ascii")
    return f"--use-list={path}"
