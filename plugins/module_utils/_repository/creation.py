# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""Makes a repository, also when many do that at the same place at the same time.

Everybody writes a key, then tries to make ``config`` exclusively: one wins. The others delete their
key and open the winner's repository with their own password. Where the store cannot make a file
exclusively, the lowest key id wins, after a wait in which everybody's key becomes visible. Keys
without config and without anything else are a creation that was interrupted: it is completed with
that key if our password opens it.

A key is deleted only if it cannot be the winner's: by its writer once config is seen not to open
with it, by the winner if it was there before config was, and by whoever finds it later, since
restic takes the first key that a password opens, and gives up when config does not open with it.
"""

from __future__ import annotations

import contextlib
import itertools
import time
import typing as t

from .._core.errors import (
    ConfigError,
    RepositoryDamaged,
    RepositoryLocked,
    StorageError,
    WrongPassword,
)
from .config import CONFIG, Config, encode_config, new_config, open_config, read_config
from .crypto import MasterKey, new_master_key
from .keys import find_master_keys, key_name, write_key
from .model import MAX_VERSION
from .unpacked import list_ids

if t.TYPE_CHECKING:
    from collections.abc import Sequence

    from .._core.redaction import Secret
    from .._storage.base import Backend

# The lowest key id may write config while everybody else still waits: one PUT has to fit into this.
SETTLE_SECONDS = 5.0
# A creation that has not come to its config for so long, by the store's own clock, was interrupted.
ABANDONED_SECONDS = 300.0
_PATIENCE_SECONDS = 60.0
_CONTENT = ("data", "index", "snapshots")


def create_repository(
    backend: Backend, passwords: Sequence[Secret], *, version: int = MAX_VERSION
) -> tuple[Config, MasterKey, bool]:
    """Make a repository with the first of ``passwords``, or open the one that is there with any of
    them.

    Returns its config and master key, and whether this call made it. The place itself must be there
    (``prepare``). What is there already is never changed, whatever its version.

    Raises ``RepositoryDamaged`` for a place with packs, index files or snapshots but no config,
    ``WrongPassword``, ``RepositoryLocked`` while somebody else's creation is not finished,
    ``ConfigError`` for an empty password.
    """
    if not passwords or not passwords[0]:
        raise ConfigError("A repository needs a password that is not empty; give one by password.")
    if backend.size(CONFIG) is not None:
        return _open_and_tidy(backend, passwords)
    config = new_config(version)
    content = next((f for f in _CONTENT if any(True for dummy in list_ids(backend, f))), None)
    if content is not None:
        return _open_or_refuse(backend, passwords, content)
    return _Creation(backend, passwords, config).run()


def _open_and_tidy(backend: Backend, passwords: Sequence[Secret]) -> tuple[Config, MasterKey, bool]:
    """Open what is there, and take away the keys of ours that a killed creation has left."""
    config, key = open_config(backend, passwords)
    if len(list(itertools.islice(list_ids(backend, "keys"), 2))) > 1:
        for key_id, master in find_master_keys(backend, passwords):
            # No right to delete, say: it is in nobody's way but restic's.
            with contextlib.suppress(StorageError):
                if _is_useless(backend, master) and _config_is_final(backend, key_id):
                    backend.delete(key_name(key_id))
    return config, key, False


def _is_useless(backend: Backend, master: MasterKey) -> bool:
    """Tell whether a master key does not open config; two that differ may both do."""
    try:
        read_config(backend, master)
    except RepositoryDamaged:
        return True
    return False


def _config_is_final(backend: Backend, key_id: bytes) -> bool:
    """Tell whether config can be no other than it is now, when the store settles who makes it.

    It is asked by making a key file once more that is there: nothing is changed by that.
    """
    name = key_name(key_id)
    return backend.write_exclusive(name, backend.read(name)) is not None


def _open_or_refuse(
    backend: Backend, passwords: Sequence[Secret], folder: str
) -> tuple[Config, MasterKey, bool]:
    """Open what was made and used since we looked for config; refuse what still has none."""
    if backend.size(CONFIG) is not None:
        return _open_and_tidy(backend, passwords)
    raise RepositoryDamaged(
        f"{backend.location} holds files of a repository ({folder}/) but no config, so nothing "
        "was made there; bring config and keys back from a copy, or choose an empty place."
    )


class _Creation:
    def __init__(self, backend: Backend, passwords: Sequence[Secret], config: Config) -> None:
        self._backend = backend
        self._passwords = passwords
        self._config = config
        self._before = set(list_ids(backend, "keys"))
        found = self._find_unfinished()
        self._key_is_ours = found is None
        if found is None:
            master = new_master_key()
            found = write_key(backend, master, passwords[0]), master
        self._key_id, self._key = found

    def run(self) -> tuple[Config, MasterKey, bool]:
        made = self._backend.write_exclusive(CONFIG, encode_config(self._key, self._config))
        if made is None:
            return self._agree()
        if not made:
            return self._lose()
        self._finish(self._before)
        return self._config, self._key, True

    def _find_unfinished(self) -> tuple[bytes, MasterKey] | None:
        if not self._before:
            return None
        try:
            return next(find_master_keys(self._backend, self._passwords))
        except (WrongPassword, RepositoryDamaged):
            return None

    def _finish(self, useless: set[bytes]) -> None:
        """Take away the key files that open nothing, and prove that ours opens what we made."""
        for key_id in useless - {self._key_id}:
            self._backend.delete(key_name(key_id))
        if self._backend.size(key_name(self._key_id)) is None:
            # It was another creation's, which took it away: the master key is what counts.
            self._key_id = write_key(self._backend, self._key, self._passwords[0])
        read_config(self._backend, self._key)

    def _lose(self) -> tuple[Config, MasterKey, bool]:
        """Open what another has made."""
        try:
            # Somebody may have completed our creation with our key.
            return read_config(self._backend, self._key), self._key, False
        except RepositoryDamaged:
            if self._key_is_ours:
                self._backend.delete(key_name(self._key_id))
        return (*open_config(self._backend, self._passwords), False)

    def _agree(self) -> tuple[Config, MasterKey, bool]:
        """Let the lowest key id write config."""
        give_up = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < give_up:
            time.sleep(SETTLE_SECONDS)
            abandoned = self._abandoned()
            others = set(list_ids(self._backend, "keys")) - abandoned
            if self._backend.size(CONFIG) is not None:
                return self._lose()
            if self._key_id <= min(others, default=self._key_id):
                self._backend.write(CONFIG, encode_config(self._key, self._config))
                time.sleep(SETTLE_SECONDS)
                return self._confirm(abandoned)
        raise RepositoryLocked(
            f"Somebody else's creation of a repository in {self._backend.location} is not "
            f"finished; try again in {ABANDONED_SECONDS / 60:.0f} minutes."
        )

    def _abandoned(self) -> set[bytes]:
        found = set()
        for key_id in set(list_ids(self._backend, "keys")) - {self._key_id}:
            age = self._backend.age_seconds(key_name(key_id))
            if age is not None and age > ABANDONED_SECONDS:
                found.add(key_id)
        return found

    def _confirm(self, abandoned: set[bytes]) -> tuple[Config, MasterKey, bool]:
        """Read what stands there now that everybody who could write it has: perhaps not ours."""
        try:
            config = read_config(self._backend, self._key)
        except RepositoryDamaged:
            return self._lose()
        if config != self._config:
            return config, self._key, False
        self._finish(abandoned)
        return config, self._key, True
