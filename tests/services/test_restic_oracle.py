# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Stock restic says whether our repositories are right, and whether we read its own rightly."""

from __future__ import annotations

import io
import itertools
import os
import stat
import subprocess
import tarfile
import typing as t
from collections.abc import Mapping
from pathlib import Path

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import RepositoryDamaged
from ansible_collections.granary.postgres.plugins.module_utils._repository.model import Compression
from ansible_collections.granary.postgres.plugins.module_utils._repository.selection import (
    find_snapshot,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.snapshot import (
    Snapshot,
    list_snapshots,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.tree import walk
from tests.fix_repository import ODD_NAMES, PASSWORD, Files, Place, back_up, read_files
from tests.testbed.restic import VERSIONS, Restic

PLACES = list(itertools.product(("local", "s3"), VERSIONS))
in_every_place = pytest.mark.sampled("place, version", PLACES, 2, indirect=["place"])


def files_below(folder: Path) -> dict[str, bytes]:
    """Every ordinary file below a folder by its path from there, names as the engine has them."""
    found = {}
    for path in folder.rglob("*"):
        if stat.S_ISREG(path.lstat().st_mode):
            found[f"/{path.relative_to(folder)}"] = path.read_bytes()
    return found


@in_every_place
def test_reads_all_of_ours(place: Place, many_files: Files, version: str, tmp_path: Path) -> None:
    with place.create() as repository:
        snapshot = back_up(repository, many_files)
    restic = place.restic(version)
    assert "no errors were found" in restic.run("check", "--read-data")
    (listed,) = restic.json("snapshots")
    expected = {
        "id": snapshot.id.hex(),
        "tree": snapshot.tree.hex(),
        "time": str(snapshot.time),
        "hostname": "db1",
        "paths": ["/postgres"],
        "tags": ["granary"],
    }
    assert {name: listed[name] for name in expected} == expected
    nodes = [one for one in restic.json("ls", "latest") if one.get("message_type") == "node"]
    assert len([one for one in nodes if one["type"] == "file"]) == len(many_files)
    stats = restic.json("stats", "latest")
    stats = stats[0] if isinstance(stats, list) else stats
    assert stats["total_size"] == sum(map(len, many_files.values()))
    target = tmp_path / "restored"
    restic.run("restore", "latest", "--verify", "--target", target)
    assert files_below(target) == many_files
    assert restic.raw("dump", "latest", "/postgres/text") == many_files["/postgres/text"]
    packed = io.BytesIO(restic.raw("dump", "latest", "/postgres/odd"))
    with tarfile.open(fileobj=packed) as archive:
        assert len([one for one in archive.getmembers() if one.isfile()]) == len(ODD_NAMES)


@in_every_place
def test_adds_to_forgets_and_prunes_ours(
    ours: tuple[Place, Snapshot], made_up_files: Files, version: str
) -> None:
    place, dummy = ours
    restic = place.restic(version)
    changed = dict(made_up_files) | {"/postgres/random": b"short now"}
    del changed["/postgres/same again"]
    with place.open() as repository:
        back_up(repository, changed)
        restic.raw("backup", "--stdin", "--stdin-filename", "dumpfile.sql", stdin=b"-- sql\n")
        restic.run("forget", "--keep-last", "1", "--prune", "--max-unused", "0")
        assert "no errors were found" in restic.run("check", "--read-data")
        left = list_snapshots(repository)
        assert [snapshot.paths for snapshot in left] == [("/postgres",), ("/dumpfile.sql",)]
        assert read_files(repository, left[0]) == changed
        assert read_files(repository, left[1]) == {"/dumpfile.sql": b"-- sql\n"}
        again = back_up(repository, made_up_files)
        assert "no errors were found" in restic.run("check", "--read-data")
        assert read_files(repository, again) == made_up_files


@in_every_place
def test_tags_rewrites_and_repairs_ours(
    ours: tuple[Place, Snapshot], made_up_files: Files, version: str
) -> None:
    place, snapshot = ours
    restic = place.restic(version)
    restic.run("tag", "--add", "kept")
    with place.open() as repository:
        tagged = find_snapshot(list_snapshots(repository), snapshot.id.hex())
        assert (tagged.original, tagged.tags) == (snapshot.id, ("granary", "kept"))
        assert read_files(repository, tagged) == made_up_files

        restic.run("rewrite", "--exclude", "/postgres/many/000001.copy")
        newest_first = sorted(list_snapshots(repository), key=lambda one: one.original == tagged.id)
        rewritten = newest_first[-1]
        assert rewritten.tree != tagged.tree
        assert rewritten.time == tagged.time
        expected = dict(made_up_files)
        del expected["/postgres/many/000001.copy"]
        assert read_files(repository, rewritten) == expected
        # Of two with one time the one that was not made from the other.
        assert find_snapshot(list_snapshots(repository), "latest") in {tagged, rewritten}

        restic.run("repair", "snapshots")
        assert len(list_snapshots(repository)) == 2
    assert "no errors were found" in restic.run("check", "--read-data")


@in_every_place
def test_repairs_a_damaged_one_of_ours(
    ours: tuple[Place, Snapshot], made_up_files: Files, version: str
) -> None:
    place, snapshot = ours
    restic = place.restic(version)
    with place.open() as repository:
        reader = repository.reader(repository.load_index_for_reading())
        lost = dict(walk(reader, snapshot.tree))["/postgres/text"].content[0]
        index = repository.load_index_for_reading()
        location = index.find(0, lost)  # type: ignore[arg-type] # BlobKind.DATA
        assert location is not None
        pack = location.pack.hex()
        repository.backend.delete(f"data/{pack[:2]}/{pack}")
        with pytest.raises(RepositoryDamaged):
            read_files(repository, snapshot)
        restic.run("repair", "index")
        restic.run("repair", "snapshots", "--forget")
        (repaired,) = list_snapshots(repository)
        assert repaired.original == snapshot.id
        left = read_files(repository, repaired)
        assert left != made_up_files
        assert left.keys() <= made_up_files.keys()
        # What was lost is stored again, although the index knew it before.
        whole = back_up(repository, made_up_files)
        assert read_files(repository, whole) == made_up_files
    assert "no errors were found" in restic.run("check", "--read-data")


@in_every_place
def test_copies_ours(
    ours: tuple[Place, Snapshot], made_up_files: Files, version: str, tmp_path: Path
) -> None:
    place, snapshot = ours
    source = place.restic(version)
    copy = Place(where=tmp_path / "copy", cache_dir=place.cache_dir)
    target = copy.restic(version)
    origin = {
        **source.environment,
        "RESTIC_FROM_REPOSITORY": source.repository,
        "RESTIC_FROM_PASSWORD": PASSWORD,
    }
    target.run("init", "--copy-chunker-params", **origin)
    target.run("copy", **origin)
    assert "no errors were found" in target.run("check", "--read-data")
    with copy.open() as repository:
        (copied,) = list_snapshots(repository)
        assert copied.original == snapshot.id
        assert read_files(repository, copied) == made_up_files


@pytest.mark.sampled(
    "version, repository_version, compression",
    list(itertools.product(VERSIONS, [1, 2], Compression)),
    6,
)
def test_accepts_ours_of_both_versions_and_every_compression(
    local_place: Place, version: str, repository_version: int, compression: Compression
) -> None:
    restic = local_place.restic(version)
    files = {f"/postgres/{n}": b"some text\n" * n * 1000 for n in range(30)}
    with local_place.create(version=repository_version) as repository:
        snapshot = back_up(repository, files, compression=compression)
        assert read_files(repository, snapshot) == files
    assert "no errors were found" in restic.run("check", "--read-data")
    assert restic.raw("dump", "latest", "/postgres/29") == files["/postgres/29"]
    restic.run("forget", "latest", "--prune", "--unsafe-allow-remove-all")


class TestMadeByRestic:
    """Repositories of stock restic, read by us."""

    @pytest.fixture
    def source(self, tmp_path: Path) -> Path:
        """A folder with everything that a file system can hold and restic stores."""
        folder = tmp_path / "source"
        for name in ODD_NAMES:
            below = os.path.join(os.fsencode(folder), name.encode("utf-8", "surrogateescape"))
            os.makedirs(below)
            Path(os.fsdecode(below), "file").write_bytes(b"x" * 100)
        (folder / "empty").touch()
        (folder / "link").symlink_to("empty")
        os.symlink(b"\xff\xfe", folder / "odd link")
        os.mkfifo(folder / "fifo")
        (folder / "big").write_bytes(os.urandom(3 << 20) + bytes(5 << 20))
        return folder

    @pytest.mark.sampled(
        "version, repository_version, compression",
        list(itertools.product(VERSIONS, [1, 2], ["auto", "max", "off"])),
        3,
    )
    def test_is_read(
        self,
        local_place: Place,
        version: str,
        repository_version: int,
        compression: str,
        source: Path,
    ) -> None:
        restic = local_place.init(version, "--repository-version", str(repository_version))
        options: tuple[str, ...] = ("--compression", compression) if repository_version == 2 else ()
        _run_in(source, restic, "backup", ".", *options)
        dump = b"".join(b"%d\tx\n" % n for n in range(500_000))
        for name in ("dumpfile.sql", "/dumpfile.sql"):
            restic.raw("backup", "--stdin", "--stdin-filename", name, *options, stdin=dump)
        with local_place.open() as repository:
            assert repository.version == repository_version
            first, *streams = list_snapshots(repository)
            assert read_files(repository, first) == files_below(source)
            reader = repository.reader(repository.load_index_for_reading())
            kinds = {path: node.kind for path, node in walk(reader, first.tree)}
            assert (kinds["/link"], kinds["/fifo"]) == ("symlink", "fifo")
            for stream in streams:
                assert stream.paths == ("/dumpfile.sql",)
                assert read_files(repository, stream) == {"/dumpfile.sql": dump}
            added = back_up(repository, {"/postgres/x": b"ours"})
            assert read_files(repository, added) == {"/postgres/x": b"ours"}
        assert "no errors were found" in restic.run("check", "--read-data")

    @in_every_place
    def test_is_read_from_a_bucket(self, place: Place, version: str) -> None:
        restic = place.init(version)
        restic.raw("backup", "--stdin", "--stdin-filename", "dumpfile.sql", stdin=b"-- sql\n")
        with place.open() as repository:
            (snapshot,) = list_snapshots(repository)
            assert read_files(repository, snapshot) == {"/dumpfile.sql": b"-- sql\n"}


def _run_in(folder: Path, restic: Restic, *arguments: str) -> None:
    environment: Mapping[str, t.Any] = {**os.environ, **restic.env()}
    done = subprocess.run(
        [restic.program, *arguments], cwd=folder, env=environment, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
