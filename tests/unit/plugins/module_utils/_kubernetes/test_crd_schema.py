# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A definition takes another one's place only where it takes all that the other one takes."""

from __future__ import annotations

import copy
import typing as t

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.crd_schema import (
    narrowing,
    updates,
)

Fields = dict[str, t.Any]


def definition(schema: Fields, **version: t.Any) -> Fields:
    """A definition of one version whose spec has `schema`."""
    fields = {"type": "object", "properties": {"spec": schema}}
    return {
        "metadata": {"name": "things.example.org"},
        "spec": {
            "scope": "Namespaced",
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": fields},
                    **version,
                }
            ],
        },
    }


def thing(**properties: Fields) -> Fields:
    """The schema of an object with these fields."""
    return {"type": "object", "properties": properties}


TEXT = {"type": "string"}
ANY = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
PORT = {"x-kubernetes-int-or-string": True}

WIDER = [
    (thing(a=TEXT), thing(a=TEXT)),
    (thing(a=TEXT), thing(a=TEXT, b=TEXT)),
    (thing(a=thing(b=TEXT)), thing(a=ANY)),
    (thing(a={"type": "integer"}), thing(a=PORT)),
    (thing(a={"type": "integer"}), thing(a={"type": "number"})),
    (thing(a={**TEXT, "enum": ["x"]}), thing(a={**TEXT, "enum": ["x", "y"]})),
    (thing(a={**TEXT, "enum": ["x"]}), thing(a=TEXT)),
    ({**thing(a=TEXT), "required": ["a"]}, thing(a=TEXT)),
    (thing(a={**TEXT, "maxLength": 5}), thing(a={**TEXT, "maxLength": 6})),
    (thing(a={**TEXT, "minLength": 2}), thing(a=TEXT)),
    (thing(a=thing(b=TEXT)), thing(a={"type": "object", "additionalProperties": TEXT})),
    (thing(a={"type": "array", "items": thing(b=TEXT)}), thing(a={"type": "array", "items": ANY})),
]


@pytest.mark.parametrize(("narrow", "wide"), WIDER)
def test_a_wider_one_may_take_its_place(narrow: Fields, wide: Fields) -> None:
    assert narrowing(definition(wide), definition(narrow)) is None


@pytest.mark.parametrize(
    ("wanted", "present", "reason"),
    [
        (thing(), thing(a=TEXT), "the field v1.spec.a"),
        (thing(a=thing()), thing(a=thing(b=TEXT)), "the field v1.spec.a.b"),
        (
            thing(a={"type": "array", "items": thing()}),
            thing(a={"type": "array", "items": thing(b=TEXT)}),
            "the field v1.spec.a[].b",
        ),
        (thing(a=TEXT), thing(a=PORT), "another type for v1.spec.a"),
        (thing(a=thing()), thing(a=ANY), "fields of any name in v1.spec.a"),
        (thing(a=TEXT), thing(a={**TEXT, "nullable": True}), "null for v1.spec.a"),
        (thing(a={**TEXT, "enum": ["x"]}), thing(a=TEXT), "more choices for v1.spec.a"),
        (
            thing(a={**TEXT, "enum": ["x"]}),
            thing(a={**TEXT, "enum": ["x", "y"]}),
            "more choices for v1.spec.a",
        ),
        ({**thing(a=TEXT), "required": ["a"]}, thing(a=TEXT), "fewer required fields in v1.spec"),
        (thing(a={**TEXT, "pattern": "^x"}), thing(a=TEXT), "other values for v1.spec.a"),
        (thing(a={**TEXT, "minLength": 1}), thing(a=TEXT), "more values for v1.spec.a"),
        (
            thing(a={**TEXT, "maxLength": 5}),
            thing(a={**TEXT, "maxLength": 6}),
            "more values for v1.spec.a",
        ),
    ],
)
def test_a_narrower_one_may_not_and_says_why(wanted: Fields, present: Fields, reason: str) -> None:
    assert narrowing(definition(wanted), definition(present)) == reason


def test_versions_that_are_served_or_stored_stay() -> None:
    ours = definition(thing())
    theirs = copy.deepcopy(ours)
    theirs["spec"]["versions"].append({**theirs["spec"]["versions"][0], "name": "v2"})
    assert narrowing(ours, theirs) == "the version v2"
    theirs["spec"]["versions"][1]["served"] = False
    assert narrowing(ours, theirs) is None
    theirs["status"] = {"storedVersions": ["v1", "v2"]}
    assert narrowing(ours, theirs) == "the version v2"


def test_a_status_that_is_written_apart_stays() -> None:
    theirs = definition(thing(), subresources={"status": {}})
    assert narrowing(definition(thing()), theirs) == "more subresources in v1"
    assert narrowing(theirs, definition(thing())) is None


def test_updates_sorts_what_is_there_from_what_is_not() -> None:
    ours = [definition(thing(a=TEXT)), definition(thing())]
    ours[1]["metadata"] = {"name": "others.example.org"}
    theirs = definition(thing(a=TEXT, b=TEXT))
    leaving = definition(thing())
    leaving["metadata"] = {"name": "lasts.example.org", "deletionTimestamp": "2026-01-01T00:00:00Z"}
    ours.append(copy.deepcopy(leaving))
    found = updates(ours, [theirs, leaving])
    assert found == {
        "apply": ours[1:],
        "going": ["lasts.example.org"],
        "missing": ["others.example.org"],
        "kept": [
            "things.example.org stays as it is in the cluster, where it has the field v1.spec.b."
        ],
    }
