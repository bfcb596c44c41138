# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module `retention`: check mode, the task, the task again, by rules and by ids, on both kinds
of places; what it returns; bad input.
"""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest

from tests.dated_snapshots import fill, some
from tests.fix_ansible import Ansible, Result, Task, bucket_repository, local_repository
from tests.fix_backup import files_of
from tests.fix_quick_key import make_key_quick
from tests.fix_repository import PREFIX, Place, in_a_place
from tests.fix_sample import Sampler
from tests.integration.test_bad_input import is_one_sentence
from tests.integration.test_changed import documented, keys, returned

POLICY = {"keep_last": 1, "keep_daily": 2, "keep_within": "1h", "keep_tags": ["audited"]}


@pytest.fixture
def filled(place: Place) -> tuple[Place, dict[str, t.Any], list[str]]:
    """A place, the options that name it, and the ids of its snapshots."""
    with place.create() as repository:
        make_key_quick(repository)
    audited = some(30, tags=("granary", "audited"))
    made = fill(place, *(some(days, b"%f" % days * 1000) for days in (0, 1.1, 1.2, 2.5)), audited)
    if isinstance(place.where, Path):
        return place, local_repository(place.where), made
    return place, bucket_repository(place.where, prefix=PREFIX), made


def outcome(result: Result) -> dict[str, t.Any]:
    """What a prediction and the run have in common."""
    return {name: result[name] for name in ("changed", "kept", "removed")}


@in_a_place
def test_by_a_policy(ansible: Ansible, filled: tuple[Place, dict[str, t.Any], list[str]]) -> None:
    place, options, made = filled
    before = files_of(place)
    options = options | POLICY
    predicted, quiet = ansible.tasks(
        Task(module="retention", options=options, check=True, diff=True),
        Task(module="retention", options=options, check=True),
    ).results
    assert files_of(place) == before
    first, again, later = ansible.tasks(
        Task(module="retention", options=options, diff=True),
        Task(module="retention", options=options, diff=True),
        Task(module="retention", options=options, check=True),
    ).results
    assert outcome(predicted) == outcome(quiet) == outcome(first)
    assert [one["changed"] for one in (first, again, later)] == [True, False, False]
    assert not any(one.values.get("warnings") for one in (predicted, first, again))
    assert outcome(again) == outcome(later)
    reasons = {one["id"]: one["reasons"] for one in first["kept"]}
    assert reasons == {
        made[0]: ["within 1h", "last snapshot", "daily snapshot"],
        made[1]: ["daily snapshot"],
        made[4]: ["has tags [audited]"],
    }
    assert [one["id"] for one in first["removed"]] == [made[2], made[3]]
    assert again["kept"] == first["kept"]
    check_shape(first, again, predicted, quiet)
    assert "diff" not in quiet.values
    check_diff(predicted, first, made)
    assert "no errors were found" in place.restic("0.19").run("check", "--read-data")


def check_shape(first: Result, again: Result, *others: Result) -> None:
    """See that all results have the documented keys."""
    assert set(returned(first)) == documented("retention")
    assert set(first["kept"][0]) == documented("retention", "kept")
    assert set(first["removed"][0]) == documented("retention", "removed")
    assert set(first["stats"]) == documented("retention", "stats")
    assert set(first["stats"]["prune"]) == documented("retention", "stats", "prune")
    for result in others:
        assert keys(returned(result)) == keys(returned(first))
    assert keys(again["stats"]) == keys(first["stats"])


def check_diff(predicted: Result, first: Result, made: list[str]) -> None:
    """See that each snapshot is a line, with reasons, and only those that go differ."""
    assert predicted["diff"] == first["diff"]
    before, after = (first["diff"][side]["snapshots"] for side in ("before", "after"))
    assert [line[:64] for line in before] == made
    assert [line for line in before if line not in after] == [before[2], before[3]]
    assert before[2].endswith(": no rule keeps it")
    assert after[1].endswith(": daily snapshot")
    assert ", host db1, " in after[0]


def test_by_ids(ansible: Ansible, local_place: Place) -> None:
    with local_place.create() as repository:
        make_key_quick(repository)
    one, two, three = fill(local_place, some(1), some(2), some(3))
    options = {**local_repository(Path(str(local_place.where))), "snapshots": [one, two[:10]]}
    predicted, done, missing, again = ansible.tasks(
        Task(module="retention", options=options, check=True),
        Task(module="retention", options=options),
        Task(module="retention", options=options),
        Task(module="retention", options={**options, "snapshots": [one]}),
    ).results
    assert outcome(predicted) == outcome(done)
    assert [found["id"] for found in done["removed"]] == [one, two]
    assert missing.code == "snapshot_missing"
    assert not again["changed"]
    assert any(one in warning for warning in again["warnings"])
    with local_place.open() as opened:
        assert [entry.name for entry in opened.backend.entries("snapshots/")] == [
            f"snapshots/{three}"
        ]


BAD: dict[str, tuple[dict[str, t.Any], str | None, tuple[str, ...]]] = {
    "no policy": ({}, "config", ("No rule", "keep_last")),
    "rules that are off": ({"keep_last": 0, "keep_within": "0d"}, "config", ("No rule",)),
    "negative count": ({"keep_daily": -1}, "config", ("keep_daily", "'-1'", "unlimited")),
    "negative span": ({"keep_within": "-3d"}, "config", ("keep_within", "'-3d'", "from 0")),
    "unknown keep word": ({"keep_fortnightly": 1}, None, ("keep_fortnightly", "keep_weekly")),
    "unknown word for a count": ({"keep_last": "forever"}, "config", ("keep_last", "forever")),
    "unknown unit": ({"keep_within_daily": "3w"}, "config", ("keep_within_daily", "'3w'", "y, m")),
    "half a snapshot": ({"keep_last": 1.5}, "config", ("keep_last", "'1.5'")),
    "unknown group": ({"keep_last": 1, "group_by": ["size"]}, None, ("group_by", "paths")),
    "nothing left": ({"keep_tags": ["nobody's"]}, "config", ("host db1", "allow_remove_all")),
    "everything": ({"allow_remove_all": True}, "config", ("give host, paths or tags",)),
    "ids and rules": ({"snapshots": ["0" * 8], "keep_last": 1}, "config", ("keep_last", "leave")),
    "unknown id": ({"snapshots": ["0123456789"]}, "snapshot_missing", ("lists them",)),
    "short id": ({"snapshots": ["0123"]}, "config", ("'0123'", "8 or more")),
}


def test_bad_input_changes_nothing(ansible: Ansible, local_place: Place, sampler: Sampler) -> None:
    bad = dict(sampler(list(BAD.items()), 6))
    with local_place.create() as repository:
        make_key_quick(repository)
    fill(local_place, some(1), some(2))
    options = local_repository(Path(str(local_place.where)))
    before = files_of(local_place)
    run = ansible.tasks(
        *(Task(module="retention", options=options | wrong) for wrong, *dummy in bad.values())
    )
    assert files_of(local_place) == before
    for (name, (dummy, code, words)), result in zip(bad.items(), run.results, strict=True):
        assert result.failed, (name, result.values)
        assert result.code == code, (name, result.message)
        assert all(word in result.message for word in words), (name, result.message)
        assert code is None or is_one_sentence(result.message), (name, result.message)
