# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Debian packages of any suite, unpacked into a folder and never installed.

The packages come as those of the operator's image do. Programs that need a newer C library than
the machine's are wrapped to run with the one of their own suite.
"""

from __future__ import annotations

import tempfile
import typing as t
from pathlib import Path

from ansible_collections.granary.postgres.operator.image import debian
from ansible_collections.granary.postgres.plugins.module_utils._core.errors import GranaryError

from .errors import TestBedError

_LOADER = f"{debian.LIBRARIES}/{debian.LOADER}"
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
    with tempfile.TemporaryDirectory(prefix="granary-apt-") as scratch:
        for number, origin in enumerate(origins):
            try:
                debian.require_architecture()
                _unpack(origin, Path(scratch, str(number)), root)
            except GranaryError as exc:
                raise TestBedError(str(exc)) from exc
    _merge_usr(root)


def _unpack(origin: dict[str, t.Any], scratch: Path, root: Path) -> None:
    # Not all suites have updates apart; what the tests run with changes with releases alone.
    suite = debian.Suite(debian.sources(origin["suite"], fixes=False), scratch)
    debian.unpack(suite.download(origin.get("packages", []), origin.get("closure", [])), root)


def _merge_usr(root: Path) -> None:
    """Older packages carry /lib apart from /usr/lib; one folder is enough for the loader."""
    old = root / "lib" / "x86_64-linux-gnu"
    if not old.is_dir():
        return
    new = root / "usr" / "lib" / "x86_64-linux-gnu"
    for path in old.iterdir():
        if not (new / path.name).exists():
            path.rename(new / path.name)
