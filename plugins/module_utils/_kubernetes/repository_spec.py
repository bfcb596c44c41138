# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""What a Repository object says: which backend, where in it, whose invokers may use it."""

from __future__ import annotations

import dataclasses
import typing as t

from .._core.errors import InvalidObject, NotSupported
from .objects import described_object, name_of, namespace_of, spec_of
from .selectors import matches

if t.TYPE_CHECKING:
    from collections.abc import Mapping

    from .objects import Object

LOCAL, S3, GCS, AZURE, SWIFT, B2, REST = "local", "s3", "gcs", "azure", "swift", "b2", "rest"
PROVIDERS = (LOCAL, S3, GCS, AZURE, SWIFT, B2, REST)
_NOT_SERVED = frozenset({SWIFT, B2, REST})
_TAKEN = ("/stash", "/stash-tmp", "/stash-interim-volume", "/granary")
"""Stash refuses the first; in the others every Job's pod has folders of its own."""

SAME, ALL, SELECTOR = "Same", "All", "Selector"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LocalVolume:
    """The volume of a local backend: where it is mounted, and the source as a pod has it."""

    mount_path: str
    sub_path: str | None
    source: Mapping[str, t.Any]

    @property
    def is_outside_restricted(self) -> bool:
        """Whether the pod security standard ``restricted`` refuses pods that mount it."""
        return not {"persistentVolumeClaim", "emptyDir"} & set(self.source)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RepositorySpec:
    """One Repository; ``bucket`` and ``prefix`` are what users, variables and metrics call so.

    ``endpoint`` is that of S3 or the URL of ``rest``; ``max_connections`` 0 leaves the number to
    us.
    """

    name: str
    namespace: str
    provider: str
    bucket: str
    prefix: str = ""
    endpoint: str | None = None
    region: str | None = None
    insecure_tls: bool = False
    max_connections: int = 0
    secret_name: str
    local: LocalVolume | None = None
    wipe_out: bool = False
    usage_policy: Mapping[str, t.Any] | None = None

    @classmethod
    def parse(cls, obj: Object) -> RepositorySpec:
        """Read a Repository. Raises ``InvalidObject`` unless it has exactly one whole backend."""
        what = described_object(obj)
        spec = spec_of(obj)
        backend = spec.get("backend") or {}
        given = [provider for provider in PROVIDERS if backend.get(provider) is not None]
        if len(given) != 1:
            found = f"has {', '.join(given)}" if given else "has none"
            raise InvalidObject(
                f"{what} {found} as its backend; give exactly one of {', '.join(PROVIDERS)}."
            )
        secret_name = backend.get("storageSecretName")
        if not secret_name:
            raise InvalidObject(f"{what} names no Secret; give spec.backend.storageSecretName.")
        place = _place(given[0], backend[given[0]], what)
        return cls(
            name=name_of(obj),
            namespace=namespace_of(obj) or "",
            provider=given[0],
            secret_name=secret_name,
            wipe_out=bool(spec.get("wipeOut")),
            usage_policy=spec.get("usagePolicy"),
            **place,
        )

    def check_supported(self) -> None:
        """Raise ``NotSupported`` or ``InvalidObject`` where ``unsupported`` says something."""
        sentence = unsupported(self)
        if sentence:
            kind = NotSupported if self.provider in _NOT_SERVED else InvalidObject
            raise kind(sentence)


def _place(provider: str, fields: Object, what: str) -> dict[str, t.Any]:
    """Return where the repository lies, as arguments of ``RepositorySpec``."""
    if provider == LOCAL:
        volume = _local_volume(fields, what)
        return {"bucket": volume.mount_path, "local": volume}
    if provider == REST:
        return {"bucket": str(fields.get("url") or ""), "endpoint": fields.get("url")}
    bucket_field = "container" if provider in {AZURE, SWIFT} else "bucket"
    needed = (bucket_field, "endpoint") if provider == S3 else (bucket_field,)
    missing = [f"spec.backend.{provider}.{field}" for field in needed if not fields.get(field)]
    if missing:
        raise InvalidObject(f"{what} is not whole; give {' and '.join(missing)}.")
    return {
        "bucket": fields[bucket_field],
        "prefix": fields.get("prefix") or "",
        "endpoint": fields.get("endpoint") or None,
        "region": fields.get("region") or None,
        "insecure_tls": bool(fields.get("insecureTLS")),
        "max_connections": int(fields.get("maxConnections") or 0),
    }


def _local_volume(fields: Object, what: str) -> LocalVolume:
    mount_path = fields.get("mountPath") or ""
    source = {
        k: v for k, v in fields.items() if k not in {"mountPath", "subPath"} and v is not None
    }
    if not mount_path.startswith("/"):
        raise InvalidObject(
            f"{what} has no absolute path in spec.backend.local.mountPath; give it."
        )
    if len(source) != 1:
        found = ", ".join(sorted(source)) or "none"
        raise InvalidObject(
            f"{what} needs exactly one volume in spec.backend.local, such as "
            f"persistentVolumeClaim; it has {found}."
        )
    return LocalVolume(mount_path=mount_path, sub_path=fields.get("subPath") or None, source=source)


def unsupported(spec: RepositorySpec) -> str | None:
    """Return the sentence that says why this repository cannot be served, or None."""
    what = f"Repository {spec.namespace}/{spec.name}"
    if spec.provider in _NOT_SERVED:
        return (
            f"{what} is kept in {spec.provider}, which Granary does not support; "
            "use local, s3, gcs or azure."
        )
    if spec.local is not None:
        path = spec.local.mount_path.rstrip("/")
        if not path or any(f"{path}/".startswith(f"{taken}/") for taken in _TAKEN):
            return (
                f"{what} is mounted at {spec.local.mount_path!r}, where every Job has folders of "
                "its own; give another spec.backend.local.mountPath, such as /safe/data."
            )
        if spec.wipe_out and "emptyDir" in spec.local.source:
            return f"{what} is an emptyDir, which ends with each pod; wipeOut cannot be served."
    return None


def allowed(
    spec: RepositorySpec,
    invoker_namespace: str,
    namespace_labels: Mapping[str, str] | None = None,
) -> bool:
    """Whether invokers of a namespace may use the repository, by its usage policy.

    ``namespace_labels`` are those of the invoker's Namespace; only a policy with a selector looks
    at them. Without a policy, or with one that says nothing, it is the repository's own namespace.
    """
    policy = (spec.usage_policy or {}).get("allowedNamespaces") or {}
    match policy.get("from") or SAME:
        case "All":
            return True
        case "Selector":
            selector = policy.get("selector")
            return selector is not None and matches(selector, namespace_labels or {})
        case _:
            return invoker_namespace == spec.namespace
