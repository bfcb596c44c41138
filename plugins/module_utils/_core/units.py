# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""Numbers as people read them."""

from __future__ import annotations

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB

_THREE_DIGITS = 999.5


def plural(count: int, noun: str, nouns: str | None = None) -> str:
    """Return ``count`` with its noun, such as ``1 table`` or ``2 tables``."""
    return f"{count:,} {noun if count == 1 else nouns or noun + 's'}"


def show_bytes(count: int) -> str:
    """Return a size with a binary unit and three digits, such as ``1.46 GiB``."""
    size = float(count)
    units = ["B", "KiB", "MiB", "GiB", "TiB"]
    while size >= KIB and len(units) > 1:
        size /= KIB
        units.pop(0)
    # Three digits of a larger number would turn into an exponent.
    digits = f"{size:.3g}" if size < _THREE_DIGITS else f"{size:,.0f}"
    return f"{digits} {units[0]}"
