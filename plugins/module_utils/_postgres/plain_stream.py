# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""Loads a plain SQL dump, of ours or of others, and refuses one that is not whole.

A dump that was cut at the end of a row loads with exit status 0, so only its last lines say that it
is whole. psql goes on after errors, because a dump of a cluster brings some by its nature; each
error is judged as psql reports it, and the first that counts ends the restore.
"""

from __future__ import annotations

import enum
import re
import typing as t

from .._core.errors import ProgramError, RestoreFailed
from .dump_programs import program_argument
from .globals import is_own_password, stated_encoding
from .load_programs import feed, program_words, start
from .quoting import SessionText, program_dbname
from .sql_text import StatementScanner, body

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .._core.process import Child
    from .model import ConnectionSettings
    from .programs import Program

# How much of a stream's end `check_trailer` must see; the last lines take less than 300 bytes.
TAIL_BYTES = 4096
# The part of a cluster's dump before its first database; thousands of roles take a few MiB.
_GLOBALS_LIMIT = 256 << 20

# Since the minor releases of August 2025 psql commands with a key stand around a dump.
_HEAD = re.compile(
    rb"\A\s*(?:\\restrict \S+\s+)?--\n-- PostgreSQL database (cluster )?dump\n--\n"
    rb"(?:\s*\\restrict (?P<key>\S+)\s)?"
)
_TRAILER = re.compile(
    rb"(?:\A|\n)--\n-- PostgreSQL database (cluster )?dump complete\n--\n\s*"
    rb"(?:\\unrestrict (?P<key>\S+)\s*)?\Z"
)
# Around the rows of a table. No row is `\.` alone: COPY doubles the backslash.
_ROWS_BEGIN = b" FROM stdin;\n"
_ROWS_END = b"\n\\.\n"
_ERROR_LINE = re.compile(
    r"^psql:<stdin>:\d+: (?P<severity>\S+):  (?P<sqlstate>[0-9A-Z]{5}): (?P<words>.*)"
)
# psql's own: of version 13 and newer, and of older ones.
_OWN_ERROR_LINE = re.compile(
    r"^psql(:<stdin>:\d+)?: (fatal|error|FATAL|invalid|unrecognized|unterminated|could not|\\)"
)
_STATEMENT_LINE = re.compile(r"^psql:<stdin>:\d+: STATEMENT:  (?P<statement>.*)")
_NO_ERRORS = {"DEBUG", "LOG", "INFO", "NOTICE", "WARNING"}
# As many are told; in a dump whose table is not there each row may be one.
_MOST_FORGIVEN = 1000
_NO_ERROR_CLASSES = {"00", "01", "02"}
_DUPLICATE_OBJECT = "42710"
_UNDEFINED_OBJECT = "42704"
# Object in use, undefined object, undefined database.
_DROP_CODES = {"55006", _UNDEFINED_OBJECT, "3D000"}
_TRANSACTION_TIMEOUT_SINCE = 17
# The statement of an error is said after it, which tells what was tried.
_SWITCHES = (
    "--no-psqlrc",
    "--quiet",
    "--no-password",
    "--echo-errors",
    "--set=VERBOSITY=verbose",
    "--set=SHOW_CONTEXT=never",
    "--file=-",
)


class PlainKind(enum.Enum):
    """What a plain stream holds: one database (pg_dump) or a whole cluster (pg_dumpall)."""

    DATABASE = "database"
    CLUSTER = "cluster"


def check_trailer(head: bytes, tail: bytes) -> PlainKind:
    """Tell what a plain stream holds, after seeing that it is whole.

    ``head`` is its beginning, ``tail`` its end: each at least ``TAIL_BYTES``, or all there is. A
    cluster's dump must end with the cluster's own last lines: one that was cut between two of its
    databases ends with those of a database.

    Raises ``RestoreFailed``.
    """
    begin = _HEAD.match(head)
    if begin is None:
        raise RestoreFailed(
            "The stored stream does not begin as a plain dump of pg_dump or pg_dumpall does; "
            "nothing was restored."
        )
    kind = PlainKind.CLUSTER if begin[1] else PlainKind.DATABASE
    end = _TRAILER.search(tail[-TAIL_BYTES:])
    # A cluster's key ends with its roles; that of one database is the last that there is.
    other_key = kind is PlainKind.DATABASE and begin["key"] and end and end["key"] != begin["key"]
    if end is None or end[1] != begin[1] or other_key:
        last_line = "database cluster dump" if begin[1] else "database dump"
        raise RestoreFailed(
            f"The stored dump is cut: it does not end in '{last_line} complete'; nothing "
            "was restored, take another snapshot."
        )
    return kind


def check_rows_end(blocks_from_end: Iterable[bytes]) -> None:
    """See that the last lines of a whole dump are not rows of a table that holds such lines.

    ``blocks_from_end`` are those of the stream, the last one first; they are read until one holds
    the end or the beginning of a table's rows.

    Raises ``RestoreFailed`` when no end follows the last beginning.
    """
    behind = b""
    for block in blocks_from_end:
        text = block + behind
        begin, end = text.rfind(_ROWS_BEGIN), text.rfind(_ROWS_END)
        if begin > end:
            raise RestoreFailed(
                "The stored dump is cut inside the rows of a table, although its last rows look "
                "like the end of a dump; nothing was restored, take another snapshot."
            )
        if end >= 0:
            return
        behind = text[: len(_ROWS_BEGIN)]


def load_plain(
    program: Program,
    settings: ConnectionSettings,
    blocks: Iterable[bytes],
    *,
    kind: PlainKind,
    role: str,
    server_major: int,
    database: str,
    allow_errors: bool = False,
) -> list[str]:
    """Feed a whole dump to psql, connected to ``database`` as ``role``; return what was forgiven:
    with ``allow_errors`` whatever the server said against a statement.

    ``check_trailer`` must have passed. The stream is read in this thread, block by block.

    Raises ``RestoreFailed`` with the server's words at the first error that counts, and whatever
    ``blocks`` raises.
    """
    if kind is PlainKind.CLUSTER:
        blocks = without_own_password(blocks, role)
    judge = _Judge(
        forgive_transaction_timeout=server_major < _TRANSACTION_TIMEOUT_SINCE,
        forgive_all=allow_errors,
    )
    argv = [program.path, *_SWITCHES, f"--dbname={program_argument(program_dbname(database))}"]
    with start(argv, settings, watch=judge.line) as child:
        judge.watch(child)
        feed(child, blocks)
        _wait(child, judge)
        if judge.verdict is not None:
            raise RestoreFailed(
                f"The restore of a plain dump stopped at its first error: {judge.verdict}.",
                sqlstate=judge.sqlstate,
            )
        return judge.forgiven


def without_own_password(blocks: Iterable[bytes], role: str) -> Iterator[bytes]:
    """Pass a cluster's dump on without the statement that would change the password of ``role``.

    Only what stands before the first database is looked at, statement by statement: there are the
    roles, and behind it may be rows that look like anything.

    Raises ``RestoreFailed`` when no statement of it ends where it should.
    """
    scanner = StatementScanner()
    text = SessionText("UTF8")
    source = iter(blocks)
    for block in source:
        statements = scanner.feed(block)
        for number, statement in enumerate(statements):
            if body(statement).startswith(b"\\connect"):
                yield b"".join(statements[number:]) + scanner.rest
                yield from source
                return
            text = stated_encoding(statement) or text
            if not is_own_password(statement, role, text):
                yield statement
        if len(scanner.rest) > _GLOBALS_LIMIT:
            raise RestoreFailed("The roles at the beginning of the dump cannot be read.")
    yield scanner.rest


class _Judge:
    """Reads what psql says, and decides which of its errors belong to a cluster's dump.

    ``verdict`` is the first error that counts, in the server's words, without the statement: that
    may hold a secret.
    """

    def __init__(self, *, forgive_transaction_timeout: bool, forgive_all: bool = False) -> None:
        self.verdict: str | None = None
        self.sqlstate: str | None = None
        self.forgiven: list[str] = []
        self._forgive_timeout = forgive_transaction_timeout
        self._forgive_all = forgive_all
        self._pending: tuple[str, str] | None = None
        self._child: Child | None = None

    def watch(self, child: Child) -> None:
        """From now on stop the program at the first error that counts."""
        self._child = child
        self._stop_if_judged()

    def line(self, text: str) -> None:
        """Take one line of what psql says."""
        if self.verdict is None:
            self._read(text)
            self._stop_if_judged()

    def _stop_if_judged(self) -> None:
        if self.verdict is not None and self._child is not None:
            self._child.stop()

    def _read(self, text: str) -> None:
        if statement := _STATEMENT_LINE.match(text):
            self._settle(statement["statement"])
        elif error := _ERROR_LINE.match(text):
            self._error(error["severity"], error["sqlstate"], error["words"])
        elif _OWN_ERROR_LINE.match(text):
            self.close()
            if self.verdict is None:
                self.verdict = text

    def close(self) -> None:
        """An error whose statement never came is not one that can be forgiven."""
        self._settle("")

    def _error(self, severity: str, sqlstate: str, words: str) -> None:
        if severity in _NO_ERRORS or sqlstate[:2] in _NO_ERROR_CLASSES:
            return
        self.close()
        if self.verdict is None:
            self._pending = (sqlstate, words)
            if sqlstate not in {_DUPLICATE_OBJECT, *_DROP_CODES}:
                self.close()

    def _settle(self, statement: str) -> None:
        if self._pending is None:
            return
        sqlstate, words = self._pending
        self._pending = None
        if self._forgives(sqlstate, statement):
            if len(self.forgiven) < _MOST_FORGIVEN:
                self.forgiven.append(f"{words} ({sqlstate})")
        else:
            self.verdict, self.sqlstate = f"{words} (SQLSTATE {sqlstate})", sqlstate

    def _forgives(self, sqlstate: str, statement: str) -> bool:
        if self._forgive_all:
            return True
        if sqlstate == _DUPLICATE_OBJECT:
            return statement.startswith(("CREATE ROLE ", "CREATE USER "))
        if statement.startswith("DROP "):
            return sqlstate in _DROP_CODES
        return (
            self._forgive_timeout
            and sqlstate == _UNDEFINED_OBJECT
            and statement.startswith("SET transaction_timeout = 0;")
        )


def _wait(child: Child, judge: _Judge) -> None:
    """Wait for psql's end; ending badly without a word about it counts too."""
    try:
        child.wait()
        judge.close()
    except ProgramError:
        judge.close()
        if judge.verdict is None:
            judge.verdict = program_words(child.stderr_lines) or "psql ended early, without a word"
