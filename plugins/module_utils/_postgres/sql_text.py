# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""Cuts SQL scripts of pg_dumpall into statements, however their bytes arrive.

Only as much of the language as these scripts use: comments, literals, quoted names, dollar quotes,
and psql's own commands at the start of a statement. Nothing is known here of what statements mean.
"""

from __future__ import annotations

import re

# A name as scripts write it: quoted, or a plain word.
IDENTIFIER = rb'(?:"(?:[^"]|"")+"|[A-Za-z_\x80-\xff][\w$\x80-\xff]*)'
LITERAL = rb"(?:E'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*')"

_WORD = rb"\w$\x80-\xff"
# No possessive quantifiers: Python 3.11 before 3.11.5 matches wrongly with those of groups.
_BLANK = re.compile(rb"\s*(?:--[^\n]*\n\s*)*")
# What looks at the next byte needs one: a literal that ends with the buffer may go on in the next.
_TOKEN = re.compile(
    rb"""
    (?P<end>;)
    | [eE]'[^'\\]*(?:(?:\\.|'')[^'\\]*)*'(?=[^'])
    | '[^']*(?:''[^']*)*'(?=[^'])
    | "[^"]*(?:""[^"]*)*"(?=[^"])
    | (?P<dollar>\$(?:[A-Za-z_\x80-\xff][A-Za-z0-9_\x80-\xff]*)?\$).*?(?P=dollar)
    | \$(?=[^$A-Za-z_\x80-\xff])
    | --[^\n]*\n
    | /\*.*?\*/
    | [-/](?=[^-*])
    | -(?=\*) | /(?=-)
    | (?![eE]')[A-Za-z0-9_\x80-\xff]["""
    + _WORD
    + rb"""]*(?=[^"""
    + _WORD
    + rb"""])
    | [^;'"$\-/\w\x80-\xff]
    """,
    re.VERBOSE | re.DOTALL,
)


class StatementScanner:
    """Takes a script in pieces and gives back its statements, whole.

    A statement comes with the blanks and comments before it, so that all of them joined are the
    script. A psql command (``\\connect``, ``\\restrict``) is a statement that ends with its line.
    """

    def __init__(self) -> None:
        self._pending = b""

    def feed(self, data: bytes) -> list[bytes]:
        """Add ``data`` and return the statements that are complete now."""
        buffer = self._pending + data
        found = []
        start = 0
        while (end := _end_of_statement(buffer, start)) is not None:
            found.append(buffer[start:end])
            start = end
        self._pending = buffer[start:]
        return found

    @property
    def rest(self) -> bytes:
        """What was fed after the last complete statement."""
        return self._pending


def split_statements(script: bytes) -> list[bytes]:
    """Return the statements of a whole script, and what follows the last one as one more piece."""
    scanner = StatementScanner()
    # The scanner looks one byte ahead at the end of words and literals.
    found = scanner.feed(script)
    return [*found, scanner.rest] if scanner.rest else found


def body(statement: bytes) -> bytes:
    """Return a statement without the blanks and comments around it."""
    lead = _BLANK.match(statement)
    return (statement[lead.end() :] if lead else statement).strip()


def unquote_identifier(raw: bytes) -> bytes:
    """Return the name that ``IDENTIFIER`` matched."""
    return raw[1:-1].replace(b'""', b'"') if raw.startswith(b'"') else raw


def unquote_literal(raw: bytes) -> bytes:
    """Return the text that ``LITERAL`` matched."""
    if raw.startswith(b"E"):
        return re.sub(rb"\\(.)", rb"\1", raw[2:-1].replace(b"''", b"'"), flags=re.DOTALL)
    return raw[1:-1].replace(b"''", b"'")


def _end_of_statement(buffer: bytes, start: int) -> int | None:
    lead = _BLANK.match(buffer, start)
    position = lead.end() if lead else start
    if buffer[position : position + 1] == b"\\":
        line_end = buffer.find(b"\n", position)
        return None if line_end < 0 else line_end + 1
    while token := _TOKEN.match(buffer, position):
        position = token.end()
        if token["end"]:
            return position
    return None
