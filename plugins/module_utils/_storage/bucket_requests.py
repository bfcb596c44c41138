# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""How a bucket's store is asked: the contract between ``BucketBackend`` and the stores.

It knows whole keys, and not what they mean. What every store's answers are held to (whole bodies,
exact ranges) stands here too.
"""

from __future__ import annotations

import abc
import dataclasses
import re
import typing as t

from .._core.errors import ConfigError, ObjectTooShort, StorageUnavailable
from .calls import Call

if t.TYPE_CHECKING:
    import datetime
    from collections.abc import Callable

    from .._core.redaction import Secret
    from .model import Buffer

PAGE = 1000
"""Names in one page of a listing, as many as S3 and Google give."""
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)\Z")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """One object as the store tells of it.

    ``stored_at`` and ``told_at`` (the time of the answer) are of the store's clock; ``told_at`` is
    None where the answer does not say it. ``writer`` is the mark of an exclusive write, which
    listings do not show.
    """

    key: str
    size: int
    stored_at: datetime.datetime
    told_at: datetime.datetime | None
    writer: str | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A part of a listing; ``more`` is where the next one goes on, None at the end."""

    items: tuple[Stored, ...]
    more: str | None


class BucketRequests(abc.ABC):
    """One bucket's requests, by whole keys, each made again where that may help.

    All raise the errors of ``Backend``; a missing bucket is ``ObjectMissing``.
    """

    def __init__(
        self, *, secrets: tuple[Secret | None, ...], disconnect: Callable[[], None]
    ) -> None:
        self._secrets = secrets
        self._disconnect = disconnect

    def call(self, doing: str, *, changes: bool = False) -> Call:
        """Name a request for its errors; ``doing`` completes "Could not"."""
        return Call(doing=doing, secrets=self._secrets, changes=changes)

    @abc.abstractmethod
    def get(self, call: Call, key: str) -> bytes:
        """Return the whole object."""

    @abc.abstractmethod
    def get_range(self, call: Call, key: str, offset: int, length: int | None) -> bytes:
        """Return a part of the object; raises ``ObjectTooShort`` if it ends before the range."""

    @abc.abstractmethod
    def put(self, call: Call, key: str, data: Buffer) -> None:
        """Store one object."""

    @abc.abstractmethod
    def put_if_free(self, call: Call, key: str, data: Buffer, writer: str) -> bool:
        """Ask the store to keep one object with the mark ``writer`` unless the key is taken.

        Returns whether the last attempt was told that it did: not whether it is so, since an
        attempt before it may have lost its answer, and a server may ignore the condition. Raises
        ``StorageError`` itself, with the detail ``http_status``, where it refuses the condition.
        """

    @abc.abstractmethod
    def find(self, call: Call, key: str) -> Stored | None:
        """Return what is known of the object, None if it is missing."""

    @abc.abstractmethod
    def page(self, call: Call, prefix: str, token: str | None = None, limit: int = PAGE) -> Page:
        """Return one page of the listing, from its start or where ``token`` says."""

    @abc.abstractmethod
    def delete(self, call: Call, key: str) -> None:
        """Delete one object; that it is missing is fine."""

    @abc.abstractmethod
    def create_bucket(self, call: Call) -> bool:
        """Make the bucket; False if it is ours already."""

    def close(self) -> None:
        """Close the connections; a forked process leaves its parent's alone."""
        self._disconnect()


def age_seconds(call: Call, stored: Stored) -> float:
    """Return the seconds since the object was written, by the store's own clock.

    Raises ``ConfigError`` where the store does not say what time it is.
    """
    if stored.told_at is None:
        raise ConfigError(
            call.sentence("the server does not say what time it is", "use one that does")
        )
    return max(0.0, (stored.told_at - stored.stored_at).total_seconds())


def whole(call: Call, data: bytes, wanted: int) -> bytes:
    """Return ``data``; raises ``StorageUnavailable`` unless it has as many bytes as wanted."""
    if len(data) != wanted:
        raise StorageUnavailable(
            call.sentence(f"{len(data)} bytes came of {wanted}", "look after the store")
        )
    return data


def range_length(call: Call, content_range: str, offset: int, length: int | None) -> int:
    """Return how many bytes the answer to a ranged read must hold, by its Content-Range."""
    stated = _CONTENT_RANGE.match(content_range)
    # The header decides, not the status: rclone sends the right part with 200 instead of 206.
    if stated is None or int(stated[1]) != offset:
        raise ConfigError(
            call.sentence("the server ignores ranges", "use one that reads parts of objects")
        )
    total = int(stated[3])
    # Azurite answers a range from the very end with no bytes instead of a refusal.
    if total < offset + (1 if length is None else length):
        raise ObjectTooShort(
            call.sentence(
                f"it has {total} bytes and ends before the range that was asked for "
                f"({'all' if length is None else length} from {offset})",
                "it is damaged",
            ),
            size=total,
            offset=offset,
            length=length,
        )
    return total - offset if length is None else length
