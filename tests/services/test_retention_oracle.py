# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Decisions of policies against `restic forget --dry-run`, both drawn at random."""

from __future__ import annotations

import datetime
import itertools
import json
import random
import time
import typing as t
from collections.abc import Iterator
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._repository.repository import (
    Repository,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.retention_policy import (
    COUNTED,
    SPANNED,
    Decision,
    GroupKey,
    Policy,
    apply_policy,
    group_snapshots,
    parse_count,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.retention_time import (
    Span,
    process_zone,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.selection import (
    select_snapshots,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.snapshot import (
    list_snapshots,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.timestamp import (
    Timestamp,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.unpacked import (
    write_unpacked,
)
from tests.fix_quick_key import make_key_quick
from tests.fix_repository import Place
from tests.testbed.errors import TestBedError
from tests.testbed.restic import VERSIONS, Restic

HISTORIES = range(100)
POLICIES = 14  # 1,400 runs in the long form, 42 in the short one
HOSTS = ("main", "db 2", "ÄÖ<>&", "")
PATHS: tuple[list[str] | None, ...] = (
    ["/postgres"],
    ["/dumpfile.sql"],
    ["/b", "/a"],
    ["/a", "/b"],
    [],
    None,
)
TAGS: tuple[list[str] | None, ...] = (
    ["granary"],
    ["granary", "a"],
    ["a", "granary"],
    ["b"],
    [],
    None,
)
ZONES = (
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Asia/Kolkata",
    "Pacific/Apia",
    "America/Sao_Paulo",
    "Africa/Casablanca",
    "Asia/Kathmandu",
)
# Beside those: what means UTC to Go, and what it cannot read.
PROCESS_ZONES = (*ZONES, *ZONES, "UTC", "", ":Europe/Dublin", "CET-1CEST", "Nowhere/Land")
OFFSETS = ("Z", "Z", "+00:00", "+14:00", "-12:00", "+05:45", "-00:30")
EDGES = ("2024-02-29", "2023-02-28", "2026-03-31", "2025-12-31", "2021-01-03", "2026-01-01")
SPANS = ("1h", "36h", "1d", "7d", "31d", "1m", "2m", "11m", "1y", "4y", "1y1m1d1h", "3000y")
NOW = datetime.datetime.now(datetime.UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One policy as a user types it, with the filter, and the zone of the process."""

    zone: str
    counts: dict[str, str] = field(default_factory=dict)
    spans: dict[str, str] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    group_by: tuple[str, ...] = ("host", "paths")
    host: str | None = None
    paths: tuple[str, ...] = ()
    with_tags: tuple[str, ...] = ()

    def arguments(self) -> list[str]:
        """The same for restic."""
        options = [(f"--keep-{name}", text) for name, text in self.counts.items()]
        options += [(f"--keep-{name}", text) for name, text in self.spans.items()]
        options += [("--keep-tag", tags) for tags in self.tags]
        options += [("--group-by", ",".join(self.group_by))]
        options += [("--host", self.host)] if self.host is not None else []
        options += [("--path", path) for path in self.paths]
        options += [("--tag", ",".join(self.with_tags))] if self.with_tags else []
        return [f"{name}={text}" for name, text in options]

    def policy(self) -> Policy:
        """The same for us."""
        spans = {name: Span.parse(text) for name, text in self.spans.items()}
        return Policy(
            counts={name: parse_count(name, text) for name, text in self.counts.items()},
            within=spans.pop("within", Span()),
            within_periods={name.removeprefix("within-"): span for name, span in spans.items()},
            tags=tuple(tuple(tags.split(",")) for tags in self.tags),
        )


def changes_of(zone: ZoneInfo, year: int) -> list[datetime.datetime]:
    """The moments of a year, to the hour, at which the zone's offset changes."""
    start = datetime.datetime(year, 1, 1, tzinfo=datetime.UTC)
    hours = [start + datetime.timedelta(hours=number) for number in range(366 * 24)]
    offsets = [hour.astimezone(zone).utcoffset() for hour in hours]
    pairs = zip(itertools.pairwise(offsets), hours[1:], strict=True)
    return [hour for (before, after), hour in pairs if before != after]


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """Snapshots of one repository, as their makers describe them, and what runs are drawn from."""

    zone: str
    spans: tuple[str, ...]
    hosts: tuple[str, ...]
    paths: tuple[list[str] | None, ...]
    tags: tuple[list[str] | None, ...]
    times: tuple[str, ...]


def draw_history(number: int) -> History:
    """The history of a number; one of three is about the clocks of one zone alone."""
    chance = random.Random(number)
    few = 0 if number % 3 == 0 else 3
    hosts = tuple(chance.choices(HOSTS, k=chance.randint(0, few))) or HOSTS[:1]
    paths = tuple(chance.choices(PATHS, k=chance.randint(0, few))) or PATHS[:1]
    tags = tuple(chance.choices(TAGS, k=chance.randint(0, few))) or TAGS[:1]
    if number % 3 == 0:
        zone = chance.choice(ZONES)
        span = chance.choice(("1d", "7d", "31d", "1m", "11m", "1y", "1m1d2h", "25h"))
        times = tuple(times_about_a_change(chance, zone, Span.parse(span)))
        spans: tuple[str, ...] = (span, span, span, "24h", "1d")
    else:
        zones = chance.choices(ZONES, k=2)
        zone = zones[0]
        times = tuple(written(chance, moment, zones) for moment in moments(chance, zone))
        spans = (*SPANS, "", "0d", "2d30h", "1d5y2d", "7h2m")
    return History(zone=zone, spans=spans, hosts=hosts, paths=paths, tags=tags, times=times)


def times_about_a_change(chance: random.Random, zone: str, span: Span) -> Iterator[str]:
    """Times every 10 minutes about a change of the clock, and one that lies a span after it."""
    here = ZoneInfo(zone)
    changes = [change for year in (2011, 2018, 2024) for change in changes_of(here, year)]
    change = chance.choice(changes or [NOW - datetime.timedelta(days=900)])
    for number in range(-20, 20):
        yield (change + datetime.timedelta(minutes=10 * number)).astimezone(here).isoformat()
    wall = change.astimezone(here).replace(tzinfo=None)
    wall += datetime.timedelta(days=span.days, minutes=chance.choice(range(-120, 121, 15)))
    years, month = divmod(wall.month - 1 + span.months, 12)
    day = min(wall.day, 28)
    later = wall.replace(year=wall.year + span.years + years, month=month + 1, day=day)
    later += datetime.timedelta(days=wall.day - day, hours=span.hours)
    yield later.replace(tzinfo=here, fold=chance.randint(0, 1)).isoformat()


def moments(chance: random.Random, zone: str) -> Iterator[datetime.datetime]:
    """Times for a history, not in order: here and there, around edges of the calendar, around
    changes of the clock, and in the future; sometimes nothing but the future.
    """
    for dummy in range(chance.choice((0, 0, 1, 3))):
        yield NOW + datetime.timedelta(days=chance.uniform(1, 900))
    if chance.random() < 0.1:
        return
    start = NOW - datetime.timedelta(days=chance.uniform(1, 6000))
    pace = chance.choice((0.02, 0.3, 1, 8, 40))
    for dummy in range(chance.randint(3, 40)):
        yield start
        start -= datetime.timedelta(days=chance.expovariate(1 / pace))
    for day in chance.sample(EDGES, 2):
        edge = datetime.datetime.fromisoformat(f"{day}T23:59:59+00:00")
        for days in (0, 1, 28, 30, 31, 365):
            yield edge + datetime.timedelta(days=days, seconds=chance.randint(-90_000, 3))
    for change in changes_of(ZoneInfo(zone), chance.choice((2011, 2018, 2024, 2025)))[:1]:
        yield from (change + datetime.timedelta(minutes=30 * number) for number in range(-6, 7))


def written(chance: random.Random, moment: datetime.datetime, zones: list[str]) -> str:
    """A time as somebody somewhere writes it."""
    fraction = chance.choice(("", ".5", ".123456789"))
    if chance.random() < 0.3:
        offset = chance.choice(OFFSETS)
        plain = "+00:00" if offset == "Z" else offset
        zone = datetime.datetime.fromisoformat(f"2000-01-01T00:00:00{plain}").tzinfo
        text = moment.astimezone(zone).replace(microsecond=0, tzinfo=None).isoformat()
        return f"{text}{fraction}{offset}"
    text = moment.astimezone(ZoneInfo(chance.choice(zones))).replace(microsecond=0).isoformat()
    return f"{text[:19]}{fraction}{text[19:]}"


def write_history(repository: Repository, history: History, seed: int) -> None:
    """Put the snapshots of a history in place of those that are there."""
    for entry in list(repository.backend.entries("snapshots/")):
        repository.backend.delete(entry.name)
    chance = random.Random(f"snapshots of {seed}")
    # restic takes snapshots of one time in any order.
    times = {Timestamp.parse(text).unix_ns: text for text in history.times}
    for text in times.values():
        fields: dict[str, t.Any] = {
            "time": text,
            "tree": chance.randbytes(32).hex(),
            "hostname": chance.choice(history.hosts),
            "paths": chance.choice(history.paths),
            "tags": chance.choice(history.tags),
        }
        if chance.random() < 0.1:
            fields = {name: value for name, value in fields.items() if value is not None}
        data = json.dumps(fields).encode()
        write_unpacked(repository.backend, repository.key, 2, "snapshots", data)


def draw_run(chance: random.Random, history: History) -> Run:
    """One policy; some have no rule that is on, some keep nothing."""
    about_spans = len(history.spans) < len(SPANS)
    counts = {
        name: chance.choice(("0", "1", "2", "3", "5", "8", "20", "unlimited"))
        for name in chance.sample(COUNTED, chance.choice((0, 1, 1, 2, 3)))
        if not about_spans
    }
    within = ("within", *(f"within-{name}" for name in SPANNED))
    spans = {
        name: chance.choice(history.spans)
        for name in chance.sample(within, chance.choice((0, 0, 1, 1, 2)) or about_spans)
    }
    tag_lists = ("granary", "a,granary", "b", "", "b,", "nobody's")
    grouped = (("host", "paths"), (), ("host",), ("paths",), ("tags",), ("tags", "host", "paths"))
    paths = [tuple(paths) for paths in history.paths if paths]
    tags = [tuple(tags) for tags in history.tags if tags]
    return Run(
        zone=history.zone if chance.random() < 0.4 else chance.choice(PROCESS_ZONES),
        counts=counts,
        spans=spans,
        tags=tuple(chance.sample(tag_lists, 0 if about_spans else chance.choice((0, 0, 0, 1, 2)))),
        group_by=chance.choice(grouped),
        host=chance.choice((None,) * 5 + history.hosts[:1]) or None,
        paths=chance.choice(((),) * 5 + tuple(paths[:1])),
        with_tags=chance.choice(((),) * 8 + (("nobody's",), *tags[:2])),
    )


Shown = dict[tuple[str, t.Any, t.Any], tuple[list[str], list[str], list[tuple[str, list[str]]]]]
REFUSED = "refusing to delete last snapshot"
NO_POLICY = "no policy was specified"


def said_by_restic(restic: Restic, run: Run) -> Shown | str:
    """Its decisions by group, or the error that it ends with."""
    try:
        words = restic.run(
            *("forget", "--dry-run", "--no-lock", "--no-cache", "--json", *run.arguments()),
            TZ=run.zone,
        )
    except TestBedError as exc:
        (error,) = [text for text in (REFUSED, NO_POLICY) if text in str(exc)]
        return error
    if not words.strip():
        return {}
    return {
        (group["host"], as_key(group["paths"]), as_key(group["tags"])): (
            [snapshot["id"] for snapshot in group["keep"] or ()],
            [snapshot["id"] for snapshot in group["remove"] or ()],
            [(one["snapshot"]["id"], one["matches"]) for one in group["reasons"] or ()],
        )
        for group in json.loads(words.splitlines()[0])
    }


def as_key(values: list[str] | None) -> tuple[str, ...] | None:
    """A list of a group as part of its key."""
    return None if values is None else tuple(values)


def said_by_us(repository: Repository, run: Run) -> Shown | str:
    """The same from our own code."""
    policy = run.policy()
    if not policy:
        return NO_POLICY
    selected = select_snapshots(
        list_snapshots(repository), host=run.host, paths=run.paths, tags=run.with_tags
    )
    decided: dict[GroupKey, list[Decision]] = {
        key: apply_policy(group, policy, now_ns=time.time_ns(), zone=process_zone({"TZ": run.zone}))
        for key, group in group_snapshots(selected, run.group_by).items()
    }
    if not all(any(one.kept for one in decisions) for decisions in decided.values()):
        return REFUSED
    return {
        (key.host or "", key.paths, key.tags): (
            [one.snapshot.id.hex() for one in decisions if one.kept],
            [one.snapshot.id.hex() for one in decisions if not one.kept],
            [(one.snapshot.id.hex(), list(one.reasons)) for one in decisions if one.kept],
        )
        for key, decisions in decided.items()
    }


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A repository that restic opens in milliseconds."""
    folder = tmp_path_factory.mktemp("retention")
    made = Place(where=folder / "repository", cache_dir=folder)
    with made.create() as repository:
        make_key_quick(repository)
    return made


@pytest.mark.sampled("history", HISTORIES, 3)
def test_decides_as_restic_does(place: Place, history: int) -> None:
    chance = random.Random(f"policies of {history}")
    with place.open() as repository:
        drawn = draw_history(history)
        write_history(repository, drawn, history)
        for number in range(POLICIES):
            run = draw_run(chance, drawn)
            version = VERSIONS[number % len(VERSIONS)]
            theirs = said_by_restic(place.restic(version), run)
            assert said_by_us(repository, run) == theirs, (version, run)
