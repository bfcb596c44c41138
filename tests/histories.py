# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Repositories with a past: backups of ours and of restic, killed ones, parallel ones, forgets."""

from __future__ import annotations

import random
import time
from pathlib import Path

from ansible_collections.granary.postgres.plugins.module_utils._repository.deletion import (
    delete_objects,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.index import (
    Index,
    IndexBuilder,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.index_file import (
    IndexWriter,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.locks import (
    RepositoryLock,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.model import (
    BlobKind,
    Compression,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.prune import (
    PruneResult,
    prune,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.repository import (
    Repository,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.saver import BlobSaver
from ansible_collections.granary.postgres.plugins.module_utils._repository.snapshot import (
    SNAPSHOTS,
    Snapshot,
    list_snapshots,
    unused_time,
    write_snapshot,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.tree import (
    FileContent,
    save_tree,
)
from tests.fix_repository import Place
from tests.testbed.restic import VERSIONS

KIB = 1024
_MOST_FILE_BYTES = 300 * KIB
_PIECE_BYTES = 40 * KIB


class History:
    """What happens to one repository, by a seed; `expected` are the files of each snapshot."""

    def __init__(self, place: Place, repository: Repository, seed: int) -> None:
        self._place = place
        self._repository = repository
        self._chance = random.Random(seed)
        self._pack_size = self._chance.choice([64 * KIB, 256 * KIB, 4 * KIB * KIB])
        self._files: dict[str, bytes] = {}
        self.expected: dict[bytes, dict[str, bytes]] = {}

    def grow(self, snapshots: int) -> None:
        """Make snapshots in various ways, with trouble between them."""
        for dummy in range(snapshots):
            self._change_files()
            act = self._chance.choices(
                [self.back_up, self.back_up_blindly, self.back_up_by_restic, self.be_killed],
                [5, 1, 1, 1],
            )[0]
            act()

    def _change_files(self) -> None:
        chance = self._chance
        for path in list(self._files):
            if chance.random() < 0.15:
                del self._files[path]
        for dummy in range(chance.randrange(1, 8)):
            path = f"/postgres/{chance.randrange(4)}/{chance.randrange(12)}"
            self._files[path] = self._content()

    def _content(self) -> bytes:
        chance = self._chance
        size = chance.choice([0, 1, chance.randrange(2000), chance.randrange(_MOST_FILE_BYTES)])
        if chance.random() < 0.3:
            return b"%d\tsome text\t\\N\n" % chance.randrange(20) * (size // 10)
        return chance.randbytes(size)

    def back_up(self) -> None:
        """Store a snapshot as ever; what a killed backup has left is taken up."""
        self._store()

    def back_up_blindly(self) -> None:
        """Store a snapshot as one of two that run at once: what the other stores is not known."""
        self._store(blindly=True)

    def be_killed(self) -> None:
        """Upload packs, and die before the index, or before the snapshot."""
        with self._repository.lock() as lock:
            index, dummy_report = self._repository.load_index()
            writer = self._writer(lock)
            self._save(index, lock, writer)
            if self._chance.random() < 0.5:
                writer.flush()

    def _store(self, *, blindly: bool = False) -> None:
        repository = self._repository
        with repository.lock() as lock:
            writer = self._writer(lock)
            index, report = repository.load_index()
            if blindly:
                index = IndexBuilder().build()
            else:
                for record in report.adopted:
                    writer.add(record)
            tree = self._save(index, lock, writer)
            writer.flush()
            moment = unused_time(list_snapshots(repository), time.time_ns(), "db1")
            snapshot = Snapshot(time=moment, tree=tree, paths=("/postgres",), hostname="db1")
            self.expected[write_snapshot(repository, snapshot)] = dict(self._files)

    def _writer(self, lock: RepositoryLock) -> IndexWriter:
        repository = self._repository
        return IndexWriter(
            key=repository.key,
            version=repository.version,
            backend=repository.backend,
            guard=lock.check,
        )

    def _save(self, index: Index, lock: RepositoryLock, writer: IndexWriter) -> bytes:
        saver = self._repository.saver(
            index,
            compression=self._chance.choice(list(Compression)),
            pack_size=self._pack_size,
            on_pack=writer.add,
            guard=lock.check,
        )
        contents = {path: _save_file(saver, data) for path, data in self._files.items()}
        tree = save_tree(saver, contents)
        saver.finish()
        return tree

    def back_up_by_restic(self) -> None:
        """Let stock restic add a snapshot of a file."""
        data = self._content() + b"."
        restic = self._place.restic(self._chance.choice(VERSIONS))
        before = {one.id for one in list_snapshots(self._repository)}
        restic.raw("backup", "--stdin", "--stdin-filename", "dumpfile.sql", stdin=data)
        (made,) = {one.id for one in list_snapshots(self._repository)} - before
        self.expected[made] = {"/dumpfile.sql": data}

    def forget_and_prune(self) -> PruneResult:
        """Remove some snapshots, and then what nobody uses."""
        forgotten = [one for one in self.expected if self._chance.random() < 0.5]
        max_unused = self._chance.choice([0.0, 5.0, 5.0, 50.0])
        with self._repository.lock(exclusive=True) as lock:
            names = [f"{SNAPSHOTS}/{one.hex()}" for one in forgotten]
            assert delete_objects(self._repository, lock, names).undeleted == ()
            for one in forgotten:
                del self.expected[one]
            return prune(
                self._repository, lock, max_unused_percent=max_unused, pack_size=self._pack_size
            )


def _save_file(saver: BlobSaver, data: bytes) -> FileContent:
    """Store a file in pieces of one size, which small packs can hold many of."""
    pieces = [data[at : at + _PIECE_BYTES] for at in range(0, len(data), _PIECE_BYTES)]
    blobs = tuple(saver.save(BlobKind.DATA, piece) for piece in pieces)
    return FileContent(blobs=blobs, size=len(data))


def restored(folder: Path) -> dict[str, bytes]:
    """The files that restic has restored into a folder, by their paths in the snapshot."""
    found = folder.rglob("*")
    return {f"/{path.relative_to(folder)}": path.read_bytes() for path in found if path.is_file()}
