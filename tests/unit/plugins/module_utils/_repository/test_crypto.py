# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sealing and compression: published vectors, lengths, damage."""

from __future__ import annotations

import pytest
import zstandard
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.poly1305 import Poly1305
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import RepositoryDamaged
from ansible_collections.granary.postgres.plugins.module_utils._repository.compression import (
    MAX_PLAIN_BYTES,
    decompress_all,
    decompress_exactly,
    new_decompressor,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.crypto import (
    SEAL_BYTES,
    MasterKey,
    new_master_key,
    seal,
    unseal,
    unseal_view,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.unpacked import (
    decode_unpacked,
    encode_unpacked,
    parse_id,
)

KEY = new_master_key()


class TestSeal:
    def test_tag_is_that_of_poly1305_aes(self) -> None:
        # Bernstein, "The Poly1305-AES message-authentication code", appendix B, first example.
        key = MasterKey(
            encrypt=bytes(32),
            mac_k=bytes.fromhex("ec074c835580741701425b623235add6"),
            mac_r=bytes.fromhex("851fc40c3467ac0be05cc20404f3f700"),
        )
        iv = bytes.fromhex("fb447350c4e868c52ac3275cf9d4327e")
        sealed = iv + bytes.fromhex("f3f6") + bytes.fromhex("f4c633c3044fc145f84f335cb81953de")
        stream = Cipher(algorithms.AES(bytes(32)), modes.CTR(iv)).encryptor()
        assert stream.update(unseal(key, sealed)) == bytes.fromhex("f3f6")

    def test_cipher_is_aes_256_in_counter_mode(self) -> None:
        # NIST SP 800-38A, F.5.6; the tag is made here, the vector knows none.
        key = MasterKey(
            encrypt=bytes.fromhex(
                "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4"
            ),
            mac_k=bytes(16),
            mac_r=bytes(range(16)),
        )
        iv = bytes.fromhex("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff")
        cipher = bytes.fromhex("601ec313775789a5b7a7f504bbf3d228")
        nonce = Cipher(algorithms.AES(key.mac_k), modes.ECB()).encryptor().update(iv)
        tag = Poly1305.generate_tag(key.mac_r + nonce, cipher)
        plain = unseal(key, iv + cipher + tag)
        assert plain == bytes.fromhex("6bc1bee22e409f96e93d7e117393172a")

    @given(st.binary(max_size=100))
    def test_round_trip(self, plain: bytes) -> None:
        sealed = seal(KEY, plain)
        assert len(sealed) == len(plain) + SEAL_BYTES
        assert unseal(KEY, sealed) == plain
        assert seal(KEY, plain) != sealed

    def test_every_flipped_bit_is_found(self) -> None:
        sealed = seal(KEY, b"sixteen and more bytes")
        for bit in range(8 * len(sealed)):
            changed = bytearray(sealed)
            changed[bit // 8] ^= 1 << bit % 8
            with pytest.raises(RepositoryDamaged, match="Poly1305"):
                unseal(KEY, changed)

    @pytest.mark.parametrize("kept", [0, 1, 31, 32, 40])
    def test_cut_bytes_are_found(self, kept: int) -> None:
        with pytest.raises(RepositoryDamaged, match="The file is damaged"):
            unseal_view(KEY, seal(KEY, b"some bytes of it")[:kept], name="The file")

    def test_other_key_is_refused(self) -> None:
        with pytest.raises(RepositoryDamaged, match="another key"):
            unseal(new_master_key(), seal(KEY, b"x"))

    def test_room_is_used_when_it_is_large_enough(self) -> None:
        room = bytearray(100)
        sealed = seal(KEY, b"0123456789")
        assert bytes(unseal_view(KEY, sealed, name="It", room=room)) == bytes(room[:10])
        assert bytes(unseal_view(KEY, sealed, name="It", room=bytearray(3))) == b"0123456789"

    def test_repr_hides_the_key(self) -> None:
        assert KEY.encrypt.hex() not in repr(KEY)
        assert repr(KEY) == "MasterKey()"


def frames(*parts: bytes, size: bool = True, checksum: bool = False) -> bytes:
    compressor = zstandard.ZstdCompressor(write_content_size=size, write_checksum=checksum)
    return b"".join(compressor.compress(part) for part in parts)


SKIPPABLE = bytes.fromhex("502a4d18") + (4).to_bytes(4, "little") + b"skip"


class TestDecompress:
    @pytest.mark.parametrize(
        "data",
        [
            frames(b"hello world"),
            frames(b"hello world", size=False),
            frames(b"hello world", checksum=True),
            frames(b"hello ", b"world"),
            frames(b"hello ", b"world", size=False),
            SKIPPABLE + frames(b"hello world"),
            frames(b"hello ") + SKIPPABLE + frames(b"world"),
            frames(b"", b"hello world"),
        ],
        ids=["size", "no size", "checksum", "two", "two, no size", "skip", "skip within", "empty"],
    )
    def test_frames_that_restic_reads(self, data: bytes) -> None:
        assert decompress_exactly(new_decompressor(), data, 11, name="It") == b"hello world"
        assert decompress_all(new_decompressor(), data, name="It") == b"hello world"

    def test_large_frame_without_size(self) -> None:
        plain = bytes(range(256)) * 20_000
        data = frames(plain, size=False)
        assert decompress_exactly(new_decompressor(), data, len(plain), name="It") == plain

    @pytest.mark.parametrize("size", [True, False])
    @pytest.mark.parametrize("stated", [0, 10, 12, 1 << 30])
    def test_other_length_is_damage(self, stated: int, size: bool) -> None:
        with pytest.raises(RepositoryDamaged, match="It is damaged"):
            decompress_exactly(
                new_decompressor(), frames(b"hello world", size=size), stated, name="It"
            )

    def test_bomb_is_stopped(self) -> None:
        bomb = frames(bytes(MAX_PLAIN_BYTES + 1), size=False)
        with pytest.raises(RepositoryDamaged, match="more than 1,000"):
            decompress_all(new_decompressor(), bomb, at_most=1000, name="It")
        with pytest.raises(RepositoryDamaged, match="more than"):
            decompress_all(new_decompressor(), bomb, name="It")

    @pytest.mark.parametrize("data", [b"not zstandard", frames(b"hello world")[:-3]])
    def test_damage_is_named(self, data: bytes) -> None:
        with pytest.raises(RepositoryDamaged, match="It is damaged"):
            decompress_all(new_decompressor(), data, name="It")
        with pytest.raises(RepositoryDamaged, match="It is damaged"):
            decompress_exactly(new_decompressor(), data, 11, name="It")


class TestUnpacked:
    @pytest.mark.parametrize("version", [1, 2])
    def test_round_trip(self, version: int) -> None:
        sealed = encode_unpacked(KEY, version, b'{"packs":[]}')
        assert decode_unpacked(KEY, sealed) == b'{"packs":[]}'

    def test_version_1_is_not_compressed(self) -> None:
        assert unseal(KEY, encode_unpacked(KEY, 1, b"[1]")) == b"[1]"
        assert unseal(KEY, encode_unpacked(KEY, 2, b"[1]"))[0] == 2

    @pytest.mark.parametrize("plain", [b"", b"\x01{}", b"\x02{}", b"x"])
    def test_other_beginnings_are_damage(self, plain: bytes) -> None:
        with pytest.raises(RepositoryDamaged):
            decode_unpacked(KEY, seal(KEY, plain))

    @pytest.mark.parametrize("text", ["", "ab" * 31, "AB" * 32, "zz" * 32, "ab" * 33, "٣" * 64])
    def test_names_that_are_no_ids(self, text: str) -> None:
        assert parse_id(text) is None

    def test_id(self) -> None:
        assert parse_id("ab" * 32) == b"\xab" * 32
