# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import random
import threading
import typing as t
from pathlib import Path

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import Cancelled
from ansible_collections.granary.postgres.plugins.module_utils._repository.chunker import (
    StreamChunker,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.crypto import (
    new_master_key,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.index_file import (
    IndexWriter,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.index_load import (
    load_index,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.model import (
    BlobKind,
    PackRecord,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.reader import BlobReader
from ansible_collections.granary.postgres.plugins.module_utils._repository.saver import BlobSaver
from ansible_collections.granary.postgres.plugins.module_utils._storage.local import LocalBackend
from ansible_collections.granary.postgres.plugins.module_utils._storage.model import LocalSettings
from ansible_collections.granary.postgres.plugins.module_utils._workflows.streams import (
    BlobSink,
    RowFiles,
    save_stream,
)
from ansible_collections.granary.postgres.plugins.module_utils._workflows.work_units import (
    StoredBytes,
)

MIB = 1 << 20
POLYNOMIAL = 0x3DA3358B4DC173


class Stored:
    """A folder with packs, a sink into it, and the way back."""

    def __init__(self, folder: Path) -> None:
        self.backend = LocalBackend(LocalSettings(path=str(folder)))
        self.key = new_master_key()
        self.packs: list[PackRecord] = []
        self.saver = BlobSaver(
            key=self.key,
            version=2,
            backend=self.backend,
            index=load_index(self.backend, self.key, known_packs={})[0],
            shared=None,
            uploads=0,
            on_pack=self.packs.append,
            guard=lambda: None,
        )
        self.sink = BlobSink(self.saver, StreamChunker(POLYNOMIAL))

    def read(self, parts: t.Sequence[StoredBytes]) -> list[bytes]:
        """Return what the parts hold, read from the packs."""
        self.saver.finish()
        writer = IndexWriter(key=self.key, version=2, backend=self.backend, guard=lambda: None)
        for pack in self.packs:
            writer.add(pack)
        writer.flush()
        sizes = {pack.id: pack.size for pack in self.packs}
        index = load_index(self.backend, self.key, known_packs=sizes)[0]
        reader = BlobReader(key=self.key, backend=self.backend, index=index)
        return [
            b"".join(reader.read(BlobKind.DATA, blob) for blob in split(part.ids)) for part in parts
        ]


def split(ids: bytes) -> list[bytes]:
    return [ids[at : at + 32] for at in range(0, len(ids), 32)]


@pytest.fixture
def stored(tmp_path: Path) -> Stored:
    return Stored(tmp_path)


def rows(count: int) -> bytes:
    chance = random.Random(7)
    return b"".join(
        b"%d\t%s\n" % (number, chance.randbytes(chance.randrange(60)).hex().encode())
        for number in range(count)
    )


def feed(sink: t.Callable[[memoryview], None], data: bytes, step: int) -> None:
    for at in range(0, len(data), step):
        sink(memoryview(data)[at : at + step])


def test_a_sink_gives_back_what_it_took_and_begins_anew(stored: Stored) -> None:
    first, second = rows(60000), rows(10)
    feed(stored.sink.write, first, 999_999)
    one = stored.sink.finish()
    feed(stored.sink.write, second, 7)
    two = stored.sink.finish()
    nothing = stored.sink.finish()

    assert [one.size, two.size, nothing] == [len(first), len(second), StoredBytes(0, b"")]
    assert stored.read([one, two]) == [first, second]


def test_how_the_bytes_came_makes_no_difference(stored: Stored) -> None:
    data = rows(60000)
    found = []
    for step in (4 * MIB, 12_345, len(data)):
        feed(stored.sink.write, data, step)
        found.append(stored.sink.finish())
    assert found[0] == found[1] == found[2]
    assert len(split(found[0].ids)) > 1


@pytest.mark.parametrize("step", [1 << 16, 10_007, 4 * MIB])
def test_files_end_at_the_first_row_past_their_size(stored: Stored, step: int) -> None:
    data = rows(20000)
    size = 100_000
    files = RowFiles(stored.sink, size)
    feed(files.write, data, step)
    parts = files.finish()

    found = stored.read(parts)
    assert b"".join(found) == data
    assert len(found) > 5
    for file in found[:-1]:
        assert len(file) >= size
        # The row that passes the size is the last one.
        assert file.endswith(b"\n")
        assert file[:-1].rfind(b"\n") + 1 < size


def test_without_a_size_there_is_one_file_even_of_nothing(stored: Stored) -> None:
    assert RowFiles(stored.sink, None).finish() == (StoredBytes(0, b""),)
    assert RowFiles(stored.sink, 100).finish() == (StoredBytes(0, b""),)


def test_a_row_that_ends_just_at_the_size_ends_the_file(stored: Stored) -> None:
    files = RowFiles(stored.sink, 4)
    files.write(memoryview(b"abc\nxyz\n"))
    assert stored.read(files.finish()) == [b"abc\n", b"xyz\n"]


def test_a_pipe_is_read_to_its_end_and_closed(stored: Stored) -> None:
    reading, writing = os.pipe()
    data = rows(20000)

    def write() -> None:
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(data)

    thread = threading.Thread(target=write)
    thread.start()
    part, toc = save_stream(reading, stored.sink, archive=False, check=lambda: None)
    thread.join()

    assert toc is None
    assert stored.read([part]) == [data]
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(reading)


def test_a_pipe_is_left_when_the_run_is_stopped(stored: Stored) -> None:
    def check() -> None:
        raise Cancelled("stopped")

    reading, writing = os.pipe()
    os.write(writing, b"x")
    os.close(writing)
    with pytest.raises(Cancelled):
        save_stream(reading, stored.sink, archive=False, check=check)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(reading)
