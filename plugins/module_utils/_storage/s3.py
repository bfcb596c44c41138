# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""S3 and what speaks like it: one request per object, and no trust in what a server may ignore."""

from __future__ import annotations

import typing as t

from .._core.errors import ObjectMissing, StorageError
from .base import (
    Backend,
    check_name,
    check_prefix,
    check_range,
    check_unfinished,
    finished_name,
    is_name,
)
from .model import Buffer, Entry, Unfinished
from .s3_client import AWS_HOST, endpoint_of
from .s3_exclusive import ExclusiveWrites
from .s3_requests import S3Requests, server_time

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_s3.type_defs import ListObjectsV2OutputTypeDef

    from .model import S3Settings
    from .retry import Retry
    from .s3_errors import Call


class S3Backend(Backend):
    """A prefix in a bucket."""

    writes_beside = 2  # cover the round trips

    def __init__(self, settings: S3Settings, retry: Retry) -> None:
        place = f"{endpoint_of(settings) or AWS_HOST}/{settings.bucket}/{settings.root}"
        super().__init__(f"s3:{place.rstrip('/')}")
        self.settings = settings
        self._requests = S3Requests(settings, retry)
        self._exclusive = ExclusiveWrites(self._requests, settings.root, self.location)

    def prepare(self, *, create_bucket: bool = False) -> bool:
        """Ask for one line of the listing, the right that every later step needs too."""
        try:
            self._requests.page(
                self._requests.call(f"list {self.location}"), self.settings.root, limit=1
            )
        except ObjectMissing:
            if not create_bucket:
                raise
            bucket = self.settings.bucket
            call = self._requests.call(f"make the bucket {bucket}", changes=True)
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
        """Store by one PUT with Content-MD5."""
        key = self._key(name)
        call = self._requests.call(f"write {name} to {self.location}", changes=True)
        self._requests.put(call, key, data)

    def write_exclusive(self, name: str, data: Buffer) -> bool | None:
        """Store by ``If-None-Match: *``, if a probe has shown that this server heeds it."""
        check_name(name)
        return self._exclusive.write(name, data)

    def size(self, name: str) -> int | None:
        """Ask by HEAD."""
        call = self._requests.call(f"look at {name} in {self.location}")
        head = self._requests.head(call, self._key(name))
        return None if head is None else head["ContentLength"]

    def entries(self, prefix: str) -> Iterator[Entry]:
        """Yield page by page, with one page (1,000 names) in memory."""
        check_prefix(prefix)
        for page in self._pages(self._list_call(), prefix):
            for item in page.get("Contents", ()):
                name = item["Key"][len(self.settings.root) :]
                if is_name(name):
                    yield Entry(name=name, size=item["Size"])

    def unfinished(self) -> Iterator[Unfinished]:
        """Yield announcements and probes of exclusive writes: nothing else is ever unfinished."""
        call = self._list_call()
        for page in self._pages(call, ""):
            now = server_time(call, page)
            for item in page.get("Contents", ()):
                name = item["Key"][len(self.settings.root) :]
                if finished_name(name) is not None:
                    age = max(0.0, (now - item["LastModified"]).total_seconds())
                    yield Unfinished(name=name, size=item["Size"], age_seconds=age)

    def discard_unfinished(self, name: str) -> None:
        """Delete by one request."""
        check_unfinished(name)
        call = self._requests.call(f"delete {name} in {self.location}", changes=True)
        self._requests.delete(call, f"{self.settings.root}{name}")

    def strangers(self) -> Iterator[str]:
        """Yield the keys that cannot be names of ours; what some tools make to show a folder is
        nothing.
        """
        for page in self._pages(self._list_call(), ""):
            for item in page.get("Contents", ()):
                name = item["Key"][len(self.settings.root) :]
                folder = name.endswith("/") and not item["Size"]
                shown = name.removesuffix("/") if folder else name
                if shown and not is_name(shown) and finished_name(shown) is None:
                    yield name

    def _list_call(self) -> Call:
        return self._requests.call(f"list {self.location}")

    def _pages(self, call: Call, prefix: str) -> Iterator[ListObjectsV2OutputTypeDef]:
        token: str | None = None
        while True:
            page = self._requests.page(call, f"{self.settings.root}{prefix}", token)
            yield page
            if not page["IsTruncated"]:
                return
            token = page.get("NextContinuationToken")
            if not token:
                raise StorageError(
                    f"The listing of {self.location} breaks off and does not say where it goes on; "
                    "this server cannot be used."
                )

    def delete(self, name: str) -> None:
        """Delete by one request."""
        key = self._key(name)
        call = self._requests.call(f"delete {name} in {self.location}", changes=True)
        self._requests.delete(call, key)

    def age_seconds(self, name: str) -> float | None:
        """Take Date minus Last-Modified of one answer; both are whole seconds."""
        call = self._requests.call(f"look at {name} in {self.location}")
        head = self._requests.head(call, self._key(name))
        if head is None:
            return None
        return max(0.0, (server_time(call, head) - head["LastModified"]).total_seconds())

    def close(self) -> None:
        """Close the client's connections."""
        self._requests.close()

    def _key(self, name: str) -> str:
        check_name(name)
        return f"{self.settings.root}{name}"
