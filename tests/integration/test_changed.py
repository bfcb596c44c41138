# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check mode, the task, the task again, diff mode: `changed` as documented, check mode writes
nothing and returns the same keys.
"""

from __future__ import annotations

import typing as t
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from tests.fix_ansible import Ansible, Result, Task, bucket_repository, local_repository
from tests.fix_stage import ROWS, Stage, counts_of, state_of, tree_of
from tests.testbed.s3 import Bucket

MODULES = Path(__file__).parents[2] / "plugins" / "modules"


def documented(module: str, *path: str) -> set[str]:
    """The keys that a module's documentation names, at the top or below."""
    source = (MODULES / f"{module}.py").read_text(encoding="utf-8")
    block = source.split('RETURN = r"""', 1)[1].split('"""', 1)[0]
    found: Mapping[str, t.Any] = yaml.safe_load(block)
    for name in path:
        found = found[name]["contains"]
    return set(found)


def keys(values: object) -> object:
    """The shape of a result: the keys at every depth, lists by their first element."""
    if isinstance(values, Mapping):
        return {name: keys(value) for name, value in values.items() if not name.startswith("_")}
    return [keys(value) for value in values[:1]] if isinstance(values, list) else None


def returned(result: Result) -> dict[str, t.Any]:
    """What the module returned, without what Ansible adds."""
    own = {"invocation", "changed", "warnings", "diff", "exception"}
    return {
        name: value
        for name, value in result.values.items()
        if name not in own and not name.startswith("_ansible")
    }


@pytest.mark.parametrize("kind", ["folder", pytest.param("bucket", marks=pytest.mark.slow)])
def test_repository(ansible: Ansible, kind: str, tmp_path: Path, s3_bucket: Bucket) -> None:
    path = tmp_path / "a" / "repository"
    options = (
        local_repository(path)
        if kind == "folder"
        else bucket_repository(replace(s3_bucket, name="made-by-us"), prefix="some/where")
        | {"create_bucket": True}
    )
    predicted = ansible.tasks(
        Task(module="repository", options=options, check=True, diff=True),
        Task(module="repository", options=options, check=True),
    )
    assert list(tmp_path.rglob("*")) == []
    names = [bucket["Name"] for bucket in s3_bucket.client().list_buckets()["Buckets"]]
    assert "made-by-us" not in names
    run = ansible.tasks(
        Task(module="repository", options=options, diff=True),
        Task(module="repository", options=options, diff=True),
        Task(module="repository", options=options, check=True, diff=True),
    )
    results = [*predicted.results, *run.results]
    assert [result["changed"] for result in results] == [True, True, True, False, False], run.output
    made = run.results[0]["repository"]
    assert set(made) == documented("repository", "repository")
    for result in results:
        assert keys(returned(result)) == keys(returned(run.results[0]))
    assert predicted.results[0]["diff"] == {"before": {}, "after": {**made, "id": None}}
    assert predicted.results[0]["repository"] == {**made, "id": None}
    assert "diff" not in predicted.results[1].values
    assert run.results[0]["diff"] == {"before": {}, "after": made}
    assert run.results[1]["diff"] == {"before": made, "after": made}


def test_backup(stage: Stage) -> None:
    trees = [tree_of(stage.path)]
    source = state_of(stage.source)
    (predicted,) = stage.ansible.tasks(
        Task(module="backup", options=stage.backup().options, check=True)
    ).results
    assert tree_of(stage.path) == trees[0]
    assert state_of(stage.source) == source
    first, second = stage.ansible.tasks(stage.backup(tags=["a"]), stage.backup()).results
    assert [result["changed"] for result in (predicted, first, second)] == [True] * 3
    assert keys(returned(predicted)) == keys(returned(first)) == keys(returned(second))
    assert set(returned(first)) == documented("backup")
    assert set(first["snapshot"]) == documented("backup", "snapshot")
    assert set(first["stats"]) == documented("backup", "stats")
    assert predicted["snapshot"]["id"] is None
    assert predicted["stats"]["tables"] == first["stats"]["tables"] == len(ROWS)
    assert first["stats"]["rows"] == sum(ROWS.values())
    assert first["snapshot"]["tags"] == ["granary", "a"]
    assert first["snapshot"]["id"] != second["snapshot"]["id"]
    assert second["stats"]["stored_bytes"] < 100_000


def test_restore(stage: Stage) -> None:
    before, tree = state_of(stage.target), tree_of(stage.path)
    options = stage.restore().options
    predicted, quiet = stage.ansible.tasks(
        Task(module="restore", options=options, check=True, diff=True),
        Task(module="restore", options=options, check=True),
    ).results
    assert state_of(stage.target) == before
    assert tree_of(stage.path) == tree
    run = stage.ansible.tasks(
        Task(module="restore", options=options, diff=True),
        Task(module="restore", options={**options, "clean": True}, check=True, diff=True),
        Task(module="restore", options={**options, "clean": True}),
    )
    first, clean, second = run.results
    assert [one["changed"] for one in (predicted, quiet, first, clean, second)] == [True] * 5
    for result in (predicted, quiet, clean, second):
        assert keys(returned(result)) == keys(returned(first))
    assert [one["verified"] for one in (predicted, first, clean, second)] == [0, 1, 0, 1]
    assert set(returned(first)) == documented("restore")
    of_tables = {"renamed_tables", "new_schemas", "foreign_keys_left_out"}
    assert set(first["restore"]) == documented("restore", "restore") - of_tables - {"database"}
    assert set(first["restore"]["databases"][0]) == documented("restore", "restore", "databases")
    assert set(first["stats"]) == documented("restore", "stats")
    assert predicted["restore"] == first["restore"]
    tables = sorted(f"shop.{name}" for name in ROWS)
    nothing: dict[str, list[str]] = {"databases": [], "tables": []}
    after = {"databases": ["shop"], "tables": tables}
    assert predicted["diff"] == first["diff"] == {"before": nothing, "after": after}
    assert clean["diff"]["before"] == {"databases": ["shop (dropped)"], "tables": []}
    assert "diff" not in quiet.values
    assert counts_of(stage.target, "shop", *ROWS) == ROWS
    assert tree_of(stage.path) == tree


def test_repository_check(stage: Stage) -> None:
    tree = tree_of(stage.path)
    options = {**stage.repository, "read_data": True}
    run = stage.ansible.tasks(
        Task(module="repository_check", options=options, check=True),
        Task(module="repository_info", options=stage.repository),
        Task(module="repository_check", options=options),
        Task(module="repository_check", options={**stage.repository, "repair": True}),
        Task(module="repository_info", options=stage.repository),
    )
    assert run.status == 0, run.output
    predicted, none, checked, repaired, told = run.results
    assert none["last_check"] is None
    assert not any(result["changed"] for result in run.results)
    added = tree_of(stage.path).keys() - tree.keys()
    assert added == {"granary", "granary/check"}
    assert keys(returned(predicted)) == keys(returned(checked))
    assert set(checked["check"]) == documented("repository_check", "check")
    assert set(repaired["check"]["repair"]) == documented("repository_check", "check", "repair")
    assert set(told["last_check"]) == documented("repository_info", "last_check")
    assert told["last_data_check"] == told["last_check"]


def test_repository_info(stage: Stage) -> None:
    tree = tree_of(stage.path)
    options = {**stage.repository, "host": "main"}
    run = stage.ansible.tasks(
        Task(module="repository_info", options=options, check=True),
        Task(module="repository_info", options=options),
        Task(module="repository_info", options={**options, "limit": 1}),
        Task(module="repository_info", options={**options, "tags": ["a"]}),
        Task(module="repository_info", options={**options, "host": "nobody"}),
        Task(
            module="repository_info",
            options={**options, "query": "snapshots[?tags[?@=='a']].{id: id, host: host}"},
        ),
    )
    assert run.status == 0, run.output
    assert tree_of(stage.path) == tree
    check, everything, newest, tagged, nothing, query = run.results
    assert not any(result["changed"] for result in run.results)
    assert returned(check) == returned(everything)
    assert set(returned(everything)) == documented("repository_info") - {"result"}
    assert set(everything["snapshots"][0]) == documented("repository_info", "snapshots")
    assert set(everything["stats"]) == documented("repository_info", "stats")
    assert set(everything["repository"]) == documented("repository_info", "repository")
    times = [snapshot["time"] for snapshot in everything["snapshots"]]
    assert len(times) == 3
    assert times == sorted(times, reverse=True)
    assert newest["snapshots"] == everything["snapshots"][:1]
    assert newest["stats"]["snapshots"] == 3
    assert [snapshot["tags"] for snapshot in tagged["snapshots"]] == [["granary", "a"]]
    assert nothing["snapshots"] == []
    assert set(returned(query)) == {"result"}
    assert query["result"] == [{"id": tagged["snapshots"][0]["id"], "host": "main"}]
