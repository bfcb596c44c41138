# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A repository of a million blobs, made and not dumped: what a backup, a plan and a merge take.

Data packs are holes of the right size, which nobody reads here; index, trees and snapshots are
real. One folder is seen both as a local repository and through an S3 server above it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import random
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from ansible_collections.granary.postgres.plugins.module_utils._core.redaction import Secret
from ansible_collections.granary.postgres.plugins.module_utils._repository.index import (
    IndexBuilder,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.index_file import (
    encode_index,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.model import (
    BlobKind,
    PackRecord,
    StoredBlob,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.pack import (
    EMPTY_PACK_BYTES,
    entry_bytes,
    pack_name,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.repository import (
    Repository,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.saver import BlobSaver
from ansible_collections.granary.postgres.plugins.module_utils._repository.snapshot import (
    Snapshot,
    write_snapshot,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.timestamp import (
    Timestamp,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.tree import (
    FILE_MODE,
    FIXED_TIME,
    FOLDER_MODE,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.tree_json import (
    Json,
    encode,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.unpacked import (
    encode_unpacked,
)
from ansible_collections.granary.postgres.plugins.module_utils._storage.model import LocalSettings
from tests.testbed.postgres import PostgresServer, client_bin
from tests.testbed.s3 import Bucket, S3Server

from .contenders import PASSWORD
from .data import make_database
from .memory import measure

BLOBS = 1_000_000
SNAPSHOTS = 120
INDEX_FILES = (20, 8760)
MAJOR = 15
MIB = 1 << 20
_BLOBS_A_PACK = 38
_BLOBS_A_FILE = 128
_FILES_A_FOLDER = 16
_CHANGED_FOLDERS = 0.05  # of a snapshot, with the same blobs and other sizes
_SEALED_BYTES = 350_000
_PREFIX = "made"
_FIRST_SECOND = 1_700_000_000
_TIMES: dict[str, Json] = {
    "mtime": FIXED_TIME,
    "atime": FIXED_TIME,
    "ctime": FIXED_TIME,
    "uid": 0,
    "gid": 0,
}

Bar = Callable[[str, float, float], None]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One repository as it is seen in two ways."""

    folder: Path
    bucket: Bucket

    def seen_as(self, kind: str) -> str:
        """Return what the engine's command line calls it."""
        if kind == "local":
            return str(self.folder)
        return f"s3:{self.bucket.endpoint}/{self.bucket.name}/{_PREFIX}"


class LargeRepository:
    """Makes the repository."""

    def __init__(self, folder: Path) -> None:
        settings = LocalSettings(path=str(folder))
        self._folder = folder
        self._chance = random.Random(8)
        self._repository = Repository.create(settings, [Secret(PASSWORD)])[0]

    def make(self, index_files: int) -> None:
        """Write packs, trees, snapshots and the index."""
        data = list(self._make_data_packs())
        ids = [blob.id for pack in data for blob in pack.blobs]
        trees: list[PackRecord] = []
        saver = self._repository.saver(
            IndexBuilder().build(), on_pack=trees.append, guard=lambda: None
        )
        roots = list(_Trees(saver, ids).save())
        saver.finish()
        for number, root in enumerate(roots):
            self._take_snapshot(number, root)
        self._write_index(data, index_files - 1)
        self._write_index(trees, 1)

    def _make_data_packs(self) -> Iterator[PackRecord]:
        for start in range(0, BLOBS, _BLOBS_A_PACK):
            count = min(_BLOBS_A_PACK, BLOBS - start)
            blobs = []
            end = 0
            for dummy in range(count):
                length = self._chance.randrange(_SEALED_BYTES * 2 // 3, _SEALED_BYTES * 4 // 3)
                blob_id = self._chance.randbytes(32)
                blobs.append(
                    StoredBlob(
                        id=blob_id,
                        kind=BlobKind.DATA,
                        offset=end,
                        length=length,
                        plain_length=length * 3,
                    )
                )
                end += length
            size = end + count * entry_bytes(0) + EMPTY_PACK_BYTES
            pack = PackRecord(id=self._chance.randbytes(32), size=size, blobs=tuple(blobs))
            path = self._folder / pack_name(pack.id)
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as file:
                file.truncate(size)
            yield pack

    def _write_index(self, packs: list[PackRecord], files: int) -> None:
        (self._folder / "index").mkdir(exist_ok=True)
        for number in range(files):
            first, last = (len(packs) * n // files for n in (number, number + 1))
            sealed = encode_unpacked(self._repository.key, 2, encode_index(packs[first:last]))
            (self._folder / "index" / hashlib.sha256(sealed).hexdigest()).write_bytes(sealed)

    def _take_snapshot(self, number: int, root: bytes) -> None:
        moment = Timestamp(unix_ns=(_FIRST_SECOND + 3600 * number) * 10**9)
        made = Snapshot(time=moment, tree=root, paths=("/postgres",), hostname="made")
        write_snapshot(self._repository, made)


class _Trees:
    """One table as a backup lays it out; each snapshot has some folders anew."""

    def __init__(self, saver: BlobSaver, ids: list[bytes]) -> None:
        self._saver = saver
        self._chance = random.Random(9)
        files = [ids[at : at + _BLOBS_A_FILE] for at in range(0, len(ids), _BLOBS_A_FILE)]
        texts = [b",".join(b'"%s"' % one.hex().encode() for one in file) for file in files]
        self._folders = [
            texts[at : at + _FILES_A_FOLDER] for at in range(0, len(texts), _FILES_A_FOLDER)
        ]

    def save(self) -> Iterator[bytes]:
        """Yield the roots of the snapshots."""
        folders = [self._save_files(number, 0) for number in range(len(self._folders))]
        changed = round(len(folders) * _CHANGED_FOLDERS)
        for snapshot in range(SNAPSHOTS):
            for number in self._chance.sample(range(len(folders)), changed):
                folders[number] = self._save_files(number, snapshot)
            tree = self._save([_folder_node(f"{n:03}", one) for n, one in enumerate(folders)])
            for name in ("big", "public", "tables", "shop", "databases", "postgres"):
                tree = self._save([_folder_node(name, tree)])
            yield tree

    def _save_files(self, folder: int, snapshot: int) -> bytes:
        nodes = []
        for number, content in enumerate(self._folders[folder]):
            head: dict[str, Json] = {
                "name": f"{number:06}.copy",
                "type": "file",
                "mode": FILE_MODE,
                **_TIMES,
            }
            size = 10**9 + snapshot * (number == 0)
            # A million times the same ids: encoded once, not with each tree.
            opened = encode({**head, "size": size})[:-1]
            nodes.append(opened + b',"content":[' + content + b"]}")
        return self._save(nodes)

    def _save(self, nodes: list[bytes]) -> bytes:
        return self._saver.save(BlobKind.TREE, b'{"nodes":[' + b",".join(nodes) + b"]}\n")


def _folder_node(name: str, tree: bytes) -> bytes:
    head: dict[str, Json] = {"name": name, "type": "dir", "mode": FOLDER_MODE, **_TIMES}
    return encode({**head, "content": None, "subtree": tree.hex()})


def measure_scale(index_files: int, kinds: list[str], at_most: Bar) -> None:
    """Make a repository with so many index files and measure it as each of ``kinds``."""
    with (
        S3Server() as store,
        PostgresServer(MAJOR) as server,
        tempfile.TemporaryDirectory(dir="/var/tmp") as empty,
    ):
        make_database(server, "small", 5 * MIB)
        bucket = store.make_bucket("scale")
        place = Place(folder=store.folder / "data" / bucket.name / _PREFIX, bucket=bucket)
        place.folder.parent.mkdir(exist_ok=True)
        LargeRepository(place.folder).make(index_files)
        where = (server.host, str(server.port), str(client_bin(MAJOR)), "small")
        run = _Runs(place, bucket.environment() | {"TMPDIR": empty}, index_files, at_most)
        for kind in kinds:
            slow = index_files > INDEX_FILES[0] and kind == "s3"
            run("backup", kind, *where, seconds=90 if slow else 30, mib=300)
            run("plan", kind, seconds=60, mib=700)
        if index_files > INDEX_FILES[0]:
            run("prune", kinds[-1], seconds=600, mib=700)
            left = len(list((place.folder / "index").iterdir()))
            at_most("index files after the merge", left, INDEX_FILES[0] + 5)
            run("backup", kinds[-1], *where, seconds=30, mib=300)


class _Runs:
    def __init__(
        self, place: Place, environment: dict[str, str], index_files: int, at_most: Bar
    ) -> None:
        self._place = place
        self._environment = environment
        self._index_files = index_files
        self._at_most = at_most

    def __call__(self, verb: str, kind: str, *where: str, seconds: float, mib: float) -> None:
        os.environ.update(self._environment)
        if kind == "s3":
            _give_etags(self._place.folder)
        argv = [sys.executable, "-m", "benchmarks.engine", verb, self._place.seen_as(kind), *where]
        found = measure(argv)
        what = f"{verb}, {self._index_files:,} index files, {kind}"
        self._at_most(f"{what}: seconds", found.seconds, seconds)
        self._at_most(f"{what}: PSS of all processes, MiB", found.pss_bytes / MIB, mib)


def _give_etags(folder: Path) -> None:
    """Make what was written beside the S3 server into objects that it can give out whole."""
    for path in folder.rglob("*"):
        if path.is_file() and "user.etag" not in os.listxattr(path):
            path.chmod(0o600)
            os.setxattr(path, "user.etag", b'"made"')
