# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""Single S3 requests, made again where that may help.

Each attempt is read to its end and found to be an S3 server's answer: proxies, consoles and captive
portals answer a PUT with 200 as well; without this look that would be a backup that exists nowhere.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import email.utils
import functools
import hashlib
import typing as t

from .._core.errors import (
    GranaryError,
    ObjectMissing,
    StorageError,
    StorageUnavailable,
)
from .bucket_requests import PAGE, BucketRequests, Page, Stored, range_length, whole
from .calls import Call
from .connection import Connection
from .s3_client import connect, endpoint_of, secrets_of
from .s3_errors import not_s3, translated

if t.TYPE_CHECKING:
    import datetime
    from collections.abc import Mapping

    from mypy_boto3_s3.type_defs import (
        GetObjectOutputTypeDef,
        ListObjectsV2OutputTypeDef,
    )

    from .model import Buffer, S3Settings
    from .retry import Retry

_WRITER = "granary-writer"
_PRECONDITION_FAILED = 412
_OWN_REGION = frozenset({"us-east-1", "aws-global"})


class S3Requests(BucketRequests):
    """One bucket's requests."""

    def __init__(self, settings: S3Settings, retry: Retry) -> None:
        self._connection = Connection(functools.partial(connect, settings))
        super().__init__(secrets=secrets_of(settings), disconnect=self._connection.close)
        self._settings = settings
        self._retry = retry
        self._bucket = settings.bucket

    def get(self, call: Call, key: str) -> bytes:
        """Return the whole object."""

        def attempt() -> bytes:
            with translated(call):
                answer = self._connection.client().get_object(Bucket=self._bucket, Key=key)
                data = _read_body(answer)
            _check_answer(call, answer, "ETag", "ContentLength")
            return whole(call, data, answer["ContentLength"])

        return self._retry.run(attempt, call.doing)

    def get_range(self, call: Call, key: str, offset: int, length: int | None) -> bytes:
        """Return a part of the object; raises ``ObjectTooShort`` if it ends before the range."""
        attempt = functools.partial(self._get_range_once, call, key, offset, length)
        return self._retry.run(attempt, call.doing)

    def put(self, call: Call, key: str, data: Buffer) -> None:
        """Store one object."""
        body, md5 = _body(data)

        def attempt() -> None:
            with translated(call):
                answer = self._connection.client().put_object(
                    Bucket=self._bucket, Key=key, Body=body, ContentMD5=md5
                )
            _check_answer(call, answer, "ETag")

        self._retry.run(attempt, call.doing)

    def put_if_free(self, call: Call, key: str, data: Buffer, writer: str) -> bool:
        """Store by ``If-None-Match: *``, the mark in the metadata."""
        body, md5 = _body(data)

        def attempt() -> bool:
            try:
                with translated(call):
                    answer = self._connection.client().put_object(
                        Bucket=self._bucket,
                        Key=key,
                        Body=body,
                        ContentMD5=md5,
                        IfNoneMatch="*",
                        Metadata={_WRITER: writer},
                    )
            except StorageError as exc:
                if exc.details.get("http_status") != _PRECONDITION_FAILED:
                    raise
                return False
            _check_answer(call, answer, "ETag")
            return True

        return self._retry.run(attempt, call.doing)

    def find(self, call: Call, key: str) -> Stored | None:
        """Return what HEAD tells of the object, None if it is missing.

        A refused HEAD has no body, so it cannot tell a missing bucket or a proxy's 404 from a
        missing object; the same question is then put by GET, whose error says it.
        """
        silent = dataclasses.replace(call, silent=True)

        def attempt() -> Stored:
            try:
                with translated(silent):
                    answer = self._connection.client().head_object(Bucket=self._bucket, Key=key)
            except GranaryError as exc:
                if exc.retryable:
                    raise
                self._get_range_once(call, key, 0, 1)
                raise StorageUnavailable(
                    call.sentence("HEAD and GET do not agree", "look after the store")
                ) from None
            _check_answer(call, answer, "ETag", "LastModified", "ContentLength")
            return Stored(
                key=key,
                size=answer["ContentLength"],
                stored_at=answer["LastModified"],
                told_at=_server_time(answer),
                writer=answer["Metadata"].get(_WRITER),
            )

        try:
            return self._retry.run(attempt, call.doing)
        except ObjectMissing as exc:
            if exc.details.get("s3_code") == "NoSuchBucket":
                raise
            return None

    def page(self, call: Call, prefix: str, token: str | None = None, limit: int = PAGE) -> Page:
        """Return one page of the listing."""

        def attempt() -> ListObjectsV2OutputTypeDef:
            client = self._connection.client()
            with translated(call):
                if token is None:
                    answer = client.list_objects_v2(
                        Bucket=self._bucket, Prefix=prefix, MaxKeys=limit
                    )
                else:
                    answer = client.list_objects_v2(
                        Bucket=self._bucket, Prefix=prefix, MaxKeys=limit, ContinuationToken=token
                    )
            # A page of XHTML parses as an empty listing, and that looks like a new place.
            _check_answer(call, answer, "IsTruncated")
            return answer

        return _page(call, self._retry.run(attempt, call.doing))

    def delete(self, call: Call, key: str) -> None:
        """Delete one object; that a server complains of a missing one is fine."""

        def attempt() -> None:
            try:
                with translated(call):
                    answer = self._connection.client().delete_object(Bucket=self._bucket, Key=key)
            except ObjectMissing as exc:
                if exc.details.get("s3_code") == "NoSuchBucket":
                    raise
                return
            headers = answer["ResponseMetadata"]["HTTPHeaders"]
            if headers.get("content-type", "").startswith("text/"):
                raise not_s3(call)

        self._retry.run(attempt, call.doing)

    def create_bucket(self, call: Call) -> bool:
        """Make the bucket; False if it is ours already."""
        return self._retry.run(functools.partial(self._create_once, call), call.doing)

    def _get_range_once(self, call: Call, key: str, offset: int, length: int | None) -> bytes:
        last = "" if length is None else offset + length - 1
        with translated(call):
            answer = self._connection.client().get_object(
                Bucket=self._bucket, Key=key, Range=f"bytes={offset}-{last}"
            )
            data = _read_body(answer)
        _check_answer(call, answer, "ETag")
        return whole(call, data, range_length(call, answer.get("ContentRange", ""), offset, length))

    def _create_once(self, call: Call) -> bool:
        client = self._connection.client()
        region = client.meta.region_name
        try:
            with translated(call):
                # Only AWS wants to be told; others refuse regions that are not their own.
                if endpoint_of(self._settings) or region in _OWN_REGION:
                    client.create_bucket(Bucket=self._bucket)
                else:
                    client.create_bucket(
                        Bucket=self._bucket,
                        CreateBucketConfiguration={"LocationConstraint": t.cast("t.Any", region)},
                    )
        except StorageError as exc:
            if exc.details.get("s3_code") == "BucketAlreadyOwnedByYou":
                return False
            raise
        return True


def _server_time(answer: Mapping[str, t.Any]) -> datetime.datetime | None:
    """Return the time at which the server gave the answer, by its own clock, in whole seconds."""
    try:
        return email.utils.parsedate_to_datetime(
            answer["ResponseMetadata"]["HTTPHeaders"].get("date", "")
        )
    except ValueError:
        return None


def _page(call: Call, answer: ListObjectsV2OutputTypeDef) -> Page:
    more = answer.get("NextContinuationToken") if answer["IsTruncated"] else None
    if answer["IsTruncated"] and not more:
        raise StorageError(
            call.sentence(
                "the listing breaks off and does not say where it goes on",
                "this server cannot be used",
            )
        )
    now = _server_time(answer)
    return Page(
        items=tuple(
            Stored(key=item["Key"], size=item["Size"], stored_at=item["LastModified"], told_at=now)
            for item in answer.get("Contents", ())
        ),
        more=more,
    )


def _body(data: Buffer) -> tuple[bytes, str]:
    """Return what boto3 takes as a body, and its MD5 for servers that refuse damaged ones."""
    plain = bytes(data) if isinstance(data, memoryview) else data
    digest = hashlib.md5(plain, usedforsecurity=False).digest()
    # botocore takes a bytearray as it is, the stubs do not know.
    return t.cast("bytes", plain), base64.b64encode(digest).decode("ascii")


def _read_body(answer: GetObjectOutputTypeDef) -> bytes:
    with contextlib.closing(answer["Body"]) as body:
        return body.read()


def _check_answer(call: Call, answer: Mapping[str, t.Any], *fields: str) -> None:
    """Raise ``ConfigError`` when the answer lacks what every S3 server sends."""
    if not all(field in answer for field in fields):
        raise not_s3(call)
