# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who waits for whom: objects that are to be looked at again when another one changes.

Kept in memory alone. What is lost with it is found again, later, by looking at everything from time
to time.
"""

from __future__ import annotations

import threading
import typing as t

if t.TYPE_CHECKING:
    from collections.abc import Iterable

    from ansible_collections.granary.postgres.operator.controller.keys import Key


class Dependants:
    """Safe for several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._needs: dict[Key, frozenset[Key]] = {}
        self._needed_by: dict[Key, set[Key]] = {}

    def note(self, key: Key, needs: Iterable[Key]) -> None:
        """Remember what ``key`` depends on, in place of what was noted for it before."""
        with self._lock:
            wanted = frozenset(needs)
            for gone in self._needs.get(key, frozenset()) - wanted:
                self._needed_by[gone].discard(key)
                if not self._needed_by[gone]:
                    del self._needed_by[gone]
            for each in wanted:
                self._needed_by.setdefault(each, set()).add(key)
            if wanted:
                self._needs[key] = wanted
            else:
                self._needs.pop(key, None)

    def forget(self, key: Key) -> None:
        """Remember nothing of what ``key`` depends on."""
        self.note(key, ())

    def needs_of(self, key: Key) -> frozenset[Key]:
        """Return what ``key`` depends on."""
        with self._lock:
            return self._needs.get(key, frozenset())

    def of(self, key: Key) -> frozenset[Key]:
        """Return who depends on ``key``."""
        with self._lock:
            return frozenset(self._needed_by.get(key, ()))
