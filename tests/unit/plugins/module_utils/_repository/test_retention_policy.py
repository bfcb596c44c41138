# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What policies keep and say; restic itself is the judge in tests/services."""

from __future__ import annotations

import json
import typing as t

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import ConfigError
from ansible_collections.granary.postgres.plugins.module_utils._repository.retention_policy import (
    UNLIMITED,
    Policy,
    apply_policy,
    group_snapshots,
    parse_count,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.retention_time import (
    Span,
    utc,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.snapshot import (
    Snapshot,
    decode_snapshot,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.timestamp import (
    Timestamp,
)

NOW = Timestamp.parse("2026-11-22T12:00:00Z").unix_ns


def snapshot(time: str, **fields: t.Any) -> Snapshot:
    """A snapshot of a time as it is read from its file."""
    plain = {"time": time, "tree": "00" * 32, "hostname": "db1", "paths": ["/postgres"]}
    stored = {name: value for name, value in (plain | fields).items() if value != "left out"}
    snapshot_id = bytes([len(time)]) + time.encode().ljust(31)
    return decode_snapshot(snapshot_id[:32], json.dumps(stored).encode())


def reasons(times: list[str], policy: Policy, **fields: t.Any) -> dict[str, tuple[str, ...]]:
    """The reasons by time; those of snapshots that are not kept are empty."""
    group = [snapshot(time, **fields) for time in sorted(times, reverse=True)]
    decisions = apply_policy(group, policy, now_ns=NOW, zone=utc)
    return {str(one.snapshot.time): one.reasons for one in decisions}


class TestPolicy:
    def test_nothing_is_no_policy(self) -> None:
        assert not Policy()
        assert not Policy(counts={"daily": 0}, within_periods={"daily": Span()})
        for policy in (
            Policy(counts={"daily": UNLIMITED}),
            Policy(within=Span(hours=1)),
            Policy(within_periods={"yearly": Span(days=1)}),
            Policy(tags=((),)),
        ):
            assert policy

    @pytest.mark.parametrize(("text", "count"), [("0", 0), ("7", 7), ("unlimited", UNLIMITED)])
    def test_counts(self, text: str, count: int) -> None:
        assert parse_count("keep_last", text) == count

    @pytest.mark.parametrize("text", ["-1", "", "1.5", "all", "True", "+3", "٣", "1_0"])
    def test_what_is_no_count(self, text: str) -> None:
        with pytest.raises(ConfigError, match=r"keep_last is .*give a number of 0 or more"):
            parse_count("keep_last", text)

    def test_the_newest_of_each_period_is_kept_and_the_oldest_of_all(self) -> None:
        kept = reasons(
            [
                "2026-11-20T01:00:00Z",
                "2026-11-20T02:00:00Z",
                "2026-11-21T01:00:00Z",
                "2026-11-21T02:00:00Z",
            ],
            Policy(counts={"daily": 3, "last": 1}),
        )
        assert kept == {
            "2026-11-21T02:00:00Z": ("last snapshot", "daily snapshot"),
            "2026-11-21T01:00:00Z": (),
            "2026-11-20T02:00:00Z": ("daily snapshot",),
            "2026-11-20T01:00:00Z": ("oldest daily snapshot",),
        }

    def test_a_count_that_is_used_up_keeps_no_oldest(self) -> None:
        times = ["2026-11-20T01:00:00Z", "2026-11-20T02:00:00Z", "2026-11-21T02:00:00Z"]
        kept = reasons(times, Policy(counts={"daily": 2}))
        assert list(kept.values()) == [("daily snapshot",), ("daily snapshot",), ()]

    def test_spans_begin_at_the_newest_that_is_not_in_the_future(self) -> None:
        times = ["2027-01-01T00:00:00Z", "2026-11-20T02:00:00Z", "2026-11-19T02:00:00Z"]
        kept = reasons(times, Policy(within=Span(days=1)))
        assert list(kept.values()) == [("within 1d",), ("within 1d",), ()]
        only_future = reasons(times[:1], Policy(within_periods={"daily": Span(hours=1)}))
        assert list(only_future.values()) == [("daily within 1h",)]

    def test_tags(self) -> None:
        both = Policy(tags=(("a", "b"), ("b",), ("",)))
        time = "2026-11-20T02:00:00Z"
        assert reasons([time], both, tags=["b", "a"]) == {time: ("has tags [a, b]", "has tags [b]")}
        assert reasons([time], both, tags=["a"]) == {time: ()}
        assert reasons([time], both) == {time: ("has tags []",)}


class TestGroups:
    def test_null_is_not_empty_and_order_does_not_matter(self) -> None:
        made = [
            snapshot(f"2026-11-20T0{number}:00:00Z", paths=paths)
            for number, paths in enumerate(
                (None, [], "left out", ["/b", "/a"], ["/a", "/b"], ["/a"])
            )
        ]
        groups = group_snapshots(made, ["paths"])
        assert {(key.host, key.paths): len(group) for key, group in groups.items()} == {
            (None, None): 2,
            (None, ()): 1,
            (None, ("/a", "/b")): 2,
            (None, ("/a",)): 1,
        }

    def test_by_nothing_all_are_one(self) -> None:
        made = [snapshot("2026-11-20T01:00:00Z", hostname=name) for name in "ab"]
        ((key, group),) = group_snapshots(made, []).items()
        assert (str(key), len(group)) == ("all snapshots", 2)
        by_all = group_snapshots(
            [snapshot("2026-11-20T01:00:00Z", tags=["y", "x"])], ["tags", "host"]
        )
        assert [str(key) for key in by_all] == ["host db1, tags x, y"]

    def test_the_newest_comes_first_and_copies_of_one_time_last(self) -> None:
        old = snapshot("2026-11-20T01:00:00Z")
        new = snapshot("2026-11-20T03:00:00+01:00")
        copy = snapshot("2026-11-20T02:00:00Z", original="11" * 32)
        (group,) = group_snapshots([old, copy, new], ["host"]).values()
        assert group == [new, copy, old]
