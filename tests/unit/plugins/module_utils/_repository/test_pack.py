# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Packs: their header, their limits, and what a changed one says."""

from __future__ import annotations

import hashlib
import random

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import RepositoryDamaged
from ansible_collections.granary.postgres.plugins.module_utils._repository.crypto import (
    SEAL_BYTES,
    new_master_key,
    seal,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.model import (
    BlobKind,
    PackRecord,
    StoredBlob,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.pack import (
    EMPTY_PACK_BYTES,
    MAX_BLOBS,
    MAX_HEADER_BYTES,
    TRAILER,
    OpenPack,
    decode_header,
    decode_pack,
    encode_header,
    header_length,
    pack_name,
)

KEY = new_master_key()


def put(pack: OpenPack, data: bytes, plain_length: int | None) -> bytes:
    """Add `data` as it is: a pack does not look into its blobs."""
    blob_id = hashlib.sha256(data).digest()
    with pack.room_for(len(data)) as room:
        room[:] = data
    pack.add(BlobKind.DATA, blob_id, len(data), plain_length)
    return blob_id


def closed(pack: OpenPack) -> tuple[PackRecord, bytes]:
    record, view = pack.close()
    with view:
        return record, bytes(view)


def parse(data: bytes, record: PackRecord) -> PackRecord:
    length = header_length(len(data), data[-4:], name="The pack")
    header = data[-length - 4 : -4]
    return decode_pack(KEY, record.id, len(data), header, name="The pack")


def test_header_is_restics() -> None:
    blobs = (
        StoredBlob(id=b"\x01" * 32, kind=BlobKind.DATA, offset=0, length=258, plain_length=None),
        StoredBlob(id=b"\x02" * 32, kind=BlobKind.TREE, offset=258, length=1, plain_length=None),
        StoredBlob(id=b"\x03" * 32, kind=BlobKind.DATA, offset=259, length=2, plain_length=3),
        StoredBlob(id=b"\x04" * 32, kind=BlobKind.TREE, offset=261, length=4, plain_length=1 << 24),
    )
    header = encode_header(blobs)
    assert header == (
        b"\x00\x02\x01\x00\x00" + b"\x01" * 32
        + b"\x01\x01\x00\x00\x00" + b"\x02" * 32
        + b"\x02\x02\x00\x00\x00\x03\x00\x00\x00" + b"\x03" * 32
        + b"\x03\x04\x00\x00\x00\x00\x00\x00\x01" + b"\x04" * 32
    )  # fmt: skip
    assert decode_header(header, name="It") == blobs


def test_round_trip_and_the_buffer_is_used_again() -> None:
    pack = OpenPack(KEY, 1 << 20)
    chance = random.Random(5)
    for dummy in range(3):
        wanted = [chance.randbytes(chance.randrange(1, 60_000)) for dummy in range(30)]
        for number, data in enumerate(wanted):
            put(pack, data, None if number % 2 else 70_000)
        size = pack.size
        record, data = closed(pack)
        assert (record.size, record.id) == (len(data), hashlib.sha256(data).digest())
        assert size == len(data)
        assert parse(data, record) == record
        assert [data[b.offset : b.offset + b.length] for b in record.blobs] == wanted
        pack.clear()
    assert pack.size == EMPTY_PACK_BYTES


def test_full_by_size_and_by_number() -> None:
    pack = OpenPack(KEY, 1000)
    put(pack, bytes(900), None)
    assert not pack.is_full()
    put(pack, bytes(100), None)
    assert pack.is_full()
    many = OpenPack(KEY, 1 << 30)
    for dummy in range(MAX_BLOBS - 1):
        many.add(BlobKind.DATA, bytes(32), 0, 1)
    assert not many.is_full()
    many.add(BlobKind.DATA, bytes(32), 0, 1)
    assert many.is_full()
    record, data = closed(many)
    assert len(parse(data, record).blobs) == MAX_BLOBS
    assert len(data) < MAX_HEADER_BYTES


@pytest.mark.parametrize(
    ("size", "length"),
    [(1000, 0), (1000, 68), (1000, 997), (1 << 30, MAX_HEADER_BYTES + 1), (1000, 0xFFFFFFFF)],
)
def test_impossible_header_lengths(size: int, length: int) -> None:
    with pytest.raises(RepositoryDamaged, match="The pack is damaged"):
        header_length(size, TRAILER.pack(length), name="The pack")


@pytest.mark.parametrize("header", [b"", b"\x00\x01", b"\x04" + bytes(40), b"\x02" + bytes(39)])
def test_header_that_does_not_parse(header: bytes) -> None:
    if not header:
        assert decode_header(header, name="It") == ()
        return
    with pytest.raises(RepositoryDamaged, match="header does not parse"):
        decode_header(header, name="It")


def test_size_that_does_not_fit_the_header() -> None:
    pack = OpenPack(KEY, 1 << 20)
    put(pack, b"some bytes", 10)
    record, data = closed(pack)
    header = data[record.blobs[0].length : -4]
    for size in (record.size - 1, record.size + 1):
        with pytest.raises(RepositoryDamaged, match="its header describes"):
            decode_pack(KEY, record.id, size, header, name="The pack")
    with pytest.raises(RepositoryDamaged, match="Poly1305"):
        decode_pack(new_master_key(), record.id, record.size, header, name="The pack")


def test_sizes_of_a_pack() -> None:
    assert EMPTY_PACK_BYTES == SEAL_BYTES + 4 == len(seal(KEY, b"")) + 4
    assert pack_name(bytes(32)) == f"data/00/{'00' * 32}"
