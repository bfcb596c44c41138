# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""``yield_after``: a backup gives way when somebody has waited too long behind its table locks."""

from __future__ import annotations

import contextlib
import typing as t

from .._core.errors import BackupYielded
from .._postgres.connection import connect_server
from .._postgres.lock_queue import LockQueue

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from .._postgres.model import ConnectionSettings
    from .coordinator import Coordinator


@contextlib.contextmanager
def yield_watch(
    coordinator: Coordinator, connection: ConnectionSettings, seconds: int | None
) -> Iterator[None]:
    """Look about once a second, while the coordinator waits, who waits for us; None looks never.

    Raises ``BackupYielded`` out of the coordinator's wait.
    """
    if seconds is None:
        yield
        return
    with contextlib.closing(connect_server(connection)) as conn:
        queue = LockQueue(conn, connection.application_name)

        def look() -> None:
            waited = queue.longest_wait_seconds()
            if waited and waited >= seconds:
                raise BackupYielded(
                    f"A session has waited {waited:.0f} s for a table lock of the backup, which "
                    f"gave way (yield_after is {seconds} s); there is no snapshot, run it again at "
                    "another time.",
                    waited=round(waited),
                )

        coordinator.add_chore(look)
        try:
            yield
        finally:
            coordinator.remove_chore(look)
