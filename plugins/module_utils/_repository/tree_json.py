# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""JSON byte for byte as Go encodes it, and names as Go quotes them.

restic re-encodes a tree before it changes it and refuses when the bytes differ ("cannot encode tree
without losing information"), so our trees and snapshots have to be what Go would write. This file
knows encoding only: no fields of nodes or snapshots.
"""

from __future__ import annotations

import json
import re
import typing as t

from .._core.errors import RepositoryDamaged
from .go_printable import is_printable

# encoding/json escapes these for the sake of HTML and JavaScript, json.dumps does not. For the rest
# the two agree since Go 1.22, with which (or newer ones) restic 0.18 and 0.19 are built.
_HTML = str.maketrans({char: f"\\u{ord(char):04x}" for char in "<>&\u2028\u2029"})
_SURROGATE = re.compile("[\ud800-\udfff]")
_SHORT = {"\a": "a", "\b": "b", "\f": "f", "\n": "n", "\r": "r", "\t": "t", "\v": "v"}
_LONG = {value: key for key, value in _SHORT.items()} | {'"': '"', "\\": "\\", "'": "'"}
_ESCAPE = re.compile(
    r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3})|(.)|$)", re.DOTALL
)
_FIRST_SURROGATE_ESCAPE, _LAST_SURROGATE_ESCAPE = 0xDC80, 0xDCFF
_BYTE = 0xFF
_BMP_END = 0x10000

Json = t.Union[None, bool, int, str, "Mapping[str, Json]", "Sequence[Json]"]

if t.TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def encode(value: Json) -> bytes:
    """Return the compact JSON of ``value``; keys of mappings keep their order.

    Each byte that is no UTF-8 (a surrogate escape) becomes U+FFFD, as in Go.
    """
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return _SURROGATE.sub(r"\\ufffd", text.translate(_HTML)).encode()


def quote_name(name: str) -> str:
    """Return ``name`` (bytes that are no UTF-8 as surrogate escapes) as ``strconv.Quote`` does,
    without the quotes.
    """
    if name.isascii() and name.isprintable() and '"' not in name and "\\" not in name:
        return name
    return "".join(map(_quote_char, name))


def _quote_char(char: str) -> str:
    if char in {'"', "\\"}:
        return "\\" + char
    point = ord(char)
    if _FIRST_SURROGATE_ESCAPE <= point <= _LAST_SURROGATE_ESCAPE:
        return f"\\x{point - 0xDC00:02x}"
    if is_printable(char):
        return char
    if char in _SHORT:
        return "\\" + _SHORT[char]
    if point < ord(" ") or point == 0x7F:  # noqa: PLR2004 - DEL
        return f"\\x{point:02x}"
    return f"\\u{point:04x}" if point < _BMP_END else f"\\U{point:08x}"


def unquote_name(quoted: str) -> str:
    """Undo ``quote_name``, as ``strconv.Unquote`` does.

    Raises ``RepositoryDamaged`` for an escape that Go does not know.
    """
    if "\\" not in quoted:
        return quoted
    # \x and octal escapes are bytes, which together may be one character: put together as bytes,
    # then decoded.
    parts: list[bytes] = []
    end = 0
    for match in _ESCAPE.finditer(quoted):
        parts.append(quoted[end : match.start()].encode("utf-8", "surrogateescape"))
        parts.append(_unescape(match, quoted))
        end = match.end()
    parts.append(quoted[end:].encode("utf-8", "surrogateescape"))
    return b"".join(parts).decode("utf-8", "surrogateescape")


def _unescape(match: re.Match[str], quoted: str) -> bytes:
    byte, short, long, octal, letter = match.groups()
    if byte is not None:
        return bytes((int(byte, 16),))
    if octal is not None and int(octal, 8) <= _BYTE:
        return bytes((int(octal, 8),))
    try:
        if short is not None or long is not None:
            return chr(int(short or long, 16)).encode()
        return _LONG[letter].encode()
    except (KeyError, ValueError, OverflowError) as exc:
        raise RepositoryDamaged(
            f"A tree holds the name {quoted!r}, whose escapes are not Go's."
        ) from exc
