# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""Writes of which exactly one wins, on servers that heed a condition ("only if there is none").

Heeding it is not enough: some servers look first and store later (versitygw 1.7 does), so two
writers at the same moment are both told that they made the object, and one has replaced the
other's (seen once in 15 races of 8). Therefore each writer

1. announces itself by an object of its own beside the name,
2. writes with the condition and a mark of its own in the metadata,
3. takes the announcement back, waits until nobody else's is there, and reads whose mark stands.

Whoever announces after step 3 has looked begins to write when the object is there and is refused;
whoever announced before has been waited for. So the mark that is read is final.
"""

from __future__ import annotations

import os
import time
import typing as t

from .._core.errors import StorageError, StorageUnavailable
from .base import TEMPORARY_MARK
from .bucket_requests import age_seconds

if t.TYPE_CHECKING:
    from .bucket_requests import BucketRequests
    from .model import Buffer

# How servers refuse a header that they do not know.
_UNKNOWN_HEADER = frozenset({400, 501})
_LOOK_AGAIN_S = 0.2
# A writer that announced itself so long ago, by the server's clock, is dead or without hope.
_PATIENCE_S = 60.0


class ExclusiveWrites:
    """The exclusive writes of one backend; ``root`` is the prefix before all names."""

    def __init__(self, requests: BucketRequests, root: str, location: str) -> None:
        self._requests = requests
        self._root = root
        self._location = location
        self._honoured: bool | None = None

    def write(self, name: str, data: Buffer) -> bool | None:
        """Return whether this call stored ``data``; None if the server cannot do that."""
        if self._honoured is None:
            self._honoured = self._probe()
        if not self._honoured:
            return None
        writer = _number()
        announcement = f"{name}{TEMPORARY_MARK}{writer}"
        self._put(announcement)
        # Not taken back when the outcome is unknown: the write may still land, and others must
        # wait.
        self._put_if_free(name, data, writer)
        self._delete(announcement)
        self._wait_for_others(name)
        return self._writer(name) == writer

    def _probe(self) -> bool:
        """Write one new object twice: the second must be refused, and the mark must be kept."""
        # A name of unfinished writes, which no listing shows.
        name = f"probe{TEMPORARY_MARK}{_number()}"
        try:
            self._put_if_free(name, b"probe", "first")
            made_again = self._put_if_free(name, b"probe again", "second")
            return not made_again and self._writer(name) == "first"
        except StorageError as exc:
            # An expired token (400) has a class of its own and says nothing of the header.
            if exc.code == StorageError.code and exc.details.get("http_status") in _UNKNOWN_HEADER:
                return False
            raise
        finally:
            self._delete(name)

    def _wait_for_others(self, name: str) -> None:
        # Longer than any announcement of now counts; ages are whole seconds.
        deadline = time.monotonic() + _PATIENCE_S + 5
        while self._announced(name):
            if time.monotonic() > deadline:
                raise StorageUnavailable(
                    f"Others have been writing {name} in {self._location} for "
                    f"{_PATIENCE_S:.0f} seconds; look whether they are stuck, then run it again."
                )
            time.sleep(_LOOK_AGAIN_S)

    def _announced(self, name: str) -> bool:
        call = self._requests.call(f"list {self._location}")
        page = self._requests.page(call, f"{self._root}{name}{TEMPORARY_MARK}")
        return any(age_seconds(call, item) < _PATIENCE_S for item in page.items)

    def _writer(self, name: str) -> str | None:
        call = self._requests.call(f"look at {name} in {self._location}")
        found = self._requests.find(call, f"{self._root}{name}")
        return None if found is None else found.writer

    def _put(self, name: str) -> None:
        call = self._requests.call(f"write {name} to {self._location}", changes=True)
        self._requests.put(call, f"{self._root}{name}", b"")

    def _put_if_free(self, name: str, data: Buffer, writer: str) -> bool:
        call = self._requests.call(f"write {name} to {self._location}", changes=True)
        return self._requests.put_if_free(call, f"{self._root}{name}", data, writer)

    def _delete(self, name: str) -> None:
        call = self._requests.call(f"delete {name} in {self._location}", changes=True)
        self._requests.delete(call, f"{self._root}{name}")


def _number() -> str:
    return str(int.from_bytes(os.urandom(6), "big"))
