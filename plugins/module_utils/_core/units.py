# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""Numbers as people read them."""

from __future__ import annotations

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB


def plural(count: int, noun: str, nouns: str | None = None) -> str:
    """Return ``count`` with its noun, such as ``1 table`` or ``2 tables``."""
    return f"{count:,} {noun if count == 1 else nouns or noun + 's'}"


def show_bytes(count: int) -> str:
    """Return a size with a binary unit and three digits, such as ``1.46 GiB``."""
    size = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < KIB:
            return f"{size:.3g} {unit}" if size < 100 else f"{size:.0f} {unit}"
        size /= KIB
    return f"{size:,.3g} TiB" if size < 100 else f"{size:,.0f} TiB"
