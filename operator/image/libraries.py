# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The layer of Python libraries: exactly those of operator/requirements.txt, wheels only."""

from __future__ import annotations

import csv
import shutil
import sys
from pathlib import Path

from ansible_collections.granary.postgres.operator.image import bytecode
from ansible_collections.granary.postgres.operator.image.commands import said

REQUIREMENTS = Path(__file__).resolve().parents[1] / "requirements.txt"
FOLDER = f"usr/local/lib/{bytecode.COMMAND}/dist-packages"
"""Where Debian's Python looks for what Debian did not package."""
# Up to the C library of the image's release of Debian.
_PLATFORMS = ("manylinux_2_34", "manylinux_2_28", "manylinux_2_17", "manylinux2014")

# Scripts that name the Python which ran pip; the second client of Kubernetes, which nothing here
# uses (42 MB); tests; a second build of zstandard for Pythons other than CPython (12 MB).
_LEFT_OUT = ("bin", "kubernetes/aio", "*/tests", "zstandard/_cffi*")


def make(root: Path, interpreter: bytecode.Interpreter) -> None:
    """Fill `root`; whichever Python runs us, the wheels are those for the image's."""
    folder = root / FOLDER
    said(
        *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
        *("--root-user-action=ignore", "--no-deps", "--no-compile", "--only-binary=:all:"),
        *("--implementation=cp", f"--python-version={'.'.join(map(str, bytecode.VERSION))}"),
        *(f"--platform={name}_x86_64" for name in _PLATFORMS),
        *("--target", folder, "--requirement", REQUIREMENTS),
    )
    for path in [found for pattern in _LEFT_OUT for found in folder.glob(pattern)]:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    for record in sorted(folder.glob("*.dist-info/RECORD")):
        _forget_left_out(record, folder)
    bytecode.compile_tree(root, FOLDER, interpreter)


def _forget_left_out(record: Path, folder: Path) -> None:
    """Take what was left out from the list of a library's files: the digest of a script would be
    another on each machine that builds.
    """
    with record.open(encoding="utf-8", newline="") as listed:
        rows = [row for row in csv.reader(listed) if (folder / row[0]).exists()]
    with record.open("w", encoding="utf-8", newline="") as kept:
        csv.writer(kept, lineterminator="\n").writerows(rows)
