# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How a container backs up or restores one host: whatever happens is written for the next one.

A failure of the work is no failure of the container, or nobody would come to say why: only what
cannot be written down is.
"""

from __future__ import annotations

import time
import typing as t

from ansible_collections.granary.postgres.operator.job.output import HostOutcome, write_output
from ansible_collections.granary.postgres.plugins.module_utils._core.errors import GranaryError

if t.TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ansible_collections.granary.postgres.operator.job.arguments import Target
    from ansible_collections.granary.postgres.operator.job.log_lines import LogEvents


class Stopwatch:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        """How long ago that was."""
        return time.monotonic() - self._began


def run_host_work(
    work: Callable[[Stopwatch], HostOutcome],
    *,
    hostname: str,
    target: Target,
    folder: Path,
    events: LogEvents,
) -> HostOutcome:
    """Do the work and write how it ended. Raises ``StorageError`` where that cannot be written."""
    watch = Stopwatch()
    try:
        outcome = work(watch)
        events.progress("succeeded", host=hostname, seconds=round(watch.seconds, 3))
    except GranaryError as exc:
        events.error("failed", host=hostname, code=exc.code, message=exc.sentence)
        outcome = HostOutcome(
            hostname=hostname,
            duration_seconds=watch.seconds,
            error=exc.sentence,
            error_code=exc.code,
        )
    write_output(folder, target.reference(), outcome)
    return outcome
