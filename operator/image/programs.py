# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The layer of programs: PostgreSQL's clients of several majors, and the Pushgateway.

One release of Debian has one major. So each major comes from its own release, with the libraries
that it was linked to there, in /usr/lib/postgresql/<major>, where Debian itself has it. The
programs in bin are started by their own release's loader.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.granary.postgres.operator.image import debian
from ansible_collections.granary.postgres.operator.image.commands import ImageError, said


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """A major of PostgreSQL and the suite of Debian that packages it."""

    major: int
    suite: str
    readline: str


# No suite packages 16: a server of 16 is dumped with 17.
CLIENTS = (
    Client(major=15, suite="bookworm", readline="libreadline8"),
    Client(major=17, suite="trixie", readline="libreadline8t64"),
    Client(major=18, suite="sid", readline="libreadline8t64"),
)
NAMES = ("pg_dump", "pg_dumpall", "pg_isready", "pg_restore", "psql")
PUSHGATEWAY_SUITE = "trixie"
_WRAPPER = """#!/bin/sh
exec {home}/lib/{loader} --argv0 "$0" --library-path {home}/lib {home}/programs/{name} "$@"
"""


def make(root: Path) -> None:
    """Fill `root` with all of it; reads Debian's mirrors."""
    debian.require_architecture()
    for client in CLIENTS:
        with tempfile.TemporaryDirectory(prefix="granary-image-") as scratch:
            _add_client(client, Path(scratch), root)
    with tempfile.TemporaryDirectory(prefix="granary-image-") as scratch:
        _add_pushgateway(Path(scratch), root)


def _add_client(client: Client, scratch: Path, root: Path) -> None:
    packages = debian.Suite(debian.sources(client.suite), scratch / "suite").download(
        [f"postgresql-client-{client.major}"],
        ["libpq5", client.readline, "liblz4-1", "libzstd1", "zlib1g"],
    )
    unpacked = scratch / "root"
    debian.unpack(packages, unpacked)
    home = Path("/usr/lib/postgresql", str(client.major))
    there = root / home.relative_to("/")
    for name in ("bin", "lib", "programs"):
        (there / name).mkdir(parents=True)
    for name in NAMES:
        found = unpacked / home.relative_to("/") / "bin" / name
        shutil.copyfile(found, there / "programs" / name)
        (there / "programs" / name).chmod(0o755)
        wrapper = there / "bin" / name
        wrapper.write_text(
            _WRAPPER.format(home=home, loader=debian.LOADER, name=name), encoding="utf-8"
        )
        wrapper.chmod(0o755)
    for library in _libraries(unpacked, there / "programs"):
        shutil.copyfile(library, there / "lib" / library.name)
    (there / "lib" / debian.LOADER).chmod(0o755)
    _keep_origins(packages, unpacked, there)


def _libraries(unpacked: Path, programs: Path) -> list[Path]:
    """All that the programs are linked to, as their own loader finds it, and the loader itself."""
    folders = [unpacked / "lib" / debian.LIBRARIES.rpartition("/")[2], unpacked / debian.LIBRARIES]
    loaders = [folder / debian.LOADER for folder in folders if (folder / debian.LOADER).exists()]
    if not loaders:
        raise ImageError(f"There is no {debian.LOADER} in the packages of {unpacked}.")
    path = ":".join(str(folder) for folder in folders)
    found = {debian.LOADER: loaders[0]}
    for program in programs.iterdir():
        for line in said(loaders[0], "--library-path", path, "--list", program).splitlines():
            name, arrow, place = line.strip().partition(" => ")
            if arrow and place.startswith(str(unpacked)):
                found.setdefault(Path(name).name, Path(place.split()[0]))
    return [found[name] for name in sorted(found)]


def _keep_origins(packages: list[Path], unpacked: Path, there: Path) -> None:
    """Which packages it came from, and their licences."""
    names = [package.name.removesuffix(".deb") for package in packages]
    (there / "packages").write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
    for name in names:
        package = name.partition("_")[0]
        licence = unpacked / "usr" / "share" / "doc" / package / "copyright"
        if licence.is_file():
            (there / "licences").mkdir(exist_ok=True)
            shutil.copyfile(licence, there / "licences" / package)


def _add_pushgateway(scratch: Path, root: Path) -> None:
    """The sidecar of the operator, so that no second image is needed; as `pushgateway`."""
    suite = debian.Suite(debian.sources(PUSHGATEWAY_SUITE), scratch / "suite")
    packages = suite.download(["prometheus-pushgateway"], [])
    debian.unpack(packages, scratch / "root")
    home = root / "usr" / "lib" / "pushgateway"
    programs = root / "usr" / "local" / "bin"
    home.mkdir(parents=True)
    programs.mkdir(parents=True)
    shutil.copyfile(
        scratch / "root" / "usr" / "bin" / "prometheus-pushgateway", programs / "pushgateway"
    )
    (programs / "pushgateway").chmod(0o755)
    _keep_origins(packages, scratch / "root", home)
