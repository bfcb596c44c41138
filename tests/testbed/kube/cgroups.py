# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The machine's control groups that pods run in: they do not end with the namespaces.

Named as the scratch folder that the cluster's files lie in, and so by their owner.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from tests.testbed import folders

ROOT = Path("/sys/fs/cgroup")


def make(name: str) -> None:
    """Make a group, below another one if `name` is a path, for every controller."""
    for controller in _controllers():
        made = controller / name
        made.mkdir()
        available = made.parent / "cgroup.controllers"  # version 2 hands none down unasked
        if available.exists():
            wanted = " ".join(f"+{name}" for name in available.read_text("ascii").split())
            (made.parent / "cgroup.subtree_control").write_text(wanted, "ascii")
        for setting in ("cpuset.cpus", "cpuset.mems"):  # version 1 leaves them empty in a new one
            with contextlib.suppress(FileNotFoundError):
                (made / setting).write_bytes((made.parent / setting).read_bytes())


def remove(name: str) -> None:
    """Remove a group with those below it; what has processes stays."""
    for controller in _controllers():
        for folder, *dummy in os.walk(controller / name, topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(folder)


def of_the_dead() -> set[str]:
    """The names of groups whose owner has ended without removing them."""
    names = {path.name for each in _controllers() for path in each.glob(f"{folders.PREFIX}*")}
    return {name for name in names if not folders.owner_lives(name)}


def remove_those_of_the_dead() -> None:
    """What was left by those that were killed."""
    for name in of_the_dead():
        remove(name)


def _controllers() -> list[Path]:
    """The hierarchies: one for each controller in version 1, else the one of version 2."""
    if (ROOT / "cgroup.controllers").exists():
        return [ROOT]
    return [path for path in ROOT.iterdir() if path.is_dir() and not path.is_symlink()]
