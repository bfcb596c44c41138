# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which entries of an archive come with a table."""

from __future__ import annotations

import itertools

from ansible_collections.granary.postgres.plugins.module_utils._postgres.archive import (
    ArchiveToc,
    TocEntry,
)
from ansible_collections.granary.postgres.plugins.module_utils._postgres.archive_selection import (
    select_entries,
    tables_with_partitions,
)


class Archive:
    """Builds a table of contents; entries refer to earlier ones by their names."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._ids: dict[str, int] = {}
        self._entries: list[TocEntry] = []

    def add(self, desc: str, tag: str, *depends: str) -> None:
        number = next(self._numbers)
        self._ids[f"{desc} {tag}"] = number
        self._entries.append(
            TocEntry(
                dump_id=number,
                catalog_id=(0, number),
                tag=tag,
                namespace="s",
                desc=desc,
                section="",
                owner=None,
                tablespace=None,
                access_method=None,
                defn="",
                dependencies=tuple(self._ids[name] for name in depends),
                has_data=desc == "TABLE DATA",
            )
        )

    def toc(self) -> ArchiveToc:
        return ArchiveToc(
            version=(1, 14),
            encoding="UTF8",
            database="d",
            server_version="15",
            program_version="15",
            entries=tuple(self._entries),
            end=0,
        )

    def names(self, ids: frozenset[int]) -> set[str]:
        return {name for name, number in self._ids.items() if number in ids}


def shop() -> Archive:
    archive = Archive()
    archive.add("SCHEMA", "s")
    archive.add("FUNCTION", "touch", "SCHEMA s")
    archive.add("TABLE", "orders", "SCHEMA s")
    archive.add("SEQUENCE", "orders_id_seq", "SCHEMA s")
    archive.add("SEQUENCE OWNED BY", "orders_id_seq", "SEQUENCE orders_id_seq", "TABLE orders")
    archive.add("DEFAULT", "orders id", "TABLE orders", "SEQUENCE orders_id_seq")
    archive.add("TABLE", "lines", "SCHEMA s")
    archive.add("SEQUENCE", "lines_n_seq", "TABLE lines")
    archive.add("SEQUENCE", "free", "SCHEMA s")
    archive.add("VIEW", "totals", "TABLE orders", "TABLE lines")
    archive.add("CONSTRAINT", "orders pk", "TABLE orders")
    archive.add("COMMENT", "CONSTRAINT pk", "CONSTRAINT orders pk")
    archive.add("FK CONSTRAINT", "lines fk", "TABLE lines", "TABLE orders", "CONSTRAINT orders pk")
    archive.add("TRIGGER", "orders touch", "TABLE orders", "FUNCTION touch")
    archive.add("ACL", "TABLE orders", "TABLE orders")
    archive.add("ACL", "VIEW totals", "VIEW totals")
    return archive


def rows() -> Archive:
    archive = Archive()
    for name in ("orders", "lines"):
        archive.add("TABLE DATA", name)
    for name in ("orders_id_seq", "lines_n_seq", "free"):
        archive.add("SEQUENCE SET", name)
    return archive


def test_a_table_brings_what_belongs_to_it_and_nothing_else() -> None:
    schema, data = shop(), rows()
    wanted = frozenset({("s", "orders")})
    found = select_entries(schema.toc(), data.toc(), wanted, with_surroundings=False)
    assert schema.names(found.schema) == {
        "TABLE orders",
        "SEQUENCE orders_id_seq",
        "SEQUENCE OWNED BY orders_id_seq",
        "DEFAULT orders id",
        "CONSTRAINT orders pk",
        "COMMENT CONSTRAINT pk",
        "TRIGGER orders touch",
        "ACL TABLE orders",
    }
    assert data.names(found.data) == {"TABLE DATA orders", "SEQUENCE SET orders_id_seq"}
    assert found.keys_left_out == ()


def test_a_key_to_a_table_that_stays_behind_is_left_out_and_named() -> None:
    schema, data = shop(), rows()
    wanted = frozenset({("s", "lines")})
    found = select_entries(schema.toc(), data.toc(), wanted, with_surroundings=False)
    assert schema.names(found.schema) == {"TABLE lines", "SEQUENCE lines_n_seq"}
    assert found.keys_left_out == ("s.lines fk",)


def test_keys_between_selected_tables_come_along() -> None:
    schema, data = shop(), rows()
    wanted = frozenset({("s", "orders"), ("s", "lines")})
    found = select_entries(schema.toc(), data.toc(), wanted, with_surroundings=False)
    assert "FK CONSTRAINT lines fk" in schema.names(found.schema)
    assert "VIEW totals" not in schema.names(found.schema)


def test_a_new_database_gets_types_and_functions_too() -> None:
    schema, data = shop(), rows()
    wanted = frozenset({("s", "orders")})
    found = select_entries(schema.toc(), data.toc(), wanted, with_surroundings=True)
    names = schema.names(found.schema)
    assert {"SCHEMA s", "FUNCTION touch", "TABLE orders"} <= names
    assert names.isdisjoint({"TABLE lines", "VIEW totals", "SEQUENCE free", "ACL VIEW totals"})


def test_partitions_come_with_their_root_but_not_the_other_way_round() -> None:
    archive = Archive()
    for name in ("root", "middle", "leaf", "other"):
        archive.add("TABLE", name)
    archive.add("TABLE ATTACH", "middle", "TABLE root", "TABLE middle")
    archive.add("TABLE ATTACH", "leaf", "TABLE middle", "TABLE leaf")
    archive.add("INDEX", "root i", "TABLE root")
    archive.add("INDEX", "leaf i", "TABLE leaf")
    archive.add("INDEX ATTACH", "leaf i", "INDEX root i", "INDEX leaf i")
    toc = archive.toc()
    assert tables_with_partitions(toc, [("s", "root")]) == {
        ("s", "root"),
        ("s", "middle"),
        ("s", "leaf"),
    }
    leaf = tables_with_partitions(toc, [("s", "leaf")])
    assert leaf == {("s", "leaf")}
    found = select_entries(toc, Archive().toc(), leaf, with_surroundings=False)
    assert archive.names(found.schema) == {"TABLE leaf", "INDEX leaf i"}
