# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import json

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import (
    RepositoryDamaged,
)
from ansible_collections.granary.postgres.plugins.module_utils._postgres import manifest as m

DEFINITION = m.DatabaseDefinition(
    name='shop "x" \udcf6 🐘',
    owner="alice",
    encoding="UTF8",
    locale_provider="libc",
    collate="C",
    ctype="C",
    acl=(m.AclEntry(None, "alice", ("CONNECT", "TEMPORARY"), False),),
    settings=(m.SettingEntry(None, "search_path", "a, b"), m.SettingEntry("bob", "x.y", "1")),
)
TAKEN_OVER = m.TableEntry(
    schema="public",
    name="orders",
    taken_over=True,
    rows=30,
    table_size=16 << 20,
    columns=("id", "tëxt"),
    size=300,
    segment_pages=1024,
    segments=(m.SegmentEntry(20, 200, 1), m.SegmentEntry(10, 100, 1)),
    files=(m.FileEntry(300, 2),),
    root=m.RootEntry(schema="public", name="all_orders", strategies=("range", "hash")),
)
DATABASE = m.DatabaseEntry(
    definition=DEFINITION,
    lsn="0/1A2B3C",
    schema_dump=m.FileEntry(1000, 2),
    data_dump=m.FileEntry(2000, 3),
    archive_version=(1, 14),
    tables=(
        TAKEN_OVER,
        m.TableEntry(schema="public", name="left out", taken_over=False, rows=None),
    ),
    excluded=(m.TableName("public", "left out"),),
    extensions=(m.ExtensionEntry("pgcrypto", "1.3", "public"),),
    roles=("alice", "bob"),
    large_objects=1,
)


def make_manifest() -> m.Manifest:
    return m.Manifest(
        program="granary 0.1.0",
        server=m.ServerEntry(
            version="15.18",
            version_num=150018,
            system_identifier="7300000000000000001",
            lsn="0/1A2B3C",
            in_recovery=False,
        ),
        settings=m.Settings(segment_threshold=8 << 20, dump_program="pg_dump 15.18"),
        globals=m.GlobalsEntry(file=m.FileEntry(500, 1), roles=("alice",)),
        databases=(DATABASE,),
        files={"restore.sh": m.FileEntry(10, 1), "RESTORE.md": m.FileEntry(20, 1)},
    )


def test_what_is_encoded_comes_back() -> None:
    manifest = make_manifest()
    assert m.decode(m.encode(manifest)) == manifest


def test_equal_manifests_have_equal_bytes_whatever_the_order_of_files() -> None:
    manifest = make_manifest()
    turned = dataclasses.replace(manifest, files=dict(reversed(list(manifest.files.items()))))
    assert m.encode(manifest) == m.encode(turned)


def test_a_name_that_is_not_utf8_leaves_the_file_valid_utf8() -> None:
    data = m.encode(make_manifest())
    assert b"\\udcf6" in data
    assert "🐘".encode() in data
    data.decode("utf-8")


def test_segments_are_short_rows() -> None:
    assert b'"segments":[[20,200,1],[10,100,1]]' in m.encode(make_manifest())


def test_a_leaf_below_a_hash_says_so() -> None:
    root = make_manifest().databases[0].tables[0].root
    assert root is not None
    assert root.hashed
    assert not dataclasses.replace(root, strategies=("range", "list")).hashed


def test_later_fields_are_passed_over_and_missing_ones_take_their_default() -> None:
    found = json.loads(m.encode(make_manifest()))
    found["later"] = {"unknown": 1}
    found["databases"][0]["tables"][0]["segments"][0].append("later")
    del found["databases"][0]["large_objects"]
    decoded = m.decode(json.dumps(found).encode())
    assert decoded.databases[0].large_objects == 0
    assert decoded.databases[0].tables == make_manifest().databases[0].tables


def test_a_newer_format_is_refused_with_the_way_out() -> None:
    found = json.loads(m.encode(make_manifest()))
    found["format"] = m.FORMAT + 1
    with pytest.raises(RepositoryDamaged, match="use a newer version of the collection"):
        m.decode(json.dumps(found).encode())


@pytest.mark.parametrize(
    ("path", "value", "place"),
    [
        (["databases"], {}, "databases should hold list"),
        (["databases", 0, "lsn"], 1, r"databases\[0\].lsn should hold str"),
        (["databases", 0, "tables", 0, "rows"], True, r"tables\[0\].rows should hold int"),
        (["databases", 0, "tables", 0, "rows"], "30", r"tables\[0\].rows should hold int"),
        (["databases", 0, "tables", 0, "segments", 1], [1, 2], r"segments\[1\] should hold 3 el"),
        (["databases", 0, "tables", 0, "segments", 1, 1], None, r"segments\[1\].size should"),
        (["databases", 0, "definition", "acl", 0, 2], "all", r"acl\[0\].privileges should"),
        (["server"], None, "server should hold dict"),
        (["files", "restore.sh"], 5, "files.restore.sh should hold list"),
    ],
)
def test_a_wrong_type_is_damage_and_its_place_is_named(
    path: list[str | int], value: object, place: str
) -> None:
    found = json.loads(m.encode(make_manifest()))
    inner = found
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    with pytest.raises(RepositoryDamaged, match=place):
        m.decode(json.dumps(found).encode())


def test_a_missing_fact_is_damage() -> None:
    found = json.loads(m.encode(make_manifest()))
    del found["server"]["version"]
    with pytest.raises(RepositoryDamaged, match=r"server\.version should hold a value"):
        m.decode(json.dumps(found).encode())


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b"\xff", b"[" * 100_000])
def test_what_is_no_json_object_is_damage(data: bytes) -> None:
    with pytest.raises(RepositoryDamaged):
        m.decode(data)
