# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What others stored by `pg_dump | restic backup --stdin`, restored by us: whole, or not at all."""

from __future__ import annotations

import dataclasses
import itertools
import os
import subprocess
import typing as t
from collections.abc import Iterator

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import (
    GranaryError,
    RepositoryDamaged,
    RestoreFailed,
    SnapshotMissing,
)
from ansible_collections.granary.postgres.plugins.module_utils._core.events import RecordedEvents
from ansible_collections.granary.postgres.plugins.module_utils._repository.model import BlobKind
from ansible_collections.granary.postgres.plugins.module_utils._repository.snapshot import (
    list_snapshots,
    write_snapshot,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.tree import walk
from tests.equality import Comparison, differences
from tests.fix_postgres import PostgresFactory
from tests.fix_repository import Place
from tests.fix_restore import restore_server
from tests.testbed.postgres import (
    PostgresOptions,
    PostgresServer,
    client_bin,
    client_major_for,
)
from tests.testbed.restic import VERSIONS, Restic

LATIN1 = "x=y dbname=z"
ZOO = "zoo"
LOCALE = "LC_COLLATE 'C' LC_CTYPE 'C'"
PASSWORD_ROW = "ALTER ROLE postgres WITH SUPERUSER PASSWORD 'from a row';"
DATABASE_END = "--\n-- PostgreSQL database dump complete\n--\n\n"
CLUSTER_END = "--\n-- PostgreSQL database cluster dump complete\n--\n\n"
ROLES = """
CREATE ROLE "al ice" LOGIN PASSWORD 'hers';
CREATE ROLE readers;
GRANT readers TO "al ice";
ALTER ROLE readers SET search_path TO public, "a;b";
"""
ROWS = """
CREATE TABLE rows (id int PRIMARY KEY, note text);
ALTER TABLE rows OWNER TO "al ice";
GRANT SELECT ON rows TO readers;
INSERT INTO rows SELECT i, md5(i::text) || repeat('x', 60) FROM generate_series(1, 20000) i;
CREATE TABLE lines (line text);
CREATE TABLE parts (id int, note text) PARTITION BY RANGE (id);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (500);
CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM (500) TO (5000);
INSERT INTO parts SELECT i, NULL FROM generate_series(1, 1000) i;
CREATE MATERIALIZED VIEW total AS SELECT count(*) FROM rows;
CREATE SEQUENCE numbers START 7;
SELECT nextval('numbers'), lo_from_bytea(4711, 'bytes of a large object');
"""
ODD_NOTES = (PASSWORD_ROW, f"\n{DATABASE_END}", f"\n{CLUSTER_END}", "\\.", "a\\\tb\nc\r", None)
# Rows that are the lines of a dump: COPY writes them as they are.
LINES = (f"COPY x (a) FROM stdin;\n\\.\n\n\n{DATABASE_END}{CLUSTER_END}{PASSWORD_ROW}").split("\n")

Kind = t.Literal["pg_dump", "pg_dumpall", "pg_dumpall --clean"]
TARGETS = {10: 16, 13: 13, 14: 15, 15: 15, 16: 16, 17: 17, 18: 18}
"""Majors of the sources, and of the servers that each is restored into.

The programs that dump 14 here are those of 15, whose words 14 does not know.
"""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One way to store a dump."""

    restic: str
    version: int
    compression: str | None
    name: str
    kind: Kind
    major: int

    def __str__(self) -> str:
        """Say what it is, as the id of a test."""
        compression = f"-{self.compression}" if self.compression else ""
        return f"{self.restic}-v{self.version}{compression}-{self.name}-{self.kind}-{self.major}"

    @property
    def options(self) -> tuple[str, ...]:
        """What `restic backup` is told."""
        compression = ("--compression", self.compression) if self.compression else ()
        return ("backup", "--stdin", "--stdin-filename", self.name, *compression)


def _cells() -> Iterator[Cell]:
    kinds: tuple[Kind, ...] = ("pg_dump", "pg_dumpall", "pg_dumpall --clean")
    stores = ((1, None), (2, "auto"), (2, "max"), (2, "off"))
    names = ("dumpfile.sql", "/dumpfile.sql")
    majors = itertools.cycle(TARGETS)
    for restic, (version, compression), name, kind in itertools.product(
        VERSIONS, stores, names, kinds
    ):
        yield Cell(
            restic=restic,
            version=version,
            compression=compression,
            name=name,
            kind=kind,
            major=next(majors),
        )


CELLS = tuple(_cells())


class Sources:
    """Clusters whose rows look like the lines of a dump, one a major, made when first asked for."""

    def __init__(self) -> None:
        self._made: dict[int, PostgresServer] = {}

    def __call__(self, major: int) -> PostgresServer:
        if major not in self._made:
            options = PostgresOptions(auth="scram-sha-256", password="the source's")
            self._made[major] = server = PostgresServer(major, options)
            server.start()
            _fill(server)
        return self._made[major]

    def close(self) -> None:
        """Stop them all."""
        for server in self._made.values():
            server.close()


def _fill(server: PostgresServer) -> None:
    server.execute(ROLES)
    server.execute(f"CREATE DATABASE \"{LATIN1}\" TEMPLATE template0 ENCODING 'LATIN1' {LOCALE}")
    server.execute(f"CREATE DATABASE {ZOO} TEMPLATE template0 ENCODING 'UTF8' {LOCALE}")
    for database, letters in ((LATIN1, "äöü"), (ZOO, "\N{ELEPHANT}")):
        server.execute(ROWS, database=database)
        for number, note in enumerate((*ODD_NOTES, letters)):
            row = [-number, note]
            server.execute("INSERT INTO rows VALUES (%s, %s)", row, database=database)
        for line in LINES:
            server.execute("INSERT INTO lines VALUES (%s)", [line], database=database)
        server.execute("REFRESH MATERIALIZED VIEW total", database=database)


@pytest.fixture(scope="module")
def sources() -> Iterator[Sources]:
    """The sources of this module."""
    made = Sources()
    yield made
    made.close()


def dump_command(server: PostgresServer, kind: Kind) -> list[str]:
    """The program that dumps a server, or its last database, with its arguments."""
    programs = client_bin(client_major_for(server.major))
    program, *arguments = kind.split()
    which = ["-d", ZOO] if program == "pg_dump" else []
    return [f"{programs}/{program}", *arguments, *which]


def dump(server: PostgresServer, kind: Kind) -> bytes:
    """The same as bytes."""
    environment = {**os.environ, **server.environment()}
    command = dump_command(server, kind)
    return subprocess.run(command, env=environment, capture_output=True, check=True).stdout


def pipe(server: PostgresServer, cell: Cell, restic: Restic) -> None:
    """`pg_dump | restic backup --stdin`, as a user runs it."""
    environment = {**os.environ, **server.environment(), **restic.env()}
    with subprocess.Popen(
        dump_command(server, cell.kind), env=environment, stdout=subprocess.PIPE
    ) as dumper:
        subprocess.run(
            [restic.program, *cell.options],
            env=environment,
            stdin=dumper.stdout,
            capture_output=True,
            check=True,
        )
    assert dumper.returncode == 0


def cuts(stream: bytes, kind: Kind) -> dict[str, bytes]:
    """The same dump, cut where a broken pipe may cut it."""
    end = CLUSTER_END if kind != "pg_dump" else DATABASE_END
    lines = stream.rindex(b"COPY public.lines ")
    rows = stream.index(b"COPY public.rows ", lines)
    odd = stream.index(PASSWORD_ROW.encode(), rows)
    row_end = stream.index(b"\n", odd) + 1
    trailer = stream.rindex(end.encode())
    found = {
        "at a row's end": stream[:row_end],
        "inside the last column": stream[: row_end - 3],
        "after rows that are the end of a dump": stream[: stream.index(end.encode(), lines)]
        + end.encode(),
        "after the row with the end of a dump": stream[
            : stream.index(b"database dump complete", row_end) + 22
        ],
        "before the trailer": stream[:trailer],
        "inside the trailer": stream[: trailer + 20],
    }
    if kind != "pg_dump":
        first = stream.index(b"COPY public.lines ")
        next_database = stream.index(b"\n\\connect ", first)
        found["between two databases"] = stream[: next_database + 1]
    return found


def without_keys(stream: bytes) -> bytes:
    """The dump as programs wrote it before August 2025: without \\restrict and its key."""
    words = (b"\\restrict ", b"\\unrestrict ")
    return b"".join(line for line in stream.splitlines(True) if not line.startswith(words))


def everything(server: PostgresServer) -> list[str]:
    """All that is in a server that holds little."""
    said = server.client("pg_dumpall", "-d", server.dsn())
    return [line for line in said.splitlines() if "restrict " not in line]


def snapshot_ids(restic: Restic) -> list[str]:
    """The ids of all snapshots, oldest first."""
    return [snapshot["id"] for snapshot in restic.json("snapshots")]


def assert_refused(
    place: Place,
    server: PostgresServer,
    snapshot: str,
    error: type[GranaryError],
    check_mode: bool = False,
) -> None:
    """A restore, or its plan, must refuse a snapshot before anything is loaded."""
    with pytest.raises(error, match="nothing was restored"):
        restore_server(server, place, snapshot=snapshot, check_mode=check_mode)


def assert_equal(source: PostgresServer, target: PostgresServer, kind: Kind) -> None:
    """What was restored is what was dumped, every row as it was."""
    if kind == "pg_dump":
        found = differences(Comparison(source=source, target=target, databases={ZOO: "other"}))
        # Of itself a dump of one database brings neither roles nor the database's own properties.
        beside = ("globals: ", f"{ZOO}: database ")
        found = [words for words in found if not words.startswith(beside)]
    else:
        databases = {name: name for name in (ZOO, LATIN1, "postgres")}
        found = differences(
            Comparison(source=source, target=target, databases=databases, passwords=False)
        )
        query = "SELECT rolname, rolpassword FROM pg_authid WHERE rolname = 'al ice'"
        assert target.execute(query) == source.execute(query)
        # The bootstrap role has its own password still: this connection needs it.
        assert target.password == "the target's"
    assert not found, "\n".join(found)


@pytest.mark.sampled("cell", CELLS, 3)
def test_whole_ones_restore_and_cut_ones_are_refused(
    cell: Cell, sources: Sources, local_place: Place, private_postgres: PostgresFactory
) -> None:
    source = sources(cell.major)
    restic = local_place.init(cell.restic, "--repository-version", str(cell.version))
    pipe(source, cell, restic)
    (whole,) = snapshot_ids(restic)
    stream = dump(source, cell.kind)
    for cut in cuts(stream, cell.kind).values():
        restic.raw(*cell.options, stdin=cut)

    target = private_postgres(TARGETS[cell.major], auth="scram-sha-256", password="the target's")
    before = everything(target)
    ids = [one for one in snapshot_ids(restic) if one != whole]
    assert len(ids) == len(cuts(stream, cell.kind))
    for snapshot in ids:
        assert_refused(local_place, target, snapshot, RestoreFailed)
    assert_refused(local_place, target, "latest", RestoreFailed, check_mode=True)
    assert everything(target) == before

    options: dict[str, t.Any] = {}
    if cell.kind == "pg_dump":
        options = {"into": "other"}
        target.execute(ROLES)
    result = restore_server(target, local_place, snapshot=whole, **options)
    assert not result.verified
    assert_equal(source, target, cell.kind)


@pytest.mark.sampled("kind", ["pg_dump", "pg_dumpall"], 1)
def test_old_programs_dumps_cut_after_rows_that_look_like_the_end(
    kind: Kind, sources: Sources, local_place: Place, private_postgres: PostgresFactory
) -> None:
    restic = local_place.init(VERSIONS[0])
    stream = without_keys(dump(sources(17), kind))
    backup = ("backup", "--stdin", "--stdin-filename", "dumpfile.sql")
    restic.raw(*backup, stdin=stream)
    (whole,) = snapshot_ids(restic)
    for cut in cuts(stream, kind).values():
        restic.raw(*backup, stdin=cut)
    target = private_postgres(17, auth="scram-sha-256", password="the target's")
    before = everything(target)
    for snapshot in snapshot_ids(restic)[1:]:
        assert_refused(local_place, target, snapshot, RestoreFailed)
    assert everything(target) == before
    if kind == "pg_dump":
        target.execute(ROLES)
    restore_server(target, local_place, snapshot=whole, into="other" if kind == "pg_dump" else None)
    assert_equal(sources(17), target, kind)


def in_many_packs(stream: bytes) -> bytes:
    """A dump with so many rows more that it takes several packs of 4 MiB."""
    start = stream.index(b"\n", stream.index(b"COPY public.rows ")) + 1
    more = b"".join(b"%d\t%s\n" % (n, b"x" * 200) for n in range(100_000, 200_000))
    return stream[:start] + more + stream[start:]


@pytest.mark.sampled("version", VERSIONS, 1)
def test_one_that_lost_its_middle_and_was_repaired_is_refused(
    version: str, sources: Sources, local_place: Place, private_postgres: PostgresFactory
) -> None:
    restic = local_place.init(version, "--repository-version", "1")
    stream = in_many_packs(dump(sources(16), "pg_dump"))
    backup = ("backup", "--stdin", "--stdin-filename", "dumpfile.sql", "--pack-size", "4")
    restic.raw(*backup, stdin=stream)
    with local_place.open() as repository:
        (snapshot,) = list_snapshots(repository)
        index = repository.load_index_for_reading()
        (file,) = (node for path, node in walk(repository.reader(index), snapshot.tree))
        packs = [
            location.pack
            for blob in file.content
            for location in index.locations(BlobKind.DATA, blob)
        ]
        # restic fills two packs by turns: the one of the middle may hold the beginning or end too.
        lost = next(pack for pack in packs if pack not in {packs[0], packs[-1]})
        repository.backend.delete(f"data/{lost.hex()[:2]}/{lost.hex()}")
    restic.run("repair", "index")
    restic.run("repair", "snapshots", "--forget")
    (repaired,) = snapshot_ids(restic)
    assert repaired != snapshot.id.hex()
    left = restic.raw("dump", "latest", "/dumpfile.sql")
    # It begins and ends as a whole one does.
    assert (left[:1000], left[-1000:]) == (stream[:1000], stream[-1000:])
    target = private_postgres(16, auth="scram-sha-256", password="the target's")
    before = everything(target)
    for wanted in (repaired, snapshot.id.hex()):
        assert_refused(local_place, target, wanted, RepositoryDamaged)
    with pytest.raises(SnapshotMissing):
        restore_server(target, local_place)
    assert everything(target) == before


def test_one_that_was_changed_and_never_said_its_size_is_warned_of(
    local_place: Place, postgres: PostgresFactory
) -> None:
    restic = local_place.init(VERSIONS[0])
    stream = f"--\n-- PostgreSQL database dump\n--\n\n\n{DATABASE_END}".encode()
    restic.raw("backup", "--stdin", "--stdin-filename", "dumpfile.sql", stdin=stream)
    said = {}
    with local_place.open() as repository:
        (snapshot,) = list_snapshots(repository)
        old = dataclasses.replace(snapshot, summary=None)
        changed = dataclasses.replace(old, original=snapshot.id)
        for name, one in (("new", snapshot), ("old", old), ("changed", changed)):
            wanted = write_snapshot(repository, one).hex()
            events = RecordedEvents()
            restore_server(
                postgres(16), local_place, snapshot=wanted, check_mode=True, events=events
            )
            said[name] = "rows may be missing" in "".join(events.warnings)
    assert said == {"new": False, "old": False, "changed": True}


def test_one_that_was_tagged_restores(
    sources: Sources, local_place: Place, private_postgres: PostgresFactory
) -> None:
    restic = local_place.init(VERSIONS[-1])
    stream = dump(sources(15), "pg_dumpall")
    restic.raw("backup", "--stdin", "--stdin-filename", "dumpfile.sql", stdin=stream)
    (old,) = snapshot_ids(restic)
    restic.run("tag", "--add", "kept")
    (new,) = snapshot_ids(restic)
    assert new != old
    target = private_postgres(15, auth="scram-sha-256", password="the target's")
    assert restore_server(target, local_place, snapshot=old).snapshot.id == new
    assert_equal(sources(15), target, "pg_dumpall")
