# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""What is asked of a check, and what it found, in figures and in words: what is damaged, whom it
hits, and what to do.
"""

from __future__ import annotations

import dataclasses
import typing as t

from .._core.errors import RepositoryDamaged
from .._core.units import plural
from .._repository.check import some_of

if t.TYPE_CHECKING:
    from collections.abc import Mapping

    from .._repository.check import Damage
    from .damaged_snapshots import DamagedSnapshot
    from .requests import Plain, RepositoryAccess

# Results are read by people and the last one is kept in the repository: the rest is only counted.
_MOST_DAMAGE = 1000
_MOST_SNAPSHOTS = 1000
_MOST_RECORDED = 100
_RECORDED = (
    "ok",
    "summary",
    "advice",
    "time",
    "read_data",
    "packs",
    "packs_read",
    "damage_count",
    "damaged_snapshots_count",
)
_NAMED_FILES = 3
_NAMED_SNAPSHOTS = 2


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CheckRequest:
    """One check. ``read_data`` reads all packs, ``read_data_subset`` some (`5%`, `2/10`), and
    ``repair`` reads all and repairs what it can.
    """

    repository: RepositoryAccess
    read_data: bool = False
    read_data_subset: str | None = None
    repair: bool = False

    @property
    def what_is_read(self) -> str:
        """How much of the packs is read, in a word."""
        return "all" if self.read_data or self.repair else self.read_data_subset or "none"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """What was found. ``damage`` are files of the repository; after a repair those that it found.

    ``damaged_snapshots`` are what the damage means, newest first; after a repair what it has left.
    ``repair`` has the figures of one, None where none was asked for; ``repaired`` files need
    nothing more.
    """

    location: str
    time: str
    read_data: str
    snapshots: int
    packs: int
    stored_bytes: int
    packs_read: int
    read_bytes: int
    duration_seconds: float
    damage: tuple[Damage, ...]
    repaired: bool
    damaged_snapshots: tuple[DamagedSnapshot, ...]
    notes: tuple[str, ...]
    repair: Mapping[str, t.Any] | None
    check_mode: bool = False

    @property
    def remaining(self) -> tuple[Damage, ...]:
        """The damaged files that a repair has not dealt with."""
        if not self.repaired:
            return self.damage
        return tuple(one for one in self.damage if not one.name.startswith(("data/", "index/")))

    @property
    def changed(self) -> bool:
        """Whether a repair changed the repository, or would in check mode."""
        return self.repair is not None and bool(self.repair["changed"])

    @property
    def ok(self) -> bool:
        """Whether nothing is damaged (any more)."""
        return not self.remaining and not self.damaged_snapshots

    def to_return(self) -> dict[str, Plain]:
        """Return it in plain types."""
        return {
            "ok": self.ok,
            "summary": self.summary(),
            "advice": list(self.advice()),
            "time": self.time,
            "read_data": self.read_data,
            "snapshots": self.snapshots,
            "packs": self.packs,
            "stored_bytes": self.stored_bytes,
            "packs_read": self.packs_read,
            "read_bytes": self.read_bytes,
            "duration_seconds": self.duration_seconds,
            "damage": [
                {"name": one.name, "reason": one.reason} for one in self.damage[:_MOST_DAMAGE]
            ],
            "damage_count": len(self.damage),
            "damaged_snapshots": [
                one.to_return() for one in self.damaged_snapshots[:_MOST_SNAPSHOTS]
            ],
            "damaged_snapshots_count": len(self.damaged_snapshots),
            "notes": list(self.notes),
            "repair": None if self.repair is None else dict(self.repair),
        }

    def to_record(self) -> dict[str, Plain]:
        """Return what is kept of it in the repository."""
        found = self.to_return()
        kept: dict[str, Plain] = {name: found[name] for name in _RECORDED}
        kept["damage"] = [f"{one.name}: {one.reason}" for one in self.damage[:_MOST_RECORDED]]
        kept["damaged_snapshots"] = [
            one.sentence() for one in self.damaged_snapshots[:_MOST_RECORDED]
        ]
        return kept

    def failure(self) -> RepositoryDamaged | None:
        """Return the error that a face shows, None where nothing is damaged."""
        if self.ok:
            return None
        found = RepositoryDamaged(
            f"{'; '.join((self.summary().rstrip('.'), *self.advice()))}.",
            damage=len(self.damage),
            damaged_snapshots=len(self.damaged_snapshots),
        )
        found.advice = ""
        return found

    def summary(self) -> str:
        """Return one sentence."""
        if self.ok:
            done = "is whole again" if self.repaired and self.damage else "is whole"
            return (
                f"The repository in {self.location} {done}: {plural(self.snapshots, 'snapshot')}, "
                f"{plural(self.packs, 'pack')}, {self._how_much()}."
            )
        parts = []
        if self.remaining:
            names = [f"{one.name}: {one.reason}" for one in self.remaining[:_NAMED_FILES]]
            more = len(self.remaining) - len(names)
            named = "; ".join(names) + (f"; and {more:,} more" if more else "")
            files = plural(len(self.remaining), "damaged file")
            parts.append(f"{files} ({named})")
        if self.damaged_snapshots:
            count = len(self.damaged_snapshots)
            named = "; ".join(one.sentence() for one in self.damaged_snapshots[:_NAMED_SNAPSHOTS])
            what = plural(count, "snapshot") + " that cannot be restored whole"
            which = "" if count <= _NAMED_SNAPSHOTS else ", of which the newest are"
            parts.append(f"{what}{which}: {named}")
        return f"The repository in {self.location} has {' and '.join(parts)}."

    def _how_much(self) -> str:
        if self.read_data == "none":
            return "whose bytes were not read (read_data does)"
        return f"of which {self.packs_read:,} were read to the last byte"

    def advice(self) -> tuple[str, ...]:
        """Return what to do, in this order, each without a full stop."""
        return tuple(self._advice())

    def _advice(self) -> t.Iterator[str]:
        names = [one.name for one in self.remaining]
        if any(name.startswith(("data/", "index/")) for name in names):
            yield ("run repository_check with repair: true, which keeps all that can still be read")
        if self.damaged_snapshots:
            yield from self._snapshot_advice()
        unreadable = [name.partition("/")[2] for name in names if name.startswith("snapshots/")]
        if unreadable:
            yield (
                "forget what is no snapshot any more with retention (snapshots: "
                f"[{some_of(unreadable)}])"
            )
        if any(name.startswith("keys/") for name in names):
            yield (
                "remove the damaged key with repository_key and add its password again: it opens "
                "nothing any more"
            )
        if "config" in names:
            yield "bring config back from a copy of the repository"

    def _snapshot_advice(self) -> t.Iterator[str]:
        if self.repair is not None and not self.check_mode:
            yield (
                "run a backup: it stores again what the server still has, by which older snapshots "
                "may become whole; then check again"
            )
        yield (
            "look at the storage (disk, bucket rules, other programs) for the cause, and forget "
            "with retention (snapshots) what stays damaged"
        )
