# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Keys, locks and the end of a repository through Ansible: check mode, the task, the task again;
what is returned; bad input.
"""

from __future__ import annotations

import os
import typing as t
from pathlib import Path

from tests.fix_ansible import Ansible, Task, bucket_repository, local_repository
from tests.fix_quick_key import add_quick_key, make_key_quick
from tests.fix_repository import PASSWORD, PREFIX, Place, back_up, in_a_place
from tests.fix_sample import Sampler
from tests.fix_stage import tree_of
from tests.integration.test_bad_input import is_one_sentence
from tests.integration.test_changed import documented, keys, returned
from tests.testbed.s3 import Bucket

SECOND = "the second one"
THIRD = "the third one"


def made(place: Place) -> dict[str, t.Any]:
    """The options of a repository with one snapshot, which opens in milliseconds."""
    with place.create() as repository:
        back_up(repository, {"/postgres/f": b"text"})
        make_key_quick(repository)
    if isinstance(place.where, Bucket):
        return bucket_repository(place.where, prefix=PREFIX)
    return local_repository(place.where)


def folder_of(place: Place) -> Path:
    assert isinstance(place.where, Path)
    return place.where


def test_keys(ansible: Ansible, local_place: Place) -> None:
    options = made(local_place)
    before = tree_of(folder_of(local_place))
    add = {**options, "key_password": SECOND}
    change = {**options, "key_password": THIRD, "replace": True}
    remove = {**options, "password": THIRD, "key_password": SECOND, "state": "absent"}
    (predicted,) = ansible.tasks(
        Task(module="repository_key", options=add, check=True, diff=True)
    ).results
    assert tree_of(folder_of(local_place)) == before
    run = ansible.tasks(
        Task(module="repository_key", options=add, diff=True),
        Task(module="repository_key", options=add),
        Task(module="repository_key", options=options),
        Task(module="repository_key", options=change, check=True),
        Task(module="repository_key", options=change),
        Task(module="repository_key", options=change),
        Task(module="repository_key", options=remove, check=True),
        Task(module="repository_key", options=remove),
        Task(module="repository_key", options=remove),
    )
    assert run.status == 0, run.output
    changed = [result["changed"] for result in run.results]
    assert changed == [True, False, False, True, True, False, True, True, False]
    added = run.results[0]
    for result in (predicted, *run.results):
        assert keys(returned(result)) == keys(returned(added))
        assert [key["current"] for key in result["repository_keys"]].count(True) == 1
    assert set(returned(added)) == documented("repository_key")
    shown = added["repository_keys"]
    assert set(shown[0]) == documented("repository_key", "repository_keys")
    counts = [len(result["repository_keys"]) for result in (predicted, *run.results)]
    assert counts == [2, 2, 2, 2, 2, 2, 2, 1, 1, 1]
    assert predicted["diff"]["before"] == added["diff"]["before"]
    assert len(added["diff"]["before"]["keys"]) == 1
    assert added["diff"]["after"]["keys"] == [key["id"] for key in shown]
    assert predicted["diff"]["after"]["keys"][1:] == ["(new)"]
    assert SECOND not in run.output
    assert THIRD not in run.output
    local_place.restic("0.19").run("check", "--read-data", RESTIC_PASSWORD=THIRD)


@in_a_place
def test_removal(ansible: Ansible, place: Place) -> None:
    options = made(place) | {"state": "absent"}
    forced = {**options, "force": True}
    refused, predicted = ansible.tasks(
        Task(module="repository", options=options, check=True),
        Task(module="repository", options=forced, check=True, diff=True),
    ).results
    assert refused.code == "repository_not_empty"
    with place.open() as repository:
        repository_id = repository.config.id
    done, again, never = ansible.tasks(
        Task(module="repository", options=forced, diff=True),
        Task(module="repository", options=forced, diff=True),
        Task(module="repository", options=options, check=True),
    ).results
    assert [one["changed"] for one in (predicted, done, again, never)] == [True, True, False, False]
    assert returned(predicted) == returned(done)
    assert predicted["diff"] == done["diff"]
    assert done["diff"]["after"] == {}
    assert done["diff"]["before"] == {**done["repository"], **done["removed"]}
    assert done["repository"]["id"] == repository_id
    assert done["removed"]["snapshots"] == 1
    assert set(returned(done)) == documented("repository")
    assert set(done["removed"]) == documented("repository", "removed")
    assert again["removed"] == {"snapshots": 0, "objects": 0, "stored_bytes": 0}
    assert again["repository"] == {**done["repository"], "id": None, "version": None}
    assert "diff" not in never.values
    if isinstance(place.where, Bucket):
        assert place.where.list_keys("") == []
    else:
        assert list(place.where.iterdir()) == []


def test_locks_are_shown(ansible: Ansible, local_place: Place) -> None:
    options = made(local_place)
    with local_place.open() as repository, repository.lock() as lock:
        shown, queried = ansible.tasks(
            Task(module="repository_info", options=options),
            Task(
                module="repository_info",
                options={**options, "query": "locks[?owner=='alive'].pid"},
            ),
        ).results
        assert lock.still_there()
    (found,) = shown["locks"]
    assert set(found) == documented("repository_info", "locks")
    assert (found["pid"], found["exclusive"], found["owner"]) == (os.getpid(), False, "alive")
    assert 0 <= found["age_seconds"] < 60
    assert queried["result"] == [os.getpid()]


ABSENT: dict[str, t.Any] = {"state": "absent"}
FORCED: dict[str, t.Any] = {**ABSENT, "force": True}
# Of each: on which repository, which module, its options, the error's code and words of it.
BAD: dict[str, tuple[str, str, dict[str, t.Any], str | None, str]] = {
    "absent without force": (
        *("shop", "repository", ABSENT, "repository_not_empty"),
        "holds 1 snapshot, so it was not removed; set force",
    ),
    "absent beside something else": (
        *("crowded", "repository", FORCED, "repository_not_empty"),
        "(holiday.jpg)",
    ),
    "absent with a wrong password": (
        *("shop", "repository", {**FORCED, "password": "not it"}, "wrong_password"),
        "give the password",
    ),
    "the last key": (
        *("alone", "repository_key", {**ABSENT, "key_password": PASSWORD}, "config"),
        "the last one, without which nobody could open it",
    ),
    "the key in use": (
        *("shop", "repository_key", {**ABSENT, "key_password": PASSWORD}, "config"),
        "is the one that password opens",
    ),
    "no key named": (
        *("shop", "repository_key", ABSENT, "config"),
        "needs either key_id or key_password",
    ),
    "two ways to name one": (
        *("shop", "repository_key", {**ABSENT, "key_id": "ab", "key_password": SECOND}, None),
        "mutually exclusive",
    ),
    "an id that is none": (
        *("shop", "repository_key", {**ABSENT, "key_id": "SECOND"}, "config"),
        "in lower-case hexadecimal digits",
    ),
    "an empty password": (
        *("shop", "repository_key", {"key_password": ""}, "config"),
        "key_password is empty",
    ),
    "nothing to replace by": (
        *("shop", "repository_key", {"replace": True}, "config"),
        "replace needs the new password",
    ),
}


def test_bad_input_changes_nothing(ansible: Ansible, local_place: Place, sampler: Sampler) -> None:
    bad = dict(sampler(list(BAD.items()), 5))
    folder = folder_of(local_place)
    places = {
        name: Place(where=folder / name, cache_dir=folder) for name in ("shop", "crowded", "alone")
    }
    options = {name: made(place) for name, place in places.items()}
    with places["shop"].open() as repository:
        add_quick_key(repository, SECOND)
    (folder / "crowded" / "holiday.jpg").write_bytes(b"not ours")
    before = tree_of(folder)
    run = ansible.tasks(
        *(
            Task(module=module, options=options[place] | wrong)
            for place, module, wrong, *dummy in bad.values()
        )
    )
    assert tree_of(folder) == before
    for (name, (*dummy, code, words)), result in zip(bad.items(), run.results, strict=True):
        assert result.failed, name
        assert result.code == code, (name, result.message)
        assert words in result.message, (name, result.message)
        assert code is None or is_one_sentence(result.message), result.message
