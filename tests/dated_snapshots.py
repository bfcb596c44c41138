# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Snapshots of any age, host and tags, each with one file of its own, for what forgets them."""

from __future__ import annotations

import time
import typing as t
from collections.abc import Mapping
from dataclasses import dataclass

from ansible_collections.granary.postgres.plugins.module_utils._repository.index_file import (
    IndexWriter,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.model import BlobKind
from ansible_collections.granary.postgres.plugins.module_utils._repository.snapshot import (
    Snapshot,
    write_snapshot,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.timestamp import (
    Timestamp,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.tree import (
    FileContent,
    save_tree,
)
from tests.fix_repository import Place

DAY_NS = 86400 * 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A snapshot to be made: how old it is, what its one file holds, and what else it says."""

    days_ago: float
    content: bytes
    fields: Mapping[str, t.Any]


def some(days_ago: float, content: bytes | None = None, **fields: t.Any) -> Made:
    """A snapshot with data of its own."""
    text = content or f"{days_ago} {fields}".encode()
    return Made(days_ago=days_ago, content=text, fields=fields)


def fill(place: Place, *wanted: Made) -> list[str]:
    """Store snapshots, each with packs of its own, under one lock; return their ids."""
    with place.open() as repository, repository.lock() as lock:
        index, dummy_report = repository.load_index()
        writer = IndexWriter(
            key=repository.key, version=2, backend=repository.backend, guard=lock.check
        )
        made = []
        for one in wanted:
            saver = repository.saver(index, on_pack=writer.add, guard=lock.check)
            blob = saver.save(BlobKind.DATA, one.content)
            file = FileContent(blobs=(blob,), size=len(one.content))
            tree = save_tree(saver, {"/postgres/it": file})
            saver.finish()
            moment = Timestamp(unix_ns=time.time_ns() - int(one.days_ago * DAY_NS))
            label: dict[str, t.Any] = {
                "paths": ("/postgres",),
                "hostname": "db1",
                "tags": ("granary",),
            }
            made.append(Snapshot(time=moment, tree=tree, **{**label, **one.fields}))
        writer.flush()
        return [write_snapshot(repository, one).hex() for one in made]
