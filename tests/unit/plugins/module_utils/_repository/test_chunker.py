# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Cuts: frozen, the same however the bytes come, and shifted by nothing but what changed."""

from __future__ import annotations

import hashlib
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.granary.postgres.plugins.module_utils._repository.chunker import (
    AVERAGE_BYTES,
    MAX_BYTES,
    MIN_BYTES,
    Chunker,
    StreamChunker,
)

MIB = 1 << 20
POLYNOMIAL = 0x3DA3358B4DC173
RANDOM_24_MIB = random.Random(20261122).randbytes(24 * MIB)


def keystream(length: int) -> bytes:
    """Bytes that no library's idea of random numbers can change."""
    return hashlib.shake_256(b"granary").digest(length)


def cut(data: bytes, polynomial: int = POLYNOMIAL) -> list[bytes]:
    return [bytes(blob) for blob in Chunker(polynomial).cut(data)]


def fed(stream: StreamChunker, data: bytes, sizes: list[int]) -> list[bytes]:
    """Cut `data` in pieces of the given sizes, again and again."""
    blobs = []
    at = number = 0
    while at < len(data):
        size = sizes[number % len(sizes)]
        blobs += [bytes(blob) for blob in stream.feed(data[at : at + size])]
        at += size
        number += 1
    return blobs + [bytes(blob) for blob in stream.finish()]


def test_parameters_are_frozen() -> None:
    assert (MIN_BYTES, AVERAGE_BYTES, MAX_BYTES) == (524288, 1048576, 8388608)


@pytest.mark.parametrize(
    ("polynomial", "lengths"),
    [
        (0, [797907, 1210401, 1042946, 836592, 1583180, 1209716, 1707866]),
        (POLYNOMIAL, [1367419, 588274, 2255674, 1113427, 1336159, 1727655]),
        ((1 << 54) - 1, [1686015, 1546373, 1451483, 2946303, 758434]),
    ],
)
def test_cuts_are_frozen(polynomial: int, lengths: list[int]) -> None:
    assert [len(blob) for blob in cut(keystream(8 * MIB), polynomial)] == lengths


def test_bounds() -> None:
    blobs = cut(RANDOM_24_MIB)
    assert b"".join(blobs) == RANDOM_24_MIB
    assert all(MIN_BYTES <= len(blob) <= MAX_BYTES for blob in blobs[:-1])
    assert {len(blob) for blob in cut(bytes(20 * MIB))} <= {MAX_BYTES, 4 * MIB}


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 24 * MIB),
    st.lists(st.integers(1, 11 * MIB), min_size=1, max_size=5).filter(lambda s: sum(s) > 99_999),
    st.booleans(),
)
def test_cuts_do_not_depend_on_feeding(length: int, sizes: list[int], dull: bool) -> None:
    # The dull half has no place to cut at: blobs of the largest size, carried over many times.
    data = (
        bytes(length // 2) + RANDOM_24_MIB[length // 2 : length] if dull else RANDOM_24_MIB[:length]
    )
    stream = StreamChunker(POLYNOMIAL)
    assert fed(stream, data, sizes) == cut(data)
    assert fed(stream, data[:MIB], sizes) == cut(data[:MIB])


def test_small_pieces() -> None:
    data = RANDOM_24_MIB[: 9 * MIB + 1]
    assert fed(StreamChunker(POLYNOMIAL), data, [4093, 1, 8192]) == cut(data)


def test_nothing_gives_nothing() -> None:
    stream = StreamChunker(POLYNOMIAL)
    assert stream.finish() == []
    assert stream.feed(b"") == []
    assert stream.finish() == []
    assert cut(b"") == []
    assert cut(b"x") == [b"x"]


def test_insertion_changes_only_what_is_near() -> None:
    before = cut(RANDOM_24_MIB)
    after = cut(RANDOM_24_MIB[: 5 * MIB] + b"a new row\n" + RANDOM_24_MIB[5 * MIB :])
    assert len(set(after) - set(before)) <= 2
