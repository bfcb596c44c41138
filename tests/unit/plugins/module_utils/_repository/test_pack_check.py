# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Packs read to the last byte, small and large, and which of them a part of the data is."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import (
    ConfigError,
    ObjectMissing,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository import crypto
from ansible_collections.granary.postgres.plugins.module_utils._repository.crypto import (
    new_master_key,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.data_check import Subset
from ansible_collections.granary.postgres.plugins.module_utils._repository.model import (
    BlobKind,
    PackRecord,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.pack import (
    OpenPack,
    pack_name,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.pack_check import (
    WHOLE_BYTES,
    PackReader,
)
from ansible_collections.granary.postgres.plugins.module_utils._storage.base import Backend
from ansible_collections.granary.postgres.plugins.module_utils._storage.model import LocalSettings
from ansible_collections.granary.postgres.plugins.module_utils._storage.registry import open_backend

KEY = new_master_key()
MIB = 1 << 20


@pytest.fixture
def backend(tmp_path: Path) -> Backend:
    return open_backend(LocalSettings(path=str(tmp_path)))


def stored_pack(backend: Backend, blobs: int, blob_bytes: int) -> PackRecord:
    """A pack of blobs that are not compressed."""
    chance = random.Random(5)
    pack = OpenPack(KEY, 1 << 30)
    for dummy in range(blobs):
        plain = chance.randbytes(blob_bytes)
        with pack.room_for(blob_bytes + crypto.SEAL_BYTES) as room:
            crypto.seal_into(KEY, plain, room)
        length = blob_bytes + crypto.SEAL_BYTES
        pack.add(BlobKind.DATA, hashlib.sha256(plain).digest(), length, None)
    record, data = pack.close()
    with data:
        backend.write(pack_name(record.id), data)
    return record


@pytest.mark.parametrize(("blobs", "blob_bytes"), [(3, 1000), (34, MIB)])
def test_a_pack_of_any_size_is_read_whole(backend: Backend, blobs: int, blob_bytes: int) -> None:
    record = stored_pack(backend, blobs, blob_bytes)
    assert (record.size > WHOLE_BYTES) is (blobs > 3)
    heard: list[bytes] = []
    reader = PackReader(KEY, backend, on_blob=lambda name, plain: heard.append(name[1]))
    reading = reader.read(record.id, record.size, record.blobs)
    assert reading.problems == ()
    assert reading.record == record
    assert not reading.misindexed
    assert heard == [blob.id for blob in record.blobs]


@pytest.mark.parametrize(("blobs", "blob_bytes"), [(3, 1000), (34, MIB)])
def test_one_bad_blob_is_known_and_the_others_are_salvaged(
    backend: Backend, blobs: int, blob_bytes: int
) -> None:
    record = stored_pack(backend, blobs, blob_bytes)
    data = bytearray(backend.read(pack_name(record.id)))
    bad = record.blobs[1]
    data[bad.offset + 100] ^= 1
    backend.write(pack_name(record.id), data)
    reader = PackReader(KEY, backend)
    reading = reader.read(record.id, record.size, record.blobs)
    assert reading.bad == {(BlobKind.DATA, bad.id)}
    assert len(reading.problems) == 2
    salvaged = [blob for blob, dummy in reader.salvage(reading)]
    assert salvaged == [blob for blob in record.blobs if blob != bad]


def test_a_header_without_index_is_enough_and_so_is_an_index_without_header(
    backend: Backend,
) -> None:
    record = stored_pack(backend, 4, 1000)
    reader = PackReader(KEY, backend)
    assert reader.read(record.id, record.size, None).problems == ()
    data = backend.read(pack_name(record.id))[:-30]
    backend.write(pack_name(record.id), data)
    reading = reader.read(record.id, len(data), record.blobs)
    assert reading.record is None
    assert not reading.bad
    assert len(list(reader.salvage(reading))) == 4
    assert not reader.read(record.id, len(data), None).entries


def test_a_pack_that_is_not_there_is_no_damage_of_its_own(backend: Backend) -> None:
    record = stored_pack(backend, 1, 1000)
    backend.delete(pack_name(record.id))
    with pytest.raises(ObjectMissing):
        PackReader(KEY, backend).read(record.id, record.size, record.blobs)


@pytest.mark.parametrize("text", ["1/1", "1/7", "7/7", "256/256"])
def test_parts_are_those_of_restic(text: str) -> None:
    packs = {random.Random(n).randbytes(32) for n in range(2000)}
    part, parts = map(int, text.split("/"))
    chosen = Subset.parse(text).choose(packs)
    assert chosen == {pack for pack in packs if pack[0] % parts == part - 1}


@pytest.mark.parametrize(
    ("text", "count"), [("100%", 200), ("50%", 100), ("0.1%", 1), ("33.3%", 67)]
)
def test_a_share_is_rounded_up(text: str, count: int) -> None:
    packs = {random.Random(n).randbytes(32) for n in range(200)}
    chosen = Subset.parse(text).choose(packs)
    assert len(chosen) == count
    assert chosen <= packs
    assert not Subset.parse(text).choose(set())


@pytest.mark.parametrize(
    "text",
    [
        *("", "0%", "0.0%", "101%", "100.1%", "-1%", "5", "5 %", "%", "0/1", "2/1", "1/0"),
        *("1/257", "1/2/3", "a/b", "\u0665%", "5%\n", "1/2\n"),
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="read_data_subset"):
        Subset.parse(text)
