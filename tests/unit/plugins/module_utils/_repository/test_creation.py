# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Making and opening repositories: one winner, no key left over, nothing overwritten."""

from __future__ import annotations

import base64
import hashlib
import json
import multiprocessing
from pathlib import Path

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import (
    ConfigError,
    RepositoryDamaged,
    RepositoryMissing,
    WrongPassword,
)
from ansible_collections.granary.postgres.plugins.module_utils._core.redaction import Secret
from ansible_collections.granary.postgres.plugins.module_utils._repository.config import (
    Config,
    encode_config,
    new_config,
    open_config,
    read_config,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.creation import (
    create_repository,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.crypto import (
    new_master_key,
    seal,
    unseal,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.keys import (
    decode_key_file,
    encode_key_file,
    write_key,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.polynomial import (
    is_irreducible,
    random_polynomial,
)
from ansible_collections.granary.postgres.plugins.module_utils._storage.base import Backend
from ansible_collections.granary.postgres.plugins.module_utils._storage.model import LocalSettings
from ansible_collections.granary.postgres.plugins.module_utils._storage.registry import open_backend

PASSWORD = Secret("correct horse")
OTHER = Secret("battery staple ü")
FORK = multiprocessing.get_context("fork")


@pytest.fixture
def backend(tmp_path: Path) -> Backend:
    return open_backend(LocalSettings(path=str(tmp_path)))


def key_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("keys/*"))


class TestPolynomial:
    def test_known_ones(self) -> None:
        assert is_irreducible(0x3DA3358B4DC173)  # that of restic's own tests
        assert is_irreducible(0x2D735B6D943A25)  # made by restic 0.19.1

    @pytest.mark.parametrize(
        "polynomial",
        [0, 1, 0x3DA3358B4DC173 ^ 2, 0x3DA3358B4DC173 ^ 1, 0x3DA3358B4DC173 >> 1,
         0x3DA3358B4DC173 << 1, 1 << 53 | 1, (1 << 54) - 1],
    )  # fmt: skip
    def test_reducible_or_of_another_degree(self, polynomial: int) -> None:
        assert not is_irreducible(polynomial)

    def test_products_are_reducible(self) -> None:
        # 1 + x + x^3 divides none of its neighbours: the product of degrees 3 and 50.
        factor, product = random_polynomial() >> 3 | 1, 0
        for shift in (0, 1, 3):
            product ^= factor << shift
        assert product.bit_length() == 54
        assert not is_irreducible(product)

    def test_random_ones(self) -> None:
        found = {random_polynomial() for dummy in range(20)}
        assert len(found) == 20
        assert all(is_irreducible(polynomial) for polynomial in found)


class TestKeyFile:
    def test_round_trip_and_parameters(self) -> None:
        master = new_master_key()
        data = encode_key_file(master, OTHER)
        assert decode_key_file(data, OTHER, name="It") == master
        assert decode_key_file(data, PASSWORD, name="It") is None
        fields = json.loads(data)
        assert [fields[name] for name in ("kdf", "N", "r", "p")] == ["scrypt", 32768, 8, 5]
        assert len(base64.b64decode(fields["salt"])) == 64

    @pytest.mark.parametrize(
        "change",
        [{"kdf": "argon2"}, {"N": 32767}, {"N": 1 << 40}, {"r": 0}, {"p": 1 << 20}, {"N": "x"},
         {"salt": "*"}, {"data": None}, {"N": -1}],
        ids=str,
    )  # fmt: skip
    def test_what_is_no_key_file(self, change: dict[str, object]) -> None:
        fields = {"kdf": "scrypt", "N": 1024, "r": 8, "p": 1, "salt": "", "data": ""} | change
        with pytest.raises(RepositoryDamaged, match="keys/it is not a key file"):
            decode_key_file(json.dumps(fields).encode(), PASSWORD, name="keys/it")

    @pytest.mark.parametrize("data", [b"", b"[]", b"{}", b"\xff"])
    def test_what_is_not_even_json(self, data: bytes) -> None:
        with pytest.raises(RepositoryDamaged, match="is not a key file"):
            decode_key_file(data, PASSWORD, name="It")


class TestConfig:
    def test_json_is_not_compressed(self) -> None:
        key = new_master_key()
        config = new_config(2)
        fields = json.loads(unseal(key, encode_config(key, config)))
        assert fields == {
            "version": 2,
            "id": config.id,
            "chunker_polynomial": f"{config.polynomial:x}",
        }
        assert list(fields) == ["version", "id", "chunker_polynomial"]
        assert is_irreducible(config.polynomial)

    def test_unknown_version(self, backend: Backend) -> None:
        key = new_master_key()
        write_key(backend, key, PASSWORD)
        config = Config(version=3, id="ab" * 32, polynomial=1)
        backend.write("config", encode_config(key, config))
        with pytest.raises(ConfigError, match="version 3"):
            open_config(backend, [PASSWORD])
        with pytest.raises(ConfigError, match="version 3"):
            new_config(3)

    @pytest.mark.parametrize("plain", [b"", b"[]", b'{"version":2}', b'{"version":"x","id":""}'])
    def test_damage(self, backend: Backend, plain: bytes) -> None:
        key = new_master_key()
        backend.write("config", seal(key, plain))
        with pytest.raises(RepositoryDamaged, match=r"config in .* is damaged"):
            read_config(backend, key)

    def test_missing(self, backend: Backend, tmp_path: Path) -> None:
        with pytest.raises(RepositoryMissing, match="no repository in"):
            open_config(backend, [PASSWORD])
        nowhere = open_backend(LocalSettings(path=str(tmp_path / "nowhere")))
        with pytest.raises(RepositoryMissing, match="no repository in"):
            open_config(nowhere, [PASSWORD])


class TestCreate:
    @pytest.mark.parametrize("version", [1, 2])
    def test_made_and_opened(self, backend: Backend, tmp_path: Path, version: int) -> None:
        config, key, created = create_repository(backend, [PASSWORD], version=version)
        assert created
        assert config.version == version
        assert len(key_files(tmp_path)) == 1
        assert open_config(backend, [OTHER, PASSWORD]) == (config, key)
        assert create_repository(backend, [PASSWORD]) == (config, key, False)
        with pytest.raises(WrongPassword):
            create_repository(backend, [OTHER])
        assert len(key_files(tmp_path)) == 1

    def test_several_passwords(self, backend: Backend) -> None:
        config, key, dummy = create_repository(backend, [PASSWORD])
        write_key(backend, key, OTHER)
        for password in (PASSWORD, OTHER):
            assert open_config(backend, [password]) == (config, key)

    def test_empty_password(self, backend: Backend, tmp_path: Path) -> None:
        for passwords in ([], [Secret("")]):
            with pytest.raises(ConfigError, match="not empty"):
                create_repository(backend, passwords)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("folder", ["data/ab", "index", "snapshots"])
    def test_files_without_config_are_refused(
        self, backend: Backend, tmp_path: Path, folder: str
    ) -> None:
        backend.write(f"{folder}/{'ab' * 32}", b"x")
        with pytest.raises(RepositoryDamaged, match=r"but no config"):
            create_repository(backend, [PASSWORD])
        assert not (tmp_path / "config").exists()
        assert key_files(tmp_path) == []

    def test_foreign_files_do_no_harm(self, backend: Backend, tmp_path: Path) -> None:
        backend.write("README", b"x")
        backend.write("data/notes", b"x")
        assert create_repository(backend, [PASSWORD])[2]
        assert (tmp_path / "README").exists()

    def test_unfinished_creation_is_completed_with_its_key(
        self, backend: Backend, tmp_path: Path
    ) -> None:
        master = new_master_key()
        key_id = write_key(backend, master, PASSWORD)
        dummy, key, created = create_repository(backend, [PASSWORD])
        assert created
        assert key == master
        assert [path.name for path in key_files(tmp_path)] == [key_id.hex()]

    def test_keys_of_somebody_elses_unfinished_creation_go(
        self, backend: Backend, tmp_path: Path
    ) -> None:
        write_key(backend, new_master_key(), OTHER)
        backend.write(f"keys/{'ab' * 32}", b"broken")
        config, key, created = create_repository(backend, [PASSWORD])
        assert created
        assert len(key_files(tmp_path)) == 1
        assert open_config(backend, [PASSWORD]) == (config, key)

    def test_stale_key_of_the_same_password_is_passed_over(self, backend: Backend) -> None:
        config, key, dummy = create_repository(backend, [PASSWORD])
        write_key(backend, new_master_key(), PASSWORD)
        assert open_config(backend, [PASSWORD]) == (config, key)
        write_key(backend, new_master_key(), OTHER)
        with pytest.raises(WrongPassword, match="does not open its config"):
            open_config(backend, [OTHER])

    def test_what_a_killed_loser_has_left_goes_with_the_next_creation(
        self, backend: Backend, tmp_path: Path
    ) -> None:
        config, key, dummy = create_repository(backend, [PASSWORD])
        (own,) = key_files(tmp_path)
        second = write_key(backend, key, OTHER)
        write_key(backend, new_master_key(), PASSWORD)
        not_ours = write_key(backend, new_master_key(), OTHER)
        assert create_repository(backend, [PASSWORD]) == (config, key, False)
        left = {own.name, second.hex(), not_ours.hex()}
        assert {path.name for path in key_files(tmp_path)} == left

    def test_keys_of_another_repository(self, backend: Backend) -> None:
        write_key(backend, new_master_key(), PASSWORD)
        backend.write("config", encode_config(new_master_key(), new_config(2)))
        with pytest.raises(RepositoryDamaged, match="config and keys from one copy"):
            open_config(backend, [PASSWORD])


def create_at_once(folder: Path, passwords: list[Secret]) -> list[tuple[str, bool]]:
    """Let a process for each password create the repository; return config ids (or errors)."""
    answers = FORK.SimpleQueue()
    start = FORK.Barrier(len(passwords))

    def create(password: Secret) -> None:
        backend = open_backend(LocalSettings(path=str(folder)))
        start.wait()
        backend.prepare()
        try:
            config, dummy, created = create_repository(backend, [password])
            answers.put((config.id, created))
        except WrongPassword:
            answers.put(("wrong password", False))

    workers = [FORK.Process(target=create, args=(password,)) for password in passwords]
    for worker in workers:
        worker.start()
    found = [answers.get() for dummy in workers]
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    return found


class TestRace:
    def test_one_repository_for_all(self, tmp_path: Path) -> None:
        folder = tmp_path / "repository"
        found = create_at_once(folder, [PASSWORD] * 4)
        assert len({config_id for config_id, dummy in found}) == 1
        assert [created for dummy, created in found].count(True) == 1
        assert len(key_files(folder)) == 1
        config, dummy_key = open_config(open_backend(LocalSettings(path=str(folder))), [PASSWORD])
        assert config.id == found[0][0]

    def test_losers_with_another_password_are_told(self, tmp_path: Path) -> None:
        folder = tmp_path / "repository"
        passwords = [PASSWORD, OTHER, PASSWORD, OTHER]
        found = create_at_once(folder, passwords)
        assert [created for dummy, created in found].count(True) == 1
        assert [answer for answer, dummy in found].count("wrong password") == 2
        (path,) = key_files(folder)
        assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name
