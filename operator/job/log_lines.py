# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a container says on standard error: one line an event, `time level event key=value ...`."""

from __future__ import annotations

import datetime
import json
import re
import sys
import typing as t

if t.TYPE_CHECKING:
    from ansible_collections.granary.postgres.plugins.module_utils._core.events import Field

_PLAIN = re.compile(r"[^\s\"'=\\]+")


class LogEvents:
    """Writes every event and every warning at once; warnings only once each."""

    def __init__(self, stream: t.TextIO | None = None) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._warned: set[str] = set()

    @property
    def warnings(self) -> list[str]:
        """What was warned of, sorted."""
        return sorted(self._warned)

    def progress(self, event: str, **fields: Field) -> None:
        """Write an event."""
        self._write("info", event, fields)

    def warn(self, message: str) -> None:
        """Write a warning."""
        if message not in self._warned:
            self._warned.add(message)
            self._write("warning", "warning", {"message": message})

    def error(self, event: str, **fields: Field) -> None:
        """Write what ended something."""
        self._write("error", event, fields)

    def _write(self, level: str, event: str, fields: t.Mapping[str, Field]) -> None:
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
        shown = "".join(f" {name}={_shown(value)}" for name, value in fields.items())
        self._stream.write(f"{now.replace('+00:00', 'Z')} {level} {event}{shown}\n")
        self._stream.flush()


def _shown(value: Field) -> str:
    """Return a value in one word, or quoted as JSON quotes it: never a line break."""
    text = value if isinstance(value, str) else json.dumps(value)
    return text if _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)
