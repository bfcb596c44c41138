# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""What a BackupConfiguration or a RestoreSession asks for, read once and checked."""

from __future__ import annotations

import dataclasses
import typing as t

from .._core.errors import InvalidObject, NotSupported
from .durations import parse_go_duration
from .names import DEFAULT_HOST
from .objects import described_object, metadata, name_of, namespace_of, spec_of, uid_of
from .references import RepositoryRef, TargetRef, TaskRef
from .restore_rules import LATEST, Rule, rule_for, rules_of

if t.TYPE_CHECKING:
    from collections.abc import Mapping

    from .objects import Object

BACKUP = "BackupConfiguration"
RESTORE = "RestoreSession"
_KEEP = ("Last", "Hourly", "Daily", "Weekly", "Monthly", "Yearly")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """What is kept: counts by ``last``, ``hourly`` ... ``yearly`` (0 is not counted by), tags."""

    name: str
    keep: Mapping[str, int]
    keep_tags: tuple[str, ...] = ()
    prune: bool = False
    dry_run: bool = False

    @classmethod
    def parse(cls, policy: Object) -> Retention:
        """Read ``spec.retentionPolicy``."""
        return cls(
            name=policy.get("name") or "",
            keep={each.lower(): int(policy.get(f"keep{each}") or 0) for each in _KEEP},
            keep_tags=tuple(policy.get("keepTags") or ()),
            prune=bool(policy.get("prune")),
            dry_run=bool(policy.get("dryRun")),
        )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """How often a failed session is tried again, and how many seconds after its end."""

    max_retry: int
    delay_seconds: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Invoker:
    """One BackupConfiguration or RestoreSession.

    Parts that are handed on to pods or to other readers (``runtime_settings``, ``temp_dir``,
    ``hooks``, ``interim_volume_template``) are as the user wrote them.
    """

    kind: str
    api_version: str
    name: str
    namespace: str
    uid: str
    labels: Mapping[str, str]
    repository: RepositoryRef
    target: TargetRef
    alias: str = ""
    target_args: tuple[str, ...] = ()
    replicas: int = 1
    task: TaskRef
    retention: Retention | None = None
    rules: tuple[Rule, ...] = ()
    schedule: str = ""
    paused: bool = False
    history_limit: int = 1
    timeout_seconds: float | None = None
    retry: Retry | None = None
    runtime_settings: Mapping[str, t.Any]
    temp_dir: Mapping[str, t.Any]
    interim_volume_template: Mapping[str, t.Any] | None = None
    hooks: Mapping[str, t.Any]

    @classmethod
    def parse(cls, obj: Object) -> Invoker:
        """Read a BackupConfiguration or a RestoreSession.

        Raises ``InvalidObject`` where it cannot be served as it stands, ``NotSupported`` for what
        Granary does not serve at all.
        """
        kind, what, spec = obj.get("kind"), described_object(obj), spec_of(obj)
        if kind not in {BACKUP, RESTORE}:
            raise NotSupported(f"{what} is of a kind that Granary does not serve yet.")
        if (spec.get("driver") or "Restic") != "Restic":
            raise NotSupported(
                f"{what} has the driver {spec['driver']}, which Granary does not serve; "
                "leave spec.driver out."
            )
        namespace, target = namespace_of(obj) or "", spec.get("target") or {}
        special = _backup_part(spec, what) if kind == BACKUP else {"rules": rules_of(obj)}
        return cls(
            kind=kind,
            api_version=obj["apiVersion"],
            name=name_of(obj),
            namespace=namespace,
            uid=uid_of(obj),
            labels=metadata(obj).get("labels") or {},
            repository=RepositoryRef.parse(spec.get("repository"), namespace, what),
            target=TargetRef.parse(target.get("ref"), namespace, what),
            alias=target.get("alias") or "",
            target_args=tuple(target.get("args") or ()),
            replicas=int(target.get("replicas") or 1),
            task=TaskRef.parse(spec.get("task")),
            timeout_seconds=_seconds(spec.get("timeOut"), "spec.timeOut", what),
            runtime_settings=spec.get("runtimeSettings") or {},
            temp_dir=spec.get("tempDir") or {},
            interim_volume_template=spec.get("interimVolumeTemplate"),
            hooks=spec.get("hooks") or {},
            **special,
        )

    @property
    def is_backup(self) -> bool:
        """Whether it backs up; otherwise it restores."""
        return self.kind == BACKUP

    @property
    def host(self) -> str:
        """The host under which statuses and metrics have the target, and snapshots of a backup."""
        return self.alias or DEFAULT_HOST

    @property
    def rule(self) -> Rule | None:
        """The rule of a RestoreSession that is for its target."""
        return rule_for(self.rules, self.host)

    @property
    def source_host(self) -> str:
        """The host whose snapshots a RestoreSession takes; empty takes any host's."""
        return (self.rule.source_host if self.rule else "") or self.alias

    @property
    def snapshot(self) -> str:
        """The one snapshot that a RestoreSession takes: ``latest`` or an id, whole or its start."""
        return self.rule.snapshots[0] if self.rule and self.rule.snapshots else LATEST


def _backup_part(spec: Object, what: str) -> dict[str, t.Any]:
    """Return what only a BackupConfiguration has, as arguments of ``Invoker``."""
    schedule, policy = spec.get("schedule") or "", spec.get("retentionPolicy")
    if not schedule.strip():
        raise InvalidObject(f"{what} has no schedule; give spec.schedule, such as 0 3 * * *.")
    if not policy:
        raise InvalidObject(f"{what} has no retention policy; give spec.retentionPolicy.")
    limit = spec.get("backupHistoryLimit")
    return {
        "schedule": schedule,
        "retention": Retention.parse(policy),
        "paused": bool(spec.get("paused")),
        "history_limit": 1 if limit is None else int(limit),
        "retry": _retry(spec.get("retryConfig"), what),
    }


def _retry(config: Object | None, what: str) -> Retry | None:
    if config is None:
        return None
    most = config.get("maxRetry")
    delay = _seconds(config.get("delay"), "spec.retryConfig.delay", what)
    return Retry(max_retry=1 if most is None else max(int(most), 0), delay_seconds=delay or 0.0)


def _seconds(text: str | None, field: str, what: str) -> float | None:
    """Return a duration of an object in seconds; None where there is none, or it is zero."""
    if not text:
        return None
    try:
        seconds = parse_go_duration(text)
    except InvalidObject as exc:
        raise InvalidObject(f"{what} has no usable {field}: {exc.message}") from exc
    if seconds < 0:
        raise InvalidObject(f"{what} has a negative {field}, {text}; give one above 0.")
    return seconds or None
