# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Repositories that we make, opened by stock restic, and the other way round; many creations at
once."""

from __future__ import annotations

import itertools
import multiprocessing
from pathlib import Path

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import (
    RepositoryMissing,
    WrongPassword,
)
from ansible_collections.granary.postgres.plugins.module_utils._core.redaction import Secret
from ansible_collections.granary.postgres.plugins.module_utils._repository.config import (
    Config,
    open_config,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.creation import (
    create_repository,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.crypto import MasterKey
from ansible_collections.granary.postgres.plugins.module_utils._repository.unpacked import list_ids
from ansible_collections.granary.postgres.plugins.module_utils._storage.base import Backend
from ansible_collections.granary.postgres.plugins.module_utils._storage.model import (
    LocalSettings,
    S3Settings,
)
from ansible_collections.granary.postgres.plugins.module_utils._storage.registry import open_backend
from tests.fix_restic import ResticFactory, restic_on
from tests.fix_sample import Sampler
from tests.testbed.restic import VERSIONS, Restic
from tests.testbed.s3 import Bucket

FORK = multiprocessing.get_context("fork")
PASSWORD = "grüße & 'quotes' \\ $HOME"
PREFIX = "some/where"
BOTH = list(itertools.product(VERSIONS, [1, 2]))
"""Every release of restic with every version of the format."""


def settings_of(place: Path | Bucket) -> LocalSettings | S3Settings:
    """What opens a folder, or a bucket below the prefix."""
    if isinstance(place, Path):
        return LocalSettings(path=str(place))
    return S3Settings(
        bucket=place.name,
        prefix=PREFIX,
        endpoint=place.endpoint,
        region=place.region,
        access_key=Secret(place.access_key),
        secret_key=Secret(place.secret_key),
    )


in_a_place = pytest.mark.sampled("place", ["local", "s3", "careless_s3"], 1, indirect=["place"])


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path | Bucket:
    """An empty place: a folder, a bucket with conditional writes, a bucket without them."""
    if request.param == "local":
        return tmp_path / "repository"
    bucket: Bucket = request.getfixturevalue(f"{request.param}_bucket")
    return bucket


def opened(place: Path | Bucket) -> Backend:
    backend = open_backend(settings_of(place))
    backend.prepare()
    return backend


def assert_same(restic: Restic, config: Config) -> None:
    """restic must read from config what we do, and find nothing to complain about."""
    said = restic.json("cat", "config")
    assert said == {
        "version": config.version,
        "id": config.id,
        "chunker_polynomial": f"{config.polynomial:x}",
    }
    restic.run("check", "--read-data")


@pytest.mark.sampled("release, version", BOTH, 1)
def test_restic_opens_and_uses_what_we_make(release: str, version: int, tmp_path: Path) -> None:
    folder = tmp_path / "repository"
    backend = opened(folder)
    config, key, created = create_repository(backend, [Secret(PASSWORD)], version=version)
    assert created
    stock = restic_on(release, tmp_path / "restic-cache", folder, PASSWORD)
    assert_same(stock, config)
    stock.raw("backup", "--stdin", "--stdin-filename", "x", stdin=b"some bytes" * 1000)
    assert stock.raw("dump", "latest", "x") == b"some bytes" * 1000
    new_password = tmp_path / "new-password"
    new_password.write_text("second")
    stock.run("key", "add", "--new-password-file", str(new_password))
    assert open_config(backend, [Secret("second")]) == (config, key)
    assert_same(stock, config)


@pytest.mark.sampled("release, version", BOTH, 1)
def test_we_open_what_restic_makes_with_several_keys(
    release: str, version: int, tmp_path: Path
) -> None:
    folder = tmp_path / "repository"
    stock = restic_on(release, tmp_path / "restic-cache", folder, PASSWORD)
    stock.run("init", "--repository-version", str(version))
    found: set[tuple[Config, bytes]] = set()
    for password in (PASSWORD, "третий"):
        if password != PASSWORD:
            new_password = tmp_path / "new-password"
            new_password.write_text(password, encoding="utf-8")
            stock.run("key", "add", "--new-password-file", str(new_password))
        config, key = open_config(opened(folder), [Secret("wrong"), Secret(password)])
        found.add((config, key.encrypt + key.mac_k + key.mac_r))
    assert len(found) == 1
    assert config.version == version
    assert_same(stock, config)
    with pytest.raises(WrongPassword, match="key files tried: 2"):
        open_config(opened(folder), [Secret("wrong")])


def create_at_once(place: Path | Bucket, passwords: list[str]) -> list[tuple[str, bool]]:
    """Let one process a password create the repository; each tells its id."""
    answers = FORK.SimpleQueue()
    start = FORK.Barrier(len(passwords))

    def create(password: str) -> None:
        backend = open_backend(settings_of(place))
        start.wait()
        backend.prepare()
        try:
            config, key, created = create_repository(backend, [Secret(password)])
            assert isinstance(key, MasterKey)
            answers.put((config.id, created))
        except WrongPassword:
            answers.put(("wrong password", False))

    workers = [FORK.Process(target=create, args=(password,)) for password in passwords]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    return [answers.get() for dummy in workers]


@in_a_place
def test_many_creations_at_once(
    place: Path | Bucket, newest_restic: ResticFactory, sampler: Sampler
) -> None:
    backend = opened(place)
    with pytest.raises(RepositoryMissing):
        open_config(backend, [Secret(PASSWORD)])
    found = create_at_once(place, sampler([PASSWORD] * 8, 4))
    config, dummy = open_config(backend, [Secret(PASSWORD)])
    assert {repository_id for repository_id, dummy_created in found} == {config.id}
    assert [created for dummy_id, created in found].count(True) == 1
    assert len(list(list_ids(backend, "keys"))) == 1
    assert_same(newest_restic(place, PASSWORD, prefix=PREFIX), config)


@pytest.mark.slow
def test_many_creations_at_once_again_and_again(
    tmp_path: Path, newest_restic: ResticFactory
) -> None:
    for number in range(30):
        folder = tmp_path / str(number)
        found = create_at_once(folder, [PASSWORD] * 8)
        config, dummy = open_config(opened(folder), [Secret(PASSWORD)])
        assert {repository_id for repository_id, dummy_created in found} == {config.id}
        assert_same(newest_restic(folder, PASSWORD), config)


@in_a_place
def test_losers_with_another_password_are_told(place: Path | Bucket) -> None:
    found = create_at_once(place, [PASSWORD, "other", PASSWORD, "other"])
    backend = opened(place)
    assert [created for dummy_id, created in found].count(True) == 1
    assert [answer for answer, dummy_created in found].count("wrong password") == 2
    assert len(list(list_ids(backend, "keys"))) == 1
