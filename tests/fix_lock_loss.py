# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What runs that die, sleep or lose their lock back up and prune, and what is seen afterwards."""

from __future__ import annotations

import dataclasses
import os
import typing as t
from dataclasses import dataclass, replace

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._repository.lock_file import (
    list_locks,
    lock_name,
    seal_lock,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.prune import (
    execute_prune,
    plan_prune,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.repository import (
    Repository,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.snapshot import (
    SNAPSHOTS,
    list_snapshots,
)
from tests.fix_backup import back_up_server
from tests.fix_postgres import DatabaseFactory, PostgresFactory
from tests.fix_quick_key import make_key_quick
from tests.fix_repository import Place, back_up, read_files
from tests.testbed.http_proxy import HttpProxy
from tests.testbed.postgres import PostgresServer
from tests.testbed.s3 import Bucket

PACK = 1 << 20
TABLE = """
CREATE TABLE big AS SELECT i AS id, md5(i::text) || md5((i + 1)::text) || md5((i + 2)::text) AS a
  FROM generate_series(1, 200000) i;
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A database to back up."""

    server: PostgresServer
    name: str

    def back_up(self, place: Place, **more: t.Any) -> str:
        """Back it up, and give the snapshot's id."""
        made = back_up_server(
            self.server, place, databases=[self.name], pack_size=PACK, jobs=2, **more
        )
        assert made.snapshot.id is not None
        return made.snapshot.id


@pytest.fixture
def source(postgres: PostgresFactory, fresh_database: DatabaseFactory) -> Source:
    """A database of several packs."""
    server = postgres(17)
    name = fresh_database(server)
    server.execute(TABLE, database=name)
    return Source(server=server, name=name)


def made(place: Place) -> Place:
    """The place with an empty repository that opens in milliseconds."""
    with place.create() as repository:
        make_key_quick(repository)
    return place


def rewritten(repository: Repository, **changes: t.Any) -> None:
    """Let the one lock that is there be of another origin."""
    (found,) = list_locks(repository)
    assert found.lock is not None
    assert found.lock.origin is not None
    origin = dataclasses.replace(found.lock.origin, **changes)
    lock_id, sealed = seal_lock(repository, replace(found.lock, origin=origin))
    repository.backend.delete(found.name)
    repository.backend.write(lock_name(lock_id), sealed)


def by(place: Place, proxy: HttpProxy) -> Place:
    """The same place, reached by the proxy."""
    assert isinstance(place.where, Bucket)
    return replace(place, where=replace(place.where, endpoint=proxy.endpoint))


def worth_pruning(place: Place) -> dict[str, bytes]:
    """Snapshots of which one is forgotten; what is kept."""
    made(place)
    kept = {f"/postgres/{n}": os.urandom(900_000) for n in range(5)}
    with place.open() as repository:
        back_up(repository, kept | {f"/postgres/x{n}": os.urandom(900_000) for n in range(7)})
        (first,) = list_snapshots(repository)
        back_up(repository, kept)
        repository.backend.delete(f"{SNAPSHOTS}/{first.id.hex()}")
    return kept


def prune_place(place: Place) -> int:
    """Prune it, and give how many bytes that freed."""
    with place.open() as repository, repository.lock(exclusive=True) as held:
        return execute_prune(repository, held, plan_prune(repository)).freed_bytes


def restores(place: Place, files: dict[str, bytes]) -> None:
    """See that the newest snapshot gives these files."""
    with place.open() as repository:
        assert read_files(repository, list_snapshots(repository)[-1]) == files
