# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""How restic seals bytes: AES-256 in counter mode and Poly1305-AES over the ciphertext.

``sealed = IV (16 bytes) || ciphertext || tag (16 bytes)``. The one-time key of Poly1305 is ``r ||
AES-128(k, IV)``; the library clamps ``r`` itself. The tag does not cover the IV: a changed IV shows
as a changed one-time key. Written for one pass over big blobs: nothing here copies more than it
must, and every big call releases the GIL.
"""

from __future__ import annotations

import dataclasses
import hmac
import os
import typing as t

from .._core.errors import RepositoryDamaged

if t.TYPE_CHECKING:
    from .._storage.model import Buffer

IV_BYTES = 16
TAG_BYTES = 16
SEAL_BYTES = IV_BYTES + TAG_BYTES  # what sealing adds to a length

_BLOCK_SLACK = 15  # update_into() wants room for one AES block less one byte beyond its input


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class MasterKey:
    """32 bytes for AES-256 and the halves (16 bytes each) of Poly1305-AES.

    What scrypt makes of a password has the same shape.
    """

    encrypt: bytes = dataclasses.field(repr=False)
    mac_k: bytes = dataclasses.field(repr=False)
    mac_r: bytes = dataclasses.field(repr=False)


def new_master_key() -> MasterKey:
    """Return a random key."""
    return MasterKey(encrypt=os.urandom(32), mac_k=os.urandom(16), mac_r=os.urandom(16))


def _one_time_key(key: MasterKey, iv: Buffer) -> bytes:
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    # One block through AES as Poly1305-AES is defined; ECB hides nothing here because nothing is
    # hidden.
    encryptor = Cipher(algorithms.AES(key.mac_k), modes.ECB()).encryptor()
    return key.mac_r + encryptor.update(bytes(iv))


def _new_iv() -> bytes:
    while True:
        iv = os.urandom(IV_BYTES)
        if any(iv):  # restic refuses an IV of zeros as the mark of a broken random source
            return iv


def seal_into(key: MasterKey, plain: Buffer, room: memoryview) -> None:
    """Seal ``plain`` into ``room``, which must be writable and exactly ``SEAL_BYTES`` longer."""
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
    from cryptography.hazmat.primitives.poly1305 import Poly1305

    iv = _new_iv()
    end = IV_BYTES + len(plain)
    room[:IV_BYTES] = iv
    # The slot of the tag is the slack that update_into() asks for.
    Cipher(algorithms.AES(key.encrypt), modes.CTR(iv)).encryptor().update_into(
        plain, room[IV_BYTES:]
    )
    room[end:] = Poly1305.generate_tag(_one_time_key(key, iv), room[IV_BYTES:end])


def seal(key: MasterKey, plain: Buffer) -> bytearray:
    """Return ``plain`` sealed under a fresh IV: the same input never gives the same output."""
    sealed = bytearray(len(plain) + SEAL_BYTES)
    with memoryview(sealed) as room:
        seal_into(key, plain, room)
    return sealed


def unseal_view(
    key: MasterKey, sealed: Buffer, *, name: str, room: bytearray | None = None
) -> memoryview:
    """Check the tag, then decrypt; return a view of the plain bytes.

    The view lies in ``room`` when that has at least the length of ``sealed`` (it is then
    overwritten by the next use), otherwise in memory of its own. ``name`` says in errors whose
    bytes these are.

    Raises ``RepositoryDamaged`` when the tag does not fit or the bytes are too few.
    """
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
    from cryptography.hazmat.primitives.poly1305 import Poly1305

    view = memoryview(sealed)
    if len(view) < SEAL_BYTES:
        raise RepositoryDamaged(
            f"{name} is damaged: {len(view)} bytes are fewer than the {SEAL_BYTES} of an empty one."
        )
    iv, cipher, tag = view[:IV_BYTES], view[IV_BYTES:-TAG_BYTES], view[-TAG_BYTES:]
    if not hmac.compare_digest(Poly1305.generate_tag(_one_time_key(key, iv), cipher), tag):
        raise RepositoryDamaged(
            f"{name} is damaged: its Poly1305 tag does not fit its bytes, which "
            "were changed or belong to another key."
        )
    if room is None or len(room) < len(cipher) + _BLOCK_SLACK:
        room = bytearray(len(cipher) + _BLOCK_SLACK)
    plain = memoryview(room)
    Cipher(algorithms.AES(key.encrypt), modes.CTR(bytes(iv))).decryptor().update_into(cipher, plain)
    return plain[: len(cipher)]


def unseal(key: MasterKey, sealed: Buffer, *, name: str = "A sealed file") -> bytes:
    """Return the plain bytes. Raises ``RepositoryDamaged`` as ``unseal_view`` does."""
    return bytes(unseal_view(key, sealed, name=name))
