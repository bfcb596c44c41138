# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""Whether a CustomResourceDefinition may take the place of one that is in the cluster. Pure.

It may where every object that the present one takes is still taken: Stash's kinds belong to whoever
uses them, and a field that the API server no longer knows is lost with the next write. Rules in CEL
(x-kubernetes-validations) are not compared: they refuse what Stash's webhooks refused.
"""

from __future__ import annotations

import operator
import typing as t

from .objects import is_being_deleted, name_of, spec_of, status_of

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .objects import Object

_KEPT = "x-kubernetes-preserve-unknown-fields"
_INT_OR_STRING = "x-kubernetes-int-or-string"
_TAKES_MORE = {"number": {"integer"}}
# By its value a bound is as wide or wider: the lower ones if smaller, the upper ones if larger.
_LOWER_BOUNDS = ("minimum", "minLength", "minItems", "minProperties")
_UPPER_BOUNDS = ("maximum", "maxLength", "maxItems", "maxProperties")
_AS_THEY_ARE = (
    *("pattern", "format", "multipleOf", "uniqueItems", "exclusiveMinimum", "exclusiveMaximum"),
)


def narrowing(wanted: Object, present: Object) -> str | None:
    """Return what ``present`` takes and ``wanted`` does not, as part of a sentence, or None."""
    return next(_narrowings(wanted, present), None)


def updates(wanted: list[Object], present: list[Object]) -> dict[str, t.Any]:
    """Return what is to be done with our definitions, given all that are in a cluster.

    ``apply``: definitions to write; ``missing``: names of those that are not there yet; ``kept``:
    a sentence for each that is left as it is; ``going``: names of those that are being deleted,
    which will not be there much longer, whatever is written.
    """
    there = {name_of(each): each for each in present}
    result: dict[str, t.Any] = {"apply": [], "missing": [], "kept": [], "going": []}
    for ours in wanted:
        name = name_of(ours)
        reason = narrowing(ours, there[name]) if name in there else None
        if name not in there:
            result["missing"].append(name)
        elif is_being_deleted(there[name]):
            result["going"].append(name)
        if reason is None:
            result["apply"].append(ours)
        else:
            result["kept"].append(f"{name} stays as it is in the cluster, where it has {reason}.")
    return result


def _narrowings(wanted: Object, present: Object) -> Iterator[str]:
    ours, theirs = spec_of(wanted), spec_of(present)
    if ours.get("scope") != theirs.get("scope"):
        yield f"the scope {theirs.get('scope')}"
    versions = {each["name"]: each for each in ours["versions"]}
    needed = {each["name"] for each in theirs["versions"] if each.get("served")}
    needed |= set(status_of(present).get("storedVersions") or [])
    for each in theirs["versions"]:
        name = each["name"]
        if name not in needed:
            continue
        if name not in versions:
            yield f"the version {name}"
            continue
        if (each.get("subresources") or {}).keys() - (versions[name].get("subresources") or {}):
            yield f"more subresources in {name}"
        yield from _lost(_schema(versions[name]), _schema(each), name)


def _schema(version: Object) -> Object:
    found: Object = (version.get("schema") or {}).get("openAPIV3Schema") or {}
    return found


def _lost(wanted: Object, present: Object, path: str) -> Iterator[str]:
    """Yield what values of the schema ``present`` at ``path`` are refused or cut by ``wanted``."""
    if not _takes_type(wanted, present):
        yield f"another type for {path}"
        return
    yield from _lost_values(wanted, present, path)
    yield from _lost_fields(wanted, present, path)
    if present.get("items") and not wanted.get(_KEPT):
        yield from _lost(wanted.get("items") or {}, present["items"], f"{path}[]")


def _takes_type(wanted: Object, present: Object) -> bool:
    if wanted.get(_INT_OR_STRING):
        return bool(present.get(_INT_OR_STRING)) or present.get("type") in {"integer", "string"}
    ours, theirs = wanted.get("type"), present.get("type")
    return ours is None or ours == theirs or theirs in _TAKES_MORE.get(ours, set())


def _lost_values(wanted: Object, present: Object, path: str) -> Iterator[str]:
    if present.get("nullable") and not wanted.get("nullable"):
        yield f"null for {path}"
    choices = wanted.get("enum")
    if choices is not None and not set(present.get("enum") or [None]) <= set(choices):
        yield f"more choices for {path}"
    if set(wanted.get("required") or []) - set(present.get("required") or []):
        yield f"fewer required fields in {path}"
    if any(each in wanted and wanted[each] != present.get(each) for each in _AS_THEY_ARE):
        yield f"other values for {path}"
    bounds: tuple[tuple[tuple[str, ...], Callable[[t.Any, t.Any], bool]], ...] = (
        (_LOWER_BOUNDS, operator.le),
        (_UPPER_BOUNDS, operator.ge),
    )
    for names, is_as_wide in bounds:
        for name in names:
            if name not in wanted:
                continue
            if name not in present or not is_as_wide(wanted[name], present[name]):
                yield f"more values for {path}"


def _lost_fields(wanted: Object, present: Object, path: str) -> Iterator[str]:
    properties = wanted.get("properties") or {}
    others = wanted.get("additionalProperties")
    takes_any = bool(wanted.get(_KEPT)) or others is True
    for name, schema in (present.get("properties") or {}).items():
        if name in properties:
            yield from _lost(properties[name], schema, f"{path}.{name}")
        elif isinstance(others, dict):
            yield from _lost(others, schema, f"{path}.{name}")
        elif not takes_any:
            yield f"the field {path}.{name}"
    theirs = present.get("additionalProperties")
    if (theirs or present.get(_KEPT)) and not (others or takes_any):
        yield f"fields of any name in {path}"
    elif isinstance(theirs, dict) and isinstance(others, dict):
        yield from _lost(others, theirs, f"{path}.*")
