# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""Single requests to Google Cloud Storage, made again where that may help.

Every answer is found to be Google's: a proxy's page with status 200 would else be a stored object,
or the content of one.
"""

from __future__ import annotations

import typing as t

from .._core.errors import ConfigError, ObjectMissing, StorageError
from .bucket_requests import PAGE, BucketRequests, Page, Stored, range_length, whole
from .calls import Call
from .connection import Connection
from .gcs_client import connect, secrets_of
from .gcs_errors import not_gcs, translated
from .http_session import Answers

if t.TYPE_CHECKING:
    from collections.abc import Callable

    from google.cloud.storage import Blob, Bucket

    from .model import Buffer, GcsSettings
    from .retry import Retry

T = t.TypeVar("T")

_WRITER = "granary-writer"
_FIELDS = "kind,nextPageToken,items(name,size,timeCreated)"
_PRECONDITION_FAILED = 412
_CONFLICT = 409


class GcsRequests(BucketRequests):
    """One bucket's requests, by the JSON API."""

    def __init__(self, settings: GcsSettings, retry: Retry) -> None:
        self._answers = Answers()
        self._connection = Connection(lambda: connect(settings, self._answers))
        super().__init__(secrets=secrets_of(settings), disconnect=self._connection.close)
        self._settings = settings
        self._retry = retry
        self._patience = {
            "timeout": (settings.connect_timeout_s, settings.read_timeout_s),
            "retry": None,
        }

    def get(self, call: Call, key: str) -> bytes:
        """Return the whole object; the library compares its checksum."""

        def attempt() -> bytes:
            data = self._download(call, key)
            length = self._answers.last.headers.get("X-Goog-Stored-Content-Length")
            return whole(call, data, int(length)) if length else data

        return self._run(call, attempt)

    def get_range(self, call: Call, key: str, offset: int, length: int | None) -> bytes:
        """Return a part of the object."""
        end = None if length is None else offset + length - 1

        def attempt() -> bytes:
            data = self._download(call, key, start=offset, end=end)
            stated = self._answers.last.headers.get("Content-Range", "")
            return whole(call, data, range_length(call, stated, offset, length))

        return self._run(call, attempt)

    def put(self, call: Call, key: str, data: Buffer) -> None:
        """Store one object; the store compares its checksum."""
        body = bytes(data)
        self._run(call, lambda: self._upload(call, self._blob(key), body))

    def put_if_free(self, call: Call, key: str, data: Buffer, writer: str) -> bool:
        """Store by ``ifGenerationMatch=0``, the mark in the metadata."""
        body = bytes(data)

        def attempt() -> bool:
            blob = self._blob(key)
            blob.metadata = {_WRITER: writer}
            try:
                self._upload(call, blob, body, if_generation_match=0)
            except StorageError as exc:
                if exc.details.get("http_status") != _PRECONDITION_FAILED:
                    raise
                return False
            return True

        return self._run(call, attempt)

    def find(self, call: Call, key: str) -> Stored | None:
        """Return what the object's metadata tell, None if it is missing."""

        def attempt() -> Stored:
            blob = self._blob(key)
            with translated(call):
                blob.reload(**self._patience)
            return self._stored(call, blob)

        try:
            return self._retry.run(attempt, call.doing)
        except ObjectMissing:
            self.page(call, "", limit=1)
            return None

    def page(self, call: Call, prefix: str, token: str | None = None, limit: int = PAGE) -> Page:
        """Return one page of the listing."""

        def attempt() -> Page:
            with translated(call):
                listing = self._connection.client().list_blobs(
                    self._settings.bucket,
                    prefix=prefix,
                    page_token=token,
                    page_size=limit,
                    fields=_FIELDS,
                    **self._patience,
                )
                page = next(listing.pages, None)
            if page is None or page.raw_page.get("kind") != "storage#objects":
                raise not_gcs(call)
            items = tuple(self._stored(call, blob) for blob in page)
            return Page(items=items, more=listing.next_page_token or None)

        try:
            return self._retry.run(attempt, call.doing)
        except ObjectMissing as exc:
            # Of a missing bucket Google says so in JSON; a bare 404 is somebody else's.
            if not exc.details.get("gcs_reason"):
                raise not_gcs(call) from exc
            raise

    def delete(self, call: Call, key: str) -> None:
        """Delete one object; where a lost answer was a success, the next try finds it missing."""

        def attempt() -> bool:
            try:
                with translated(call):
                    self._blob(key).delete(**self._patience)
            except ObjectMissing:
                return False
            if self._answers.last.headers.get("Content-Type", "").startswith("text/html"):
                raise not_gcs(call)
            return True

        if not self._retry.run(attempt, call.doing):
            self.page(call, "", limit=1)  # raises where it is the bucket that is missing

    def create_bucket(self, call: Call) -> bool:
        """Make the bucket in the project; False if it is ours already."""

        def attempt() -> bool:
            client = self._connection.client()
            if client.project is None:
                raise ConfigError(
                    call.sentence("no project is named, to which it is to belong", "give project")
                )
            try:
                with translated(call):
                    client.create_bucket(self._settings.bucket, **self._patience)
            except StorageError as exc:
                if exc.details.get("http_status") != _CONFLICT:
                    raise
                self.page(call, "", limit=1)
                return False
            return True

        return self._retry.run(attempt, call.doing)

    def _run(self, call: Call, attempt: Callable[[], T]) -> T:
        """Run it; of what is missing the bucket's listing says whether it is the bucket, or whether
        this is no store at all: a download's refusal has no words of its own.
        """
        try:
            return self._retry.run(attempt, call.doing)
        except ObjectMissing:
            self.page(call, "", limit=1)
            raise

    def _download(
        self, call: Call, key: str, *, start: int | None = None, end: int | None = None
    ) -> bytes:
        with translated(call):
            data = self._blob(key).download_as_bytes(
                start=start, end=end, checksum="md5", **self._patience
            )
        if "X-Goog-Generation" not in self._answers.last.headers:
            raise not_gcs(call)
        return t.cast("bytes", data)

    def _upload(self, call: Call, blob: Blob, body: bytes, **condition: int) -> None:
        with translated(call):
            blob.upload_from_string(
                body,
                content_type="application/octet-stream",
                checksum="md5",
                **condition,
                **self._patience,
            )
        if blob.generation is None:
            raise not_gcs(call)

    def _stored(self, call: Call, blob: Blob) -> Stored:
        if blob.size is None or blob.time_created is None:
            raise not_gcs(call)
        return Stored(
            key=blob.name,
            size=blob.size,
            stored_at=blob.time_created,
            told_at=self._answers.last.time,
            writer=(blob.metadata or {}).get(_WRITER),
        )

    def _blob(self, key: str) -> Blob:
        return self._bucket().blob(key)

    def _bucket(self) -> Bucket:
        return self._connection.client().bucket(self._settings.bucket)
