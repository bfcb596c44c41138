# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""A store's client: made when it is first needed, shared by threads, never by processes."""

from __future__ import annotations

import os
import threading
import typing as t

if t.TYPE_CHECKING:
    from collections.abc import Callable


class Client(t.Protocol):
    """A store's library, as far as it is the same with all."""

    def close(self) -> None:
        """Close what is open."""


ClientT = t.TypeVar("ClientT", bound=Client)


class Connection(t.Generic[ClientT]):
    """What ``connect`` returns, once; it may be closed and is then made anew when needed."""

    def __init__(self, connect: Callable[[], ClientT]) -> None:
        self._connect = connect
        self._process = os.getpid()
        self._guard = threading.Lock()
        self._made: ClientT | None = None

    def client(self) -> ClientT:
        """Return the client; raises ``RuntimeError`` in a forked process, which would answer its
        parent's requests.
        """
        if os.getpid() != self._process:
            raise RuntimeError("A backend was used after a fork; open one in each process.")
        with self._guard:
            if self._made is None:
                self._made = self._connect()
            return self._made

    def close(self) -> None:
        """Close the client; a forked process leaves its parent's alone."""
        if os.getpid() != self._process:
            return
        with self._guard:
            client, self._made = self._made, None
        if client is not None:
            client.close()
