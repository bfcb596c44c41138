# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""Numbers and lists as people read them."""

from __future__ import annotations

import typing as t

if t.TYPE_CHECKING:
    from collections.abc import Iterable

KIB = 1024
MIB = 1024 * KIB


def plural(count: int, noun: str, nouns: str | None = None) -> str:
    """Return ``count`` with its noun, such as ``1 table`` or ``2 tables``."""
    return f"{count:,} {noun if count == 1 else nouns or noun + 's'}"


def listed(items: Iterable[str], shown: int, separator: str = ", ") -> str:
    """Return the first ``shown`` items in one line, and how many more there are."""
    every = list(items)
    more = [f"and {len(every) - shown:,} more"] if len(every) > shown else []
    return separator.join([*every[:shown], *more])


def quoted(names: Iterable[str], shown: int = 20) -> str:
    """Return names sorted and quoted, listed as ``listed`` does."""
    return listed(map(repr, sorted(names)), shown)
