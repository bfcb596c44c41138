# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""S3 and what speaks like it: one request per object, and no trust in what a server may ignore.

Every request is one attempt; attempts are repeated by our own policy alone.
"""

from __future__ import annotations

import base64
import contextlib
import email.utils
import functools
import hashlib
import os
import typing as t

from .._core.errors import ObjectMissing, OutcomeUnknown, StorageError
from .base import TEMPORARY_MARK, Backend, check_name, check_prefix, check_range, is_name
from .model import Buffer, Entry
from .s3_client import AWS_HOST, endpoint_of
from .s3_requests import Body, S3Requests

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_s3.type_defs import HeadObjectOutputTypeDef, ListObjectsV2OutputTypeDef

    from .model import S3Settings
    from .retry import Retry

_PAGE = 1000
_PRECONDITION_FAILED = 412
# How servers refuse a header that they do not know.
_UNKNOWN_HEADER = frozenset({400, 501})


class S3Backend(Backend):
    """A prefix in a bucket."""

    def __init__(self, settings: S3Settings, retry: Retry) -> None:
        place = f"{endpoint_of(settings) or AWS_HOST}/{settings.bucket}/{settings.root}"
        super().__init__(f"s3:{place.rstrip('/')}")
        self.settings = settings
        self._retry = retry
        self._requests = S3Requests(settings)
        self._heeds_conditions: bool | None = None

    def prepare(self, *, create_bucket: bool = False) -> bool:
        """Ask for one line of the listing, the right that every later step needs too."""
        try:
            self._page("", None, 1)
        except ObjectMissing:
            if not create_bucket:
                raise
            call = self._requests.call(f"make the bucket {self.settings.bucket}", changes=True)
            attempt = functools.partial(self._requests.create_bucket, call)
            return self._retry.run(attempt, call.doing)
        return False

    def read(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        """Read the whole body before anything is returned; a cut one is read again."""
        check_range(name, offset, length)
        key = self._key(name)
        if length == 0:
            return b""
        call = self._requests.call(f"read {name} from {self.location}")
        if offset == 0 and length is None:
            attempt = functools.partial(self._requests.get, call, key)
        else:
            attempt = functools.partial(self._requests.get_range, call, key, offset, length)
        return self._retry.run(attempt, call.doing)

    def write(self, name: str, data: Buffer) -> None:
        """Store by one PUT with Content-MD5."""
        key = self._key(name)
        call = self._requests.call(f"write {name} to {self.location}", changes=True)
        attempt = functools.partial(self._requests.put, call, key, _body(data))
        self._retry.run(attempt, call.doing)

    def write_exclusive(self, name: str, data: Buffer) -> bool | None:
        """Store by ``If-None-Match: *``, if a probe has shown that this server heeds it."""
        check_name(name)
        if self._heeds_conditions is None:
            self._heeds_conditions = self._probe_conditions()
        if not self._heeds_conditions:
            return None
        made, answer_lost = self._put_if_free(name, data)
        if not made and answer_lost:
            # The request whose answer was lost may be what took the name.
            with contextlib.suppress(ObjectMissing):
                return self.read(name) == data
        return made

    def size(self, name: str) -> int | None:
        """Ask by HEAD."""
        head = self._head(name)
        return None if head is None else head["ContentLength"]

    def entries(self, prefix: str) -> Iterator[Entry]:
        """Yield page by page, with one page (1,000 names) in memory."""
        check_prefix(prefix)
        skip = len(self.settings.root)
        token: str | None = None
        while True:
            page = self._page(prefix, token, _PAGE)
            for item in page.get("Contents", ()):
                name = item["Key"][skip:]
                if is_name(name):
                    yield Entry(name=name, size=item["Size"])
            if not page["IsTruncated"]:
                return
            token = page.get("NextContinuationToken")
            if not token:
                raise StorageError(
                    f"The listing of {self.location} breaks off and does not say where it goes on; "
                    "this server cannot be used."
                )

    def delete(self, name: str) -> None:
        """Delete by one request; that a server complains of a missing object is fine too."""
        check_name(name)
        self._delete(name)

    def age_seconds(self, name: str) -> float | None:
        """Take Date minus Last-Modified of one answer; both are whole seconds."""
        head = self._head(name)
        if head is None:
            return None
        try:
            now = email.utils.parsedate_to_datetime(
                head["ResponseMetadata"]["HTTPHeaders"].get("date", "")
            )
        except ValueError as exc:
            raise StorageError(
                f"The server of {self.location} does not say what time it is; ages cannot be told."
            ) from exc
        return max(0.0, (now - head["LastModified"]).total_seconds())

    def close(self) -> None:
        """Close the client's connections."""
        self._requests.close()

    def _key(self, name: str) -> str:
        check_name(name)
        return f"{self.settings.root}{name}"

    def _put_if_free(self, name: str, data: Buffer) -> tuple[bool, bool]:
        """Return whether an attempt stored ``data``, and whether an attempt's answer was lost."""
        call = self._requests.call(f"write {name} to {self.location}", changes=True)
        key, body = f"{self.settings.root}{name}", _body(data)
        answer_lost = False

        def attempt() -> bool:
            nonlocal answer_lost
            try:
                self._requests.put(call, key, body, if_free=True)
            except OutcomeUnknown:
                answer_lost = True
                raise
            except StorageError as exc:
                if exc.details.get("http_status") != _PRECONDITION_FAILED:
                    raise
                return False
            return True

        return self._retry.run(attempt, call.doing), answer_lost

    def _probe_conditions(self) -> bool:
        """Write one new object twice with ``If-None-Match: *``: the second must be refused."""
        # A name of unfinished writes, which no listing shows.
        number = int.from_bytes(os.urandom(6), "big")
        name = f"probe{TEMPORARY_MARK}{number}"
        try:
            self._put_if_free(name, b"probe")
            return not self._put_if_free(name, b"probe again")[0]
        except StorageError as exc:
            # Not its subclasses: an expired token (400, AccessDenied) says nothing of the header.
            if type(exc) is StorageError and exc.details.get("http_status") in _UNKNOWN_HEADER:
                return False
            raise
        finally:
            self._delete(name)

    def _head(self, name: str) -> HeadObjectOutputTypeDef | None:
        key = self._key(name)
        call = self._requests.call(f"look at {name} in {self.location}", silent=True)
        try:
            return self._retry.run(functools.partial(self._requests.head, call, key), call.doing)
        except ObjectMissing as exc:
            if exc.details.get("s3_code") == "NoSuchBucket":
                raise
            return None

    def _page(self, prefix: str, token: str | None, limit: int) -> ListObjectsV2OutputTypeDef:
        call = self._requests.call(f"list {self.location}")
        start = f"{self.settings.root}{prefix}"
        attempt = functools.partial(self._requests.page, call, start, token, limit)
        return self._retry.run(attempt, call.doing)

    def _delete(self, name: str) -> None:
        key = f"{self.settings.root}{name}"
        call = self._requests.call(f"delete {name} in {self.location}", changes=True)
        try:
            self._retry.run(functools.partial(self._requests.delete, call, key), call.doing)
        except ObjectMissing as exc:
            if exc.details.get("s3_code") == "NoSuchBucket":
                raise


def _body(data: Buffer) -> Body:
    plain = bytes(data) if isinstance(data, memoryview) else data
    digest = hashlib.md5(plain, usedforsecurity=False).digest()
    return Body(data=plain, md5=base64.b64encode(digest).decode("ascii"))
