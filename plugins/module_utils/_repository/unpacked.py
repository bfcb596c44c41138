# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""Files that are not packs: index, snapshot and lock files, each sealed whole and named by SHA-256.

In version 2 the plain bytes are 0x02 and a Zstandard frame, in version 1 the JSON itself; JSON is
accepted in both. The config is sealed too but never compressed: ``config.py`` reads and writes it.
"""

from __future__ import annotations

import hashlib
import typing as t

from .._core.errors import RepositoryDamaged
from . import crypto
from .compression import LEVELS, decompress_all, new_compressor, new_decompressor
from .model import ID_BYTES, Compression

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from .._storage.base import Backend
    from .._storage.model import Buffer
    from .crypto import MasterKey

_COMPRESSED = 2  # first byte of a compressed file
_JSON_STARTS = (ord("{"), ord("["))


def encode_unpacked(key: MasterKey, version: int, json_bytes: Buffer) -> bytearray:
    """Return the sealed file for ``json_bytes`` in a repository of format ``version``."""
    if version == 1:
        return crypto.seal(key, json_bytes)
    frame = new_compressor(LEVELS[Compression.AUTO]).compress(json_bytes)
    return crypto.seal(key, bytes((_COMPRESSED,)) + frame)


def decode_unpacked(key: MasterKey, sealed: Buffer, *, name: str = "A sealed file") -> bytes:
    """Return the JSON in a sealed file; ``name`` says in ``RepositoryDamaged`` whose it is."""
    plain = crypto.unseal_view(key, sealed, name=name)
    if len(plain) and plain[0] in _JSON_STARTS:
        return bytes(plain)
    if len(plain) and plain[0] == _COMPRESSED:
        return decompress_all(new_decompressor(), plain[1:], name=name)
    raise RepositoryDamaged(
        f"{name} is damaged: it opens, but holds neither JSON nor compressed JSON."
    )


def read_unpacked(backend: Backend, key: MasterKey, folder: str, file_id: bytes) -> bytes:
    """Return the JSON of ``<folder>/<id>``; its name, its tag and its form are checked.

    Raises ``ObjectMissing`` when there is no such file, ``RepositoryDamaged`` when it is not what
    its name says.
    """
    name = f"{folder}/{file_id.hex()}"
    sealed = backend.read(name)
    if hashlib.sha256(sealed).digest() != file_id:
        raise RepositoryDamaged(
            f"{name} in {backend.location} is damaged: the SHA-256 of its "
            f"{len(sealed):,} bytes is not its name.",
            file=name,
        )
    return decode_unpacked(key, sealed, name=f"{name} in {backend.location}")


def write_unpacked(
    backend: Backend, key: MasterKey, version: int, folder: str, json_bytes: Buffer
) -> bytes:
    """Write ``json_bytes`` as a file of ``folder`` and return its id; durable on return."""
    sealed = encode_unpacked(key, version, json_bytes)
    file_id = hashlib.sha256(sealed).digest()
    backend.write(f"{folder}/{file_id.hex()}", sealed)
    return file_id


def list_ids(backend: Backend, folder: str) -> Iterator[bytes]:
    """Yield the ids of the files in ``folder``, in any order; other names are passed over."""
    for entry in backend.entries(f"{folder}/"):
        file_id = parse_id(entry.name.rpartition("/")[2])
        if file_id is not None:
            yield file_id


def parse_id(text: str) -> bytes | None:
    """Return the id that ``text`` spells in 64 lower-case hex digits, or None."""
    if len(text) != 2 * ID_BYTES or not set(text) <= set("0123456789abcdef"):
        return None
    return bytes.fromhex(text)
