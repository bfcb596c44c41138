# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Debian packages of any suite, from the mirrors that this machine's own apt uses.

Each suite has a package index of its own: nothing is installed, and the machine's apt is read
(for the addresses of its mirrors) but not changed.
"""

from __future__ import annotations

import platform
import typing as t
from pathlib import Path

from ansible_collections.granary.postgres.operator.image.commands import said
from ansible_collections.granary.postgres.plugins.module_utils._core.errors import ConfigError

ARCHITECTURE = "amd64"
LIBRARIES = "usr/lib/x86_64-linux-gnu"
LOADER = "ld-linux-x86-64.so.2"
VERIFIED = "signed-by=/usr/share/keyrings/debian-archive-keyring.gpg"
NEVER_RELEASED = "sid"
"""It has neither updates nor security fixes apart, and its Release file may be older than it says
that it is valid."""


def require_architecture() -> None:
    """Raise ConfigError on a machine that these packages are not made for."""
    if platform.machine() != "x86_64":
        raise ConfigError(f"This needs an x86_64 machine; this one is {platform.machine()}.")


def sources(suite: str, *, fixes: bool = True) -> list[str]:
    """Lines of a sources.list for one suite, with its updates and security fixes if wanted.

    Raises ConfigError where this machine's apt names no mirror of its own release of Debian.
    """
    release = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    sites = _sites()
    if release not in sites:  # apt lists what it has fetched
        said("apt-get", "-qq", "update")
        sites = _sites()
    if release not in sites:
        raise ConfigError(
            f"apt has no source of Debian {release or '(no release in os-release)'}: this needs "
            "Debian 12 or a later one, and takes packages from the mirrors that apt uses there."
        )
    places = {suite: sites[release]}
    if fixes and suite != NEVER_RELEASED:
        places[f"{suite}-updates"] = sites[release]
        if f"{release}-security" in sites:
            places[f"{suite}-security"] = sites[f"{release}-security"]
    return [f"deb [{VERIFIED}] {site} {name} main" for name, site in places.items()]


def _sites() -> dict[str, str]:
    """Mirrors by the name of what they hold, such as bookworm and bookworm-security."""
    listed = said(
        *("apt-get", "indextargets", "--format", "$(RELEASE) $(SITE)", "Created-By: Packages")
    )
    pairs = [line.split(" ", 1) for line in listed.splitlines() if " " in line]
    return {pair[0]: pair[1] for pair in reversed(pairs)}


class Suite:
    """A package index of one suite in a folder of its own; `lines` are its sources."""

    def __init__(self, lines: list[str], folder: Path) -> None:
        self._folder = folder
        for name in ("lists/partial", "cache/archives/partial", "packages"):
            (folder / name).mkdir(parents=True)
        (folder / "status").touch()
        (folder / "sources.list").write_text("\n".join([*lines, ""]), encoding="utf-8")
        self._apt("update", "-qq")

    def download(self, packages: t.Sequence[str], closure: t.Sequence[str]) -> list[Path]:
        """Fetch `packages` alone, and `closure` with all that they depend on; sorted by name."""
        if packages:
            self._apt("download", "-qq", *packages)
        if closure:
            self._apt(
                *("install", "-qq", "-y", "--download-only", "--no-install-recommends"), *closure
            )
        archives = self._folder / "cache" / "archives"
        return sorted(
            [*(self._folder / "packages").glob("*.deb"), *archives.glob("*.deb")],
            key=lambda package: package.name,
        )

    def _apt(self, *arguments: str) -> None:
        options = {
            "Dir::Etc::sourcelist": self._folder / "sources.list",
            "Dir::Etc::sourceparts": "/dev/null",
            "Dir::State::lists": self._folder / "lists",
            "Dir::State::status": self._folder / "status",
            "Dir::Cache": self._folder / "cache",
            "APT::Architecture": ARCHITECTURE,
            "APT::Sandbox::User": "root",
            "Acquire::Retries": "3",
            "Acquire::Languages": "none",
            "Acquire::Check-Valid-Until": "false",
        }
        flags = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        said(
            *("apt-get", *flags, *arguments),
            folder=self._folder / "packages",
            environment={"DEBIAN_FRONTEND": "noninteractive"},
        )


def unpack(packages: t.Iterable[Path], root: Path) -> None:
    """Unpack packages below `root`; none of their scripts runs."""
    for package in packages:
        said("dpkg-deb", "-x", package, root)
