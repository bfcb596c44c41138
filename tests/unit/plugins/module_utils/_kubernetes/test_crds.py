# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The CustomResourceDefinitions of the role, as far as they can be judged without an API server."""

from __future__ import annotations

import typing as t
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.objects import KINDS

Fields = dict[str, t.Any]
FOLDER = Path(__file__).parents[5] / "roles/operator/files/crds"
CRDS: dict[str, Fields] = {
    crd["spec"]["names"]["kind"]: crd
    for crd in (yaml.safe_load(path.read_text()) for path in sorted(FOLDER.glob("*.yaml")))
}
PYTHON = {"string": "str", "integer": "int", "boolean": "bool"}
PRESERVE = "x-kubernetes-preserve-unknown-fields"
INT_OR_STRING = "x-kubernetes-int-or-string"

# What `kubectl get` shows of Stash's objects after their names, and what else clients see of them:
# columns, short names, categories, whether there is a status.
SEEN: dict[str, tuple[str, str, str, bool]] = {
    "Repository": (
        "Integrity Size Snapshot-Count Last-Successful-Backup Age",
        "repo",
        "stash appscode",
        True,
    ),
    "BackupConfiguration": (
        "Task Schedule Paused Phase Age",
        "bc",
        "stash appscode all",
        True,
    ),
    "BackupSession": (
        "Invoker-Type Invoker-Name Phase Duration Age",
        "",
        "stash appscode all",
        True,
    ),
    "RestoreSession": ("Repository Phase Duration Age", "restore", "stash appscode all", True),
    "BackupBatch": ("Schedule Paused Phase Age", "", "stash appscode all", True),
    "RestoreBatch": ("Repository Phase Duration Age", "", "stash appscode all", True),
    "BackupBlueprint": ("Task Schedule Age", "bb", "stash appscode", False),
    "Function": ("Age", "fn", "stash appscode", False),
    "Task": ("Age", "task", "stash appscode", False),
    "AppBinding": ("Type Version Age", "", "catalog appscode all", False),
}


def version_of(kind: str) -> Fields:
    (version,) = CRDS[kind]["spec"]["versions"]
    return t.cast(Fields, version)


def schema_of(kind: str, *path: str) -> Fields:
    """The schema of a kind, or of the field at ``path`` below ``spec``."""
    schema: Fields = version_of(kind)["schema"]["openAPIV3Schema"]
    for name in ("spec", *path) if path else ():
        schema = schema["properties"][name]
        schema = schema.get("items", schema)
    return schema


def parts(schema: Fields, place: str) -> Iterator[tuple[str, Fields]]:
    """Every schema in a schema, with the place it stands at."""
    yield place, schema
    for name, each in schema.get("properties", {}).items():
        yield from parts(each, f"{place}.{name}")
    for name in ("items", "additionalProperties"):
        if name in schema:
            yield from parts(schema[name], f"{place}[]")


EVERY_PART = [part for kind in CRDS for part in parts(schema_of(kind), kind)]


def test_there_is_one_for_each_kind() -> None:
    assert set(CRDS) == set(SEEN)


@pytest.mark.parametrize("kind", SEEN)
def test_clients_see_what_they_saw_of_stash(kind: str) -> None:
    columns, short_names, categories, has_status = SEEN[kind]
    version, names = version_of(kind), CRDS[kind]["spec"]["names"]
    assert [each["name"] for each in version["additionalPrinterColumns"]] == columns.split()
    assert names.get("shortNames", []) == short_names.split()
    assert names["categories"] == categories.split()
    assert ("subresources" in version) is has_status
    assert ("status" in schema_of(kind)["properties"]) is has_status
    assert names["singular"] == kind.lower()


@pytest.mark.parametrize("kind", SEEN)
def test_it_lives_where_we_look_for_it(kind: str) -> None:
    crd, place = CRDS[kind], KINDS[kind]
    names = crd["spec"]["names"]
    assert f"{crd['spec']['group']}/{version_of(kind)['name']}" == place.api_version
    assert names["plural"] == place.plural
    assert (crd["spec"]["scope"] == "Namespaced") is place.namespaced
    assert crd["metadata"]["name"] == f"{place.plural}.{place.group}"
    assert (FOLDER / f"{crd['metadata']['name']}.yaml").exists()


def test_every_column_shows_a_field() -> None:
    for kind in CRDS:
        for column in version_of(kind)["additionalPrinterColumns"]:
            schema = schema_of(kind)
            for name in column["jsonPath"].removeprefix(".").split("."):
                if column["jsonPath"] == ".metadata.creationTimestamp":
                    break
                schema = schema["properties"][name]
            else:
                shown = "date" if schema.get("format") == "date-time" else schema["type"]
                assert column["type"] == shown, (kind, column)


@pytest.mark.parametrize("kind", SEEN)
def test_every_part_is_structural(kind: str) -> None:
    """The rules of structural schemas: one type each, nothing of another type beside it."""
    for place, schema in parts(schema_of(kind), kind):
        assert _is_structural(place, schema), place


def _is_structural(place: str, schema: Fields) -> bool:
    kind, properties = schema.get("type"), schema.get("properties")
    if kind == "object":
        known = [name for name in ("properties", "additionalProperties") if name in schema]
        open_ended = bool(schema.get(PRESERVE)) or place.endswith(".metadata")
        whole = set(schema.get("required", [])) <= set(properties or {})
        return whole and (len(known) == 1 or (not known and open_ended))
    if {"properties", "required", PRESERVE, "additionalProperties"} & set(schema):
        return False
    if kind is None:
        return bool(schema.get(INT_OR_STRING))
    return kind in {"array", "string", "integer", "boolean"} and ("items" in schema) is (
        kind == "array"
    )


@pytest.mark.parametrize("kind", SEEN)
def test_every_default_fits_and_is_of_a_field_that_may_be_left_out(kind: str) -> None:
    for place, schema in parts(schema_of(kind), kind):
        for name, each in schema.get("properties", {}).items():
            if "default" in each:
                assert type(each["default"]).__name__ == PYTHON[each["type"]], f"{place}.{name}"
                assert each["default"] in each.get("enum", [each["default"]])
                assert name not in schema.get("required", []), f"{place}.{name}"


@pytest.mark.parametrize("place", ["task", "repository", "driver", "timeOut"])
def test_parts_of_one_meaning_are_alike_in_each_kind(place: str) -> None:
    found = [
        schema_of(kind, place)
        for kind in ("BackupConfiguration", "RestoreSession", "BackupBatch", "RestoreBatch")
        if place in schema_of(kind)["properties"]["spec"]["properties"]
    ]
    assert len(found) > 1
    assert all(each == found[0] for each in found)


def test_pods_are_set_up_alike_for_backup_restore_and_function() -> None:
    wanted = schema_of("BackupConfiguration", "runtimeSettings")
    assert schema_of("RestoreSession", "runtimeSettings") == wanted
    assert schema_of("Function", "runtimeSettings") == wanted


def test_hooks_are_alike_but_for_when_they_run() -> None:
    backup = schema_of("BackupConfiguration", "hooks")["properties"]
    restore = schema_of("RestoreSession", "hooks")["properties"]
    assert backup["preBackup"] == restore["preRestore"]
    assert backup["postBackup"] == restore["postRestore"]
    after = dict(backup["postBackup"]["properties"])
    assert after.pop("executionPolicy")["default"] == "Always"
    assert after == backup["preBackup"]["properties"]


def test_a_repository_and_a_blueprint_name_their_backend_alike() -> None:
    for place in ("backend", "usagePolicy", "wipeOut"):
        assert schema_of("Repository", place) == schema_of("BackupBlueprint", place)


def test_the_old_place_of_rules_is_like_the_new_one() -> None:
    new = schema_of("RestoreSession", "target", "rules")
    assert schema_of("RestoreSession", "rules") == new


def test_defaults_are_those_of_stash() -> None:
    assert schema_of("BackupConfiguration", "retryConfig", "maxRetry")["default"] == 1
    assert schema_of("BackupConfiguration", "backupHistoryLimit")["default"] == 1
    assert schema_of("BackupConfiguration", "driver")["default"] == "Restic"
    assert schema_of("BackupConfiguration", "tempDir", "disableCaching")["default"] is False
    assert schema_of("BackupBatch", "executionOrder")["default"] == "Parallel"
    policy = schema_of("Repository", "usagePolicy", "allowedNamespaces", "from")
    assert policy["default"] == "Same"
    assert policy["enum"] == ["Same", "All", "Selector"]


def test_every_status_keeps_what_it_does_not_know() -> None:
    statuses = [schema for place, schema in EVERY_PART if place.endswith(".status")]
    objects = [each for each in statuses if each.get("type") == "object"]
    assert len(objects) == sum(has_status for *dummy, has_status in SEEN.values())
    assert all(each[PRESERVE] for each in objects)
