# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""How many workers a run gets."""

from __future__ import annotations

import os
import typing as t

from .._core.errors import ConfigError, ServerUnreachable
from .._core.units import plural

if t.TYPE_CHECKING:
    from .._core.events import Events

MOST_BY_DEFAULT = 4


def worker_count(
    requested: int | None, *, free_connections: int, reserved: int, events: Events
) -> int:
    """Return the number of workers, each with one connection, that the server has room for.

    Without a wish it is the number of processors that this process may use, at most 4. ``reserved``
    connections are needed besides. Raises ``ConfigError`` for a wish below 1, ``ServerUnreachable``
    when there is no room for one worker.
    """
    if requested is not None and requested < 1:
        raise ConfigError(f"jobs is {requested}; it must be at least 1.")
    wanted = requested or min(MOST_BY_DEFAULT, len(os.sched_getaffinity(0)))
    room = free_connections - reserved
    if room < 1:
        raise ServerUnreachable(
            f"The server has {plural(free_connections, 'free connection')}, but {reserved + 1} are "
            "needed; raise max_connections, or try again when fewer are in use."
        )
    if room < wanted:
        events.warn(
            f"Only {plural(room, 'job')} instead of {wanted}: the server has "
            f"{plural(free_connections, 'free connection')}."
        )
    return min(wanted, room)
