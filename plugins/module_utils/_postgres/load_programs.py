# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""How pg_restore and psql are called to lay a snapshot back, and which of their errors count.

Everything that they say against us is a failed restore, in their own words. Nothing here knows
where the bytes come from.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import re
import tempfile
import typing as t

from .._core.errors import ProgramError, RestoreFailed
from .._core.process import DEVNULL, PIPE, Child, program_path
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
    archive: t.IO[bytes],
    *,
    only: Collection[int] | None = None,
    leave_out: Collection[int] = (),
) -> list[str]:
    """Run the part of schema.dump that comes before the rows; return pg_restore's warnings.

    ``archive`` is open for reading, and all of it is in the file. ``only`` and ``leave_out`` choose
    entries by their dump ids.

    Raises ``RestoreFailed``.
    """
    what = "the definitions before the rows"
    ids = _chosen(_toc_of(archive), only, leave_out)
    return _run_archive(loader, archive, ["--section=pre-data"], what, ids)


def load_post_data(
    loader: Loader,
    archive: t.IO[bytes],
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
    toc = _toc_of(archive)
    triggers = with_what_hangs_on(toc, toc.of("EVENT TRIGGER"))
    first = _chosen(toc, only, triggers.union(leave_out))
    arguments = ["--section=post-data", f"--jobs={jobs}"]
    warnings = _run_archive(loader, archive, arguments, "the definitions after the rows", first)
    last = triggers if only is None else triggers.intersection(only)
    if ids := _chosen(toc, last, leave_out):
        arguments = ["--section=post-data"]
        warnings += _run_archive(loader, archive, arguments, "the event triggers", ids)
    return warnings


def load_data(
    loader: Loader,
    blocks: Iterable[bytes],
    *,
    only: Collection[int] | None = None,
) -> list[str]:
    """Feed data.dump to pg_restore as a stream, in this thread; return its warnings.

    ``only`` chooses entries by the dump ids of data.dump.

    Raises ``RestoreFailed``, and whatever ``blocks`` raises.
    """
    what = "the small tables' rows"
    if only is None:
        return _run(loader, ["--section=data"], what, blocks=blocks)
    toc, blocks = peek_toc(blocks)
    with entry_list(_chosen(toc, only) or ()) as listing:
        arguments = ["--section=data", f"--use-list={program_path(listing)}"]
        return _run(loader, arguments, what, blocks=blocks, files=[listing])


@contextlib.contextmanager
def entry_list(ids: Iterable[int]) -> Iterator[t.IO[bytes]]:
    """Yield a file of dump ids as ``pg_restore --use-list`` takes them: it reads up to the
    semicolon.

    Their order is that of the restore, and a stream cannot be read backwards.
    """
    with tempfile.TemporaryFile(prefix="granary-") as listing:
        listing.writelines(b"%d;\n" % number for number in ids)
        listing.flush()
        yield listing


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
    files: Sequence[t.IO[bytes]] = (),
) -> Child:
    """Start a program that loads into a server; its output goes nowhere."""
    return Child(
        argv,
        env=program_environment(settings) | {"PGOPTIONS": _OPTIONS},
        stdin=stdin,
        stdout=DEVNULL,
        secrets=[settings.password] if settings.password else [],
        on_line=watch,
        files=files,
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


def _toc_of(archive: t.IO[bytes]) -> ArchiveToc:
    archive.seek(0)
    return read_toc(archive.read)


def _chosen(
    toc: ArchiveToc, only: Collection[int] | None, leave_out: Collection[int] = ()
) -> list[int] | None:
    """Return the dump ids to load, in their order; None if that is all."""
    if only is None and not leave_out:
        return None
    ids = (entry.dump_id for entry in toc.entries if entry.dump_id not in leave_out)
    return [number for number in ids if only is None or number in only]


def _run_archive(
    loader: Loader,
    archive: t.IO[bytes],
    arguments: Sequence[str],
    what: str,
    ids: Sequence[int] | None,
) -> list[str]:
    """Run pg_restore on an archive that it can read in any order."""
    if ids is None:
        return _run(loader, [*arguments, program_path(archive)], what, files=[archive])
    with entry_list(ids) as listing:
        arguments = [*arguments, f"--use-list={program_path(listing)}", program_path(archive)]
        return _run(loader, arguments, what, files=[archive, listing])


def _run(
    loader: Loader,
    arguments: Sequence[str],
    what: str,
    *,
    blocks: Iterable[bytes] | None = None,
    files: Sequence[t.IO[bytes]] = (),
) -> list[str]:
    watch = _Watch()
    with start(
        [loader.program.path, *_own_arguments(loader), *arguments],
        loader.settings,
        stdin=DEVNULL if blocks is None else PIPE,
        watch=watch.line if loader.forgives else None,
        files=files,
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
