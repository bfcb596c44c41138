# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How much memory and scratch disk a backup uses, whatever the size of the database."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import tempfile
import threading
import time
from pathlib import Path

from .contenders import PASSWORD

LOOK_SECONDS = 0.1


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """The most that was seen: PSS of all our processes, and bytes of our scratch files; and how
    long it took.
    """

    pss_bytes: int
    scratch_bytes: int
    seconds: float


def measure(argv: list[str]) -> Footprint:
    """Run a command to its end and return the most that it used at any moment."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as scratch:
        env = {**os.environ, "RESTIC_PASSWORD": PASSWORD, "TMPDIR": scratch}
        started = time.monotonic()
        with subprocess.Popen(argv, env=env) as process:
            ended = threading.Event()
            most = [0, 0]

            def look() -> None:
                while not ended.wait(LOOK_SECONDS):
                    most[0] = max(most[0], sum(map(_pss_bytes, _family(process.pid))))
                    most[1] = max(most[1], _size_of(Path(scratch)))

            watcher = threading.Thread(target=look)
            watcher.start()
            code = process.wait()
            seconds = time.monotonic() - started
            ended.set()
            watcher.join()
    if code:
        raise subprocess.CalledProcessError(code, argv)
    return Footprint(pss_bytes=most[0], scratch_bytes=most[1], seconds=seconds)


def _family(pid: int) -> list[int]:
    """Return a process and everything below it."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    except OSError:
        return []
    return [pid, *(one for child in children for one in _family(int(child)))]


def _pss_bytes(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    except OSError:
        # It has ended since it was listed.
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def _size_of(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except OSError:
            continue
    return total
