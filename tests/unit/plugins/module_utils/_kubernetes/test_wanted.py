# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import copy
import typing as t

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.wanted import (
    WANTED,
    brought_to,
    holds,
    is_as_wanted,
    stamped,
)

Fields = dict[str, t.Any]
RESOURCES = {"resources": {"limits": {"cpu": 1.0, "memory": "1024Mi"}}}
WISH: Fields = {
    "apiVersion": "batch/v1",
    "kind": "CronJob",
    "metadata": {"name": "c", "namespace": "demo", "labels": {"a": "b"}},
    "spec": {
        "schedule": "* * * * *",
        "suspend": False,
        "jobTemplate": {
            "spec": {"containers": [{"name": "x", "args": ["1", "2"], "env": [], **RESOURCES}]}
        },
    },
}


def served(wish: Fields) -> Fields:
    """What a server makes of it: defaults beside ours, empty lists left out."""
    present = copy.deepcopy(stamped(wish))
    present["metadata"] |= {"uid": "u", "resourceVersion": "1"}
    present["metadata"]["labels"]["theirs"] = "x"
    present["spec"]["concurrencyPolicy"] = "Allow"
    container = present["spec"]["jobTemplate"]["spec"]["containers"][0]
    container["imagePullPolicy"] = "Always"
    del container["env"]
    present["status"] = {"active": []}
    container["resources"]["limits"] = {"cpu": "1", "memory": "1Gi"}
    return present


def test_defaults_of_the_server_are_no_difference() -> None:
    assert is_as_wanted(served(WISH), stamped(WISH))


CHANGES: list[t.Callable[[Fields], object]] = [
    lambda o: o["spec"].update(schedule="1 * * * *"),
    lambda o: o["spec"].update(suspend=True),
    lambda o: o["metadata"]["labels"].update(a="c"),
    lambda o: o["spec"]["jobTemplate"]["spec"]["containers"][0].update(args=["1"]),
    lambda o: o["spec"]["jobTemplate"]["spec"]["containers"].append({"name": "y"}),
    lambda o: o["spec"].pop("jobTemplate"),
    lambda o: o["spec"]["jobTemplate"]["spec"]["containers"][0].update(resources={}),
]


@pytest.mark.parametrize("change", CHANGES)
def test_every_other_difference_is_seen(change: t.Callable[[Fields], object]) -> None:
    present = served(WISH)
    change(present)
    assert not is_as_wanted(present, stamped(WISH))


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (1, "1", True),
        ("0.5", "500m", True),
        ("1000m", 1, True),
        ("1024Mi", "1Gi", True),
        ("1e3", "1k", True),
        ("1500M", "1.5G", True),
        ("7u", "7000n", True),
        ("1", "2", False),
        ("1G", "1Gi", False),
        ("1", "1x", False),
        ("a", "b", False),
        (True, 1, True),
        (True, "1", False),
    ],
)
def test_quantities_are_compared_by_what_they_mean(one: t.Any, other: t.Any, same: bool) -> None:
    assert holds(one, other) is same
    assert holds(other, one) is same


def test_a_field_taken_out_of_the_wish_is_a_difference() -> None:
    less = copy.deepcopy(WISH)
    del less["spec"]["suspend"]
    assert not is_as_wanted(served(WISH), stamped(less))


def test_what_is_brought_there_keeps_what_is_not_ours() -> None:
    newer = copy.deepcopy(WISH)
    newer["spec"]["schedule"] = "1 * * * *"
    present = brought_to(served(WISH), stamped(newer))
    assert present["metadata"]["uid"] == "u"
    assert present["metadata"]["labels"] == {"a": "b", "theirs": "x"}
    assert present["spec"] == newer["spec"]
    assert present["status"] == {"active": []}
    assert is_as_wanted(present, stamped(newer))


def test_the_stamp_changes_with_the_wish_alone() -> None:
    assert stamped(WISH) == stamped(copy.deepcopy(WISH))
    assert WANTED not in WISH["metadata"].get("annotations", {})
