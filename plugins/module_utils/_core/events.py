# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""How the engine tells its caller what goes on, without knowing who that is."""

from __future__ import annotations

import typing as t

Field: t.TypeAlias = "str | int | float | bool | None"


class Events(t.Protocol):
    """What a face gives the engine; every method returns at once and never raises."""

    def progress(self, event: str, **fields: Field) -> None:
        """Say that ``event`` (snake_case, such as ``segment_done``) happened."""

    def warn(self, message: str) -> None:
        """Say one sentence that the user should read although the run goes on."""


class SilentEvents:
    """Drops everything; for callers with nobody to tell."""

    def progress(self, event: str, **fields: Field) -> None:
        """Drop the event."""

    def warn(self, message: str) -> None:
        """Drop the warning."""


class RecordedEvents:
    """Keeps warnings, in order and without repetition, until a face shows them; drops progress."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def progress(self, event: str, **fields: Field) -> None:
        """Drop the event."""

    def warn(self, message: str) -> None:
        """Keep ``message`` once."""
        if message not in self.warnings:
            self.warnings.append(message)
