# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""Numbers as people read them."""

from __future__ import annotations

KIB = 1024
MIB = 1024 * KIB


def plural(count: int, noun: str, nouns: str | None = None) -> str:
    """Return ``count`` with its noun, such as ``1 table`` or ``2 tables``."""
    return f"{count:,} {noun if count == 1 else nouns or noun + 's'}"
