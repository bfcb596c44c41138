# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""What S3, Google Cloud Storage and Azure have in common: a prefix in a bucket, one request per
object, and no trust in what a server may ignore.
"""

from __future__ import annotations

import typing as t

from .._core.errors import ObjectMissing
from .base import (
    Backend,
    check_name,
    check_prefix,
    check_range,
    check_unfinished,
    finished_name,
    is_name,
)
from .bucket_requests import age_seconds
from .exclusive import ExclusiveWrites
from .model import Buffer, Entry, Unfinished

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from .bucket_requests import BucketRequests, Stored
    from .calls import Call


class BucketBackend(Backend):
    """A prefix in a bucket; ``root`` is empty or ends with a slash."""

    writes_beside = 2  # cover the round trips

    def __init__(self, requests: BucketRequests, *, bucket: str, root: str, location: str) -> None:
        super().__init__(location)
        self._requests = requests
        self._bucket = bucket
        self._root = root
        self._exclusive = ExclusiveWrites(requests, root, location)

    def prepare(self, *, create_bucket: bool = False) -> bool:
        """Ask for one line of the listing, the right that every later step needs too."""
        try:
            self._requests.page(self._list_call(), self._root, limit=1)
        except ObjectMissing:
            if not create_bucket:
                raise
            call = self._requests.call(f"make the bucket {self._bucket}", changes=True)
            return self._requests.create_bucket(call)
        return False

    def read(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        """Read the whole body before anything is returned; a cut one is read again."""
        check_range(name, offset, length)
        key = self._key(name)
        if length == 0:
            return b""
        call = self._requests.call(f"read {name} from {self.location}")
        if offset == 0 and length is None:
            return self._requests.get(call, key)
        return self._requests.get_range(call, key, offset, length)

    def write(self, name: str, data: Buffer) -> None:
        """Store by one upload with a checksum that the store compares."""
        key = self._key(name)
        call = self._requests.call(f"write {name} to {self.location}", changes=True)
        self._requests.put(call, key, data)

    def write_exclusive(self, name: str, data: Buffer) -> bool | None:
        """Store on a condition, if a probe has shown that this server heeds it."""
        check_name(name)
        return self._exclusive.write(name, data)

    def size(self, name: str) -> int | None:
        """Ask for what is known of the object."""
        found = self._requests.find(self._look_call(name), self._key(name))
        return None if found is None else found.size

    def entries(self, prefix: str) -> Iterator[Entry]:
        """Yield page by page, with one page (1,000 names) in memory."""
        check_prefix(prefix)
        for item in self._items(self._list_call(), prefix):
            name = item.key[len(self._root) :]
            if is_name(name):
                yield Entry(name=name, size=item.size)

    def unfinished(self) -> Iterator[Unfinished]:
        """Yield announcements and probes of exclusive writes: nothing else is ever unfinished."""
        call = self._list_call()
        for item in self._items(call, ""):
            name = item.key[len(self._root) :]
            if finished_name(name) is not None:
                yield Unfinished(name=name, size=item.size, age_seconds=age_seconds(call, item))

    def discard_unfinished(self, name: str) -> None:
        """Delete by one request."""
        check_unfinished(name)
        self._requests.delete(self._delete_call(name), f"{self._root}{name}")

    def strangers(self) -> Iterator[str]:
        """Yield the keys that cannot be names of ours; what some tools make to show a folder is
        nothing.
        """
        for item in self._items(self._list_call(), ""):
            name = item.key[len(self._root) :]
            folder = name.endswith("/") and not item.size
            shown = name.removesuffix("/") if folder else name
            if shown and not is_name(shown) and finished_name(shown) is None:
                yield name

    def delete(self, name: str) -> None:
        """Delete by one request."""
        self._requests.delete(self._delete_call(name), self._key(name))

    def age_seconds(self, name: str) -> float | None:
        """Compare two times of one answer, both the store's own."""
        call = self._look_call(name)
        found = self._requests.find(call, self._key(name))
        return None if found is None else age_seconds(call, found)

    def close(self) -> None:
        """Close the connections."""
        self._requests.close()

    def _items(self, call: Call, prefix: str) -> Iterator[Stored]:
        token: str | None = None
        while True:
            page = self._requests.page(call, f"{self._root}{prefix}", token)
            yield from page.items
            token = page.more
            if token is None:
                return

    def _list_call(self) -> Call:
        return self._requests.call(f"list {self.location}")

    def _look_call(self, name: str) -> Call:
        return self._requests.call(f"look at {name} in {self.location}")

    def _delete_call(self, name: str) -> Call:
        return self._requests.call(f"delete {name} in {self.location}", changes=True)

    def _key(self, name: str) -> str:
        check_name(name)
        return f"{self._root}{name}"
