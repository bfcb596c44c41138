# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Backups of a real server in the hands of stock restic, and of nothing but psql and pg_restore.

Whatever a user does to them with restic, a restore of ours brings all of it back or refuses before
anything is loaded.
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import typing as t
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import (
    GranaryError,
    RepositoryDamaged,
    SnapshotMissing,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.snapshot import (
    list_snapshots,
)
from tests.corpus.build import (
    SERVER_SETTINGS,
    CorpusDatabase,
    Sizes,
    build_corpus,
    databases_for,
)
from tests.equality import Comparison, differences
from tests.fix_backup import MANIFEST, back_up_server
from tests.fix_postgres import PostgresFactory
from tests.fix_repository import PASSWORD, PREFIX, Place
from tests.fix_restore import restore_server
from tests.fix_sample import Sampler
from tests.testbed.postgres import PostgresOptions, PostgresServer, client_bin
from tests.testbed.restic import VERSIONS, Restic
from tests.testbed.s3 import Bucket

MAJORS = (14, 15, 16, 17, 18)
SIZES = Sizes(toast_mb=1, row_mb=1, rows=1000, small_tables=10)
ODD, LATIN1, SCRIPT = "x=y dbname=z", "latin1", "globals.sql"
DATABASES = {name: name for name in (ODD, LATIN1, SCRIPT, "postgres")}
MORE = """
CREATE TABLE heavy AS SELECT i, md5(i::text) || md5((-i)::text) AS t
  FROM generate_series(1, 99999) i;
SELECT lo_from_bytea(4711, 'bytes of a large object');
COMMENT ON LARGE OBJECT 4711 IS 'it''s large';
"""
SMALL_PACKS: dict[str, t.Any] = {"segment_threshold": 0, "pack_size": 4 << 20}


@dataclass(frozen=True, slots=True, kw_only=True)
class Original:
    """A server, and a repository with two backups of it; nobody changes either, all take copies."""

    server: PostgresServer
    folder: Path
    snapshots: tuple[str, str]


class Originals:
    """One for each major, made when first asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: dict[int, Original] = {}

    def __call__(self, major: int) -> Original:
        if major not in self._made:
            server = PostgresServer(major, PostgresOptions(settings=SERVER_SETTINGS))
            server.start()
            self._made[major] = self._back_up(server)
        return self._made[major]

    def _back_up(self, server: PostgresServer) -> Original:
        build_corpus(server, SIZES, _odd_databases(server.major))
        server.execute(f"BEGIN READ WRITE; {MORE} COMMIT", database=SCRIPT)
        place = Place(where=self._folder / str(server.major), cache_dir=self._folder / "cache")
        place.create().close()
        first = back_up_server(server, place, **SMALL_PACKS)
        change = "BEGIN READ WRITE; DELETE FROM heavy WHERE i % 5000 = 0; COMMIT"
        server.execute(change, database=SCRIPT)
        second = back_up_server(server, place, **SMALL_PACKS)
        assert isinstance(place.where, Path)
        return Original(
            server=server,
            folder=place.where,
            snapshots=(str(first.snapshot.id), str(second.snapshot.id)),
        )

    def close(self) -> None:
        """Stop the servers."""
        for original in self._made.values():
            original.server.close()


def _odd_databases(major: int) -> tuple[CorpusDatabase, ...]:
    themes = {ODD: ("names", "partitions"), LATIN1: ("partitions", "latin1"), SCRIPT: ("few",)}
    return tuple(
        CorpusDatabase(name=one.name, clauses=one.clauses, themes=themes[one.name])
        for one in databases_for(major)
        if one.name in themes
    )


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Originals]:
    """The originals of this module."""
    made = Originals(tmp_path_factory.mktemp("originals"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def target(postgres: PostgresFactory) -> Callable[[int], PostgresServer]:
    """A server of a major that tests restore into one after the other."""
    return lambda major: postgres(major, settings=SERVER_SETTINGS | {"application_name": "oracle"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A copy of an original that a test may do with what it likes, and restic on it."""

    original: Original
    place: Place
    restic: Restic
    target: PostgresServer

    def restore(self, **options: t.Any) -> t.Any:
        """Restore over what an earlier test left."""
        return restore_server(self.target, self.place, clean=True, **options)

    def assert_restores(self, snapshot: str = "latest", as_newest: bool = True) -> str:
        """All of a snapshot must come back; returns its id."""
        result = self.restore(snapshot=snapshot)
        assert result.verified
        if as_newest:
            comparison = Comparison(
                source=self.original.server, target=self.target, databases=DATABASES
            )
            found = differences(comparison)
            assert not found, "\n".join(found)
        return str(result.snapshot.id)

    def assert_refused(self, snapshot: str, error: type[GranaryError] = RepositoryDamaged) -> None:
        """The plan and the restore must refuse a snapshot; the server must stay as it is."""
        before = self.target.execute(_STATE)
        for check_mode in (True, False):
            with pytest.raises(error):
                self.restore(snapshot=snapshot, check_mode=check_mode)
        assert self.target.execute(_STATE) == before

    def assert_sound(self) -> None:
        """restic must find nothing to complain about."""
        assert "no errors were found" in self.restic.run("check", "--read-data")

    def ids(self) -> list[str]:
        """The ids of the snapshots, oldest first."""
        return [snapshot["id"] for snapshot in self.restic.json("snapshots")]


_STATE = """
SELECT datname::text, oid::text FROM pg_database
UNION ALL SELECT rolname, rolpassword FROM pg_authid
UNION ALL SELECT setdatabase::text, setconfig::text FROM pg_db_role_setting ORDER BY 1, 2
"""


class Scenes(t.Protocol):
    """Gives a scene on a local folder or in a bucket, with restic of a release."""

    def __call__(self, version: str, where: str, number: int) -> Scene: ...


@pytest.fixture
def scenes(
    request: pytest.FixtureRequest,
    originals: Originals,
    target: Callable[[int], PostgresServer],
    sampler: Sampler,
    tmp_path: Path,
) -> Scenes:
    """Copies of originals; the number of a cell chooses the major among those of the sample."""

    def give(version: str, where: str, number: int) -> Scene:
        majors = sampler(MAJORS, 1)
        major = majors[number % len(majors)]
        kind = {"local": "repository_dir", "s3": "s3_bucket"}[where]
        place = Place(where=request.getfixturevalue(kind), cache_dir=tmp_path / "restic-cache")
        _copy(originals(major).folder, place.where)
        return Scene(
            original=originals(major),
            place=place,
            restic=place.restic(version),
            target=target(major),
        )

    return give


def _copy(folder: Path, where: Path | Bucket) -> None:
    if isinstance(where, Path):
        shutil.copytree(folder, where)
        return
    client = where.client()
    for path in folder.rglob("*"):
        if path.is_file():
            key = f"{PREFIX}/{path.relative_to(folder)}"
            client.put_object(Bucket=where.name, Key=key, Body=path.read_bytes())


PLACES = list(itertools.product(VERSIONS, ("local", "s3")))


@pytest.mark.sampled("cell", [(*cell, number) for number, cell in enumerate(PLACES)], 1)
def test_restic_reads_all_of_it_and_cleans_up(
    cell: tuple[str, str, int], scenes: Scenes, tmp_path: Path
) -> None:
    scene = scenes(*cell)
    restic, newest = scene.restic, scene.original.snapshots[-1]
    scene.assert_sound()
    listed = restic.json("snapshots")
    assert tuple(one["id"] for one in listed) == scene.original.snapshots
    assert {(one["hostname"], *one["paths"], *one["tags"]) for one in listed} == {
        ("main", "/postgres", "granary")
    }
    files = {
        node["path"]: node["size"]
        for node in restic.json("ls", newest)
        if node.get("message_type") == "node" and node["type"] == "file"
    }
    stats = restic.json("stats", newest)
    assert stats["total_size"] == sum(files.values())
    folder = tmp_path / "restored"
    restic.run("restore", newest, "--verify", "--target", folder)
    assert sum(path.is_file() for path in folder.rglob("*")) == len(files)
    assert restic.raw("dump", newest, MANIFEST) == (folder / MANIFEST[1:]).read_bytes()

    copied = _copy_with_restic(scene, cell[0], tmp_path)
    restic.run("tag", "--add", "kept", newest)
    (tagged,) = set(scene.ids()) - set(scene.original.snapshots)
    restic.run("forget", "--keep-last", "1", "--prune", "--max-unused", "0")
    assert scene.ids() == [tagged]
    scene.assert_sound()
    assert scene.assert_restores() == tagged
    # What was asked for by its old id is found, in `original`.
    for place in (scene.place, copied):
        again = restore_server(scene.target, place, clean=True, snapshot=newest, check_mode=True)
        assert (again.snapshot.id == tagged) is (place is scene.place)
    back_up_server(scene.original.server, scene.place, **SMALL_PACKS)
    assert len(scene.ids()) == 2
    scene.assert_sound()


def _copy_with_restic(scene: Scene, version: str, tmp_path: Path) -> Place:
    copied = Place(where=tmp_path / "copied", cache_dir=scene.place.cache_dir)
    origin = {
        **scene.restic.environment,
        "RESTIC_FROM_REPOSITORY": scene.restic.repository,
        "RESTIC_FROM_PASSWORD": PASSWORD,
    }
    other = copied.restic(version)
    other.run("init", "--copy-chunker-params", **origin)
    other.run("copy", **origin)
    assert "no errors were found" in other.run("check", "--read-data")
    assert len(other.json("snapshots")) == 2
    return copied


EXCLUDED = {
    "a table's file": r"/postgres/databases/x=y dbname=z/tables/parts/by_text_2/*/000000.copy",
    "manifest.json": MANIFEST,
    "schema.dump": "/postgres/databases/latin1/schema.dump",
    "data.dump": "/postgres/databases/postgres/data.dump",
    "globals.sql": "/postgres/globals.sql",
    "a database": "/postgres/databases/globals.sql",
}
REWRITES = [
    (what, *place, number)
    for number, (place, what) in enumerate(itertools.product(PLACES, EXCLUDED))
]


@pytest.mark.sampled("cell", REWRITES, 2)
def test_what_lacks_a_file_is_refused_and_the_whole_one_preferred(
    cell: tuple[str, str, str, int], scenes: Scenes
) -> None:
    what, version, where, number = cell
    scene = scenes(version, where, number)
    newest = scene.original.snapshots[-1]
    scene.restic.run("rewrite", "--exclude", EXCLUDED[what], newest)
    (less,) = set(scene.ids()) - set(scene.original.snapshots)
    with scene.place.open() as repository:
        times = {one.id.hex(): one.time for one in list_snapshots(repository)}
    assert times[less] == times[newest]
    error = SnapshotMissing if what == "manifest.json" else RepositoryDamaged
    scene.assert_refused(less, error)
    # Of two with one time the one that was not made from the other.
    assert scene.restore(check_mode=True).snapshot.id == newest
    scene.restic.run("forget", *scene.original.snapshots)
    for wanted in (less, newest):  # the second one by `original`
        scene.assert_refused(wanted, error)
    scene.assert_refused("latest", SnapshotMissing)


def test_of_two_with_one_time_the_first_one_is_latest(scenes: Scenes) -> None:
    scene = scenes(VERSIONS[-1], "local", 0)
    newest = scene.original.snapshots[-1]
    scene.restic.run("rewrite", "--exclude", "/nothing", newest)
    assert len(scene.ids()) == 2  # restic rewrites nothing that would not change
    scene.restic.run("rewrite", "--new-time", "2038-01-01 00:00:00", newest)
    (later,) = set(scene.ids()) - set(scene.original.snapshots)
    assert scene.restore(check_mode=True).snapshot.id == later
    assert scene.restore(check_mode=True, snapshot=newest[:12]).snapshot.id == newest


def _packs(folder: Path) -> list[str]:
    """The names of all packs, largest first: those of rows come before those of trees."""
    found = [path for path in (folder / "data").rglob("*") if path.is_file()]
    return [path.name for path in sorted(found, key=lambda path: (-path.stat().st_size, path.name))]


REPAIRS = [(*place, number) for number, place in enumerate(PLACES * 3)]


@pytest.mark.sampled("cell", REPAIRS, 1)
def test_what_was_repaired_comes_back_whole_or_not_at_all(
    cell: tuple[str, str, int], scenes: Scenes, seed: int
) -> None:
    scene = scenes(*cell)
    packs = _packs(scene.original.folder)
    lost = packs[(seed + cell[-1]) % len(packs)]
    print(f"lost is pack {lost} of {packs}")  # shown if a later line fails
    with scene.place.open() as repository:
        repository.backend.delete(f"data/{lost[:2]}/{lost}")
    scene.restic.run("repair", "index")
    forget = ["--forget"] if cell[-1] % 2 else []
    scene.restic.run("repair", "snapshots", *forget)
    outcomes = {}
    for wanted in {*scene.ids(), *scene.original.snapshots, "latest"}:
        outcomes[wanted] = _outcome(scene, wanted)
    print(f"{outcomes}")
    taken = outcomes["latest"]
    if taken in scene.original.snapshots:
        scene.assert_restores(as_newest=taken == scene.original.snapshots[-1])
    # The next backup stores again what was lost.
    again = back_up_server(scene.original.server, scene.place, **SMALL_PACKS)
    assert scene.assert_restores() == again.snapshot.id
    if forget:
        scene.assert_sound()


def _outcome(scene: Scene, wanted: str) -> str:
    """The id of the snapshot that the plan takes, or the code of the error that refuses it."""
    try:
        taken = scene.restore(snapshot=wanted, check_mode=True).snapshot.id
    except GranaryError as exc:
        scene.assert_refused(wanted, type(exc))
        return exc.code
    assert taken in scene.original.snapshots  # what restic changed is not whole
    return str(taken)


def _programs_alone(folder: Path, major: int) -> str:
    """A PATH with psql and pg_restore and the tools of every Debian, nothing else."""
    folder.mkdir()
    for name in ("psql", "pg_restore"):
        path = folder / name
        path.write_text(f'#!/bin/sh\nexec "{client_bin(major)}/{name}" "$@"\n')
        path.chmod(0o755)
    return f"{folder}:/usr/bin:/bin"


@pytest.mark.sampled("cell", [(VERSIONS[n % 2], "local", n) for n in range(5)], 1)
def test_by_hand_it_becomes_equal_to_the_source(
    cell: tuple[str, str, int],
    scenes: Scenes,
    private_postgres: PostgresFactory,
    tmp_path: Path,
) -> None:
    scene = scenes(*cell)
    major = scene.original.server.major
    target = private_postgres(major, settings=SERVER_SETTINGS)
    folder = tmp_path / "restored"
    scene.restic.run("restore", "latest", "--target", folder)
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    program = 15 if major == 14 else major
    done = subprocess.run(
        ["/bin/sh", folder / "postgres/restore.sh", "-j", "2"],
        env=clean | target.environment() | {"PATH": _programs_alone(tmp_path / "bin", program)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "rows are counted" in done.stderr
    comparison = Comparison(source=scene.original.server, target=target, databases=DATABASES)
    found = differences(comparison)
    assert not found, "\n".join(found)
