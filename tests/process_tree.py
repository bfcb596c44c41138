# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Processes by their place in the tree, as /proc tells; one that ends meanwhile is not there."""

from __future__ import annotations

import os
import typing as t
from pathlib import Path

if t.TYPE_CHECKING:
    from collections.abc import Iterator

CLIENT_PROGRAMS = ("pg_dump", "pg_dumpall", "pg_restore", "psql")


def command(pid: int) -> str:
    """Return the words of a process's command line; nothing if it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def children_of(pid: int) -> list[int]:
    """Return the processes right below one, those of its threads too."""
    children: list[int] = []
    try:
        for tasks in Path(f"/proc/{pid}/task").glob("*/children"):
            children += map(int, tasks.read_text().split())
    except OSError:
        return []
    return children


def below(pid: int) -> Iterator[int]:
    """Yield all processes below one."""
    for child in children_of(pid):
        yield child
        yield from below(child)


def our_processes() -> list[int]:
    """Return the engine's own processes below this one: its forks, and client programs.

    Servers of the test bed are below it too, and are none of them.
    """
    ours = command(os.getpid())
    return [
        process
        for process in below(os.getpid())
        if (words := command(process)) == ours
        or any(f"/{name} " in words for name in CLIENT_PROGRAMS)
    ]


def programs(name: str) -> list[int]:
    """Return the client programs of a name among our processes."""
    return [process for process in our_processes() if f"/{name} " in command(process)]
