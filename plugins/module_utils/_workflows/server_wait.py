# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""Waiting for a server that is not up yet, as ``pg_isready`` in a loop would.

A server that refuses us is up: what it says is for whoever wants something of it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
import typing as t

from .._core.errors import PostgresError, ServerUnreachable
from .._postgres.connection import connect_server

if t.TYPE_CHECKING:
    from .._core.events import Events
    from .._postgres.model import ConnectionSettings

_PAUSE_SECONDS = 1.0


def wait_for_server(settings: ConnectionSettings, seconds: float, *, events: Events) -> None:
    """Return once the server answers; it is asked at least once, then about once a second.

    Raises ``ServerUnreachable`` when it has not within ``seconds``, and ``ConfigError`` at once.
    """
    deadline = time.monotonic() + seconds
    told = False
    while True:
        left = max(1, int(deadline - time.monotonic()))
        patience = min(settings.connect_timeout_seconds, left)
        try:
            one_look = dataclasses.replace(settings, connect_timeout_seconds=patience)
            with contextlib.closing(connect_server(one_look)):
                return
        except ServerUnreachable as exc:
            if time.monotonic() + _PAUSE_SECONDS >= deadline:
                raise ServerUnreachable(
                    f"{exc.message.rstrip('.')}; waited {seconds:.0f} seconds for it.",
                    **exc.details,
                ) from exc
            if not told:
                events.progress("server_waiting", place=settings.place, reason=exc.message)
                told = True
        except PostgresError:
            return
        time.sleep(_PAUSE_SECONDS)
