# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ways in which a repository can be spoilt, and what a check has to say of each.

Objects are changed through the backend, so each way works in a folder and in a bucket. Which ones
are hit is found by what they hold.
"""

from __future__ import annotations

import dataclasses
import json
import typing as t
from collections.abc import Callable, Mapping

from ansible_collections.granary.postgres.plugins.module_utils._postgres import layout, manifest
from ansible_collections.granary.postgres.plugins.module_utils._repository.check import (
    indexed_packs,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.index_file import (
    encode_index,
    to_record,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.model import (
    BlobKind,
    Location,
    PackRecord,
    StoredBlob,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.pack import pack_name
from ansible_collections.granary.postgres.plugins.module_utils._repository.repository import (
    Repository,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.snapshot import Snapshot
from ansible_collections.granary.postgres.plugins.module_utils._repository.tree import find_node
from ansible_collections.granary.postgres.plugins.module_utils._repository.unpacked import (
    list_ids,
    write_unpacked,
)
from tests.made_snapshots import SHOP, SnapshotMaker, changed_table

ORDERS = "sales.orders"
ORDERS_FILE = layout.table_file("shop", "sales", "orders", 0)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A repository with snapshots of the shop, the newest of which is `snapshot`."""

    repository: Repository
    snapshot: Snapshot

    def read(self, name: str) -> bytes:
        """An object."""
        return self.repository.backend.read(name)

    def write(self, name: str, data: bytes) -> str:
        """Put other bytes under a name, and return that."""
        self.repository.backend.write(name, data)
        return name

    def flip(self, name: str, at: int) -> str:
        """Change one bit of an object."""
        data = bytearray(self.read(name))
        data[at] ^= 1
        return self.write(name, bytes(data))

    def drop(self, name: str) -> str:
        """Remove an object."""
        self.repository.backend.delete(name)
        return name

    def largest(self, folder: str) -> str:
        """The largest object of a folder."""
        found = self.repository.backend.entries(f"{folder}/")
        return max(found, key=lambda entry: (entry.size, entry.name)).name

    def place(self, path: str, number: int = 0) -> Location:
        """Where a blob of a file of the snapshot lies; of a folder, the tree."""
        index = self.repository.load_index_for_reading()
        node = find_node(self.repository.reader(index), self.snapshot.tree, path)
        assert node is not None
        if node.subtree is not None:
            found = index.find(BlobKind.TREE, node.subtree)
        else:
            found = index.find(BlobKind.DATA, node.content[number])
        assert found is not None
        return found

    def packs(self) -> list[PackRecord]:
        """All packs as the index names them, the largest first."""
        found = []
        files = sorted(list_ids(self.repository.backend, "index"))
        for dummy, packs in indexed_packs(self.repository, files):
            assert isinstance(packs, list)
            found += [to_record(pack) for pack in packs]
        return sorted(found, key=lambda pack: -pack.size)

    def replace_index(self, edit: Callable[[list[PackRecord]], list[PackRecord]]) -> str:
        """Put one index file in place of all; return its name."""
        packs = edit(self.packs())
        repository = self.repository
        old = list(list_ids(repository.backend, "index"))
        version = repository.version
        new = write_unpacked(
            repository.backend, repository.key, version, "index", encode_index(packs)
        )
        for file_id in old:
            self.drop(f"index/{file_id.hex()}")
        return f"index/{new.hex()}"


Spoil = Callable[[Scene], str | None]
Find = t.Literal["structure", "data", "opening"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Mutation:
    """One way. `spoil` returns the name of the object that a check has to name, or None where only
    snapshots are damaged. `found_by` is the least that finds it.

    `tables` are those of the newest snapshot that must be named, None: whatever happens to lie
    there. `restic`: it finds it too. `heals`: a repair and the same backup again make all whole.
    """

    name: str
    spoil: Spoil
    found_by: Find
    tables: Mapping[str, list[str]] | None = None
    restic: bool = True
    heals: bool = True

    def __str__(self) -> str:
        """Name it, as the id of a test."""
        return self.name.replace(" ", "-")


def _pack_of(path: str) -> Callable[[Scene], str]:
    return lambda scene: pack_name(scene.place(path).pack)


def _flip_blob(path: str) -> Spoil:
    def spoil(scene: Scene) -> str:
        place = scene.place(path)
        return scene.flip(pack_name(place.pack), place.offset + place.length // 2)

    return spoil


def _flip(name: Callable[[Scene], str], at: int) -> Spoil:
    return lambda scene: scene.flip(name(scene), at)


def _drop(name: Callable[[Scene], str]) -> Spoil:
    return lambda scene: scene.drop(name(scene))


def _cut(name: Callable[[Scene], str], to: int | None) -> Spoil:
    def spoil(scene: Scene) -> str:
        found = name(scene)
        return scene.write(found, scene.read(found)[:to])

    return spoil


def _longest_of(folder: str) -> Callable[[Scene], str]:
    return lambda scene: scene.largest(folder)


def _snapshot(scene: Scene) -> str:
    return f"snapshots/{scene.snapshot.id.hex()}"


def _extend(scene: Scene) -> str:
    name = _pack_of(ORDERS_FILE)(scene)
    return scene.write(name, scene.read(name) + b"\0" * 7)


def _swap_blobs(scene: Scene) -> str:
    """Exchange two blobs of one length in one pack."""
    for pack in scene.packs():
        lengths: dict[int, StoredBlob] = {}
        for blob in pack.blobs:
            other = lengths.setdefault(blob.length, blob)
            if other is not blob:
                data = bytearray(scene.read(pack_name(pack.id)))
                one = slice(other.offset, other.offset + other.length)
                two = slice(blob.offset, blob.offset + blob.length)
                data[one], data[two] = data[two], data[one]
                return scene.write(pack_name(pack.id), bytes(data))
    raise AssertionError("no two blobs of one length")


def _swap_packs(scene: Scene) -> str:
    first, second = (pack_name(pack.id) for pack in scene.packs()[:2])
    data = scene.read(first)
    scene.write(first, scene.read(second))
    return scene.write(second, data)


def _swap_snapshots(scene: Scene) -> str:
    names = sorted(entry.name for entry in scene.repository.backend.entries("snapshots/"))
    data = scene.read(names[0])
    scene.write(names[0], scene.read(names[1]))
    return scene.write(names[1], data)


def _shifted_in_index(scene: Scene) -> str:
    """Let the index place each blob where the next one of its pack is."""

    def shift(pack: PackRecord) -> PackRecord:
        ids = [blob.id for blob in pack.blobs]
        moved = zip(pack.blobs, [*ids[1:], ids[0]], strict=True)
        blobs = tuple(dataclasses.replace(blob, id=other) for blob, other in moved)
        return dataclasses.replace(pack, blobs=blobs)

    largest = scene.packs()[0]
    scene.replace_index(lambda packs: [shift(packs[0]), *packs[1:]])
    return pack_name(largest.id)


def _wrong_length_in_index(scene: Scene) -> str:
    largest = scene.packs()[0]
    first, *others = largest.blobs
    wrong = dataclasses.replace(first, plain_length=(first.plain_length or 0) + 1)
    spoilt = dataclasses.replace(largest, blobs=(wrong, *others))
    scene.replace_index(lambda packs: [spoilt, *packs[1:]])
    return pack_name(largest.id)


def _resave(rewrite: Callable[[bytes], bytes]) -> Spoil:
    """Store the newest snapshot anew with another content of one file, under the old manifest."""

    def spoil(scene: Scene) -> None:
        index = scene.repository.load_index_for_reading()
        reader = scene.repository.reader(index)
        node = find_node(reader, scene.snapshot.tree, ORDERS_FILE)
        assert node is not None
        rows = b"".join(reader.stream(node.content))
        SnapshotMaker(scene.repository, rewrite={ORDERS_FILE: rewrite(rows)}).make(SHOP)

    return spoil


def _drop_row(rows: bytes) -> bytes:
    lines = rows.splitlines(keepends=True)
    return b"".join((*lines[:7], *lines[8:]))


def _join_rows(rows: bytes) -> bytes:
    """Two rows become one of the same length: only counting the rows finds it."""
    at = rows.index(b"\n", len(rows) // 2)
    return rows[:at] + b" " + rows[at + 1 :]


def _alter_manifest(**fields: t.Any) -> Spoil:
    def spoil(scene: Scene) -> None:
        def change(whole: manifest.Manifest) -> manifest.Manifest:
            return changed_table(whole, ORDERS, **fields)

        SnapshotMaker(scene.repository, change=change).make(SHOP)

    return spoil


def _leave_out(*paths: str) -> Spoil:
    def spoil(scene: Scene) -> None:
        SnapshotMaker(scene.repository, leave_out=paths).make(SHOP)

    return spoil


def _no_json(scene: Scene) -> None:
    junk = {layout.MANIFEST: json.dumps({"format": 1}).encode()}
    SnapshotMaker(scene.repository, rewrite=junk).make(SHOP)


_HIT = {"shop": [ORDERS]}
_SMALL = {"shop": ["public.tags"]}

STORED = (
    Mutation(name="flip a blob", spoil=_flip_blob(ORDERS_FILE), found_by="data", tables=_HIT),
    Mutation(
        name="flip a blob of data.dump",
        spoil=_flip_blob(layout.data_dump("shop")),
        found_by="data",
        tables=_SMALL,
    ),
    Mutation(
        name="flip a tree",
        spoil=_flip_blob(layout.table_folder("shop", "sales", "orders")),
        found_by="structure",
        tables=_HIT,
    ),
    Mutation(name="flip a pack's header", spoil=_flip(_pack_of(ORDERS_FILE), -20), found_by="data"),
    Mutation(name="flip a pack's trailer", spoil=_flip(_pack_of(ORDERS_FILE), -1), found_by="data"),
    Mutation(
        name="flip an index file", spoil=_flip(_longest_of("index"), 50), found_by="structure"
    ),
    Mutation(name="flip a snapshot", spoil=_flip(_snapshot, 50), found_by="structure", heals=False),
    Mutation(name="flip the key", spoil=_flip(_longest_of("keys"), -90), found_by="opening"),
    Mutation(name="flip the config", spoil=_flip(lambda scene: "config", 40), found_by="opening"),
    Mutation(
        name="drop a pack", spoil=_drop(_pack_of(ORDERS_FILE)), found_by="structure", tables=None
    ),
    Mutation(
        name="drop a pack of trees",
        spoil=_drop(_pack_of(layout.ROOT)),
        found_by="structure",
        tables={},
    ),
    Mutation(
        name="drop an index file",
        spoil=lambda scene: _drop(_longest_of("index"))(scene) and None,
        found_by="structure",
    ),
    Mutation(name="swap two blobs", spoil=_swap_blobs, found_by="data"),
    Mutation(name="swap two packs", spoil=_swap_packs, found_by="structure"),
    Mutation(name="swap two snapshots", spoil=_swap_snapshots, found_by="structure", heals=False),
    Mutation(name="truncate a pack", spoil=_cut(_pack_of(ORDERS_FILE), -99), found_by="structure"),
    Mutation(name="extend a pack", spoil=_extend, found_by="structure"),
    Mutation(name="empty a pack", spoil=_cut(_pack_of(ORDERS_FILE), 0), found_by="structure"),
    Mutation(
        name="truncate an index file", spoil=_cut(_longest_of("index"), -9), found_by="structure"
    ),
    Mutation(name="empty an index file", spoil=_cut(_longest_of("index"), 0), found_by="structure"),
    Mutation(
        name="truncate a snapshot", spoil=_cut(_snapshot, -9), found_by="structure", heals=False
    ),
    Mutation(name="empty a snapshot", spoil=_cut(_snapshot, 0), found_by="structure", heals=False),
    Mutation(name="index blobs elsewhere", spoil=_shifted_in_index, found_by="structure"),
    Mutation(name="index a wrong length", spoil=_wrong_length_in_index, found_by="structure"),
)
"""What happens to stored objects."""

WRITTEN = (
    Mutation(
        name="re-save a file without a row",
        spoil=_resave(_drop_row),
        found_by="structure",
        tables=_HIT,
        restic=False,
        heals=False,
    ),
    Mutation(
        name="re-save a file with two rows joined",
        spoil=_resave(_join_rows),
        found_by="data",
        tables=_HIT,
        restic=False,
        heals=False,
    ),
    Mutation(
        name="alter the rows in the manifest",
        spoil=_alter_manifest(rows=901),
        found_by="structure",
        tables=_HIT,
        restic=False,
        heals=False,
    ),
    Mutation(
        name="alter the size in the manifest",
        spoil=_alter_manifest(size=1),
        found_by="structure",
        tables=_HIT,
        restic=False,
        heals=False,
    ),
    Mutation(
        name="leave a file of a table out",
        spoil=_leave_out(ORDERS_FILE),
        found_by="structure",
        tables=_HIT,
        restic=False,
        heals=False,
    ),
    Mutation(
        name="leave data.dump out",
        spoil=_leave_out(layout.data_dump("shop")),
        found_by="structure",
        tables=_SMALL,
        restic=False,
        heals=False,
    ),
    Mutation(
        name="leave the manifest out",
        spoil=_leave_out(layout.MANIFEST),
        found_by="structure",
        tables={},
        restic=False,
        heals=False,
    ),
    Mutation(
        name="replace the manifest",
        spoil=_no_json,
        found_by="structure",
        tables={},
        restic=False,
        heals=False,
    ),
)
"""What a faulty writer would do: the repository is sound, the snapshot is not what it says."""
