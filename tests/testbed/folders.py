# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Scratch folders for servers: outside the work tree, readable by the servers' user.

A folder names its owner; what a dead owner left is removed by the next one.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path

PREFIX = "granary-test-"
_BASE = Path("/var/tmp")  # on disk, where /tmp may be memory


def make_scratch() -> Path:
    """A new folder of ours, mode 0755; whoever made it removes it."""
    sweep()
    folder = Path(
        tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-{_started(os.getpid())}-", dir=base())
    )
    folder.chmod(0o755)
    return folder


def base() -> Path:
    """Where scratch folders lie: GRANARY_TEST_DIR, else /var/tmp."""
    return Path(os.environ.get("GRANARY_TEST_DIR") or _BASE)


def remove(folder: Path) -> None:
    """Remove a folder with all that is in it."""
    shutil.rmtree(folder, ignore_errors=True)


def sweep() -> None:
    """Remove the folders of processes that are gone."""
    for folder in base().glob(f"{PREFIX}*"):
        if not owner_lives(folder.name):
            remove(folder)


def owner_lives(name: str) -> bool:
    """Whether the process runs that a folder's name, by its pid and start time, says it is of.

    True for a name that says nothing of an owner.
    """
    with contextlib.suppress(ValueError, IndexError):
        pid, started, *dummy = name.removeprefix(PREFIX).split("-")
        return _started(int(pid)) == started
    return True


def _started(pid: int) -> str:
    """Start time of a process in clock ticks since boot, proc(5) field 22; "" if it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return ""
    return stat.rpartition(")")[2].split()[19]
