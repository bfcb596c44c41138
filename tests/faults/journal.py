# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The journal of a test: what runs intended, what they were told, and what their storage did.

It is one file that all processes of a test append to, a line at a time, so the order of its lines
is the order of events, and a process that is killed loses nothing that it had written.
"""

from __future__ import annotations

import base64
import json
import os
import typing as t
from dataclasses import dataclass, field
from pathlib import Path

Word = t.Literal[
    "begun",  # a run that will make a snapshot begins
    "acknowledged",  # it was told that it made one
    "failed",  # it was told that it made none
    "forgetting",  # somebody is about to remove snapshots
    "done",  # a run that makes no snapshot was told that it succeeded
    "refused",  # somebody else's lock was in the way
    "struck",  # a fault was placed
    "begin",  # an operation on the storage begins
    "end",  # it has ended, well or not
]


@dataclass(frozen=True, slots=True)
class Line:
    """One line: its word, the process that wrote it, and its fields."""

    word: Word
    pid: int
    fields: dict[str, t.Any] = field(default_factory=dict)

    def __getitem__(self, name: str) -> t.Any:
        return self.fields[name]

    @property
    def data(self) -> bytes:
        """The bytes of a write."""
        return base64.b64decode(self.fields["data"])


@dataclass(frozen=True, slots=True)
class Journal:
    """A journal in a file; any process may append to it."""

    path: Path

    def append(self, word: Word, *, data: bytes | None = None, **fields: t.Any) -> None:
        """Add one line."""
        if data is not None:
            fields["data"] = base64.b64encode(data).decode("ascii")
        line = json.dumps([word, os.getpid(), fields]).encode("ascii") + b"\n"
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            # One call: the kernel appends it whole, between the lines of others.
            written = os.write(descriptor, line)
        finally:
            os.close(descriptor)
        assert written == len(line)

    def lines(self) -> list[Line]:
        """All lines so far."""
        if not self.path.exists():
            return []
        with self.path.open("rb") as file:
            return [Line(*json.loads(line)) for line in file if line.endswith(b"\n")]

    def count(self, word: Word, **fields: t.Any) -> int:
        """How many lines have this word and these fields."""
        return sum(
            line.word == word and fields.items() <= line.fields.items() for line in self.lines()
        )
