# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every state in which a crash can leave a repository.

A recorder journals the begin and the end of each change. At any moment all operations that have
ended have landed, and of those under way any subset may have. A write that had not landed may have
left an unfinished file beside its name.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import os
import random
import time
import typing as t
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.faults.interposed import Listener, Operation
from tests.faults.journal import Journal, Line

if t.TYPE_CHECKING:
    from ansible_collections.granary.postgres.plugins.module_utils._storage.base import Backend

_ALL_SUBSETS_UP_TO = 4
_SUBSETS = 10
_OVERLAP_SECONDS = 0.004  # so that uploads beside each other are seen to be


class Recorder(Listener):
    """Journals every change, and if wanted every read."""

    def __init__(self, journal: Journal, *, reads: bool = False) -> None:
        self._journal = journal
        self._reads = reads
        self._numbers = itertools.count()
        self._begun: dict[int, str] = {}

    def before(self, backend: Backend, operation: Operation) -> None:
        """Journal the begin."""
        if operation.verb == "read" and not self._reads:
            return
        serial = f"{os.getpid()}-{next(self._numbers)}"
        self._begun[id(operation)] = serial
        self._journal.append(
            "begin",
            data=operation.data,
            serial=serial,
            verb=operation.verb,
            name=operation.name,
            exclusive=operation.exclusive,
        )
        if operation.folder != "locks" and operation.verb != "read":
            time.sleep(_OVERLAP_SECONDS)

    def after(self, backend: Backend, operation: Operation) -> None:
        """Journal the end."""
        serial = self._begun.pop(id(operation), None)
        if serial is not None:
            self._journal.append("end", serial=serial, refused=operation.refused)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What lies in the storage after a crash, and how many lines of the journal came before it."""

    objects: Mapping[str, bytes]
    unfinished: tuple[str, ...]
    lines: int
    flying: tuple[str, ...]

    @property
    def digest(self) -> str:
        """Equal for states with equal objects."""
        total = hashlib.sha256()
        for name in sorted(self.objects):
            total.update(f"{name} {hashlib.sha256(self.objects[name]).hexdigest()}\n".encode())
        return total.hexdigest()

    def __str__(self) -> str:
        return (
            f"crash after line {self.lines} of the journal, under way: {self.flying or 'nothing'}"
        )

    def lay_out(self, folder: Path) -> None:
        """Make a folder that holds this state."""
        for name, data in self.objects.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        for name in self.unfinished:
            path = folder / f"{name}-tmp-1234"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"torn")


def read_objects(folder: Path) -> dict[str, bytes]:
    """Everything in a folder, by name."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def crash_states(
    start: Mapping[str, bytes], lines: Sequence[Line], *, chance: random.Random
) -> Iterator[State]:
    """Each state of a recorded run once, in the order of its moments, beginning with `start`.

    One that is reached at several moments comes again where more was promised by then.
    """
    seen: set[tuple[str, int]] = set()
    promises = 0
    objects = dict(start)
    flying: dict[str, Line] = {}
    refused = {line["serial"] for line in lines if line.word == "end" and line["refused"]}
    for number, line in enumerate(lines, 1):
        if line.word == "begin":
            flying[line["serial"]] = line
        elif line.word == "end" and line["refused"]:
            # Whoever was first has landed, though he may not know it yet.
            name = flying.pop(line["serial"])["name"]
            for first in flying.values():
                if first["name"] == name and first["serial"] not in refused:
                    _land(objects, first)
        elif line.word == "end":
            _land(objects, flying.pop(line["serial"]))
        else:
            promises = number
        landing = [one for one in flying.values() if one["serial"] not in refused]
        for state in _at_moment(objects, landing, number, chance):
            key = state.digest, promises
            if key not in seen:
                seen.add(key)
                yield state


def _at_moment(
    objects: Mapping[str, bytes], flying: Sequence[Line], lines: int, chance: random.Random
) -> Iterator[State]:
    for landed in _subsets(flying, chance):
        found = dict(objects)
        for line in landed:
            _land(found, line)
        torn = (line["name"] for line in flying if line not in landed and line["verb"] == "write")
        yield State(
            objects=found,
            unfinished=tuple(name for name in torn if chance.random() < 0.5),
            lines=lines,
            flying=tuple(f"{line['verb']} {line['name'][:16]}" for line in flying),
        )


def _subsets(flying: Sequence[Line], chance: random.Random) -> Iterator[list[Line]]:
    if len(flying) <= _ALL_SUBSETS_UP_TO:
        for count in range(len(flying) + 1):
            yield from map(list, itertools.combinations(flying, count))
        return
    for dummy in range(_SUBSETS):
        yield chance.sample(flying, chance.randrange(len(flying) + 1))


def _land(objects: dict[str, bytes], line: Line) -> None:
    if line["verb"] == "delete":
        objects.pop(line["name"], None)
    elif line["exclusive"]:
        objects.setdefault(line["name"], line.data)
    else:
        objects[line["name"]] = line.data
