# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""Whether the server's lock table can hold what a backup needs: computed first, said in numbers."""

from __future__ import annotations

import typing as t

from .._core.errors import TableLocksRefused
from .._core.units import plural

if t.TYPE_CHECKING:
    from collections.abc import Sequence

    from .model import ServerFacts, Table, TableFile


def check_lock_capacity(
    facts: ServerFacts, tables: Sequence[TableFile | Table], *, workers: int, pg_dumps: int = 2
) -> None:
    """Refuse what the server's lock table cannot hold, before anything is locked.

    The coordinator and each pg_dump hold a lock on every table; each worker also on every index,
    since a query that reads a table locks them (optimizer/util/plancat.c). The lock table is made
    for ``lock_table_entries`` objects and twice as many holders (storage/lmgr/lock.c).

    Raises ``TableLocksRefused`` with the numbers.
    """
    indexes = sum(table.index_count for table in tables)
    objects = len(tables) + indexes
    holders = len(tables) * (1 + pg_dumps + workers) + indexes * workers
    entries = facts.lock_table_entries
    if objects <= entries and holders <= 2 * entries:
        return
    per_slot = max(1, entries // max(1, facts.max_locks_per_transaction))
    wanted = -(-max(objects, -(-holders // 2)) // per_slot)
    raise TableLocksRefused(
        f"The server's lock table is too small for this backup: {plural(len(tables), 'table')} "
        f"with {plural(indexes, 'index', 'indexes')} need {holders:,} locks in "
        f"{1 + pg_dumps + workers} sessions, and it holds {2 * entries:,} "
        f"(max_locks_per_transaction = {facts.max_locks_per_transaction}); set "
        f"max_locks_per_transaction to {wanted} or more and restart the server, or lower jobs.",
        needed=holders,
        available=2 * entries,
    )
