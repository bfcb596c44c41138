# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""The rows of one table out of an archive, as COPY text, for a table of another name.

``pg_restore`` writes them as SQL; the COPY statement around them is taken off. Lines are looked at
one by one, which is enough for the small tables that archives hold.
"""

from __future__ import annotations

import re
import typing as t
from concurrent.futures import ThreadPoolExecutor

from .._core.errors import ProgramError, RestoreFailed
from .._core.process import PIPE, Child, program_path
from .connection import program_environment
from .load_programs import entry_list, feed, program_words

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from .load_programs import Loader
    from .quoting import SessionText

_BLOCK_BYTES = 1 << 20
_BEGIN = b"COPY "
_END = b" FROM stdin;\n"
_LAST = b"\\.\n"
_NAME = re.compile(rb'"((?:[^"]|"")+)"')
_QUOTED = rb'"(?:[^"]|"")+"'
# Of a table without columns that can be inserted there is no list of them.
_COPY = re.compile(
    rb"COPY %b\.%b (?:\((%b(?:, %b)*)\))? FROM stdin;\n" % (_QUOTED, _QUOTED, _QUOTED, _QUOTED)
)


def read_archive_rows(
    loader: Loader,
    blocks: Iterable[bytes],
    ids: Sequence[int],
    text: SessionText,
    take: Callable[[tuple[str, ...], Iterator[bytes]], None],
) -> None:
    """Call ``take(columns, rows)`` for each table whose rows are the entries of these dump ids.

    ``blocks`` is data.dump, read in a thread of its own; ``ids`` are in its order. ``take`` must
    read its rows to their end.

    Raises ``RestoreFailed``, and whatever ``blocks`` and ``take`` raise.
    """
    with (
        ThreadPoolExecutor(1) as pool,
        entry_list(ids) as listing,
        _writer(loader, listing) as child,
    ):
        fed = pool.submit(_feed, child, blocks)
        _take_tables(child.stdout, text, take)
        fed.result()
        try:
            child.wait()
        except ProgramError as exc:
            raise RestoreFailed(
                f"Reading rows out of data.dump failed: {program_words(child.stderr_lines) or exc}."
            ) from exc


def _feed(child: Child, blocks: Iterable[bytes]) -> None:
    try:
        feed(child, blocks)
    except BaseException:
        # So that whoever waits for its rows comes to their end, and here for the cause.
        child.stop()
        raise


def _writer(loader: Loader, listing: t.IO[bytes]) -> Child:
    argv = [
        loader.program.path,
        "--format=custom",
        "--section=data",
        f"--use-list={program_path(listing)}",
        "--file=-",
    ]
    env = program_environment(loader.settings)
    return Child(argv, env=env, stdin=PIPE, files=[listing])


def _take_tables(
    lines: Iterable[bytes],
    text: SessionText,
    take: Callable[[tuple[str, ...], Iterator[bytes]], None],
) -> None:
    source = iter(lines)
    for line in source:
        if line.startswith(_BEGIN):
            statement = line
            # A name may hold line breaks, and what looks like the end.
            while not (statement.endswith(_END) and (whole := _COPY.fullmatch(statement))):
                if (more := next(source, None)) is None:
                    return  # the program has ended; how, it will say
                statement += more
            columns = tuple(
                text.decode(found[1].replace(b'""', b'"'))
                for found in _NAME.finditer(whole[1] or b"")
            )
            take(columns, _rows(source))


def _rows(source: Iterator[bytes]) -> Iterator[bytes]:
    block = bytearray()
    for line in source:
        if line == _LAST:
            break
        block += line
        if len(block) >= _BLOCK_BYTES:
            yield bytes(block)
            block.clear()
    yield bytes(block)
