# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""From a Task to the containers of a Job: its Functions, with all variables in place.

One container a step, in order. What stands in a later place of this list replaces what stands
before: the step's own params, the built-in variables, the user's params, ``ADDON_IMAGE``.
"""

from __future__ import annotations

import dataclasses
import re
import typing as t

from .._core.errors import InvalidObject
from .names import container_name
from .objects import spec_of
from .references import params_of
from .substitution import substitute

if t.TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .objects import Object

    Lookup: t.TypeAlias = Callable[[str, str], Object | None]
    """Returns the object of a kind and name, or None: ``Cluster.find``."""

ADDON_IMAGE = "ADDON_IMAGE"
_OF_A_CONTAINER = (
    "image",
    "command",
    "args",
    "workingDir",
    "ports",
    "volumeMounts",
    "volumeDevices",
)
_VERSIONED = re.compile(r"(postgres-(?:backup|restore))-.+")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step: the container as its Function has it, and the Function's ``runtimeSettings``."""

    function: str
    container: Object
    runtime_settings: Object


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedTask:
    """A Task with nothing left to look up; ``name`` is the one that was found."""

    name: str
    steps: tuple[Step, ...]
    volumes: tuple[Object, ...]

    @property
    def containers(self) -> list[Object]:
        """The containers in the order in which they are to run."""
        return [step.container for step in self.steps]


def resolve(
    lookup: Lookup,
    name: str,
    *,
    variables: Mapping[str, str],
    params: Mapping[str, str],
    addon_image: str | None = None,
) -> ResolvedTask:
    """Return the Task ``name`` with its Functions, resolved.

    A version of the PostgreSQL Tasks that the catalogue does not have falls back to the one
    without a version, and so do Functions. Raises ``InvalidObject`` naming what is missing.
    """
    if not name:
        raise InvalidObject(
            "No Task is named; give spec.task.name, or stash.addon in the AppBinding's parameters."
        )
    found, task = _found(lookup, "Task", name)
    steps = spec_of(task).get("steps") or []
    if not steps:
        raise InvalidObject(f"Task {found} has no steps; give at least one Function.")
    image = {ADDON_IMAGE: addon_image} if addon_image else {}
    return ResolvedTask(
        name=found,
        steps=tuple(
            _step(lookup, index, step, {**params_of(step), **variables, **params, **image}, found)
            for index, step in enumerate(steps)
        ),
        volumes=tuple(
            _substituted(
                spec_of(task).get("volumes") or [],
                {**variables, **params, **image},
                f"Task {found}",
            )
        ),
    )


def _step(
    lookup: Lookup, index: int, step: Object, variables: Mapping[str, str], task: str
) -> Step:
    wanted = step.get("name")
    if not wanted:
        raise InvalidObject(f"Step {index + 1} of Task {task} names no Function; give its name.")
    found, function = _found(lookup, "Function", wanted)
    spec = _substituted(spec_of(function), variables, f"Function {found}")
    if not spec.get("image"):
        raise InvalidObject(f"Function {found} has no image; give spec.image.")
    container = {field: spec[field] for field in _OF_A_CONTAINER if spec.get(field)}
    container["name"] = container_name(wanted, index)
    return Step(
        function=found,
        container=container,
        runtime_settings=(spec.get("runtimeSettings") or {}).get("container") or {},
    )


def _found(lookup: Lookup, kind: str, name: str) -> tuple[str, Object]:
    obj = lookup(kind, name)
    if obj is not None:
        return name, obj
    match = _VERSIONED.fullmatch(name)
    if match is not None:
        obj = lookup(kind, match[1])
        if obj is not None:
            return match[1], obj
    raise InvalidObject(
        f"{kind} {name} does not exist; create it, or name one of `kubectl get {kind.lower()}s`."
    )


def _substituted(part: t.Any, variables: Mapping[str, str], what: str) -> t.Any:
    try:
        return substitute(part, variables)
    except InvalidObject as exc:
        raise InvalidObject(f"{what} cannot be resolved: {exc.message}") from exc
