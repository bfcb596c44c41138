# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""What ``${NAME...}`` can do to a value: case, parts, prefixes and suffixes, replacing.

Patterns are globs in which ``*`` stands for slashes too; what is replaced is taken literally.
"""

from __future__ import annotations

import fnmatch
import typing as t

from .._core.errors import InvalidObject

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def changed(value: str, mark: str, arguments: Sequence[str]) -> str:
    """Return ``value`` changed as ``mark`` says, with one or two arguments.

    Raises ``InvalidObject`` for a position that is no number.
    """
    first, second = arguments[0], arguments[1] if len(arguments) > 1 else ""
    match mark:
        case "^" | "^^" | "," | ",,":
            return _in_case(value, mark)
        case "#" | "##" | "%" | "%%":
            return _trimmed(value, mark, first)
        case ":":
            return _part(value, first, second)
        case _:
            return _replaced(value, mark, first, second)


def _in_case(value: str, mark: str) -> str:
    upper = mark[0] == "^"
    if len(mark) > 1:
        return value.upper() if upper else value.lower()
    return (value[:1].upper() if upper else value[:1].lower()) + value[1:]


def _trimmed(value: str, mark: str, pattern: str) -> str:
    """Return ``value`` without the shortest or longest start or end that fits ``pattern``."""
    longest, from_start = len(mark) > 1, mark[0] == "#"
    lengths: Iterable[int] = range(len(value) + 1)
    for length in reversed(range(len(value) + 1)) if longest else lengths:
        cut = length if from_start else len(value) - length
        end, kept = (value[:cut], value[cut:]) if from_start else (value[cut:], value[:cut])
        if fnmatch.fnmatchcase(end, pattern):
            return kept
    return value


def _part(value: str, offset: str, length: str) -> str:
    try:
        start = int(offset)
        count = int(length) if length else None
    except ValueError as exc:
        raise InvalidObject(
            f"A part of a variable's value is asked for by {offset!r} and {length!r}; "
            "write numbers, as in ${NAME:0:8}."
        ) from exc
    if start < 0:
        start = max(len(value) + start, 0)
    return value[start:] if count is None else value[start : start + max(count, 0)]


def _replaced(value: str, mark: str, old: str, new: str) -> str:
    if not old:
        return value
    match mark:
        case "//":
            return value.replace(old, new)
        case "/#":
            return new + value.removeprefix(old) if value.startswith(old) else value
        case "/%":
            return value.removesuffix(old) + new if value.endswith(old) else value
        case _:
            return value.replace(old, new, 1)
