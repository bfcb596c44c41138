# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""What a face asks of retention and what it gets back; what is asked is checked here, before
anything is touched.
"""

from __future__ import annotations

import dataclasses
import typing as t

from .._core.errors import ConfigError
from .._postgres.layout import ROOT
from .._repository.retention_policy import (
    COUNTED,
    GROUP_BY,
    HOST,
    PATHS,
    SPANNED,
    TAGS,
    Policy,
    parse_count,
)
from .._repository.retention_time import Span
from .requests import TAG

if t.TYPE_CHECKING:
    from collections.abc import Mapping

    from .._repository.snapshot import Snapshot
    from .._repository.timestamp import Timestamp
    from .requests import Plain, RepositoryAccess

_LEAST_DIGITS, _MOST_DIGITS = 8, 64
_RULES = (
    *(f"keep_{name}" for name in COUNTED),
    "keep_within",
    *(f"keep_within_{name}" for name in SPANNED),
    "keep_tags",
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RetentionRequest:
    """Which snapshots stay. ``None`` leaves a rule out, or a choice to the engine.

    ``host``, ``paths`` and ``tags`` choose the snapshots that the rules are about: those of the
    host that hold all of these paths and carry all of these tags; paths and tags are ours unless
    given, and an empty list is all. Counts are a number or ``unlimited``, spans such as ``1y6m``.
    Each of ``keep_tags`` is a tag, or several with commas between them.

    ``snapshots`` names, in place of all that, what goes: ids, in full or at least 8 digits.
    """

    repository: RepositoryAccess
    host: str | None = None
    paths: tuple[str, ...] | None = None
    tags: tuple[str, ...] | None = None
    snapshots: tuple[str, ...] | None = None
    keep_last: str | None = None
    keep_hourly: str | None = None
    keep_daily: str | None = None
    keep_weekly: str | None = None
    keep_monthly: str | None = None
    keep_yearly: str | None = None
    keep_within: str | None = None
    keep_within_hourly: str | None = None
    keep_within_daily: str | None = None
    keep_within_weekly: str | None = None
    keep_within_monthly: str | None = None
    keep_within_yearly: str | None = None
    keep_tags: tuple[str, ...] | None = None
    group_by: tuple[str, ...] = GROUP_BY
    prune: bool = True
    allow_remove_all: bool = False

    @property
    def wanted_paths(self) -> tuple[str, ...]:
        """The paths that a snapshot must hold."""
        return (ROOT,) if self.paths is None else tuple(self.paths)

    @property
    def wanted_tags(self) -> tuple[str, ...]:
        """The tags that a snapshot must carry."""
        return (TAG,) if self.tags is None else tuple(self.tags)

    def policy(self) -> Policy:
        """Return the rules. Raises ``ConfigError`` for one that is none."""
        return Policy(
            counts={
                name: parse_count(f"keep_{name}", self._text(f"keep_{name}") or "0")
                for name in COUNTED
            },
            within=self._span("keep_within"),
            within_periods={name: self._span(f"keep_within_{name}") for name in SPANNED},
            tags=tuple(
                tuple(tag.strip() for tag in tags.split(",")) for tags in self.keep_tags or ()
            ),
        )

    def _text(self, name: str) -> str | None:
        text: str | None = getattr(self, name)
        return text

    def _span(self, name: str) -> Span:
        try:
            return Span.parse(self._text(name) or "")
        except ConfigError as exc:
            raise ConfigError(f"{name}: {exc.message}") from exc

    def given_rules(self) -> tuple[str, ...]:
        """The names of the options that say what to keep."""
        return tuple(name for name in _RULES if getattr(self, name))


def check_request(request: RetentionRequest) -> Policy:
    """Return the policy. Raises ``ConfigError`` for options that cannot work, before anything is
    touched.
    """
    policy = request.policy()
    if request.snapshots is not None:
        _check_ids(request, request.snapshots)
        return policy
    for tag in request.wanted_tags:
        if not tag or "," in tag:
            raise ConfigError("A tag can be neither empty nor hold a comma; correct tags.")
    if not {*request.group_by} <= {HOST, PATHS, TAGS}:
        raise ConfigError(
            f"group_by is {', '.join(request.group_by)}; give any of {HOST}, {PATHS} and {TAGS}, "
            "or an empty list."
        )
    if policy:
        return policy
    if not request.allow_remove_all:
        raise ConfigError(
            "No rule says what to keep, so nothing was removed; give one of keep_last to "
            "keep_yearly, keep_within, keep_within_hourly to keep_within_yearly, or keep_tags."
        )
    if not (request.host is not None or request.paths or request.tags):
        raise ConfigError(
            "allow_remove_all without a rule removes every snapshot that is chosen, so it takes a "
            "choice; give host, paths or tags, or a rule."
        )
    return policy


def _check_ids(request: RetentionRequest, ids: tuple[str, ...]) -> None:
    chosen = [name for name in ("host", "paths", "tags") if getattr(request, name) is not None]
    beside = [*request.given_rules(), *chosen]
    if request.allow_remove_all:
        beside.append("allow_remove_all")
    if beside:
        raise ConfigError(
            f"snapshots names what to remove and does not go together with {', '.join(beside)}; "
            "leave out one or the other."
        )
    if not ids:
        raise ConfigError("snapshots is an empty list; leave it out, or name what to remove.")
    for text in ids:
        if text.strip("0123456789abcdef") or not _LEAST_DIGITS <= len(text) <= _MOST_DIGITS:
            raise ConfigError(
                f"{text!r} is no id of a snapshot; give all of its 64 lower-case hex digits, or "
                "the first 8 or more of them, in quotes."
            )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class JudgedSnapshot:
    """A snapshot that stays or goes, and why; what is unknown of an unreadable one is empty."""

    id: str
    time: Timestamp | None
    host: str | None
    paths: tuple[str, ...]
    tags: tuple[str, ...]
    reasons: tuple[str, ...]

    @classmethod
    def of(cls, snapshot: Snapshot, *reasons: str) -> JudgedSnapshot:
        """Return a snapshot with reasons."""
        return cls(
            id=snapshot.id.hex(),
            time=snapshot.time,
            host=snapshot.hostname,
            paths=snapshot.paths,
            tags=snapshot.tags,
            reasons=reasons,
        )

    def to_return(self) -> dict[str, Plain]:
        """Return it in plain types."""
        return {
            "id": self.id,
            "time": None if self.time is None else str(self.time),
            "host": self.host,
            "paths": list(self.paths),
            "tags": list(self.tags),
            "reasons": list(self.reasons),
        }

    def age_order(self) -> tuple[int, str]:
        """Sort key: oldest first, before all others those of unknown time."""
        return (-(1 << 63) if self.time is None else self.time.unix_ns, self.id)

    def __str__(self) -> str:
        """The snapshot in one line, as differences show it."""
        known = [f"host {self.host}", str(self.time)] if self.time is not None else ["unreadable"]
        return f"{', '.join([self.id, *known])}: {', '.join(self.reasons)}"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RetentionResult:
    """What was kept and removed, newest first, or in check mode would be.

    ``prune`` has the figures of the prune, None where there was none.
    """

    changed: bool
    kept: tuple[JudgedSnapshot, ...]
    removed: tuple[JudgedSnapshot, ...]
    prune: Mapping[str, Plain] | None
    duration_seconds: float

    def to_return(self) -> dict[str, Plain]:
        """Return it in plain types; ``diff`` has a line for each snapshot, newest first."""
        stays = {one.id for one in self.kept}
        every = sorted((*self.kept, *self.removed), key=JudgedSnapshot.age_order, reverse=True)
        return {
            "changed": self.changed,
            "kept": [one.to_return() for one in self.kept],
            "removed": [one.to_return() for one in self.removed],
            "stats": {
                "snapshots_kept": len(self.kept),
                "snapshots_removed": len(self.removed),
                "prune": None if self.prune is None else dict(self.prune),
                "duration_seconds": self.duration_seconds,
            },
            "diff": {
                "before": {"snapshots": [str(one) for one in every]},
                "after": {"snapshots": [str(one) for one in every if one.id in stays]},
            },
        }
