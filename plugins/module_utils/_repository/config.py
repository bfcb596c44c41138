# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""The config file: what makes a place a repository.

``{"version", "id", "chunker_polynomial"}``, sealed and never compressed. It is written once, when
the repository is made, and never changed.
"""

from __future__ import annotations

import dataclasses
import json
import secrets
import typing as t

from .._core.errors import (
    ConfigError,
    ObjectMissing,
    RepositoryDamaged,
    RepositoryMissing,
    WrongPassword,
)
from . import crypto
from .keys import find_master_keys
from .model import ID_BYTES, MAX_VERSION, MIN_VERSION
from .polynomial import random_polynomial
from .unpacked import list_ids

if t.TYPE_CHECKING:
    from collections.abc import Sequence

    from .._core.redaction import Secret
    from .._storage.base import Backend
    from .crypto import MasterKey

CONFIG = "config"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Format version, id of the repository (64 hex digits), and polynomial of restic's chunker (0:
    not there).
    """

    version: int
    id: str
    polynomial: int


def new_config(version: int) -> Config:
    """Return the config of a new repository. Raises ``ConfigError`` for a version that we do not
    write.
    """
    if not MIN_VERSION <= version <= MAX_VERSION:
        raise ConfigError(
            f"Repositories of version {version} cannot be made; choose {MIN_VERSION} or "
            f"{MAX_VERSION}."
        )
    return Config(
        version=version, id=secrets.token_bytes(ID_BYTES).hex(), polynomial=random_polynomial()
    )


def encode_config(key: MasterKey, config: Config) -> bytearray:
    """Return the sealed file."""
    fields = {
        "version": config.version,
        "id": config.id,
        "chunker_polynomial": f"{config.polynomial:x}",
    }
    return crypto.seal(key, json.dumps(fields, separators=(",", ":")).encode("ascii"))


def decode_config(key: MasterKey, sealed: bytes, *, location: str) -> Config:
    """Return the config in a sealed file.

    Raises ``RepositoryDamaged`` when the key does not open it or it does not parse, ``ConfigError``
    for a version that we do not know.
    """
    name = f"config in {location}"
    plain = crypto.unseal(key, sealed, name=name)
    try:
        fields = json.loads(plain)
        config = Config(
            version=int(fields["version"]),
            id=str(fields["id"]),
            polynomial=int(fields.get("chunker_polynomial") or "0", 16),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise RepositoryDamaged(f"{name} is damaged: it does not parse ({exc}).") from exc
    if not MIN_VERSION <= config.version <= MAX_VERSION:
        raise ConfigError(
            f"The repository in {location} has format version {config.version}, this release knows "
            f"{MIN_VERSION} to {MAX_VERSION}; use a newer release."
        )
    return config


def read_config(backend: Backend, key: MasterKey) -> Config:
    """Read the config. Raises as ``decode_config``, and ``RepositoryMissing`` if there is none."""
    return decode_config(key, _read_sealed(backend), location=backend.location)


def open_config(backend: Backend, passwords: Sequence[Secret]) -> tuple[Config, MasterKey]:
    """Open the repository with any of ``passwords``; one key file takes about half a second.

    Raises ``RepositoryMissing``, ``WrongPassword``, ``RepositoryDamaged``, ``ConfigError``.
    """
    sealed = _read_sealed(backend)
    useless = set()
    for key_id, key in find_master_keys(backend, passwords):
        try:
            return decode_config(key, sealed, location=backend.location), key
        except RepositoryDamaged:
            # It may be what an interrupted creation left, and another one the right one.
            useless.add(key_id)
    if set(list_ids(backend, "keys")) - useless:
        raise WrongPassword(
            f"The password opens only a key of the repository in {backend.location} that does not "
            "open its config, as an interrupted creation leaves it; give the password that the "
            "repository was made with."
        )
    raise RepositoryDamaged(
        f"The password opens a key of the repository in {backend.location}, which does not open "
        "its config; bring back config and keys from one copy."
    )


def _read_sealed(backend: Backend) -> bytes:
    try:
        return backend.read(CONFIG)
    except ObjectMissing as exc:
        raise RepositoryMissing(
            f"There is no repository in {backend.location} ({exc.message.rstrip('.')}); check the "
            "place, or make a repository there first."
        ) from exc
