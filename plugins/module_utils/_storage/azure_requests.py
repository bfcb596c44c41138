# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""Single requests to Azure Blob Storage, made again where that may help.

Every answer is found to be Azure's: proxies and captive portals answer with 200 as well.
"""

from __future__ import annotations

import typing as t

from .._core.errors import GranaryError, ObjectMissing, StorageError
from .azure_client import connect, secrets_of
from .azure_errors import NO_CONTAINER, not_azure, translated
from .bucket_requests import PAGE, BucketRequests, Page, Stored, range_length, whole
from .calls import Call
from .connection import Connection
from .http_session import Answers, check_md5

if t.TYPE_CHECKING:
    from azure.storage.blob import BlobClient, BlobProperties

    from .model import AzureSettings, Buffer
    from .retry import Retry

# Names of metadata are identifiers there.
_WRITER = "granary_writer"
# Accounts with a hierarchical namespace list their folders as empty objects with this mark.
_FOLDER_MARK = "hdi_isfolder"
_TAKEN = frozenset({409, 412})


class AzureRequests(BucketRequests):
    """One container's requests."""

    def __init__(self, settings: AzureSettings, retry: Retry) -> None:
        self._answers = Answers()
        self._connection = Connection(lambda: connect(settings, self._answers))
        super().__init__(secrets=secrets_of(settings), disconnect=self._connection.close)
        self._retry = retry

    def get(self, call: Call, key: str) -> bytes:
        """Return the whole object, held to the MD5 that the store has of it."""

        def attempt() -> bytes:
            with translated(call):
                download = self._blob(key).download_blob(max_concurrency=1)
                data = download.readall()
            self._check_answer(call)
            headers = self._answers.last.headers
            stated = headers.get("x-ms-blob-content-md5") or headers.get("Content-MD5")
            return check_md5(call, whole(call, data, download.size), stated)

        return self._retry.run(attempt, call.doing)

    def get_range(self, call: Call, key: str, offset: int, length: int | None) -> bytes:
        """Return a part of the object."""

        def attempt() -> bytes:
            with translated(call):
                download = self._blob(key).download_blob(offset, length, max_concurrency=1)
                data = download.readall()
            self._check_answer(call)
            stated = self._answers.last.headers.get("Content-Range", "")
            if not offset and not download.size:
                stated = "bytes 0-0/0"  # of an empty object no range can be had, nor stated
            return whole(call, data, range_length(call, stated, offset, length))

        return self._retry.run(attempt, call.doing)

    def put(self, call: Call, key: str, data: Buffer) -> None:
        """Store one object by one request; the store compares its MD5."""
        body = bytes(data)

        def attempt() -> None:
            with translated(call):
                self._blob(key).upload_blob(body, overwrite=True, validate_content=True)
            self._check_answer(call)

        self._retry.run(attempt, call.doing)

    def put_if_free(self, call: Call, key: str, data: Buffer, writer: str) -> bool:
        """Store by ``If-None-Match: *``, the mark in the metadata."""
        body = bytes(data)

        def attempt() -> bool:
            try:
                with translated(call):
                    self._blob(key).upload_blob(
                        body, overwrite=False, validate_content=True, metadata={_WRITER: writer}
                    )
            except StorageError as exc:
                if exc.details.get("http_status") not in _TAKEN or exc.retryable:
                    raise
                return False
            self._check_answer(call)
            return True

        return self._retry.run(attempt, call.doing)

    def find(self, call: Call, key: str) -> Stored | None:
        """Return what the object's properties tell, None if it is missing."""

        def attempt() -> Stored:
            with translated(call):
                told = self._blob(key).get_blob_properties()
            self._check_answer(call)
            return self._stored(call, told, key)

        try:
            return self._retry.run(attempt, call.doing)
        except ObjectMissing as exc:
            _unless_container(exc)
            return None

    def page(self, call: Call, prefix: str, token: str | None = None, limit: int = PAGE) -> Page:
        """Return one page of the listing."""

        def attempt() -> Page:
            with translated(call):
                pages: t.Any = (
                    self._connection.client()
                    .list_blobs(
                        name_starts_with=prefix or None,
                        include=["metadata"],
                        results_per_page=limit,
                    )
                    .by_page(continuation_token=token)
                )
                found = list(next(pages))
            self._check_answer(call)
            items = (self._stored(call, one, one.name) for one in found if not _is_folder(one))
            return Page(items=tuple(items), more=pages.continuation_token or None)

        return self._retry.run(attempt, call.doing)

    def delete(self, call: Call, key: str) -> None:
        """Delete one object; where a lost answer was a success, the next try finds it missing."""

        def attempt() -> None:
            try:
                with translated(call):
                    self._blob(key).delete_blob()
            except ObjectMissing as exc:
                _unless_container(exc)
                return
            self._check_answer(call)

        self._retry.run(attempt, call.doing)

    def create_bucket(self, call: Call) -> bool:
        """Make the container; False if it is there already."""

        def attempt() -> bool:
            try:
                with translated(call):
                    self._connection.client().create_container()
            except StorageError as exc:
                if exc.details.get("azure_code") != "ContainerAlreadyExists":
                    raise
                return False
            self._check_answer(call)
            return True

        return self._retry.run(attempt, call.doing)

    def _check_answer(self, call: Call) -> None:
        if "x-ms-request-id" not in self._answers.last.headers:
            raise not_azure(call)

    def _stored(self, call: Call, told: BlobProperties, key: str) -> Stored:
        if told.last_modified is None:
            raise not_azure(call)
        return Stored(
            key=key,
            size=told.size,
            stored_at=told.last_modified,
            told_at=self._answers.last.time,
            writer=(told.metadata or {}).get(_WRITER),
        )

    def _blob(self, key: str) -> BlobClient:
        return self._connection.client().get_blob_client(key)


def _is_folder(told: BlobProperties) -> bool:
    return not told.size and (told.metadata or {}).get(_FOLDER_MARK) == "true"


def _unless_container(exc: GranaryError) -> None:
    """Raise ``exc`` again if it is the container that is missing."""
    if exc.details.get("azure_code") == NO_CONTAINER:
        raise exc
