# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""Saves blobs: known ones cost a hash, new ones are sealed, proved, packed and uploaded.

One saver belongs to one process. Packs that do not become full in a worker go to the coordinator as
a tail, so that a run leaves at most one small pack of data and one of trees. Who may write, and who
keeps the index, is the caller's business.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import hashlib
import typing as t

from .blob_codec import BlobEncoder
from .crypto import SEAL_BYTES
from .model import BlobKind, Compression
from .pack import OpenPack, pack_name

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .._storage.base import Backend
    from .._storage.model import Buffer
    from .crypto import MasterKey
    from .index import Index
    from .model import PackRecord, PackTail
    from .shared_ids import SharedIds

DEFAULT_PACK_BYTES = 16 * 1024 * 1024
# What is copied on its way to another process is small beside a pack.
_TAIL_BYTES = 1024 * 1024


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SaveStats:
    """What one saver did: new blobs, their plain bytes, and the bytes of the packs that it
    uploaded.

    Blobs of a tail count where they were saved, the pack that holds them where it was uploaded:
    sums over all processes of a run are right.
    """

    new_blobs: int
    new_bytes: int
    stored_bytes: int


@dataclasses.dataclass(frozen=True, slots=True)
class _Upload:
    outcome: concurrent.futures.Future[None]
    record: PackRecord
    pack: OpenPack


class BlobSaver:
    """Stores blobs that are neither in ``index`` nor in ``shared``.

    ``uploads`` is the number of uploads beside the caller's own work (0: in its thread, right for
    local folders). ``guard`` is called in the uploading thread before each upload and raises what
    must stop it. ``on_pack`` is called in the caller's thread for each pack that is durable, never
    before.

    Errors of an upload are raised by the next call; after one, nothing but ``close`` is to be
    called.
    """

    def __init__(
        self,
        *,
        key: MasterKey,
        version: int,
        backend: Backend,
        index: Index,
        shared: SharedIds | None,
        compression: Compression = Compression.AUTO,
        pack_size: int = DEFAULT_PACK_BYTES,
        uploads: int = 2,
        on_pack: Callable[[PackRecord], None],
        guard: Callable[[], None],
    ) -> None:
        self._key = key
        self._backend = backend
        self._index = index
        self._shared = shared
        self._own: set[tuple[BlobKind, bytes]] = set()
        self._encoder = BlobEncoder(key, version, compression)
        self._pack_size = pack_size
        self._on_pack = on_pack
        self._guard = guard
        self._open = {kind: OpenPack(key, pack_size) for kind in BlobKind}
        self._spare: list[OpenPack] = []
        self._uploads = uploads
        self._running: list[_Upload] = []
        self._threads: concurrent.futures.ThreadPoolExecutor | None = None
        if uploads:
            self._threads = concurrent.futures.ThreadPoolExecutor(uploads, "upload")
        self._new_blobs = self._new_bytes = self._stored_bytes = 0

    @property
    def stats(self) -> SaveStats:
        """The figures up to now."""
        return SaveStats(
            new_blobs=self._new_blobs, new_bytes=self._new_bytes, stored_bytes=self._stored_bytes
        )

    def save(self, kind: BlobKind, data: Buffer) -> bytes:
        """Return the id of the blob with these bytes, stored if it was not known.

        On return a new blob is in a pack that may still be open. ``data`` is only read, and not
        needed after the return.
        """
        blob_id = hashlib.sha256(data).digest()
        if self._index.has(kind, blob_id) or not self._claim(kind, blob_id):
            return blob_id
        content, plain_length = self._encoder.compress(kind, data)
        self._store(kind, blob_id, content, plain_length)
        return blob_id

    def save_again(
        self, kind: BlobKind, blob_id: bytes, content: Buffer, plain_length: int | None
    ) -> None:
        """Store a blob of another pack, whether it is known or not, compressed as it was there.

        ``plain_length`` is None where ``content`` is not compressed; trees are compressed then.
        """
        if plain_length is None and kind is BlobKind.TREE:
            content, plain_length = self._encoder.compress(kind, content)
        self._store(kind, blob_id, content, plain_length)

    def _store(
        self, kind: BlobKind, blob_id: bytes, content: Buffer, plain_length: int | None
    ) -> None:
        """Seal a blob into the open pack, and upload that if it is full."""
        pack = self._open[kind]
        with pack.room_for(len(content) + SEAL_BYTES) as slot:
            self._encoder.seal_into(blob_id, content, plain_length, slot)
        pack.add(kind, blob_id, len(content) + SEAL_BYTES, plain_length)
        self._new_blobs += 1
        self._new_bytes += len(content) if plain_length is None else plain_length
        self._upload_if_full(kind)

    def take_tails(self) -> Iterator[PackTail]:
        """Wait for the uploads, then yield the blobs of the packs that are not full, a MiB at a
        time; they are the receiver's now, and the memory of the packs is free.
        """
        self._settle(allowed=0)
        self._spare.clear()
        for kind, pack in self._open.items():
            yield from pack.tails(_TAIL_BYTES)
            self._open[kind] = OpenPack(self._key, self._pack_size)

    def adopt(self, tail: PackTail) -> None:
        """Put the blobs of another process's tail into the packs of this one."""
        with memoryview(tail.sealed) as sealed:
            for blob in tail.blobs:
                pack = self._open[blob.kind]
                with pack.room_for(blob.length) as slot:
                    slot[:] = sealed[blob.offset : blob.offset + blob.length]
                pack.add(blob.kind, blob.id, blob.length, blob.plain_length)
                self._upload_if_full(blob.kind)

    def finish(self) -> None:
        """Upload what is left and wait for all uploads; every blob saved or adopted is then durable
        and reported.
        """
        for kind, pack in self._open.items():
            if pack.blobs:
                self._upload(kind)
        self._settle(allowed=0)
        self.close()

    def close(self) -> None:
        """Let go of the threads; uploads that have not begun are dropped. May be repeated."""
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)

    def _claim(self, kind: BlobKind, blob_id: bytes) -> bool:
        """Tell whether the blob is ours to store."""
        if self._shared is not None:
            return self._shared.add(kind, blob_id)
        if (kind, blob_id) in self._own:
            return False
        self._own.add((kind, blob_id))
        return True

    def _upload_if_full(self, kind: BlobKind) -> None:
        if self._open[kind].is_full():
            self._upload(kind)

    def _upload(self, kind: BlobKind) -> None:
        pack = self._open[kind]
        record, data = pack.close()
        if self._threads is None:
            self._write(record, data)
            self._done(record, pack)
            return
        self._settle(allowed=self._uploads - 1)
        outcome = self._threads.submit(self._write, record, data)
        self._running.append(_Upload(outcome, record, pack))
        self._open[kind] = (
            self._spare.pop() if self._spare else OpenPack(self._key, self._pack_size)
        )

    def _write(self, record: PackRecord, data: memoryview) -> None:
        with data:
            self._guard()
            self._backend.write(pack_name(record.id), data)

    def _done(self, record: PackRecord, pack: OpenPack) -> None:
        pack.clear()
        self._stored_bytes += record.size
        self._on_pack(record)

    def _settle(self, *, allowed: int) -> None:
        """Wait until at most ``allowed`` uploads are running, and report those that have ended."""
        while len(self._running) > allowed:
            concurrent.futures.wait(
                [upload.outcome for upload in self._running],
                return_when=concurrent.futures.FIRST_COMPLETED,
            )
            ended = [upload for upload in self._running if upload.outcome.done()]
            self._running = [upload for upload in self._running if upload not in ended]
            for upload in ended:
                upload.outcome.result()
                self._done(upload.record, upload.pack)
                self._spare.append(upload.pack)
