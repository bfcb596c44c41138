# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""How objects name each other: targets, repositories, Tasks with their parameters."""

from __future__ import annotations

import dataclasses
import typing as t

from .._core.errors import InvalidObject, NotSupported
from .objects import APPCATALOG_V1ALPHA1

if t.TYPE_CHECKING:
    from collections.abc import Mapping

    from .objects import Object


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TargetRef:
    """What is backed up or restored: an AppBinding, its namespace filled in.

    ``written_namespace`` is what the author wrote, empty where nothing: labels of sessions have
    that.
    """

    api_version: str
    kind: str
    name: str
    namespace: str
    written_namespace: str = ""

    @classmethod
    def parse(cls, ref: Object | None, namespace: str, what: str) -> TargetRef:
        """Read a target of ``what``, an object of ``namespace``.

        Raises ``InvalidObject``, and ``NotSupported`` for a target other than an AppBinding. Some
        documents of Stash write ``apps/v1`` for the AppBinding's version; that is overlooked.
        """
        ref = ref or {}
        kind, name = ref.get("kind"), ref.get("name")
        if not kind or not name:
            raise InvalidObject(f"{what} has no target; give spec.target.ref with kind and name.")
        if kind != "AppBinding":
            raise NotSupported(
                f"{what} has the target {kind} {name}, which Granary does not serve; "
                "name the AppBinding of a PostgreSQL server."
            )
        written = ref.get("namespace") or ""
        return cls(
            api_version=APPCATALOG_V1ALPHA1,
            kind=kind,
            name=name,
            namespace=written or namespace,
            written_namespace=written,
        )

    def as_object(self) -> Object:
        """Return the reference as statuses and ``output.json`` have it."""
        return {
            "apiVersion": self.api_version,
            "kind": self.kind,
            "name": self.name,
            "namespace": self.namespace,
        }


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RepositoryRef:
    """A Repository by name, its namespace filled in."""

    name: str
    namespace: str

    @classmethod
    def parse(cls, ref: Object | None, namespace: str, what: str) -> RepositoryRef:
        """Read a reference of ``what``, an object of ``namespace``. Raises ``InvalidObject``."""
        name = (ref or {}).get("name")
        if not name:
            raise InvalidObject(f"{what} names no Repository; give spec.repository.name.")
        return cls(name=name, namespace=(ref or {}).get("namespace") or namespace)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TaskRef:
    """A Task by name, empty where none was named, and what is given to it."""

    name: str
    params: Mapping[str, str]

    @classmethod
    def parse(cls, ref: Object | None) -> TaskRef:
        """Read a reference; the last of two parameters of one name counts."""
        ref = ref or {}
        return cls(name=ref.get("name") or "", params=params_of(ref))

    def over(self, fallback: TaskRef) -> TaskRef:
        """Return this reference with ``fallback`` for what it does not say."""
        return TaskRef(name=self.name or fallback.name, params={**fallback.params, **self.params})


def params_of(holder: Object) -> dict[str, str]:
    """Return the ``params`` list of a Task reference or a Task's step by name."""
    return {each["name"]: each.get("value") or "" for each in holder.get("params") or []}
