# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Places for repositories, seen by us and by stock restic, and backups of made-up files."""

from __future__ import annotations

import random
import time
import typing as t
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._core.events import RecordedEvents
from ansible_collections.granary.postgres.plugins.module_utils._core.redaction import Secret
from ansible_collections.granary.postgres.plugins.module_utils._repository.chunker import (
    StreamChunker,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.config import new_config
from ansible_collections.granary.postgres.plugins.module_utils._repository.crypto import (
    new_master_key,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.index_file import (
    IndexWriter,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.model import (
    BlobKind,
    Compression,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.repository import (
    Repository,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.saver import BlobSaver
from ansible_collections.granary.postgres.plugins.module_utils._repository.snapshot import (
    Snapshot,
    SnapshotFigures,
    list_snapshots,
    read_snapshot,
    unused_time,
    write_snapshot,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.tree import (
    FileContent,
    save_tree,
    walk,
)
from ansible_collections.granary.postgres.plugins.module_utils._storage.model import (
    LocalSettings,
    S3Settings,
)
from ansible_collections.granary.postgres.plugins.module_utils._storage.registry import open_backend
from tests.fix_restic import restic_on
from tests.testbed.restic import Restic
from tests.testbed.s3 import Bucket

PASSWORD = "correct horse"
PREFIX = "some/where"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """An empty folder or bucket; no repository is there before one is made."""

    where: Path | Bucket
    cache_dir: Path

    @property
    def settings(self) -> LocalSettings | S3Settings:
        """The place as the engine is told."""
        if isinstance(self.where, Path):
            return LocalSettings(path=str(self.where))
        return S3Settings(
            bucket=self.where.name,
            prefix=PREFIX,
            endpoint=self.where.endpoint,
            region=self.where.region,
            access_key=Secret(self.where.access_key),
            secret_key=Secret(self.where.secret_key),
        )

    def create(self, *, version: int = 2) -> Repository:
        """Make a repository there, with a key file that opens in milliseconds.

        A creation that comes upon a key without a config completes it, and uses that key.
        """
        self._begin(version)
        made, created = Repository.create(
            self.settings, [Secret(PASSWORD)], version=version, events=RecordedEvents()
        )
        assert created
        return made

    def _begin(self, version: int) -> None:
        from tests.fix_quick_key import add_quick_key

        events = RecordedEvents()
        backend = open_backend(self.settings, events)
        backend.prepare()
        config, key = new_config(version), new_master_key()
        with Repository(
            self.settings, backend=backend, config=config, key=key, events=events
        ) as not_made:
            add_quick_key(not_made, PASSWORD)

    def init(self, version: str, *options: str) -> Restic:
        """Make a repository there by stock restic of a release, then quicken its key likewise."""
        from tests.fix_quick_key import make_key_quick

        restic = self.restic(version)
        restic.run("init", *options)
        with self.open() as repository:
            make_key_quick(repository)
        return restic

    def open(self, password: str = PASSWORD) -> Repository:
        """Open the repository that is there."""
        return Repository.open(self.settings, [Secret(password)], events=RecordedEvents())

    def restic(self, version: str) -> Restic:
        """Stock restic on it."""
        prefix = "" if isinstance(self.where, Path) else PREFIX
        return restic_on(version, self.cache_dir, self.where, PASSWORD, prefix)


in_a_place = pytest.mark.sampled("place", ["local", "s3"], 1, indirect=["place"])
"""Marks a test that takes a `place`: once in a folder and once in a bucket, or one is drawn."""


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """A folder or a bucket, as the test's mark says."""
    kind = {"local": "repository_dir", "s3": "s3_bucket"}[request.param]
    return Place(where=request.getfixturevalue(kind), cache_dir=tmp_path / "restic-cache")


@pytest.fixture
def local_place(repository_dir: Path, tmp_path: Path) -> Place:
    """A folder."""
    return Place(where=repository_dir, cache_dir=tmp_path / "restic-cache")


def back_up(
    repository: Repository,
    files: Mapping[str, bytes],
    *,
    hostname: str = "db1",
    tags: tuple[str, ...] = ("granary",),
    compression: Compression = Compression.AUTO,
) -> Snapshot:
    """Store files as a backup does, in small packs, in this process alone."""
    with repository.lock() as lock:
        index, report = repository.load_index()
        writer = IndexWriter(
            key=repository.key,
            version=repository.version,
            backend=repository.backend,
            guard=lock.check,
        )
        for record in report.adopted:
            writer.add(record)
        saver = repository.saver(
            index,
            compression=compression,
            pack_size=4 * 1024 * 1024,
            on_pack=writer.add,
            guard=lock.check,
        )
        chunker = StreamChunker(repository.config.polynomial)
        contents = {path: _save(saver, chunker, data) for path, data in files.items()}
        tree = save_tree(saver, contents)
        saver.finish()
        writer.flush()
        made = _describe(repository, files, tree, hostname=hostname, tags=tags)
        snapshot_id = write_snapshot(repository, made)
        assert lock.still_there()
    return read_snapshot(repository, snapshot_id)


def _describe(
    repository: Repository,
    files: Mapping[str, bytes],
    tree: bytes,
    *,
    hostname: str,
    tags: tuple[str, ...],
) -> Snapshot:
    moment = unused_time(list_snapshots(repository), time.time_ns(), hostname)
    summary = SnapshotFigures(
        backup_start=moment,
        backup_end=moment,
        total_files_processed=len(files),
        total_bytes_processed=sum(map(len, files.values())),
    )
    return Snapshot(
        time=moment,
        tree=tree,
        paths=("/postgres",),
        hostname=hostname,
        tags=tags,
        program_version="granary 0.1.0",
        summary=summary,
    )


def _save(saver: BlobSaver, chunker: StreamChunker, data: bytes) -> FileContent:
    pieces = [*chunker.feed(data)]
    blobs = [saver.save(BlobKind.DATA, piece) for piece in pieces]
    blobs += [saver.save(BlobKind.DATA, piece) for piece in chunker.finish()]
    return FileContent(blobs=tuple(blobs), size=len(data))


def read_files(repository: Repository, snapshot: Snapshot) -> dict[str, bytes]:
    """Read every file of a snapshot, fully verified; its size is compared too."""
    reader = repository.reader(repository.load_index_for_reading())
    found = {}
    for path, node in walk(reader, snapshot.tree):
        if node.kind == "file":
            found[path] = b"".join(reader.stream(node.content))
            assert len(found[path]) == node.size
    return found


ODD_NAMES = (
    'a"b\\c',
    "tab\tnewline\nbell\a",
    "\x01\x7f",
    "no break\u00a0space soft\u00adhyphen",
    "line\u2028paragraph\u2029",
    "tag\U000e0001",
    "not utf8 \udcff\udcfe",
    "half \udce2\udc82A",
    "elephant \U0001f418, of Unicode 15 \U0001fae8, of 16 \U0001fae9",
    "<a href='x'>&amp;",
    "\ufffd",
    "\u00e9 e\u0301",
    "-rf",
    " trailing ",
    "%2F%00",
    "*?[x]",
    "x" * 255,
    "\u00e9" * 127,
)


def _make_up(many: int, megabytes: int) -> Mapping[str, bytes]:
    chance = random.Random(3)
    files = {f"/postgres/many/{n:06}.copy": b"%d\tx\n" % n for n in range(many)}
    files |= {f"/postgres/odd/{name}": name.encode("utf-8", "replace") for name in ODD_NAMES}
    files |= {f"/postgres/odd folders/{name}/f": b"f" for name in ODD_NAMES}
    files["/postgres/empty"] = b""
    files["/postgres/random"] = chance.randbytes(megabytes * 1024 * 1024)
    files["/postgres/same again"] = files["/postgres/random"]
    files["/postgres/text"] = b"".join(b"%d\tsome text\t\\N\n" % n for n in range(150_000))
    files["/postgres/manifest.json"] = b"{}"
    return files


@pytest.fixture(scope="session")
def many_files() -> Mapping[str, bytes]:
    """Files of every shape: odd names, empty ones, 5,000 in a folder, several packs, equal ones."""
    return _make_up(5000, 9)


@pytest.fixture(scope="session")
def made_up_files() -> Mapping[str, bytes]:
    """The same in small: 100 in a folder, two packs."""
    return _make_up(100, 5)


@pytest.fixture
def ours(place: Place, made_up_files: Mapping[str, bytes]) -> tuple[Place, Snapshot]:
    """A place with a repository of ours that holds one snapshot of the made-up files."""
    with place.create() as repository:
        snapshot = back_up(repository, made_up_files)
    return place, snapshot


Files: t.TypeAlias = Mapping[str, bytes]
