# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Write docs/errors.md from the engine's tree of errors, or (--check) see that it is up to date."""

from __future__ import annotations

import inspect
import sys
import typing as t
from pathlib import Path

from ansible_collections.granary.postgres.plugins.module_utils._core import errors

PAGE = Path("docs/errors.md")
HEAD = """\
# Errors

A task that fails has, beside `msg`, an `error` of three keys: `code` (one of the table's, stable),
`retryable` (the same task may succeed later without any change by the user) and `details` (names
and numbers, never secrets).

This page is written by `nox -s errors-page` from `plugins/module_utils/_core/errors.py`.

| `code` | retryable | meaning |
|---|---|---|
"""


def main() -> int:
    """Return 0 if the page is written, or is as it should be."""
    page = HEAD + "".join(f"{row}\n" for row in _rows(errors.GranaryError, 0))
    codes = [error.code for error in _tree(errors.GranaryError)]
    twice = sorted({code for code in codes if codes.count(code) > 1})
    if twice:
        sys.stdout.write(f"codes used twice: {', '.join(twice)}\n")
        return 1
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(page, encoding="utf-8")
    elif not PAGE.exists() or PAGE.read_text(encoding="utf-8") != page:
        sys.stdout.write(f"{PAGE} is not up to date; run: nox -s errors-page\n")
        return 1
    return 0


def _tree(error: type[errors.GranaryError]) -> t.Iterator[type[errors.GranaryError]]:
    yield error
    for child in error.__subclasses__():
        yield from _tree(child)


def _rows(error: type[errors.GranaryError], depth: int) -> t.Iterator[str]:
    meaning = " ".join((inspect.cleandoc(error.__doc__ or "")).partition("\n\n")[0].split())
    indent = "&nbsp;&nbsp;" * depth
    yield f"| {indent}`{error.code}` | {'yes' if error.retryable else 'no'} | {meaning} |"
    for child in error.__subclasses__():
        yield from _rows(child, depth + 1)


if __name__ == "__main__":
    sys.exit(main())
