# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Restores where names are in encodings that are not UTF-8, or in none, and where text sorts
otherwise.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import (
    ConfigError,
    RestoreFailed,
    TargetNotEmpty,
)
from ansible_collections.granary.postgres.plugins.module_utils._core.events import RecordedEvents
from tests.fix_backup import back_up_server, read_manifest, tables_of
from tests.fix_postgres import DatabaseFactory, PostgresFactory
from tests.fix_repository import Place
from tests.fix_restore import restore_server
from tests.testbed.postgres import PostgresServer

# chr(233) is the byte 0xE9 in both encodings.
SOURCE = """
DO $$ BEGIN
  EXECUTE format('CREATE SCHEMA %1$I', 's' || chr(233));
  EXECUTE format('CREATE TABLE %1$I.%2$I AS SELECT i AS %2$I FROM generate_series(1, 50) i',
                 's' || chr(233), 't' || chr(233));
  EXECUTE format('CREATE TABLE %1$I.%2$I AS SELECT i AS a FROM generate_series(1, 9000) i',
                 's' || chr(233), 'big' || chr(233));
END $$
"""
ROWS = """
SELECT relname = 'big' || chr(233),
       (xpath('//c/text()',
              query_to_xml(format('SELECT count(*) AS c FROM %I.%I', nspname, relname),
                           false, true, '')))[1]::text
  FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
 WHERE nspname = 's' || chr(233) AND relkind = 'r' ORDER BY 1
"""
# How such a name is written by a user: in a database of no encoding the byte stands for itself.
LETTERS = {"LATIN1": "\u00e9", "SQL_ASCII": "\udce9"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A database of one encoding, backed up, and an empty one of the same."""

    server: PostgresServer
    place: Place
    source: str
    target: str
    letter: str

    @property
    def tables(self) -> tuple[str, str]:
        """The names of its two tables, the large one first."""
        letter = self.letter
        return f"s{letter}.big{letter}", f"s{letter}.t{letter}"

    def restore(self, **options: t.Any) -> t.Any:
        """Restore from it."""
        return restore_server(self.server, self.place, databases=(self.source,), **options)


in_an_encoding = pytest.mark.sampled("stored", ["LATIN1", "SQL_ASCII"], 1, indirect=True)


@pytest.fixture
def stored(
    request: pytest.FixtureRequest,
    postgres: PostgresFactory,
    fresh_database: DatabaseFactory,
    local_place: Place,
) -> Stored:
    server = postgres(15)
    clauses = f"TEMPLATE template0 ENCODING '{request.param}' LOCALE 'C'"
    source = fresh_database(server, clauses)
    server.execute(SOURCE, database=source)
    local_place.create().close()
    back_up_server(server, local_place, databases=[source], segment_threshold=1 << 17)
    return Stored(
        server=server,
        place=local_place,
        source=source,
        target=fresh_database(server, clauses),
        letter=LETTERS[request.param],
    )


@in_an_encoding
def test_an_empty_database_is_filled(stored: Stored) -> None:
    assert stored.restore(rename={stored.source: stored.target}).verified
    assert stored.server.execute(ROWS, database=stored.target) == [(False, "50"), (True, "9000")]
    with pytest.raises(TargetNotEmpty, match="exists and is not empty"):
        stored.restore(rename={stored.source: stored.target})


@in_an_encoding
def test_tables_come_beside_others(stored: Stored) -> None:
    stored.server.execute(
        "DO $$ BEGIN EXECUTE format('CREATE TABLE %I ()', 'theirs' || chr(233)); END $$",
        database=stored.target,
    )
    assert stored.restore(tables=stored.tables, into=stored.target).verified
    assert stored.server.execute(ROWS, database=stored.target) == [(False, "50"), (True, "9000")]
    with pytest.raises(TargetNotEmpty, match=r"has '.*', '.*' already"):
        stored.restore(tables=stored.tables, into=stored.target)


@in_an_encoding
def test_what_a_failed_restore_made_beside_others_is_dropped_again(stored: Stored) -> None:
    server, target = stored.server, stored.target
    # The second table cannot be made: its row type's name is taken.
    server.execute(
        "DO $$ BEGIN EXECUTE format('CREATE SCHEMA %1$I; CREATE TYPE %1$I.%2$I AS (a int)',"
        " 's' || chr(233), 't' || chr(233)); END $$",
        database=target,
    )
    events = RecordedEvents()
    with pytest.raises((RestoreFailed, TargetNotEmpty)):
        stored.restore(tables=stored.tables, into=target, events=events)
    assert server.execute(ROWS, database=target) == []
    assert events.warnings == []


@in_an_encoding
def test_tables_take_new_names(stored: Stored) -> None:
    new = f"n{stored.letter}.new{stored.letter}"
    rename = dict.fromkeys(stored.tables[:1], new)
    options: dict[str, t.Any] = {"tables": stored.tables[:1], "into": stored.target}
    assert stored.restore(rename_tables=rename, **options).verified
    count = "SELECT reltuples FROM pg_class WHERE relname = 'new' || chr(233)"
    assert len(stored.server.execute(count, database=stored.target)) == 1
    with pytest.raises(TargetNotEmpty):
        stored.restore(rename_tables=rename, **options)


@pytest.mark.parametrize("stored", ["LATIN1"], indirect=True)
def test_a_new_name_that_the_encoding_lacks_is_refused(
    stored: Stored, fresh_database: DatabaseFactory
) -> None:
    target = fresh_database(stored.server)
    with pytest.raises(ConfigError, match="cannot be written in LATIN1"):
        stored.restore(
            tables=stored.tables,
            rename_tables={stored.tables[0]: "public.\U0001f418"},
            into=target,
        )
    assert stored.server.execute("SELECT 1 FROM pg_class WHERE oid >= 16384", database=target) == []


# Capital letters come before all small ones in C, and beside their own elsewhere.
SORTED = """
CREATE TABLE words (word text, part int) PARTITION BY LIST (part);
CREATE TABLE words_1 PARTITION OF words FOR VALUES IN (1) PARTITION BY RANGE (word);
CREATE TABLE words_low PARTITION OF words_1 FOR VALUES FROM (MINVALUE) TO ('a');
CREATE TABLE words_high PARTITION OF words_1 FOR VALUES FROM ('a') TO (MAXVALUE);
CREATE TABLE words_2 PARTITION OF words FOR VALUES IN (2);
INSERT INTO words SELECT unnest(ARRAY['B', 'Z', 'a', 'b', 'z', '1']), 1;
INSERT INTO words VALUES ('B', 2);
CREATE TABLE numbers (number int) PARTITION BY RANGE (number);
CREATE TABLE numbers_low PARTITION OF numbers FOR VALUES FROM (MINVALUE) TO (9);
INSERT INTO numbers VALUES (1), (2);
"""
LEAVES = "SELECT tableoid::regclass::text, count(*) FROM words GROUP BY 1 ORDER BY 1"


@pytest.mark.parametrize(
    "clauses",
    [
        "ENCODING 'UTF8' LOCALE 'C' LOCALE_PROVIDER icu ICU_LOCALE 'en-US'",
        "ENCODING 'UTF8' LOCALE 'C'",
    ],
)
def test_small_partitions_are_loaded_where_their_text_belongs(
    postgres: PostgresFactory, fresh_database: DatabaseFactory, local_place: Place, clauses: str
) -> None:
    server = postgres(15)
    source = fresh_database(server, "TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'")
    target = fresh_database(server, f"TEMPLATE template0 {clauses}")
    server.execute(SORTED, database=source)
    low = {"words_high": 3, "words_low": 3, "words_2": 1}
    assert dict(server.execute(LEAVES, database=source)) == low
    local_place.create().close()
    back_up_server(server, local_place, databases=[source])
    tables = tables_of(read_manifest(local_place), source)
    taken_over = {name for name, one in tables.items() if one["taken_over"]}
    assert taken_over == {"public.words_low", "public.words_high"}

    result = restore_server(server, local_place, databases=(source,), rename={source: target})
    assert result.verified
    moved = {"words_high": 5, "words_low": 1, "words_2": 1} if "icu" in clauses else low
    assert dict(server.execute(LEAVES, database=target)) == moved
    query = 'SELECT word, part FROM words ORDER BY word COLLATE "C", part'
    rows = server.execute(query, database=source)
    assert server.execute(query, database=target) == rows
