# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Logs: one line an event on stderr, `time level event key=value ...`."""

from __future__ import annotations

import logging
import sys
import time


def begin_logging(level: str) -> None:
    """Send our lines of ``level`` and above to stderr, and of libraries only what is wrong."""
    handler = logging.StreamHandler(sys.stderr)
    lines = logging.Formatter(
        "%(asctime)sZ %(levelname)s %(name)s %(message)s", "%Y-%m-%dT%H:%M:%S"
    )
    lines.converter = time.gmtime
    handler.setFormatter(lines)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("granary").setLevel(level.upper())
