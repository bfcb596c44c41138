# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Debian packages of any suite, unpacked into a folder and never installed.

Each suite gets a private package index with an empty list of installed packages: the machine's
own apt is read (for the address of its mirror) and not changed. Programs that need a newer C
library than the machine's are wrapped to run with the one of their own suite.
"""

from __future__ import annotations

import platform
import tempfile
import typing as t
from pathlib import Path

from .errors import TestBedError
from .process import run

_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
_HOST_SUITE = "bookworm"
_LOADER = "usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"
_WRAPPER = """#!/bin/sh
root=${{0%/*}}/../root
exec "$root/{loader}" --argv0 "$0" --library-path "$root/usr/lib/x86_64-linux-gnu" \\
    "$root/{program}" "$@"
"""


def install(entry: dict[str, t.Any], into: Path) -> None:
    """Unpack the packages of `entry` to `into`/root; show the programs of the folders that it
    names in `into`/bin.
    """
    unpack(entry["origins"], into / "root")
    if "programs" not in entry:
        return
    (into / "bin").mkdir()
    for folder in entry["programs"].split(":"):
        _show_programs(entry, into, Path(folder))


def _show_programs(entry: dict[str, t.Any], into: Path, folder: Path) -> None:
    root = into / "root"
    for program in sorted((root / folder).iterdir()):
        shown = into / "bin" / program.name
        if shown.is_symlink() or shown.exists():
            continue  # the folders are searched as those of PATH: the first one counts
        if entry.get("own_loader"):
            shown.write_text(
                _WRAPPER.format(loader=_LOADER, program=folder / program.name), encoding="utf-8"
            )
            shown.chmod(0o755)
        else:
            shown.symlink_to(Path("../root") / folder / program.name)


def unpack(origins: list[dict[str, t.Any]], root: Path) -> None:
    """Unpack packages, and the `closure` of others with all they depend on, below `root`."""
    if platform.machine() != "x86_64":
        raise TestBedError(f"the test bed is made for x86_64, this machine is {platform.machine()}")
    with tempfile.TemporaryDirectory(prefix="granary-apt-") as scratch:
        for number, origin in enumerate(origins):
            suite = _Suite(origin["suite"], Path(scratch, str(number)))
            for package in suite.download(origin.get("packages", []), origin.get("closure", [])):
                run(["dpkg-deb", "-x", package, root], doing=f"unpacking {package.name}")
    _merge_usr(root)


class _Suite:
    def __init__(self, suite: str, folder: Path) -> None:
        self._suite = suite
        self._folder = folder
        for name in ("lists/partial", "cache/archives/partial", "packages"):
            (folder / name).mkdir(parents=True)
        (folder / "status").touch()
        (folder / "sources.list").write_text(
            f"deb [signed-by={_KEYRING}] {_mirror()} {suite} main\n", encoding="utf-8"
        )
        self._apt("apt-get", "update", "-qq")

    def download(self, packages: list[str], closure: list[str]) -> list[Path]:
        if packages:
            self._apt("apt-get", "download", "-qq", *packages)
        if closure:
            self._apt(
                "apt-get",
                "install",
                "-qq",
                "-y",
                "--download-only",
                "--no-install-recommends",
                *closure,
            )
        archives = self._folder / "cache" / "archives"
        found = [*(self._folder / "packages").glob("*.deb"), *archives.glob("*.deb")]
        return sorted(found)

    def _apt(self, program: str, *arguments: str) -> str:
        options = {
            "Dir::Etc::sourcelist": self._folder / "sources.list",
            "Dir::Etc::sourceparts": "/dev/null",
            "Dir::State::lists": self._folder / "lists",
            "Dir::State::status": self._folder / "status",
            "Dir::Cache": self._folder / "cache",
            "APT::Architecture": "amd64",
            "APT::Sandbox::User": "root",
            "Acquire::Retries": "3",
            "Acquire::Languages": "none",
            # sid's Release file may be older than it says that it is valid
            "Acquire::Check-Valid-Until": "false",
        }
        flags = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        return run(
            [program, *flags, *arguments],
            doing=f"{program} {arguments[0]} ({self._suite})",
            env={"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"},
            cwd=self._folder / "packages",
        )


def _mirror() -> str:
    """The mirror that this machine's own apt uses."""
    lines = run(
        ["apt-get", "indextargets", "--format", "$(SITE) $(RELEASE)", "Created-By: Packages"],
        doing="reading apt's sources",
    )
    for line in lines.splitlines():
        site, release = line.split()
        if release == _HOST_SUITE:
            return site
    raise TestBedError(f"apt has no source of {_HOST_SUITE}: the test bed runs on Debian 12")


def _merge_usr(root: Path) -> None:
    """Older packages carry /lib apart from /usr/lib; one folder is enough for the loader."""
    old = root / "lib" / "x86_64-linux-gnu"
    if not old.is_dir():
        return
    new = root / "usr" / "lib" / "x86_64-linux-gnu"
    for path in old.iterdir():
        if not (new / path.name).exists():
            path.rename(new / path.name)
