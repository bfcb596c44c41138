# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""Zstandard as restic uses it: bounded on the way out, generous about frames.

restic itself writes one frame without a checksum; it reads frames without a content size, several
of them and skippable ones, and so do we. Nothing here trusts a length that a frame states.
"""

from __future__ import annotations

import typing as t

from .._core.errors import RepositoryDamaged
from .model import Compression

if t.TYPE_CHECKING:
    import zstandard

    from .._storage.model import Buffer

# Rows in COPY text shrink as much at level 1 as at level 3 and in half the time: 2.87 times at 520
# MB/s against 2.78 at 255 (11 columns of ids, dates, short texts), 2.38 against 2.19 (numbers),
# 3.46 against 3.55 (words), 4.13 against 4.48 (long texts).
LEVELS = {Compression.AUTO: 1, Compression.MAX: 9}
# No blob or file is larger: restic cuts blobs at 8 MiB and puts 50,000 into an index file.
MAX_PLAIN_BYTES = 128 * 1024 * 1024

_PIECE_BYTES = 1 << 20


def new_compressor(level: int) -> zstandard.ZstdCompressor:
    """Return a compressor for one thread; keep it, making one costs more than a small blob."""
    import zstandard as zstd

    return zstd.ZstdCompressor(level=level, write_checksum=False, write_content_size=True)


def new_decompressor() -> zstandard.ZstdDecompressor:
    """Return a decompressor for one thread."""
    import zstandard as zstd

    return zstd.ZstdDecompressor()


def decompress_exactly(
    decompressor: zstandard.ZstdDecompressor, data: Buffer, plain_length: int, *, name: str
) -> bytes:
    """Return the ``plain_length`` bytes in ``data``.

    Raises ``RepositoryDamaged`` when ``data`` is not Zstandard or holds another number of bytes.
    """
    import zstandard as zstd

    if not 0 <= plain_length <= MAX_PLAIN_BYTES:
        raise RepositoryDamaged(
            f"{name} is damaged: {plain_length:,} bytes are more than a blob can have."
        )
    try:
        # 0 from frame_content_size() is an empty frame or a skippable one, -1 is a frame that does
        # not say.
        if zstd.frame_content_size(data) == plain_length > 0:
            return decompressor.decompress(data, max_output_size=plain_length)
    except zstd.ZstdError as exc:
        raise RepositoryDamaged(f"{name} is damaged: {exc}.") from exc
    plain = decompress_all(decompressor, data, at_most=plain_length, name=name)
    if len(plain) != plain_length:
        raise RepositoryDamaged(
            f"{name} is damaged: it holds {len(plain):,} bytes instead of {plain_length:,}."
        )
    return plain


def decompress_all(
    decompressor: zstandard.ZstdDecompressor,
    data: Buffer,
    *,
    at_most: int = MAX_PLAIN_BYTES,
    name: str,
) -> bytes:
    """Return the bytes of all frames in ``data``.

    Raises ``RepositoryDamaged`` when ``data`` is not Zstandard, ends early or holds more than
    ``at_most`` bytes.
    """
    import zstandard as zstd

    plain = bytearray()
    rest = bytes(data)
    try:
        while rest:
            frame = decompressor.decompressobj(write_size=_PIECE_BYTES)
            # Small pieces of input bound what a hostile frame can make of one call.
            for start in range(0, len(rest), _PIECE_BYTES):
                plain += frame.decompress(rest[start : start + _PIECE_BYTES])
                if len(plain) > at_most:
                    raise RepositoryDamaged(
                        f"{name} is damaged: it holds more than {at_most:,} bytes."
                    )
                if frame.eof:
                    rest = frame.unused_data + rest[start + _PIECE_BYTES :]
                    break
            else:
                raise RepositoryDamaged(f"{name} is damaged: its compressed bytes end early.")
    except zstd.ZstdError as exc:
        raise RepositoryDamaged(f"{name} is damaged: {exc}.") from exc
    return bytes(plain)
