# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""Which snapshots of which host a RestoreSession wants: its rules, and the one that counts."""

from __future__ import annotations

import dataclasses
import typing as t

from .._core.errors import InvalidObject
from .objects import described_object, spec_of

if t.TYPE_CHECKING:
    from .objects import Object

LATEST = "latest"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule; without ``target_hosts`` it is for every host that no other rule names."""

    target_hosts: tuple[str, ...] = ()
    source_host: str = ""
    snapshots: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    include: tuple[str, ...] = ()

    @classmethod
    def parse(cls, rule: Object) -> Rule:
        """Read a rule as it stands in an object."""
        return cls(
            target_hosts=tuple(rule.get("targetHosts") or ()),
            source_host=rule.get("sourceHost") or "",
            snapshots=tuple(rule.get("snapshots") or ()),
            paths=tuple(rule.get("paths") or ()),
            exclude=tuple(rule.get("exclude") or ()),
            include=tuple(rule.get("include") or ()),
        )


def rules_of(obj: Object) -> tuple[Rule, ...]:
    """Return the rules of a RestoreSession from where they stand: in the target, or in ``spec``.

    Raises ``InvalidObject`` when both places hold some, and for rules that contradict.
    """
    what, spec = described_object(obj), spec_of(obj)
    old, new = spec.get("rules"), (spec.get("target") or {}).get("rules")
    if old and new:
        raise InvalidObject(
            f"{what} has rules both in spec.rules and in spec.target.rules; keep the latter."
        )
    rules = tuple(Rule.parse(each) for each in new or old or ())
    _check(rules, what)
    return rules


def _check(rules: tuple[Rule, ...], what: str) -> None:
    if sum(not rule.target_hosts for rule in rules) > 1:
        raise InvalidObject(
            f"{what} has several rules without targetHosts; only one can be for all other hosts."
        )
    hosts = [host for rule in rules for host in rule.target_hosts]
    twice = sorted({host for host in hosts if hosts.count(host) > 1})
    if twice:
        raise InvalidObject(
            f"{what} has several rules for the host {twice[0]}; give each host one rule."
        )
    for rule in rules:
        if rule.snapshots and rule.paths:
            raise InvalidObject(
                f"{what} has a rule with both snapshots and paths; give one of them."
            )
        if len(rule.snapshots) > 1:
            raise InvalidObject(
                f"{what} has a rule with {len(rule.snapshots)} snapshots; "
                "a database is restored from exactly one."
            )


def rule_for(rules: tuple[Rule, ...], host: str) -> Rule | None:
    """Return the rule that names ``host``, else the one for all others, else None."""
    for rule in rules:
        if host in rule.target_hosts:
            return rule
    return next((rule for rule in rules if not rule.target_hosts), None)
