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

# Those of the definitions and of the rows, which run beside the workers.
PG_DUMPS = 2


def check_lock_capacity(
    facts: ServerFacts,
    tables: Sequence[TableFile | Table],
    *,
    workers: int,
    read_by_workers: Sequence[TableFile | Table] | None = None,
) -> None:
    """Refuse what the server's lock table cannot hold, before a row is read.

    The coordinator and each pg_dump hold a lock on every table, each worker on those that the
    workers read (all, if that is None). Whoever runs a query on a table, as the workers and the
    coordinator do, locks its indexes too (optimizer/util/plancat.c). The lock table is made for
    ``lock_table_entries`` objects and twice as many holders (storage/lmgr/lock.c).

    Raises ``TableLocksRefused`` with the numbers.
    """
    shared = tables if read_by_workers is None else read_by_workers
    indexes = sum(table.index_count for table in tables)
    of_a_worker = len(shared) + sum(table.index_count for table in shared)
    objects = len(tables) + indexes
    holders = len(tables) * (1 + PG_DUMPS) + indexes + of_a_worker * workers
    entries = facts.lock_table_entries
    if objects <= entries and holders <= 2 * entries:
        return
    per_slot = max(1, entries // max(1, facts.max_locks_per_transaction))
    wanted = -(-max(objects, -(-holders // 2)) // per_slot)
    raise TableLocksRefused(
        f"The server's lock table is too small for this backup: {plural(len(tables), 'table')} "
        f"with {plural(indexes, 'index', 'indexes')} need {holders:,} locks in "
        f"{1 + PG_DUMPS + workers} sessions, and it holds {2 * entries:,} "
        f"(max_locks_per_transaction = {facts.max_locks_per_transaction}); set "
        f"max_locks_per_transaction to {wanted} or more and restart the server, or lower jobs.",
        needed=holders,
        available=2 * entries,
    )
