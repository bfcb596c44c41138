# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Everything that PostgreSQL can hold, backed up, restored and compared (tests/equality.py)."""

from __future__ import annotations

import itertools
import json
import typing as t
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import (
    DumpFailed,
    RightsMissing,
)
from ansible_collections.granary.postgres.plugins.module_utils._core.events import RecordedEvents
from ansible_collections.granary.postgres.plugins.module_utils._core.units import MIB
from ansible_collections.granary.postgres.plugins.module_utils._workflows.requests import (
    RestoreRequest,
    RestoreResult,
)
from ansible_collections.granary.postgres.plugins.module_utils._workflows.restore import run_restore
from tests.corpus.build import (
    GUARDED,
    LONG,
    MAIN,
    ODD_DATABASES,
    SERVER_SETTINGS,
    SHORT,
    SUBSCRIBER,
    CorpusDatabase,
    build_corpus,
    databases_for,
)
from tests.equality import Comparison, count_rows, differences
from tests.fix_backup import (
    access,
    back_up_server,
    connection,
    files_of,
    read_manifest,
    tables_of,
)
from tests.fix_postgres import PostgresFactory
from tests.fix_repository import Place, back_up
from tests.testbed.postgres import PostgresServer, client_bin, client_major_for

MANIFEST = "/postgres/manifest.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Corpus:
    """A server that holds the corpus; nobody changes it."""

    server: PostgresServer
    databases: tuple[CorpusDatabase, ...]


class CorpusFactory(t.Protocol):
    """Gives the server of a major with the corpus, made when first asked for."""

    def __call__(self, major: int) -> Corpus: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A source and a target; `client` is the only major of client programs, None those that fit."""

    source: int
    target: int
    client: int | None = None
    standby: bool = False
    plain: bool = False
    fine: bool = False

    def __str__(self) -> str:
        """Say what it is, as the id of a test."""
        words = [f"{self.source}-{self.target}"]
        words += [f"clients{self.client}"] if self.client else []
        words += [word for word in ("standby", "plain", "fine") if getattr(self, word)]
        return "-".join(words)


PAIRS = (
    *(Pair(source=major, target=major) for major in (14, 15, 16, 17, 18)),
    Pair(source=14, target=18),
    Pair(source=13, target=18),
    Pair(source=17, target=17, standby=True),
    Pair(source=15, target=15, client=18),
    Pair(source=16, target=16, client=18),
)
ALL_PAIRS = (
    *PAIRS,
    Pair(source=10, target=16, plain=True),
    *(replace(p, fine=True) for p in PAIRS),
)


@pytest.fixture(scope="session")
def corpus(postgres: PostgresFactory, pytestconfig: pytest.Config) -> CorpusFactory:
    """Servers that hold the corpus, each made once."""
    sizes = LONG if pytestconfig.getoption("--long") else SHORT
    made: dict[int, Corpus] = {}

    def give(major: int) -> Corpus:
        if major not in made:
            server = postgres(major, settings=SERVER_SETTINGS | {"application_name": "corpus"})
            made[major] = Corpus(server=server, databases=build_corpus(server, sizes))
        return made[major]

    return give


@pytest.fixture
def standby(corpus: CorpusFactory) -> Iterator[Callable[[int], PostgresServer]]:
    """Hot standbys of the servers with the corpus, which have replayed all of it."""
    made: list[PostgresServer] = []

    def give(major: int) -> PostgresServer:
        made.append(corpus(major).server.standby())
        made[-1].wait_for_replay(corpus(major).server)
        return made[-1]

    yield give
    for server in made:
        server.close()


def restore(
    place: Place, target: PostgresServer, client: int | None = None, **options: t.Any
) -> RestoreResult:
    """Restore the latest snapshot as the superuser of a server."""
    request = RestoreRequest(
        repository=access(place),
        connection=connection(target),
        jobs=2,
        bin_dir=str(client_bin(client or client_major_for(target.major))),
        **options,
    )
    return run_restore(request, events=RecordedEvents(), check_mode=False)


def plant_pages(place: Place, pages: int) -> None:
    """Add a snapshot by whose manifest segments had so few pages: the next backup keeps that."""
    manifest = read_manifest(place)
    for database in manifest["databases"]:
        for table in database["tables"]:
            if table.get("segment_pages"):
                table["segment_pages"] = pages
    with place.open() as repository:
        back_up(repository, {MANIFEST: json.dumps(manifest).encode()}, hostname="main")


def print_taken_over(place: Place) -> int:
    """Print the tables whose rows the engine copied itself, and return how many there are."""
    taken = [
        (database["definition"]["name"], table)
        for database in read_manifest(place)["databases"]
        for table in database["tables"]
        if table["taken_over"]
    ]
    for database, table in taken:
        print(
            f"taken over: {database!r}: {table['schema']!r}.{table['name']!r}: {table['rows']} "
            f"rows, {len(table['segments'])} segments of {table['segment_pages']} pages"
        )
    return len(taken)


def back_up_corpus(
    pair: Pair, source: PostgresServer, place: Place, databases: Collection[str]
) -> dict[str, t.Any]:
    """Back up a server with the corpus as a pair wants it; return the manifest, print figures."""
    options: dict[str, t.Any] = {
        "bin_dir": str(client_bin(pair.client or client_major_for(source.major))),
        "databases": tuple(databases) if pair.client else None,
    }
    if pair.fine:
        options |= {"segment_threshold": 0}
        back_up_server(source, place, **options)
        plant_pages(place, 1)
    result = back_up_server(source, place, **options)
    taken = print_taken_over(place)
    print(f"{pair}: {result.stats}, {taken} tables taken over")
    return read_manifest(place)


def names(manifest: dict[str, t.Any]) -> dict[str, str]:
    """The databases of a manifest, each under its own name."""
    found = [entry["definition"]["name"] for entry in manifest["databases"]]
    return dict(zip(found, found, strict=True))


class TestPairs:
    @pytest.mark.sampled("pair", ALL_PAIRS, 1)
    def test_all_of_it_comes_back(
        self,
        pair: Pair,
        corpus: CorpusFactory,
        standby: Callable[[int], PostgresServer],
        private_postgres: PostgresFactory,
        local_place: Place,
    ) -> None:
        local_place.create().close()
        built = corpus(pair.source)
        source = standby(pair.source) if pair.standby else built.server
        if pair.plain:
            back_up_server(source, local_place, format="plain")
            databases = {one.name: one.name for one in built.databases}
        else:
            wanted = {one.name for one in built.databases} | {"postgres"}
            # pg_dump 18 writes options of subscriptions that older servers do not know.
            wanted -= {SUBSCRIBER} if pair.client else set()
            databases = names(back_up_corpus(pair, source, local_place, wanted))
            assert set(databases) == wanted
        target = private_postgres(pair.target, settings=SERVER_SETTINGS)
        result = restore(local_place, target, pair.client)
        assert result.verified is not pair.plain
        found = differences(
            Comparison(
                source=built.server,
                target=target,
                databases=databases,
                unlogged=not pair.standby,
            )
        )
        print(f"{pair}: {count_rows(target, list(databases))} tables and rows equal")
        assert not found, "\n".join(found)


class TestSkipped:
    @pytest.mark.slow
    def test_rows_that_were_not_read_again_come_back(
        self, corpus: CorpusFactory, private_postgres: PostgresFactory, local_place: Place
    ) -> None:
        local_place.create().close()
        source = corpus(17).server
        options: dict[str, t.Any] = {"segment_threshold": 0}
        read = back_up_server(source, local_place, **options).stats
        before = read_manifest(local_place)
        kept = back_up_server(source, local_place, skip_unchanged=True, **options).stats
        after = read_manifest(local_place)
        print(f"{kept.unchanged_bytes} of {read.read_bytes} bytes were not read again")
        assert kept.unchanged_bytes > kept.read_bytes
        assert kept.rows == read.rows
        for one, other in zip(before["databases"], after["databases"], strict=True):
            assert one["tables"] == other["tables"]
        target = private_postgres(17, settings=SERVER_SETTINGS)
        assert restore(local_place, target).verified
        found = differences(Comparison(source=source, target=target, databases=names(after)))
        assert not found, "\n".join(found)


class TestReader:
    """A role with nothing but pg_read_all_data."""

    def test_reads_all_but_large_objects_and_row_security(
        self, corpus: CorpusFactory, private_postgres: PostgresFactory, local_place: Place
    ) -> None:
        local_place.create().close()
        built = corpus(16)
        databases = [one.name for one in built.databases if one.name not in {GUARDED, SUBSCRIBER}]
        back_up_server(built.server, local_place, user="reader", databases=tuple(databases))
        target = private_postgres(16, settings=SERVER_SETTINGS)
        assert restore(local_place, target).verified
        found = differences(
            Comparison(
                source=built.server,
                target=target,
                databases=dict(zip(databases, databases, strict=True)),
                passwords=False,
            )
        )
        assert not found, "\n".join(found)

    @pytest.mark.parametrize("role", ["reader", "app_user"])
    def test_is_told_what_only_a_superuser_may_see(
        self, role: str, corpus: CorpusFactory, local_place: Place
    ) -> None:
        local_place.create().close()
        before = files_of(local_place, "snapshots")
        with pytest.raises(DumpFailed) as refused:
            back_up_server(
                corpus(16).server, local_place, user=role, databases=(SUBSCRIBER,), globals=False
            )
        assert "subscriptions not dumped" in str(refused.value)
        assert "user mapping of app_user on server elsewhere" in str(refused.value)
        assert files_of(local_place, "snapshots") == before

    def test_is_told_all_that_it_may_not_read_before_anything_is_read(
        self, corpus: CorpusFactory, local_place: Place
    ) -> None:
        local_place.create().close()
        before = files_of(local_place)
        with pytest.raises(RightsMissing) as refused:
            back_up_server(corpus(16).server, local_place, user="reader")
        for word in ("secured", "large object", "111111", GUARDED):
            assert word in str(refused.value)
        assert files_of(local_place) == before


class TestOtherEncoding:
    def test_small_partitions_find_their_rows_by_other_hashes(
        self, corpus: CorpusFactory, private_postgres: PostgresFactory, local_place: Place
    ) -> None:
        local_place.create().close()
        source = corpus(16).server
        back_up_server(source, local_place, databases=("latin1",))
        target = private_postgres(16, settings=SERVER_SETTINGS)
        target.execute("CREATE DATABASE latin1 TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C.UTF-8'")
        assert restore(local_place, target).verified
        for query in (
            "SELECT t, n FROM hashed ORDER BY n",
            "SELECT c::text, n FROM parts.by_enum ORDER BY n",
            'SELECT "Länge", "größe"::text FROM "Bücher"."Straße" ORDER BY id',
        ):
            expected = source.execute(query, database="latin1")
            assert len(expected) >= 1000
            assert target.execute(query, database="latin1") == expected


NAMES_CASES = tuple(itertools.product((ODD_DATABASES[0], "ascii", "latin1"), (0, 8 * MIB)))


class TestRenamed:
    """Tables under new names: their rows come out of data.dump by way of pg_restore's own SQL."""

    @pytest.mark.sampled("case", NAMES_CASES, 1)
    def test_every_odd_name_can_be_taken_off(
        self,
        case: tuple[str, int],
        corpus: CorpusFactory,
        private_postgres: PostgresFactory,
        local_place: Place,
    ) -> None:
        local_place.create().close()
        database, threshold = case
        source = corpus(16).server
        back_up_server(source, local_place, databases=(database,), segment_threshold=threshold)
        entries = tables_of(read_manifest(local_place), database)
        # Types of the source are not in the target; partitions come with their roots.
        own = {
            name: table["rows"]
            for name, table in entries.items()
            if not table["root"] and name not in {"names1.uses them", "Bücher.Straße"}
        }
        renamed = {name: f"Maß.t{number}" for number, name in enumerate(own)}
        target = private_postgres(16, settings=SERVER_SETTINGS)
        clauses = next(one.clauses for one in databases_for(16) if one.name == database)
        target.execute(f"CREATE DATABASE there {clauses}")
        restored = restore(
            local_place,
            target,
            databases=(database,),
            tables=tuple(own),
            rename_tables=renamed,
            into="there",
        )
        assert restored.verified
        assert own
        assert sum(own.values()) == count_rows(target, ["there"])[1]

    def test_tables_without_columns_to_name(
        self, corpus: CorpusFactory, private_postgres: PostgresFactory, local_place: Place
    ) -> None:
        local_place.create().close()
        back_up_server(corpus(16).server, local_place, databases=(MAIN,))
        names = ("types.no_columns", "types.only_generated", "types.all_dropped", "types.odd_text")
        target = private_postgres(16, settings=SERVER_SETTINGS)
        target.execute("CREATE DATABASE there")
        renamed = {name: f"public.t{number}" for number, name in enumerate(names)}
        options: dict[str, t.Any] = {"databases": (MAIN,), "tables": names, "into": "there"}
        assert restore(local_place, target, rename_tables=renamed, **options).verified
        assert count_rows(target, ["there"]) == (4, 3 + 2 + 100 + 3000)
