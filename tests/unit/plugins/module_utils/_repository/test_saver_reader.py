# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Saving and reading blobs: once, proved, in few packs, and never believed."""

from __future__ import annotations

import hashlib
import pickle
import random
import threading
import tracemalloc
import typing as t
from pathlib import Path

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import (
    LockLost,
    RepositoryDamaged,
    RepositoryError,
    StorageError,
    StorageFull,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.blob_codec import (
    BlobEncoder,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.crypto import (
    new_master_key,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.index import Index
from ansible_collections.granary.postgres.plugins.module_utils._repository.index_file import (
    IndexWriter,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.index_load import (
    load_index,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.model import (
    BlobKind,
    Compression,
    PackRecord,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.pack import pack_name
from ansible_collections.granary.postgres.plugins.module_utils._repository.reader import BlobReader
from ansible_collections.granary.postgres.plugins.module_utils._repository.saver import BlobSaver
from ansible_collections.granary.postgres.plugins.module_utils._repository.shared_ids import (
    SharedIds,
)
from ansible_collections.granary.postgres.plugins.module_utils._storage.local import LocalBackend
from ansible_collections.granary.postgres.plugins.module_utils._storage.model import (
    Buffer,
    LocalSettings,
)

KEY = new_master_key()
KIB = 1024


class Place:
    """A repository without config: packs and an index in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.backend = LocalBackend(LocalSettings(path=str(folder)))
        self.packs: list[PackRecord] = []

    def index(self) -> Index:
        writer = IndexWriter(key=KEY, version=2, backend=self.backend, guard=lambda: None)
        for pack in self.packs:
            writer.add(pack)
        writer.flush()
        return load_index(self.backend, KEY, known_packs=self.listed())[0]

    def listed(self) -> dict[bytes, int]:
        entries = self.backend.entries("data/")
        return {bytes.fromhex(entry.name[-64:]): entry.size for entry in entries}

    def saver(self, **options: t.Any) -> BlobSaver:
        plain: dict[str, t.Any] = {
            "key": KEY,
            "version": 2,
            "backend": self.backend,
            "index": self.index(),
            "shared": None,
            "pack_size": 300 * KIB,
            "uploads": 0,
            "on_pack": self.packs.append,
            "guard": lambda: None,
        }
        return BlobSaver(**(plain | options))

    def reader(self) -> BlobReader:
        return BlobReader(key=KEY, backend=self.backend, index=self.index())

    def path(self, pack: PackRecord) -> Path:
        path = self.folder / pack_name(pack.id)
        path.chmod(0o600)
        return path


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def texts(count: int, seed: int = 1) -> list[bytes]:
    """Blobs of 20 to 120 KiB that zstd makes about half as large."""
    chance = random.Random(seed)
    return [
        chance.randbytes(chance.randrange(10 * KIB, 60 * KIB)).hex().encode()
        for dummy in range(count)
    ]


class TestSave:
    @pytest.mark.parametrize("uploads", [0, 1, 2])
    @pytest.mark.parametrize("compression", list(Compression))
    @pytest.mark.parametrize("version", [1, 2])
    def test_round_trip(
        self, place: Place, version: int, compression: Compression, uploads: int
    ) -> None:
        saver = place.saver(version=version, compression=compression, uploads=uploads)
        blobs = texts(30)
        ids = [saver.save(BlobKind.DATA, memoryview(blob)) for blob in blobs]
        tree = saver.save(BlobKind.TREE, b'{"nodes":[]}\n')
        saver.finish()
        assert ids == [hashlib.sha256(blob).digest() for blob in blobs]
        reader = place.reader()
        assert list(reader.stream(ids)) == blobs
        assert [reader.length(BlobKind.DATA, i) for i in ids] == [len(blob) for blob in blobs]
        assert reader.read(BlobKind.TREE, tree) == b'{"nodes":[]}\n'
        index = place.index()
        for blob_id, kind in [*((i, BlobKind.DATA) for i in ids), (tree, BlobKind.TREE)]:
            found = index.find(kind, blob_id)
            assert found is not None
            off = version == 1 or (compression is Compression.OFF and kind is BlobKind.DATA)
            assert (found.plain_length is None) == off
        assert saver.stats.new_blobs == 31
        assert saver.stats.new_bytes == sum(map(len, blobs)) + 13
        assert saver.stats.stored_bytes == sum(place.listed().values())

    def test_packs_are_full_and_of_one_kind(self, place: Place) -> None:
        saver = place.saver(compression=Compression.OFF)
        for number, blob in enumerate(texts(40)):
            saver.save(BlobKind(number % 2), blob)
        saver.finish()
        assert place.listed() == {pack.id: pack.size for pack in place.packs}
        kinds = [{blob.kind for blob in pack.blobs} for pack in place.packs]
        assert all(len(kind) == 1 for kind in kinds)
        small = [
            kind for kind, pack in zip(kinds, place.packs, strict=True) if pack.size < 300 * KIB
        ]
        assert len(small) <= 2
        assert small.count({BlobKind.DATA}) <= 1
        assert all(pack.size < 425 * KIB for pack in place.packs)

    @pytest.mark.parametrize("shared", [True, False])
    def test_a_blob_is_stored_once(self, place: Place, shared: bool) -> None:
        ids = SharedIds(1024) if shared else None
        saver = place.saver(shared=ids)
        blobs = texts(5)
        for dummy in range(2):
            for blob in blobs:
                saver.save(BlobKind.DATA, blob)
        saver.save(BlobKind.TREE, blobs[0])  # known by kind and id, not by id alone
        saver.finish()
        assert saver.stats.new_blobs == 6
        again = place.saver(shared=SharedIds(1024))
        for blob in blobs:
            again.save(BlobKind.DATA, blob)
        again.finish()
        assert again.stats.new_blobs == again.stats.stored_bytes == 0

    def test_tails_become_one_pack(self, place: Place) -> None:
        blobs = texts(12, seed=2)
        shared = SharedIds(1024)
        tails = []
        for part in (blobs[:4], blobs[3:8], blobs[8:]):
            worker = place.saver(shared=shared, pack_size=1 << 20)
            for blob in part:
                worker.save(BlobKind.DATA, blob)
            worker.save(BlobKind.TREE, part[-1])
            tails += [pickle.loads(pickle.dumps(tail)) for tail in worker.take_tails()]
            worker.finish()
        assert place.packs == []
        coordinator = place.saver(shared=shared, pack_size=1 << 20)
        for tail in tails:
            coordinator.adopt(tail)
        coordinator.finish()
        assert sorted(len(pack.blobs) for pack in place.packs) == [3, 12]
        ids = [hashlib.sha256(blob).digest() for blob in blobs]
        assert list(place.reader().stream(ids)) == blobs
        assert coordinator.stats.new_blobs == 0
        assert coordinator.stats.stored_bytes == sum(place.listed().values())

    def test_a_large_tail_is_handed_over_in_small_pieces(self, place: Place) -> None:
        blobs = [random.randbytes(700_000) for dummy in range(4)] + texts(3, seed=3)
        worker = place.saver(pack_size=16 << 20)
        for blob in blobs:
            worker.save(BlobKind.DATA, blob)
        coordinator = place.saver(pack_size=16 << 20)
        tails = list(worker.take_tails())
        for tail in tails:
            coordinator.adopt(tail)
        coordinator.finish()
        assert len(tails) > 3
        assert max(len(tail.sealed) for tail in tails) <= 1 << 20
        ids = [hashlib.sha256(blob).digest() for blob in blobs]
        assert list(place.reader().stream(ids)) == blobs

    def test_who_handed_over_holds_no_memory(self, place: Place) -> None:
        worker = place.saver(pack_size=4 << 20, uploads=2)
        tracemalloc.start()
        try:
            for dummy in range(20):
                worker.save(BlobKind.DATA, random.randbytes(600_000))
            held = tracemalloc.get_traced_memory()[0]
            assert sum(len(tail.sealed) for tail in worker.take_tails()) > 0
            freed = held - tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()
        worker.finish()
        assert freed > 4 << 20

    @pytest.mark.parametrize("uploads", [0, 2])
    def test_guard_stops_every_upload(self, place: Place, uploads: int) -> None:
        def lost() -> None:
            raise LockLost("The lock is gone.")

        saver = place.saver(guard=lost, uploads=uploads)

        def save_all() -> None:
            for blob in texts(40):
                saver.save(BlobKind.DATA, blob)
            saver.finish()

        with pytest.raises(LockLost):
            save_all()
        saver.close()
        assert place.packs == []
        assert place.listed() == {}

    def test_packs_are_reported_by_the_callers_thread_when_durable(self, place: Place) -> None:
        seen = []

        def on_pack(pack: PackRecord) -> None:
            seen.append(threading.current_thread() is threading.main_thread())
            assert place.backend.size(pack_name(pack.id)) == pack.size

        saver = place.saver(on_pack=on_pack, uploads=2)
        for blob in texts(30):
            saver.save(BlobKind.DATA, blob)
        saver.finish()
        assert len(seen) == len(place.listed())
        assert all(seen)

    def test_upload_that_fails_is_raised(self, place: Place) -> None:
        class Full(LocalBackend):
            def write(self, name: str, data: Buffer) -> None:
                raise StorageFull(f"No room for {name}.")

        saver = place.saver(backend=Full(LocalSettings(path=str(place.folder))), uploads=1)
        saver.save(BlobKind.DATA, b"x")
        with pytest.raises(StorageFull):
            saver.finish()
        saver.close()
        assert place.packs == []

    def test_broken_memory_is_found_before_upload(self) -> None:
        encoder = BlobEncoder(KEY, 2, Compression.AUTO)
        blob = texts(1)[0]
        content, plain_length = encoder.compress(BlobKind.DATA, blob)
        changed = bytearray(blob)
        changed[100] ^= 1
        slot = memoryview(bytearray(len(content) + 32))
        with pytest.raises(RepositoryError, match="test the memory"):
            encoder.seal_into(hashlib.sha256(changed).digest(), content, plain_length, slot)

    def test_blob_that_is_too_large_is_refused(self) -> None:
        encoder = BlobEncoder(KEY, 2, Compression.AUTO)
        with pytest.raises(RepositoryError, match="134,217,729 bytes is larger"):
            encoder.compress(BlobKind.TREE, bytes((128 << 20) + 1))


def saved(place: Place, count: int = 6) -> tuple[list[bytes], list[bytes]]:
    saver = place.saver(pack_size=16 << 20)
    blobs = texts(count)
    ids = [saver.save(BlobKind.DATA, blob) for blob in blobs]
    saver.finish()
    return ids, blobs


class TestDamage:
    def test_every_kind_of_flipped_byte_is_found(self, place: Place) -> None:
        ids, blobs = saved(place)
        (pack,) = place.packs
        path = place.path(pack)
        whole = path.read_bytes()
        chance = random.Random(3)
        for number, blob in enumerate(pack.blobs):
            ends = (blob.offset, blob.offset + 16, blob.offset + blob.length - 1)
            for at in (*ends, chance.randrange(ends[0], ends[2])):
                data = bytearray(whole)
                data[at] ^= 1 << chance.randrange(8)
                path.write_bytes(data)
                reader = place.reader()
                with pytest.raises(RepositoryDamaged) as caught:
                    list(reader.stream(ids))
                assert f"Blob {ids[number].hex()} at byte {blob.offset:,}" in str(caught.value)
                assert pack_name(pack.id) in str(caught.value)
                with pytest.raises(RepositoryDamaged):
                    reader.read(BlobKind.DATA, ids[number])
                other = (number + 1) % len(ids)
                assert reader.read(BlobKind.DATA, ids[other]) == blobs[other]

    def test_blobs_that_changed_places_are_found(self, place: Place) -> None:
        saver = place.saver(pack_size=16 << 20, compression=Compression.OFF)
        ids = [saver.save(BlobKind.DATA, bytes([number]) * 1000) for number in range(2)]
        saver.finish()
        path = place.path(place.packs[0])
        first, second = (slice(b.offset, b.offset + b.length) for b in place.packs[0].blobs)
        data = path.read_bytes()
        changed = bytearray(data)
        changed[first], changed[second] = data[second], data[first]
        path.write_bytes(changed)
        for blob_id in ids:
            with pytest.raises(RepositoryDamaged, match="SHA-256 is not its id"):
                place.reader().read(BlobKind.DATA, blob_id)

    @pytest.mark.parametrize("left", [0, 1, 50_000, None])
    def test_packs_that_are_cut_or_gone_are_named(self, place: Place, left: int | None) -> None:
        ids, dummy = saved(place)
        path = place.path(place.packs[0])
        reader = place.reader()
        if left is None:
            path.unlink()
        else:
            path.write_bytes(path.read_bytes()[:left])
        for read in (lambda: list(reader.stream(ids)), lambda: reader.read(BlobKind.DATA, ids[-1])):
            with pytest.raises(RepositoryDamaged, match="cannot be read") as caught:
                read()
            assert pack_name(place.packs[0].id) in str(caught.value)
            assert caught.value.details["pack"] == place.packs[0].id.hex()

    def test_unknown_blob_is_named(self, place: Place) -> None:
        ids, blobs = saved(place)
        reader = place.reader()
        for ask in (reader.read, reader.length):
            with pytest.raises(RepositoryDamaged, match=f"tree blob {ids[0].hex()} is in no index"):
                ask(BlobKind.TREE, ids[0])
        with pytest.raises(RepositoryDamaged, match="data blob 0000"):
            list(reader.stream([ids[0], bytes(32)]))
        assert list(reader.stream([])) == []
        assert reader.read(BlobKind.DATA, ids[0]) == blobs[0]

    @pytest.mark.parametrize("damage", ["flip", "gone"])
    def test_a_second_copy_is_as_good(self, place: Place, damage: str) -> None:
        empty = place.index()
        ids: list[bytes] = []
        blobs = texts(4)
        for dummy in range(2):
            saver = place.saver(index=empty, pack_size=16 << 20)
            ids = [saver.save(BlobKind.DATA, blob) for blob in blobs]
            saver.finish()
        reader = place.reader()
        for broken in place.packs:
            path = place.path(broken)
            whole = path.read_bytes()
            if damage == "gone":
                path.unlink()
            else:
                path.write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
            assert list(reader.stream(ids)) == blobs
            assert [reader.read(BlobKind.DATA, blob_id) for blob_id in ids] == blobs
            path.write_bytes(whole)

    def test_an_outage_is_not_damage(self, place: Place) -> None:
        ids, dummy = saved(place)

        class Out(LocalBackend):
            def read(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
                raise StorageError("The disk does not answer.")

        out = Out(LocalSettings(path=str(place.folder)))
        reader = BlobReader(key=KEY, backend=out, index=place.index())
        with pytest.raises(StorageError, match="does not answer"):
            list(reader.stream(ids))
        with pytest.raises(StorageError, match="does not answer"):
            reader.read(BlobKind.DATA, ids[0])


class TestStream:
    def test_neighbours_are_read_at_once(self, place: Place) -> None:
        ids, blobs = saved(place, 60)
        ranges: list[tuple[int, int | None]] = []

        class Counting(LocalBackend):
            def read(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
                ranges.append((offset, length))
                return super().read(name, offset, length)

        counting = Counting(LocalSettings(path=str(place.folder)))
        reader = BlobReader(key=KEY, backend=counting, index=place.index())
        assert list(reader.stream(ids)) == blobs
        assert len(ranges) == 1
        ranges.clear()
        order = list(range(60))
        random.Random(4).shuffle(order)
        assert list(reader.stream([ids[i] for i in order])) == [blobs[i] for i in order]
        assert len(ranges) > 10
        ranges.clear()
        assert list(reader.stream(ids[::2])) == blobs[::2]  # gaps are read over
        assert len(ranges) == 1

    def test_a_stream_may_be_left(self, place: Place) -> None:
        ids, blobs = saved(place, 60)
        stream = place.reader().stream(ids[::-1])
        assert next(iter(stream)) == blobs[-1]
        stream.close()
        assert not [thread for thread in threading.enumerate() if "read-ahead" in thread.name]
