# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""python -m tests.testbed install SET... | paths"""

from __future__ import annotations

import argparse
import sys
import time

from .components import cache_folder, ensure, installed, names_of, read_list, version_said
from .errors import TestBedError


def main() -> int:
    """Install components or say where they are."""
    parser = argparse.ArgumentParser(prog="python -m tests.testbed", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    install = commands.add_parser("install", help="install sets or single components")
    install.add_argument("names", nargs="+", metavar="SET")
    commands.add_parser("paths", help="list the components and where they are")
    arguments = parser.parse_args()
    try:
        if arguments.command == "install":
            _install(arguments.names)
        else:
            _paths()
    except TestBedError as exc:
        sys.stderr.write(f"{exc}\n")
        return 1
    return 0


def _install(wanted: list[str]) -> None:
    for name in dict.fromkeys(name for word in wanted for name in names_of(word)):
        if installed(name):
            continue
        started = time.monotonic()
        folder = ensure(name)
        sys.stdout.write(f"{time.monotonic() - started:6.1f} s  {name}: {folder}\n")
        sys.stdout.flush()


def _paths() -> None:
    sys.stdout.write(f"cache: {cache_folder()}\n")
    for name in read_list()["components"]:
        folder = installed(name)
        sys.stdout.write(f"{name}: {folder or 'not installed'}  {version_said(name)}\n")


if __name__ == "__main__":
    sys.exit(main())
