# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""The one contract of every storage: bytes under names.

It knows nothing of restic: not which names exist, nor what they hold. What the layers above rely on
(atomic, durable writes; complete listings; errors that tell damage from outage) is promised here
and proved for every backend by one conformance suite.
"""

from __future__ import annotations

import abc
import re
import typing as t

from .._core.errors import StorageError

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .model import Buffer, Entry, Unfinished

TEMPORARY_MARK = "-tmp-"
_MAX_SEGMENTS = 4
_UNFINISHED = re.compile(rf"(.+){TEMPORARY_MARK}[0-9]+\Z")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}(?:/[A-Za-z0-9][A-Za-z0-9._-]{0,199})*\Z")


def is_name(name: str) -> bool:
    """Tell whether ``name`` can be stored under.

    That is one to four segments of ASCII letters, digits, ``.``, ``_`` and ``-``, each beginning
    with a letter or digit, with slashes between them. Names of unfinished writes (``<id>-tmp-<n>``)
    are none: no listing shows them.
    """
    if TEMPORARY_MARK in name or name.count("/") >= _MAX_SEGMENTS:
        return False
    return _NAME.match(name) is not None


def finished_name(name: str) -> str | None:
    """Return the name under which an unfinished write, called ``name``, was to be stored; None if
    it is none.
    """
    parts = _UNFINISHED.match(name)
    return parts[1] if parts and is_name(parts[1]) else None


def check_unfinished(name: str) -> None:
    """Raise ``StorageError`` when ``name`` is not that of an unfinished write."""
    if finished_name(name) is None:
        raise StorageError(f"{name[:100]!r} cannot be the name of an unfinished write.")


def check_name(name: str) -> None:
    """Raise ``StorageError`` when nothing can be stored under ``name``."""
    if not is_name(name):
        raise StorageError(f"{name[:100]!r} cannot be the name of a stored object.")


def check_prefix(prefix: str) -> None:
    """Raise ``StorageError`` when ``prefix`` is neither empty nor a folder's name and a slash."""
    if prefix and not (prefix.endswith("/") and is_name(prefix[:-1])):
        raise StorageError(f"{prefix[:100]!r} cannot be the prefix of a listing.")


def check_range(name: str, offset: int, length: int | None) -> None:
    """Raise ``StorageError`` when a range is not one."""
    if offset < 0 or (length is not None and length < 0):
        raise StorageError(f"The range {offset}, {length} of {name} cannot be read.")


class Backend(abc.ABC):
    """Bytes under names, in one place.

    Ownership: a backend belongs to the process that opened it, because connections and locks do not
    survive a fork; a forked worker opens its own with ``open_backend(backend.settings)``. Inside
    that process every method may be called from several threads at once.

    Errors, from all methods: ``ObjectMissing`` (object, folder or bucket), ``AccessDenied``,
    ``StorageFull``, ``StorageUnavailable`` (after all tries), ``OutcomeUnknown`` (only write,
    write_exclusive, delete and prepare), ``ConfigError`` (the settings cannot work with what
    answers there), ``StorageError`` for the rest, names that cannot be stored included. Messages
    name the object and hold no secret.

    Visibility: what a returned write stored, a later read, size or listing by anybody sees; after a
    returned delete nobody sees it.
    """

    writes_beside: t.ClassVar[int] = 0
    """How many writes pay off beside the work of a process, each in a thread of its own; with 0 it
    waits for each, since threads would only fight over the disk."""

    def __init__(self, location: str) -> None:
        self.location = location

    @abc.abstractmethod
    def prepare(self, *, create_bucket: bool = False) -> bool:
        """Make sure that the place exists and answers; return True if something was made for that.

        A local folder is made with its parents, durably. A bucket is only looked for, unless
        ``create_bucket``: then it is made where it is missing; ``ObjectMissing`` otherwise. May be
        repeated, and run by several at once.
        """

    @abc.abstractmethod
    def read(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        """Return exactly ``length`` bytes from ``offset``, or all from there on when ``length`` is
        None.

        Never returns less than was asked for: ``ObjectTooShort`` if the object ends before the
        range does, or begins after it (a range from its very end is one such, but for the empty
        object at 0). A length of 0 is not looked up. The bytes are the caller's own.

        Raises ``ObjectMissing`` when there is nothing under the name.
        """

    @abc.abstractmethod
    def write(self, name: str, data: Buffer) -> None:
        """Store ``data`` under ``name``: durable and whole on return, or not there under that name.

        Nobody ever sees a part of it. A name stands for one content, so writing it again is
        harmless and replaces what is there. ``data`` is only read, and not needed after the return.
        The folder's parents below the place itself are made; the place itself is not
        (``ObjectMissing``): see ``prepare``.

        Raises ``OutcomeUnknown`` when the storage never answered: it may be there, not be there, or
        appear later.
        """

    @abc.abstractmethod
    def write_exclusive(self, name: str, data: Buffer) -> bool | None:
        """Store ``data`` only if the name is free; of several callers at once exactly one wins.

        Returns True if this call stored it (durable as with ``write``), False if the name was taken
        and nothing changed, None if this storage cannot do that and nothing was stored.
        """

    @abc.abstractmethod
    def size(self, name: str) -> int | None:
        """Return the size in bytes; None if there is nothing under the name.

        A missing place is no missing object: ``ObjectMissing``. So too in delete and age_seconds.
        """

    @abc.abstractmethod
    def entries(self, prefix: str) -> Iterator[Entry]:
        """Yield everything whose name begins with ``prefix``: empty, or a folder's name that ends
        with a slash.

        The order is any. Each object that was there before the call and is not deleted during it
        appears exactly once; foreign things that ``is_name`` refuses, and unfinished writes, never.
        A prefix without objects yields nothing; a missing place raises ``ObjectMissing``. Errors
        come from the iteration, not from the call.
        """

    @abc.abstractmethod
    def delete(self, name: str) -> None:
        """Remove the object, durably; that it is missing is fine.

        Raises ``OutcomeUnknown`` when the storage never answered.
        """

    @abc.abstractmethod
    def age_seconds(self, name: str) -> float | None:
        """Return the seconds since the object was written; None if it is missing.

        Both times come from the storage's own clock. A local folder's is read from a fresh file, so
        it needs the right to write beside the object.
        """

    @abc.abstractmethod
    def unfinished(self) -> Iterator[Unfinished]:
        """Yield what unfinished writes have left, of anybody who writes as we do, in any order.

        Some of them may still be under way. Ages are by the storage's own clock where it can be
        asked, and one without room for a file more cannot: then by this host's.
        """

    @abc.abstractmethod
    def discard_unfinished(self, name: str) -> None:
        """Remove what an unfinished write has left, durably; that it is missing is fine."""

    @abc.abstractmethod
    def strangers(self) -> Iterator[str]:
        """Yield the names of everything else in the place: what neither ``entries`` nor
        ``unfinished`` shows.

        Folders are named, with a slash at their end, where nothing in them could be stored by us;
        others, empty ones too, are nothing by themselves. What a file system keeps at its root is
        not named.
        """

    def remove_folders(self, names: Iterable[str]) -> None:
        """Remove those of the folders that hold nothing, in that order; that one stays is no error.

        For storages that keep folders; others have nothing to remove.
        """
        return

    @abc.abstractmethod
    def close(self) -> None:
        """Let go of connections; the backend is not used after that. May be repeated."""

    def __enter__(self) -> t.Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()
