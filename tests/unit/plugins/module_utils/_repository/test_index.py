# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The index: what it finds, what it believes, what it adopts."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import random
import time
from collections.abc import Iterable
from pathlib import Path

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import (
    LockLost,
    RepositoryDamaged,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.crypto import (
    new_master_key,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.index_file import (
    FILE_SECONDS,
    FULL_FILE_BLOBS,
    IndexWriter,
    decode_index,
    encode_index,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.index_load import (
    load_index,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.model import (
    BlobKind,
    Location,
    PackRecord,
    StoredBlob,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.pack import (
    OpenPack,
    pack_name,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.unpacked import (
    list_ids,
    read_unpacked,
    write_unpacked,
)
from ansible_collections.granary.postgres.plugins.module_utils._storage.base import Backend
from ansible_collections.granary.postgres.plugins.module_utils._storage.model import LocalSettings
from ansible_collections.granary.postgres.plugins.module_utils._storage.registry import open_backend

KEY = new_master_key()


@pytest.fixture
def backend(tmp_path: Path) -> Backend:
    return open_backend(LocalSettings(path=str(tmp_path)))


def made_up_pack(chance: random.Random, blobs: int) -> PackRecord:
    """A pack that no storage holds."""
    found = []
    offset = 0
    for number in range(blobs):
        length = chance.randrange(33, 1 << 20)
        kind = BlobKind(chance.randrange(2))
        plain_length = None if number % 3 else length * 2
        found.append(
            StoredBlob(
                id=chance.randbytes(32),
                kind=kind,
                offset=offset,
                length=length,
                plain_length=plain_length,
            )
        )
        offset += length
    size = offset + 36 + sum(37 if blob.plain_length is None else 41 for blob in found)
    return PackRecord(id=chance.randbytes(32), size=size, blobs=tuple(found))


def real_pack(backend: Backend, *contents: bytes) -> PackRecord:
    """A pack in the storage; its blobs are not sealed, which no index looks at."""
    pack = OpenPack(KEY, 1 << 20)
    for content in contents:
        with pack.room_for(len(content)) as room:
            room[:] = content
        pack.add(BlobKind.DATA, hashlib.sha256(content).digest(), len(content), 5)
    record, data = pack.close()
    with data:
        backend.write(pack_name(record.id), data)
    return record


def write_index(backend: Backend, packs: Iterable[PackRecord]) -> tuple[bytes, ...]:
    writer = IndexWriter(key=KEY, version=2, backend=backend, guard=lambda: None)
    for pack in packs:
        writer.add(pack)
    return writer.flush()


def place(pack: PackRecord, blob: StoredBlob) -> Location:
    return Location(
        pack=pack.id, offset=blob.offset, length=blob.length, plain_length=blob.plain_length
    )


def sizes(*packs: PackRecord) -> dict[bytes, int]:
    return {pack.id: pack.size for pack in packs}


class TestFile:
    def test_json_is_restics(self) -> None:
        chance = random.Random(1)
        pack = made_up_pack(chance, 2)
        first, second = pack.blobs
        names = ["data", "tree"]
        assert encode_index([pack]).decode() == (
            f'{{"packs":[{{"id":"{pack.id.hex()}","blobs":['
            f'{{"id":"{first.id.hex()}","type":"{names[first.kind]}","offset":0,'
            f'"length":{first.length},"uncompressed_length":{first.plain_length}}},'
            f'{{"id":"{second.id.hex()}","type":"{names[second.kind]}",'
            f'"offset":{second.offset},"length":{second.length}}}]}}]}}'
        )

    def test_sizes_follow_from_the_blobs(self) -> None:
        chance = random.Random(2)
        packs = [made_up_pack(chance, 7) for dummy in range(5)]
        found = decode_index(encode_index(packs), name="It")
        assert [(pack.id, pack.size) for pack in found] == [(pack.id, pack.size) for pack in packs]

    def test_supersedes_and_unknown_fields_are_passed_over(self) -> None:
        whole = json.loads(encode_index([made_up_pack(random.Random(3), 2)]))
        whole |= {"supersedes": ["ab" * 32], "later": {"x": 1}}
        whole["packs"][0]["later"] = True
        assert len(decode_index(json.dumps(whole).encode(), name="It")[0].blobs) == 2
        assert decode_index(b'{"packs":null}', name="It") == []

    @pytest.mark.parametrize(
        "text",
        [
            "[]", "{}", "{", "7", '{"packs":[7]}', '{"packs":[{"id":"zz","blobs":[]}]}',
            '{"packs":[{"id":"00","blobs":[]}]}',
            '{"packs":[{"id":"ID","blobs":[{"id":"ID","type":"leaf","offset":0,"length":1}]}]}',
            '{"packs":[{"id":"ID","blobs":[{"id":"00","type":"data","offset":0,"length":1}]}]}',
            '{"packs":[{"id":"ID","blobs":[{"id":"ID","type":"data","offset":-1,"length":1}]}]}',
            '{"packs":[{"id":"ID","blobs":[{"id":"ID","type":"data","offset":0}]}]}',
            '{"packs":[{"id":"ID","blobs":[{"id":"ID"}]}]}',
        ],
    )  # fmt: skip
    def test_damage_is_named(self, text: str) -> None:
        with pytest.raises(RepositoryDamaged, match="index/it is damaged"):
            decode_index(text.replace("ID", "ab" * 32).encode(), name="index/it")


class TestFind:
    def test_many_blobs(self, backend: Backend) -> None:
        chance = random.Random(4)
        packs = [made_up_pack(chance, 1000) for dummy in range(200)]
        assert len(write_index(backend, packs)) == 4
        index, report = load_index(backend, KEY)
        assert len(index) == 200_000
        assert (report.files, report.not_full_files, report.packs) == (4, 0, 200)
        for pack in packs:
            for blob in chance.sample(pack.blobs, 50):
                assert index.find(blob.kind, blob.id) == place(pack, blob)
                other = BlobKind.TREE if blob.kind is BlobKind.DATA else BlobKind.DATA
                assert not index.has(other, blob.id)
                near = blob.id[:-1] + bytes([blob.id[-1] ^ 1])
                assert index.find(blob.kind, near) is None
        for edge in (bytes(32), b"\xff" * 32):
            assert not index.has(BlobKind.DATA, edge)

    def test_same_id_in_both_kinds_and_in_two_packs(self, backend: Backend) -> None:
        blob = made_up_pack(random.Random(5), 1).blobs[0]
        edges = [bytes(32), b"\xff" * 32, blob.id]
        packs = [
            PackRecord(
                id=bytes([number]) * 32,
                size=0,
                blobs=tuple(
                    StoredBlob(id=i, kind=kind, offset=number, length=40, plain_length=None)
                    for i in edges
                ),
            )
            for number, kind in enumerate([BlobKind.DATA, BlobKind.DATA, BlobKind.TREE])
        ]
        write_index(backend, packs)
        index, dummy = load_index(backend, KEY)
        for blob_id in edges:
            places = {found.offset for found in index.locations(BlobKind.DATA, blob_id)}
            assert places == {0, 1}
            assert [found.offset for found in index.locations(BlobKind.TREE, blob_id)] == [2]

    def test_same_pack_in_two_files_counts_once(self, backend: Backend) -> None:
        pack = made_up_pack(random.Random(6), 10)
        write_index(backend, [pack])
        write_index(backend, [pack, made_up_pack(random.Random(7), 1)])
        index, report = load_index(backend, KEY)
        assert (len(index), report.packs, report.files) == (11, 2, 2)

    def test_empty(self, backend: Backend) -> None:
        index, report = load_index(backend, KEY, known_packs={})
        assert len(index) == 0
        assert not index.has(BlobKind.DATA, bytes(32))
        assert report.files == 0

    def test_forked_workers_read_the_same_memory(self, backend: Backend) -> None:
        packs = [made_up_pack(random.Random(8), 1000)]
        write_index(backend, packs)
        index, dummy = load_index(backend, KEY)

        def look() -> None:
            found = all(index.find(b.kind, b.id) == place(packs[0], b) for b in packs[0].blobs)
            os._exit(0 if found else 1)

        worker = multiprocessing.get_context("fork").Process(target=look)
        worker.start()
        worker.join()
        assert worker.exitcode == 0


class TestBelief:
    def test_missing_and_resized_packs_are_unknown(self, backend: Backend) -> None:
        chance = random.Random(9)
        good, gone, cut = (made_up_pack(chance, 3) for dummy in range(3))
        write_index(backend, [good, gone, cut])
        known = sizes(good) | {cut.id: cut.size - 1}
        index, report = load_index(backend, KEY, known_packs=known)
        assert (report.missing_packs, report.resized_packs) == ((gone.id,), (cut.id,))
        assert index.has(good.blobs[0].kind, good.blobs[0].id)
        for pack in (gone, cut):
            assert not any(index.has(blob.kind, blob.id) for blob in pack.blobs)

    def test_pack_that_one_of_two_files_tells_right(self, backend: Backend) -> None:
        pack = made_up_pack(random.Random(10), 3)
        wrong = PackRecord(id=pack.id, size=0, blobs=pack.blobs[:2])
        write_index(backend, [wrong])
        write_index(backend, [pack])
        index, report = load_index(backend, KEY, known_packs=sizes(pack))
        assert len(index) == 3
        assert report.resized_packs == ()

    def test_unreadable_index_files_are_named(self, backend: Backend, tmp_path: Path) -> None:
        chance = random.Random(11)
        good, lost = made_up_pack(chance, 3), made_up_pack(chance, 3)
        write_index(backend, [good])
        (file_id,) = write_index(backend, [lost])
        path = tmp_path / "index" / file_id.hex()
        path.chmod(0o600)
        path.write_bytes(path.read_bytes()[:-1])
        (tmp_path / "index" / ("00" * 32)).touch()
        with pytest.raises(RepositoryDamaged, match=r"2 index files .*repair: true"):
            load_index(backend, KEY)
        index, report = load_index(backend, KEY, tolerant=True)
        assert len(index) == 3
        named = [file.name for file in report.unreadable_files]
        assert named == sorted([f"index/{'00' * 32}", f"index/{file_id.hex()}"])

    def test_foreign_files_are_passed_over(self, backend: Backend, tmp_path: Path) -> None:
        write_index(backend, [made_up_pack(random.Random(12), 3)])
        (tmp_path / "index" / "README").write_text("not an index")
        index, report = load_index(backend, KEY)
        assert (len(index), report.files) == (3, 1)


class TestAdoption:
    def test_packs_that_no_index_names(self, backend: Backend) -> None:
        named, orphan = real_pack(backend, b"a" * 99), real_pack(backend, b"b" * 50, b"c" * 60)
        write_index(backend, [named])
        index, report = load_index(backend, KEY, known_packs=sizes(named, orphan))
        assert report.adopted == (orphan,)
        for blob in orphan.blobs:
            assert index.find(blob.kind, blob.id) == place(orphan, blob)
        write_index(backend, report.adopted)
        dummy, again = load_index(backend, KEY, known_packs=sizes(named, orphan))
        assert again.adopted == ()

    def test_header_that_is_longer_than_the_first_read(self, backend: Backend) -> None:
        pack = real_pack(backend, *(bytes([number % 256, number // 256]) for number in range(500)))
        index, report = load_index(backend, KEY, known_packs=sizes(pack))
        assert report.adopted == (pack,)
        assert len(index) == 500

    @pytest.mark.parametrize("damage", ["cut", "changed", "tiny", "gone"])
    def test_what_does_not_parse_is_reported(
        self, backend: Backend, tmp_path: Path, damage: str
    ) -> None:
        pack = real_pack(backend, b"x" * 99)
        path = tmp_path / pack_name(pack.id)
        path.chmod(0o600)
        data = bytearray(path.read_bytes())
        size = len(data)
        if damage == "changed":
            data[-10] ^= 1
        path.write_bytes(data[: {"cut": size - 1, "tiny": 3}.get(damage, size)])
        if damage == "gone":
            path.unlink()
        listed = {pack.id: path.stat().st_size if path.exists() else size}
        index, report = load_index(backend, KEY, known_packs=listed)
        assert len(index) == 0
        assert report.adopted == ()
        assert [file.name for file in report.unreadable_packs] == [pack_name(pack.id)]


class TestWriter:
    def test_one_file_for_a_short_run(self, backend: Backend) -> None:
        chance = random.Random(13)
        writer = IndexWriter(key=KEY, version=2, backend=backend, guard=lambda: None)
        for dummy in range(5):
            writer.add(made_up_pack(chance, 10))
        assert list(list_ids(backend, "index")) == []
        written = writer.flush()
        assert list(list_ids(backend, "index")) == list(written)
        assert writer.flush() == written

    def test_full_file_and_time(self, backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
        now = 1000.0
        monkeypatch.setattr(time, "monotonic", lambda: now)
        chance = random.Random(14)
        writer = IndexWriter(key=KEY, version=1, backend=backend, guard=lambda: None)
        writer.add(made_up_pack(chance, FULL_FILE_BLOBS - 1))
        assert not list(list_ids(backend, "index"))
        writer.add(made_up_pack(chance, 1))
        assert len(list(list_ids(backend, "index"))) == 1
        writer.add(made_up_pack(chance, 1))
        now += FILE_SECONDS - 1
        writer.add(made_up_pack(chance, 1))
        assert len(list(list_ids(backend, "index"))) == 1
        now += 1
        writer.add(made_up_pack(chance, 1))
        assert len(list(list_ids(backend, "index"))) == 2

    def test_a_pack_is_named_once(self, backend: Backend) -> None:
        pack = made_up_pack(random.Random(15), 2)
        (file_id,) = write_index(backend, [pack, pack])
        packs = json.loads(read_unpacked(backend, KEY, "index", file_id))["packs"]
        assert [found["id"] for found in packs] == [pack.id.hex()]

    def test_guard_stops_it(self, backend: Backend) -> None:
        def lost() -> None:
            raise LockLost("The lock is gone.")

        writer = IndexWriter(key=KEY, version=2, backend=backend, guard=lost)
        writer.add(made_up_pack(random.Random(16), 2))
        with pytest.raises(LockLost):
            writer.flush()
        assert not list(list_ids(backend, "index"))


def test_index_file_under_a_wrong_name(backend: Backend, tmp_path: Path) -> None:
    file_id = write_unpacked(backend, KEY, 2, "index", encode_index([]))
    (tmp_path / "index" / file_id.hex()).rename(tmp_path / "index" / ("ab" * 32))
    with pytest.raises(RepositoryDamaged, match="is not its name"):
        load_index(backend, KEY)
