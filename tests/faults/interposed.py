# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A storage that tells a listener of every change to it, before and after; otherwise a real one.

Listeners record, or place a fault. Whatever opens a repository in this process after `interpose`,
and in every process that is forked from it, opens its storage so.
"""

from __future__ import annotations

import contextlib
import dataclasses
import typing as t
from collections.abc import Iterable, Iterator, Sequence
from unittest import mock

from ansible_collections.granary.postgres.plugins.module_utils._repository import (
    repository as repository_module,
)
from ansible_collections.granary.postgres.plugins.module_utils._storage.base import Backend
from ansible_collections.granary.postgres.plugins.module_utils._storage.registry import open_backend
from ansible_collections.granary.postgres.plugins.module_utils._storage.s3 import S3Backend

if t.TYPE_CHECKING:
    from ansible_collections.granary.postgres.plugins.module_utils._core.events import Events
    from ansible_collections.granary.postgres.plugins.module_utils._storage.model import (
        BackendSettings,
        Buffer,
        Entry,
        Unfinished,
    )

Verb = t.Literal["write", "delete", "read"]


@dataclasses.dataclass(slots=True, eq=False)
class Operation:
    """One call: of a write its bytes too; `exclusive` where it must not replace, and `refused` once
    it is known that it did not, since the name was taken.
    """

    verb: Verb
    name: str
    data: bytes = b""
    exclusive: bool = False
    refused: bool = False

    @property
    def folder(self) -> str:
        """The first part of the name: `data`, `index`, `locks`, `config` ..."""
        return self.name.partition("/")[0]


class Listener:
    """Hears of every operation; both calls may raise what the storage is to raise."""

    def before(self, backend: Backend, operation: Operation) -> None:
        """The operation was asked for, nothing has happened yet; `backend` is the real one."""

    def after(self, backend: Backend, operation: Operation) -> None:
        """It has happened, its caller does not know yet."""


class InterposedBackend(Backend):
    """The real storage, and listeners around each change and each whole read."""

    def __init__(self, real: Backend, listeners: Sequence[Listener]) -> None:
        super().__init__(real.location)
        self._real = real
        self._listeners = listeners

    @contextlib.contextmanager
    def _told(self, operation: Operation) -> Iterator[None]:
        for listener in self._listeners:
            listener.before(self._real, operation)
        yield
        for listener in reversed(self._listeners):
            listener.after(self._real, operation)

    def prepare(self, *, create_bucket: bool = False) -> bool:
        """As the real one."""
        return self._real.prepare(create_bucket=create_bucket)

    def read(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        """As the real one, told of."""
        with self._told(Operation("read", name)):
            return self._real.read(name, offset, length)

    def write(self, name: str, data: Buffer) -> None:
        """As the real one, told of."""
        with self._told(Operation("write", name, bytes(data))):
            self._real.write(name, data)

    def write_exclusive(self, name: str, data: Buffer) -> bool | None:
        """As the real one, told of."""
        operation = Operation("write", name, bytes(data), exclusive=True)
        with self._told(operation):
            made = self._real.write_exclusive(name, data)
            operation.refused = not made
        return made

    def size(self, name: str) -> int | None:
        """As the real one."""
        return self._real.size(name)

    def entries(self, prefix: str) -> Iterator[Entry]:
        """As the real one."""
        return self._real.entries(prefix)

    def delete(self, name: str) -> None:
        """As the real one, told of."""
        with self._told(Operation("delete", name)):
            self._real.delete(name)

    def age_seconds(self, name: str) -> float | None:
        """As the real one."""
        return self._real.age_seconds(name)

    def unfinished(self) -> Iterator[Unfinished]:
        """As the real one."""
        return self._real.unfinished()

    def discard_unfinished(self, name: str) -> None:
        """As the real one."""
        self._real.discard_unfinished(name)

    def strangers(self) -> Iterator[str]:
        """As the real one."""
        return self._real.strangers()

    def remove_folders(self, names: Iterable[str]) -> None:
        """As the real one."""
        self._real.remove_folders(names)

    def close(self) -> None:
        """As the real one."""
        self._real.close()


_listeners: list[Listener] = []


def _opened(settings: BackendSettings, events: Events | None = None) -> Backend:
    return InterposedBackend(open_backend(settings, events), tuple(_listeners))


@contextlib.contextmanager
def heard_by(*listeners: Listener) -> Iterator[None]:
    """Every repository that this process opens meanwhile has these listeners too, first of all."""
    _listeners[:0] = listeners
    try:
        with mock.patch.object(repository_module, "open_backend", _opened):
            yield
    finally:
        del _listeners[: len(listeners)]


def interpose(*listeners: Listener) -> None:
    """From now on every repository that this process opens has these listeners, for good: for a
    process that was forked to run one thing.
    """
    _listeners.extend(listeners)
    mock.patch.object(repository_module, "open_backend", _opened).start()


def many_at_once() -> None:
    """Let this process upload to and delete from a folder as many at once as it would a bucket."""
    mock.patch.object(Backend, "writes_beside", S3Backend.writes_beside).start()
