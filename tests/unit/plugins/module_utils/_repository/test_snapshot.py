# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Snapshots: their JSON, their times, and which one a user means."""

from __future__ import annotations

import datetime
import re
import typing as t

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import (
    RepositoryDamaged,
    RepositoryError,
    SnapshotAmbiguous,
    SnapshotMissing,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.selection import (
    find_snapshot,
    select_snapshots,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.snapshot import (
    Snapshot,
    SnapshotFigures,
    decode_snapshot,
    encode_snapshot,
    unused_time,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.timestamp import (
    Timestamp,
)

TREE = bytes(range(32))
NOON = Timestamp.parse("2026-11-22T12:00:00Z")


def snapshot(first: int, **fields: t.Any) -> Snapshot:
    """A snapshot whose id begins with the byte ``first``."""
    plain: dict[str, t.Any] = {
        "id": bytes([first]) + bytes(31),
        "time": NOON,
        "tree": TREE,
        "paths": ("/postgres",),
        "hostname": "db1",
    }
    return Snapshot(**(plain | fields))


class TestTime:
    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ("2026-11-22T12:00:00Z", None),
            ("2026-11-22T12:00:00.000000001Z", None),
            ("2026-11-22T13:30:00.12+01:30", None),
            ("2026-11-22T06:00:00-06:00", None),
            ("0001-01-01T00:00:00Z", None),
            ("2026-11-22T12:00:00.500000000Z", "2026-11-22T12:00:00.5Z"),
            ("1969-12-31T23:59:59.999999999Z", None),
        ],
    )
    def test_is_read_and_written_as_go_does(self, text: str, shown: str | None) -> None:
        assert str(Timestamp.parse(text)) == (shown or text)

    def test_is_the_same_moment_in_any_zone(self) -> None:
        assert Timestamp.parse("2026-11-22T13:30:00+01:30") == NOON
        assert hash(Timestamp.parse("2026-11-22T13:30:00+01:30")) == hash(NOON)
        assert Timestamp.parse("2026-11-22T12:00:00.000000001Z") > NOON
        assert NOON.unix_ns == 1795348800 * 10**9

    @pytest.mark.parametrize(
        "text", ["2026-11-22 12:00:00Z", "2026-11-22T12:00:00", "2026-13-22T12:00:00Z", "", "now"]
    )
    def test_anything_else_is_refused(self, text: str) -> None:
        with pytest.raises(ValueError, match=r"."):
            Timestamp.parse(text)

    @given(st.integers(-(10**18), 4 * 10**18), st.none() | st.integers(-720, 840))
    def test_any_time_comes_back(self, unix_ns: int, offset: int | None) -> None:
        time = Timestamp(unix_ns=unix_ns, offset_minutes=offset)
        again = Timestamp.parse(str(time))
        assert (again.unix_ns, again.offset_minutes) == (unix_ns, offset)
        # Python's own reader knows microseconds only.
        moment = datetime.datetime.fromisoformat(re.sub(r"\.\d+", "", str(time)))
        assert int(moment.timestamp()) == unix_ns // 10**9


class TestJson:
    def test_is_what_restic_writes(self) -> None:
        given_one = snapshot(
            1,
            time=Timestamp.parse("2026-11-22T12:00:00.123456789Z"),
            hostname="a<b",
            tags=("granary", "é"),
            program_version="granary 0.1.0",
            summary=SnapshotFigures(backup_start=NOON, backup_end=NOON, data_blobs=7),
        )
        assert encode_snapshot(given_one).decode() == (
            '{"time":"2026-11-22T12:00:00.123456789Z","tree":"' + TREE.hex() + '",'
            '"paths":["/postgres"],"hostname":"a\\u003cb","tags":["granary","é"],'
            '"program_version":"granary 0.1.0","summary":{"backup_start":"2026-11-22T12:00:00Z",'
            '"backup_end":"2026-11-22T12:00:00Z","files_new":0,"files_changed":0,'
            '"files_unmodified":0,"dirs_new":0,"dirs_changed":0,"dirs_unmodified":0,'
            '"data_blobs":7,"tree_blobs":0,"data_added":0,"data_added_packed":0,'
            '"total_files_processed":0,"total_bytes_processed":0}}'
        )
        assert decode_snapshot(given_one.id, encode_snapshot(given_one)) == given_one

    def test_every_field_of_restic_comes_back(self) -> None:
        given_one = snapshot(
            1,
            parent=bytes(32),
            original=bytes([9] * 32),
            username="root",
            uid=1,
            gid=2,
            excludes=("x",),
        )
        assert decode_snapshot(given_one.id, encode_snapshot(given_one)) == given_one

    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"[]",
            b"{}",
            b'{"time":"2026-11-22T12:00:00Z"}',
            b'{"time":"2026-11-22T12:00:00Z","tree":null}',
            b'{"time":"yesterday","tree":"00"}',
        ],
    )
    def test_what_is_no_snapshot_is_damage(self, data: bytes) -> None:
        with pytest.raises(RepositoryDamaged, match=bytes([5] * 32).hex()):
            decode_snapshot(bytes([5] * 32), data)

    def test_to_return_is_plain(self) -> None:
        assert snapshot(1, tags=("a",)).to_return() == {
            "id": "01" + "00" * 31,
            "time": "2026-11-22T12:00:00Z",
            "host": "db1",
            "paths": ["/postgres"],
            "tags": ["a"],
            "tree": TREE.hex(),
            "original": None,
            "program_version": None,
            "size_bytes": None,
        }
        assert snapshot(1, id=b"").to_return()["id"] is None


class TestUnusedTime:
    def test_no_two_snapshots_have_the_same_time(self) -> None:
        after = Timestamp(unix_ns=NOON.unix_ns + 1)
        there = [snapshot(1, hostname="x"), snapshot(2, hostname="x", time=after)]
        assert unused_time(there, NOON.unix_ns, "db1").unix_ns == NOON.unix_ns + 2
        assert str(unused_time([], NOON.unix_ns, "db1")) == "2026-11-22T12:00:00Z"

    def test_a_newest_snapshot_in_the_future_is_refused(self) -> None:
        with pytest.raises(RepositoryError, match=r"in the future.*clock"):
            unused_time([snapshot(1)], NOON.unix_ns - 1, "db1")
        unused_time([snapshot(1)], NOON.unix_ns - 1, "db2")


class TestFindSnapshot:
    def test_latest_is_the_newest_that_is_accepted(self) -> None:
        newer = snapshot(2, time=Timestamp.parse("2026-11-22T13:00:00+00:30"))
        asked: list[int] = []

        def accept(one: Snapshot) -> bool:
            asked.append(one.id[0])
            return one.id[0] == 1

        assert find_snapshot([snapshot(1), newer], "latest") is newer
        assert find_snapshot([snapshot(1), newer], "latest", accept=accept).id[0] == 1
        assert asked == [2, 1]

    def test_of_two_of_one_time_the_one_without_original(self) -> None:
        made = snapshot(9, original=bytes([1]) + bytes(31))
        for order in ([snapshot(1), made], [made, snapshot(1)]):
            assert find_snapshot(order, "latest").id[0] == 1

    def test_latest_keeps_to_host_paths_and_tags(self) -> None:
        there = [
            snapshot(1, hostname="db2"),
            snapshot(2, paths=("/dumpfile.sql",)),
            snapshot(3, tags=("granary", "daily")),
        ]
        assert find_snapshot(there, "latest", host="db2").id[0] == 1
        assert find_snapshot(there, "latest", paths=["/dumpfile.sql"]).id[0] == 2
        assert find_snapshot(there, "latest", tags=["daily"]).id[0] == 3
        assert [one.id[0] for one in select_snapshots(there, paths=["/postgres"])] == [1, 3]
        with pytest.raises(SnapshotMissing, match="3 snapshots is one with host db3, tag x"):
            find_snapshot(there, "latest", host="db3", tags=["x"])

    def test_nothing_to_find(self) -> None:
        with pytest.raises(SnapshotMissing, match="holds no snapshots yet"):
            find_snapshot([], "latest")
        with pytest.raises(SnapshotMissing, match="None of 1 snapshot is whole"):
            find_snapshot([snapshot(1)], "latest", accept=lambda one: False)

    def test_an_id_is_found_by_its_beginning_whatever_its_host(self) -> None:
        there = [snapshot(0x1A), snapshot(0x1B, hostname="other")]
        assert find_snapshot(there, "1b", host="db1", accept=lambda one: False).id[0] == 0x1B
        assert find_snapshot(there, there[0].id.hex()) is there[0]

    def test_an_ambiguous_beginning_names_the_candidates(self) -> None:
        with pytest.raises(SnapshotAmbiguous, match=r"2 snapshots have an id.*1a00.*1b00"):
            find_snapshot([snapshot(0x1A), snapshot(0x1B)], "1")

    def test_an_id_that_is_gone_is_looked_for_in_original(self) -> None:
        gone = bytes([7] * 32)
        tagged = snapshot(2, original=gone)
        assert find_snapshot([snapshot(1), tagged], gone.hex()) is tagged
        assert find_snapshot([snapshot(7), tagged], "07").id[0] == 7
        with pytest.raises(SnapshotAmbiguous, match="2 snapshots were made from one"):
            find_snapshot([tagged, snapshot(3, original=gone)], "0707")

    @pytest.mark.parametrize("wanted", ["", "newest", "ABCDEF", "12 "])
    def test_what_is_no_id_is_said_so(self, wanted: str) -> None:
        with pytest.raises(SnapshotMissing, match="is no snapshot"):
            find_snapshot([snapshot(1)], wanted)

    def test_unknown_id(self) -> None:
        with pytest.raises(SnapshotMissing, match="No snapshot has an id that begins with ff"):
            find_snapshot([snapshot(1)], "ff")
