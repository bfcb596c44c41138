# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""Which snapshots a policy keeps, and why: the decisions of ``restic forget``, word for word.

Pure: knows neither the repository nor the guards that a workflow puts around a policy.
"""

from __future__ import annotations

import dataclasses
import typing as t

from .._core.errors import ConfigError
from .retention_time import Span, Wall, moment_before
from .snapshot import age_order

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from .retention_time import Zone
    from .snapshot import Snapshot

UNLIMITED = -1
HOST, PATHS, TAGS = "host", "paths", "tags"
GROUP_BY = (HOST, PATHS)
"""What restic groups by when nobody says otherwise."""

# Each period by the name of its rule; the number that stands for `last` is the snapshot's own.
_PERIODS: Mapping[str, Callable[[Wall, int], tuple[int, ...]]] = {
    "last": lambda wall, number: (number,),
    "hourly": lambda wall, number: (wall.year, wall.month, wall.day, wall.hour),
    "daily": lambda wall, number: (wall.year, wall.month, wall.day),
    "weekly": lambda wall, number: (wall.week_year, wall.week),
    "monthly": lambda wall, number: (wall.year, wall.month),
    "yearly": lambda wall, number: (wall.year,),
}
COUNTED = tuple(_PERIODS)
"""The rules that keep so many snapshots, in restic's order."""
SPANNED = tuple(name for name in _PERIODS if name != "last")
"""The rules that keep one snapshot of each period within a span of time, in restic's order."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What to keep. A snapshot that any rule keeps is kept; rules that are off keep nothing.

    ``counts``: of ``COUNTED``, how many; ``UNLIMITED``, or 0 for off. ``within``: everything that
    is no older than this. ``within_periods``: of ``SPANNED``, up to which age. ``tags``: lists of
    tags, of one of which a snapshot carries all; the tag "" stands for a snapshot without tags.
    """

    counts: Mapping[str, int] = dataclasses.field(default_factory=dict)
    within: Span = dataclasses.field(default_factory=Span)
    within_periods: Mapping[str, Span] = dataclasses.field(default_factory=dict)
    tags: tuple[tuple[str, ...], ...] = ()

    def __bool__(self) -> bool:
        """Whether there is any rule at all."""
        return bool(
            any(self.counts.values())
            or self.within
            or any(self.within_periods.values())
            or self.tags
        )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Why a snapshot is kept, in restic's words and order; it is not, where there is no reason."""

    snapshot: Snapshot
    reasons: tuple[str, ...]

    @property
    def kept(self) -> bool:
        """Whether the policy keeps it."""
        return bool(self.reasons)


class GroupKey(t.NamedTuple):
    """What the snapshots of a group have in common; None where it is not grouped by, or where it
    is null in the snapshots.
    """

    host: str | None
    paths: tuple[str, ...] | None
    tags: tuple[str, ...] | None

    def __str__(self) -> str:
        """The group as people are told of it."""
        known = [f"host {self.host}"] if self.host is not None else []
        known += [f"paths {', '.join(self.paths)}"] if self.paths is not None else []
        known += [f"tags {', '.join(self.tags)}"] if self.tags is not None else []
        return ", ".join(known) or "all snapshots"


def parse_count(rule: str, text: str) -> int:
    """Return the count that a user typed for ``rule``: 0 or more, or ``unlimited``.

    Raises ``ConfigError`` that names the rule.
    """
    if text == "unlimited":
        return UNLIMITED
    if not (text.isascii() and text.isdigit()):
        raise ConfigError(f"{rule} is {text!r}; give a number of 0 or more, or `unlimited`.")
    return int(text[:_MOST_DIGITS])


_MOST_DIGITS = 18  # no repository holds as many snapshots, and Python reads no number of any length


def group_snapshots(
    snapshots: Iterable[Snapshot], group_by: Sequence[str]
) -> dict[GroupKey, list[Snapshot]]:
    """Return the snapshots by group, the groups in order, in each the newest first.

    ``group_by``: any of ``HOST``, ``PATHS``, ``TAGS``; with none of them all are one group. The
    order of paths and tags does not matter, but null is not the empty list. Of two snapshots of one
    time the one without ``original`` counts as newer; restic takes them in any order.
    """
    groups: dict[GroupKey, list[Snapshot]] = {}
    for snapshot in sorted(snapshots, key=age_order, reverse=True):
        key = GroupKey(
            host=snapshot.hostname if HOST in group_by else None,
            paths=_list(snapshot, PATHS, snapshot.paths) if PATHS in group_by else None,
            tags=_list(snapshot, TAGS, snapshot.tags) if TAGS in group_by else None,
        )
        groups.setdefault(key, []).append(snapshot)
    return dict(sorted(groups.items(), key=lambda group: _order(group[0])))


def _list(snapshot: Snapshot, name: str, values: tuple[str, ...]) -> tuple[str, ...] | None:
    return None if name in snapshot.unset else tuple(sorted(values))


def _order(key: GroupKey) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    return (key.host or "", key.paths or (), key.tags or ())


def apply_policy(
    group: Sequence[Snapshot], policy: Policy, *, now_ns: int, zone: Zone
) -> list[Decision]:
    """Decide over the snapshots of one group, which come newest first, in their order.

    Spans of time begin at the newest snapshot that is not in the future of ``now_ns``. ``zone`` is
    that of the process: where it agrees with the offset of that snapshot, months and days go by it.
    """
    newest = max((one.time for one in group if one.time.unix_ns < now_ns), default=None)

    def since(span: Span) -> int:
        return moment_before(newest, span, zone)

    rules: list[_Rule] = [_TagRule(list_) for list_ in policy.tags]
    if policy.within:
        rules.append(_WithinRule(policy.within, since(policy.within)))
    for name in COUNTED:
        if policy.counts.get(name):
            rules.append(_PeriodRule(name, f"{name} snapshot", left=policy.counts[name]))
    for name in SPANNED:
        span = policy.within_periods.get(name)
        if span:
            rules.append(_PeriodRule(name, f"{name} within {span}", after_ns=since(span)))
    decisions = []
    for number, snapshot in enumerate(group):
        # Every rule is asked, whatever the others say: each counts what it keeps.
        said = [rule.reason(snapshot, number, oldest=number == len(group) - 1) for rule in rules]
        reasons = tuple(reason for reason in said if reason is not None)
        decisions.append(Decision(snapshot=snapshot, reasons=reasons))
    return decisions


class _Rule(t.Protocol):
    def reason(self, snapshot: Snapshot, number: int, *, oldest: bool) -> str | None:
        """Return why the rule keeps the snapshot, or None; called once for each, newest first."""


class _TagRule:
    def __init__(self, tags: Sequence[str]) -> None:
        self._tags = tags

    def reason(self, snapshot: Snapshot, number: int, *, oldest: bool) -> str | None:
        return f"has tags [{', '.join(self._tags)}]" if self._fits(snapshot) else None

    def _fits(self, snapshot: Snapshot) -> bool:
        for tag in self._tags:
            if not tag and not snapshot.tags:
                return True
            if tag not in snapshot.tags:
                return False
        return True


class _WithinRule:
    def __init__(self, span: Span, after_ns: int) -> None:
        self._reason = f"within {span}"
        self._after_ns = after_ns

    def reason(self, snapshot: Snapshot, number: int, *, oldest: bool) -> str | None:
        return self._reason if snapshot.time.unix_ns > self._after_ns else None


class _PeriodRule:
    """Keeps the newest of each period, and the oldest of all while there is something left."""

    def __init__(
        self, period: str, reason: str, *, left: int = UNLIMITED, after_ns: int | None = None
    ) -> None:
        self._period = _PERIODS[period]
        self._reason = reason
        self._left = left
        self._after_ns = after_ns
        self._last: tuple[int, ...] = ()

    def reason(self, snapshot: Snapshot, number: int, *, oldest: bool) -> str | None:
        if not self._left or (
            self._after_ns is not None and snapshot.time.unix_ns <= self._after_ns
        ):
            return None
        period = self._period(Wall.of(snapshot.time), number)
        if period == self._last:
            return f"oldest {self._reason}" if oldest else None
        self._last = period
        self._left -= self._left > 0
        return self._reason
