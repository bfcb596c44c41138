# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""Key files: the master key of a repository, sealed by a key that scrypt makes of a password.

A repository has one master key and a key file for each password. Key files are plain JSON; only
``kdf``, ``N``, ``r``, ``p``, ``salt`` and ``data`` matter. Trimming what was read from a password
file is the business of whoever reads that file.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import datetime
import hashlib
import json
import os
import pwd
import socket
import typing as t

from .._core.errors import ObjectMissing, RepositoryDamaged, WrongPassword
from . import crypto
from .crypto import MasterKey
from .unpacked import list_ids

if t.TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .._core.redaction import Secret
    from .._storage.base import Backend

# What restic's own calibration comes to on current machines: about 0.4 s and 32 MiB.
_N, _R, _P = 32768, 8, 5
_SALT_BYTES = 64  # restic refuses any other length
_KEY_BYTES = 64
_AES_BYTES, _MAC_BYTES = 32, 16
_MIB = 1 << 20
# A key file is anybody's who can write into the store: it must not make us take all memory or time.
_MAX_MEMORY = 1 << 30
_MAX_P = 256
MAX_KEYS = 20
"""restic tries no more key files than this before it gives up."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class KeyFile:
    """A key file, and what its maker wrote beside the key; None where that is missing.

    Nobody vouches for these words: whoever can write into the store can change them.
    """

    id: bytes
    created: str | None
    username: str | None
    hostname: str | None


def key_name(key_id: bytes) -> str:
    """Return the name under which a key file is stored."""
    return f"keys/{key_id.hex()}"


def _derive(password: Secret, salt: bytes, n: int, r: int, p: int) -> MasterKey:
    """Return the key that a password and the parameters of scrypt make."""
    memory = 128 * r * (n + p + 2)
    if min(n, r, p) < 1 or memory > _MAX_MEMORY or p > _MAX_P:
        raise ValueError(f"scrypt with N={n}, r={r}, p={p} is out of bounds")
    derived = hashlib.scrypt(
        password.reveal().encode("utf-8", "surrogateescape"),
        salt=salt,
        n=n,
        r=r,
        p=p,
        maxmem=memory + _MIB,
        dklen=_KEY_BYTES,
    )
    return MasterKey(
        encrypt=derived[:_AES_BYTES],
        mac_k=derived[_AES_BYTES : _AES_BYTES + _MAC_BYTES],
        mac_r=derived[_AES_BYTES + _MAC_BYTES :],
    )


def encode_key_file(master: MasterKey, password: Secret) -> bytes:
    """Return a new key file for ``password``; takes about half a second."""
    salt = os.urandom(_SALT_BYTES)
    plain = {
        "mac": {"k": _to_base64(master.mac_k), "r": _to_base64(master.mac_r)},
        "encrypt": _to_base64(master.encrypt),
    }
    sealed = crypto.seal(_derive(password, salt, _N, _R, _P), json.dumps(plain).encode("ascii"))
    key_file = {
        "created": datetime.datetime.now(datetime.UTC).isoformat(),
        "username": _user_name(),
        "hostname": socket.gethostname(),
        "kdf": "scrypt",
        "N": _N,
        "r": _R,
        "p": _P,
        "salt": _to_base64(salt),
        "data": _to_base64(sealed),
    }
    return json.dumps(key_file, separators=(",", ":")).encode("ascii")


def decode_key_file(data: bytes, password: Secret, *, name: str) -> MasterKey | None:
    """Return the master key, or None if the password is not that of this file.

    Raises ``RepositoryDamaged`` when the file is not a key file.
    """
    try:
        key_file = json.loads(data)
        if key_file["kdf"] != "scrypt":
            raise ValueError(f"kdf {key_file['kdf']!r}")
        salt, sealed = (
            base64.b64decode(key_file[field], validate=True) for field in ("salt", "data")
        )
        user_key = _derive(password, salt, *(int(key_file[field]) for field in ("N", "r", "p")))
    except (ValueError, KeyError, TypeError, OverflowError, MemoryError) as exc:
        raise RepositoryDamaged(f"{name} is not a key file ({exc}).", file=name) from exc
    try:
        plain = crypto.unseal(user_key, sealed, name=name)
    except RepositoryDamaged:
        return None
    return _decode_master(plain, name)


def _decode_master(plain: bytes, name: str) -> MasterKey:
    try:
        found = json.loads(plain)
        parts = (found["encrypt"], found["mac"]["k"], found["mac"]["r"])
        encrypt, mac_k, mac_r = (base64.b64decode(part, validate=True) for part in parts)
    except (ValueError, KeyError, TypeError) as exc:
        raise RepositoryDamaged(f"{name} opens, but holds no master key ({exc}).") from exc
    if (len(encrypt), len(mac_k), len(mac_r)) != (_AES_BYTES, _MAC_BYTES, _MAC_BYTES):
        raise RepositoryDamaged(f"{name} opens, but the lengths in its master key are wrong.")
    return MasterKey(encrypt=encrypt, mac_k=mac_k, mac_r=mac_r)


def write_key(backend: Backend, master: MasterKey, password: Secret) -> bytes:
    """Write a key file for ``password`` and return its id; durable on return."""
    data = encode_key_file(master, password)
    key_id = hashlib.sha256(data).digest()
    backend.write(key_name(key_id), data)
    return key_id


def find_master_keys(
    backend: Backend, passwords: Sequence[Secret]
) -> Iterator[tuple[bytes, MasterKey]]:
    """Yield id and master key of each key file that one of ``passwords`` opens, in the order of
    ids.

    Each file and password takes about half a second, so take the first that fits. A file that is
    not a key file is passed over.

    Raises, at the end and only if nothing was yielded, ``WrongPassword``, or ``RepositoryDamaged``
    when there is no key file that could be tried.
    """
    opened = tried = 0
    damage = "there is none"
    for key_id in sorted(list_ids(backend, "keys")):
        name = f"{key_name(key_id)} in {backend.location}"
        try:
            data = backend.read(key_name(key_id))
            masters = [decode_key_file(data, password, name=name) for password in passwords]
        except (RepositoryDamaged, ObjectMissing) as exc:
            damage = exc.message
            continue
        # One that opens is good enough; of one that does not, it is known whose fault that is.
        if not any(masters) and hashlib.sha256(data).digest() != key_id:
            damage = f"{name} is damaged: the SHA-256 of its {len(data):,} bytes is not its name"
            continue
        tried += 1
        for master in masters:
            if master is not None:
                opened += 1
                yield key_id, master
    if not opened:
        raise _no_key(backend, tried, damage)


def list_key_files(backend: Backend) -> list[KeyFile]:
    """Return all key files, by id, whether they can be used or not; opens none."""
    found = []
    for key_id in sorted(list_ids(backend, "keys")):
        try:
            fields = json.loads(backend.read(key_name(key_id)))
        except ObjectMissing:
            continue
        except ValueError:
            fields = {}
        told = fields if isinstance(fields, dict) else {}
        found.append(
            KeyFile(
                id=key_id,
                created=_text(told.get("created")),
                username=_text(told.get("username")),
                hostname=_text(told.get("hostname")),
            )
        )
    return found


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def keys_opened_by(backend: Backend, password: Secret, master: MasterKey) -> Iterator[bytes]:
    """Yield the id of each key file that ``password`` opens and that holds ``master``, by id; each
    file that is tried takes about half a second.

    A key of an interrupted creation holds another master key: it opens nothing and does not count.
    """
    try:
        for key_id, found in find_master_keys(backend, [password]):
            if found == master:
                yield key_id
    except (WrongPassword, RepositoryDamaged):
        return


def _no_key(backend: Backend, tried: int, damage: str) -> RepositoryDamaged | WrongPassword:
    if not tried:
        return RepositoryDamaged(
            f"No key file of the repository in {backend.location} can be used ({damage}); bring "
            "back its folder keys from a copy, since without it nothing can be opened."
        )
    return WrongPassword(
        f"The password does not open the repository in {backend.location} (key files tried: "
        f"{tried}); give the password that it was made with, or another one that was added to it."
    )


def _to_base64(data: bytes | bytearray) -> str:
    return binascii.b2a_base64(data, newline=False).decode("ascii")


def _user_name() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())  # containers run as users that no passwd file knows
