# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or
# https://opensource.org/licenses/BSD-2-Clause) SPDX-License-Identifier: BSD-2-Clause

"""Single S3 requests: each is one attempt, read to its end and found to be an S3 server's answer.

Proxies, consoles and captive portals answer a PUT with 200 as well; without this look at each
answer that would be a backup that exists nowhere.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import threading
import typing as t

from .._core.errors import (
    AccessDenied,
    ConfigError,
    ObjectMissing,
    ObjectTooShort,
    StorageError,
    StorageUnavailable,
)
from .s3_client import connect, endpoint_of, secrets_of
from .s3_errors import Call, not_s3, translated

if t.TYPE_CHECKING:
    from collections.abc import Mapping

    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import (
        GetObjectOutputTypeDef,
        HeadObjectOutputTypeDef,
        ListObjectsV2OutputTypeDef,
    )

    from .model import S3Settings

_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)\Z")
_PARTIAL_CONTENT = 206
_OWN_REGION = frozenset({"us-east-1", "aws-global"})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """What a PUT sends; ``md5`` in base64, for servers that refuse damaged bodies."""

    data: bytes | bytearray
    md5: str


class S3Requests:
    """One bucket's requests. The client is made at the first one, and shared by the threads."""

    def __init__(self, settings: S3Settings) -> None:
        self._settings = settings
        self._bucket = settings.bucket
        self._process = os.getpid()
        self._guard = threading.Lock()
        self._connected: S3Client | None = None

    def call(self, doing: str, *, changes: bool = False, silent: bool = False) -> Call:
        """Name a request for its errors."""
        return Call(doing=doing, secrets=secrets_of(self._settings), changes=changes, silent=silent)

    def get(self, call: Call, key: str) -> bytes:
        """Return the whole object."""
        with translated(call):
            answer = self._client().get_object(Bucket=self._bucket, Key=key)
            data = _read_body(answer)
        _check_answer(call, answer, "ETag", "ContentLength")
        return _whole(call, data, answer["ContentLength"])

    def get_range(self, call: Call, key: str, offset: int, length: int | None) -> bytes:
        """Return a part of the object; raises ``ObjectTooShort`` if it ends before the range."""
        last = "" if length is None else offset + length - 1
        with translated(call):
            answer = self._client().get_object(
                Bucket=self._bucket, Key=key, Range=f"bytes={offset}-{last}"
            )
            data = _read_body(answer)
        _check_answer(call, answer, "ETag")
        return _whole(call, data, _range_length(call, answer, offset, length))

    def put(self, call: Call, key: str, body: Body, *, if_free: bool = False) -> None:
        """Store one object; ``if_free`` asks the server to refuse (412) when the key is taken."""
        # botocore takes a bytearray as it is, the stubs do not know.
        data = t.cast("bytes", body.data)
        with translated(call):
            if if_free:
                answer = self._client().put_object(
                    Bucket=self._bucket, Key=key, Body=data, ContentMD5=body.md5, IfNoneMatch="*"
                )
            else:
                answer = self._client().put_object(
                    Bucket=self._bucket, Key=key, Body=data, ContentMD5=body.md5
                )
        _check_answer(call, answer, "ETag")

    def head(self, call: Call, key: str) -> HeadObjectOutputTypeDef:
        """Return what is known of the object.

        A refused HEAD has no body, so it cannot tell a missing bucket or a proxy's 404 from a
        missing object; the same question is then put by GET, whose error says it.
        """
        try:
            with translated(call):
                answer = self._client().head_object(Bucket=self._bucket, Key=key)
        except (ObjectMissing, AccessDenied):
            self.get_range(dataclasses.replace(call, silent=False), key, 0, 1)
            raise StorageUnavailable(
                call.sentence("HEAD and GET do not agree", "look after the store")
            ) from None
        _check_answer(call, answer, "ETag", "LastModified", "ContentLength")
        return answer

    def page(
        self, call: Call, prefix: str, token: str | None, limit: int
    ) -> ListObjectsV2OutputTypeDef:
        """Return one page of the listing, from its start or where ``token`` says."""
        client = self._client()
        with translated(call):
            if token is None:
                answer = client.list_objects_v2(Bucket=self._bucket, Prefix=prefix, MaxKeys=limit)
            else:
                answer = client.list_objects_v2(
                    Bucket=self._bucket, Prefix=prefix, MaxKeys=limit, ContinuationToken=token
                )
        # A page of XHTML parses as an empty listing, and that looks like a new place.
        _check_answer(call, answer, "IsTruncated")
        return answer

    def delete(self, call: Call, key: str) -> None:
        """Delete one object."""
        with translated(call):
            self._client().delete_object(Bucket=self._bucket, Key=key)

    def create_bucket(self, call: Call) -> bool:
        """Make the bucket; False if it is ours already."""
        client = self._client()
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

    def close(self) -> None:
        """Close the client's connections; a forked process leaves its parent's alone."""
        if self._process != os.getpid():
            return
        with self._guard:
            client, self._connected = self._connected, None
        if client is not None:
            client.close()

    def _client(self) -> S3Client:
        if os.getpid() != self._process:
            raise RuntimeError("An S3 backend was used after a fork; open one in each process.")
        with self._guard:
            if self._connected is None:
                self._connected = connect(self._settings)
            return self._connected


def _read_body(answer: GetObjectOutputTypeDef) -> bytes:
    with contextlib.closing(answer["Body"]) as body:
        return body.read()


def _check_answer(call: Call, answer: Mapping[str, t.Any], *fields: str) -> None:
    """Raise ``ConfigError`` when the answer lacks what every S3 server sends."""
    if not all(field in answer for field in fields):
        raise not_s3(call)


def _whole(call: Call, data: bytes, wanted: int) -> bytes:
    if len(data) != wanted:
        raise StorageUnavailable(
            call.sentence(f"{len(data)} bytes came of {wanted}", "look after the store")
        )
    return data


def _range_length(
    call: Call, answer: GetObjectOutputTypeDef, offset: int, length: int | None
) -> int:
    """Return how many bytes the answer to a ranged read must hold."""
    stated = _CONTENT_RANGE.match(answer.get("ContentRange", ""))
    status = answer["ResponseMetadata"]["HTTPStatusCode"]
    if status != _PARTIAL_CONTENT or stated is None or int(stated[1]) != offset:
        raise ConfigError(
            call.sentence("the server ignores ranges", "use one that reads parts of objects")
        )
    total = int(stated[3])
    if length is not None and total < offset + length:
        raise ObjectTooShort(
            call.sentence(
                f"it has {total} bytes and ends before the range that was asked for "
                f"({length} from {offset})",
                "it is damaged",
            ),
            size=total,
            offset=offset,
            length=length,
        )
    return total - offset if length is None else length
