# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Repositories that open in milliseconds, for tests that open one hundreds of times."""

from __future__ import annotations

import base64
import hashlib
import json
import os

from ansible_collections.granary.postgres.plugins.module_utils._repository import crypto
from ansible_collections.granary.postgres.plugins.module_utils._repository.crypto import MasterKey
from ansible_collections.granary.postgres.plugins.module_utils._repository.repository import (
    Repository,
)
from tests.fix_repository import PASSWORD

_N, _R, _P = 1024, 8, 1


def make_key_quick(repository: Repository, password: str = PASSWORD) -> None:
    """Put one key file in place of all: scrypt with N=1024, which takes 2 ms in place of 400."""
    old = {entry.name for entry in repository.backend.entries("keys/")}
    new = add_quick_key(repository, password)
    for name in old - {new}:
        repository.backend.delete(name)


def add_quick_key(repository: Repository, password: str) -> str:
    """Add a key file of that kind, and give its name."""
    salt = os.urandom(64)
    derived = hashlib.scrypt(
        password.encode(), salt=salt, n=_N, r=_R, p=_P, maxmem=1 << 25, dklen=64
    )
    user = MasterKey(encrypt=derived[:32], mac_k=derived[32:48], mac_r=derived[48:])
    master = repository.key
    plain = {
        "mac": {"k": _text(master.mac_k), "r": _text(master.mac_r)},
        "encrypt": _text(master.encrypt),
    }
    sealed = crypto.seal(user, json.dumps(plain).encode())
    fields = {"kdf": "scrypt", "N": _N, "r": _R, "p": _P}
    data = json.dumps({**fields, "salt": _text(salt), "data": _text(sealed)}).encode()
    name = f"keys/{hashlib.sha256(data).hexdigest()}"
    repository.backend.write(name, data)
    return name


def _text(data: bytes | bytearray) -> str:
    return base64.b64encode(data).decode()
