# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Repositories in Google Cloud Storage and Azure: backed up, restored, pruned, read by restic."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._core.redaction import Secret
from ansible_collections.granary.postgres.plugins.module_utils._repository.prune import (
    execute_prune,
    plan_prune,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.snapshot import (
    list_snapshots,
)
from ansible_collections.granary.postgres.plugins.module_utils._storage.model import (
    AzureSettings,
    GcsSettings,
)
from ansible_collections.granary.postgres.plugins.module_utils._storage.registry import open_backend
from tests.fix_backup import back_up_server
from tests.fix_postgres import PostgresFactory
from tests.fix_repository import PASSWORD, Place, back_up, read_files
from tests.fix_restore import restore_server
from tests.testbed import emulators
from tests.testbed.emulators import AzureServer
from tests.testbed.restic import Restic

ROWS = "CREATE TABLE big AS SELECT n AS id, md5(n::text) AS text FROM generate_series(1, 20000) n"


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudPlace(Place):
    """A place in an emulator; `where` is not used."""

    cloud: GcsSettings | AzureSettings

    @property
    def settings(self) -> GcsSettings | AzureSettings:  # type: ignore[override] # another store
        """The place as the engine is told."""
        return self.cloud


def _gcs(place: emulators.Place) -> GcsSettings:
    return GcsSettings(bucket=place.name, prefix="in/it", project="test", endpoint=place.endpoint)


def _azure(place: emulators.Place) -> AzureSettings:
    return AzureSettings(
        container=place.name,
        prefix="in/it",
        account_name=AzureServer.account,
        account_key=Secret(AzureServer.key),
        endpoint=place.endpoint,
    )


@pytest.fixture(params=["gcs", "azure"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> CloudPlace:
    """A new bucket or container."""
    made = request.getfixturevalue(f"{request.param}_place")
    cloud = _gcs(made) if request.param == "gcs" else _azure(made)
    with open_backend(cloud) as backend:
        backend.prepare(create_bucket=True)
    return CloudPlace(where=tmp_path, cache_dir=tmp_path / "restic-cache", cloud=cloud)


def test_a_backup_comes_back(place: CloudPlace, postgres: PostgresFactory) -> None:
    server = postgres(15, settings={"cluster_name": "cloud"})
    database = f"shop_{type(place.cloud).__name__.lower()}"
    server.execute(f"CREATE DATABASE {database}")
    server.execute(ROWS, database=database)
    place.create().close()
    made = back_up_server(server, place, databases=(database,), segment_threshold=0)
    done = restore_server(
        server, place, databases=(database,), rename={database: f"{database}_2"}, globals=False
    )
    assert done.to_return()["verified"] is True
    assert made.to_return()["snapshot"]
    assert server.execute("SELECT count(*) FROM big", database=f"{database}_2") == [(20000,)]


def test_what_is_forgotten_is_pruned(place: CloudPlace) -> None:
    kept = {f"/postgres/{n}": os.urandom(900_000) for n in range(3)}
    with place.create() as repository:
        back_up(repository, kept | {f"/postgres/x{n}": os.urandom(900_000) for n in range(5)})
        (first,) = list_snapshots(repository)
        back_up(repository, kept)
        repository.backend.delete(f"snapshots/{first.id.hex()}")
    with place.open() as repository, repository.lock(exclusive=True) as held:
        assert execute_prune(repository, held, plan_prune(repository)).freed_bytes > 4_000_000
    with place.open() as repository:
        assert read_files(repository, list_snapshots(repository)[-1]) == kept
        assert list(repository.backend.entries("locks/")) == []


def test_restic_reads_what_is_in_a_bucket_of_google(
    gcs_place: emulators.Place, tmp_path: Path
) -> None:
    # Only 0.19 lets itself be led to an emulator; for Azure neither release does.
    files = {"/postgres/x": os.urandom(900_000)}
    place = CloudPlace(where=tmp_path, cache_dir=tmp_path / "restic-cache", cloud=_gcs(gcs_place))
    with open_backend(place.cloud) as backend:
        backend.prepare(create_bucket=True)
        location = backend.location
    with place.create() as repository:
        back_up(repository, files)
    restic = Restic(
        version="0.19",
        repository=location,
        password=PASSWORD,
        cache_dir=place.cache_dir,
        environment={
            "STORAGE_EMULATOR_HOST": gcs_place.endpoint.partition("://")[2],
            "GOOGLE_ACCESS_TOKEN": "none",
            "GOOGLE_PROJECT_ID": "test",
        },
    )
    restic.run("check", "--read-data")
    assert restic.raw("dump", "latest", "/postgres/x") == files["/postgres/x"]
