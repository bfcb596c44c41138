# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Python's compiled files, made beforehand: a read-only root cannot keep what Python compiles.

They do not look at their sources' times (PEP 552, unchecked): the image's times are all one.
"""

from __future__ import annotations

import shutil
import sys
import typing as t
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.granary.postgres.operator.image import debian
from ansible_collections.granary.postgres.operator.image.commands import ImageError, said

if t.TYPE_CHECKING:
    from collections.abc import Mapping

VERSION = (3, 11)
"""Python in the image: that of its release of Debian. Compiled files fit no other."""
COMMAND = f"python{VERSION[0]}.{VERSION[1]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Interpreter:
    """A Python of the image's version that can be run here."""

    command: tuple[str, ...]
    environment: Mapping[str, str]

    @classmethod
    def of_root(cls, root: Path) -> Interpreter:
        """That of a root file system, run outside of it with its own C library."""
        libraries = root / debian.LIBRARIES
        loader = (str(libraries / debian.LOADER), "--library-path", str(libraries))
        return cls(
            command=(*loader, str(root / "usr" / "bin" / COMMAND)),
            environment={"PYTHONHOME": str(root / "usr"), "PYTHONHASHSEED": "0"},
        )

    @classmethod
    def running(cls) -> Interpreter:
        """The one that runs us.

        Raises ImageError if it is of another version.
        """
        if sys.version_info[:2] != VERSION:
            raise ImageError(f"This is Python {sys.version.split()[0]}; {COMMAND} is needed.")
        return cls(command=(sys.executable,), environment={"PYTHONHASHSEED": "0"})


def compile_tree(root: Path, folder: str, interpreter: Interpreter) -> None:
    """Compile every source below `folder` of a tree that will be the image's root.

    What is compiled already is thrown away first.
    """
    for found in sorted((root / folder).rglob("__pycache__")):
        shutil.rmtree(found)
    said(
        # What importing compiles on its own (without -B) has this machine's paths and times in it.
        *(*interpreter.command, "-B", "-s", "-S", "-m", "compileall", "-q"),
        *("--invalidation-mode", "unchecked-hash", "-s", str(root), "-p", "/", root / folder),
        environment=interpreter.environment,
    )
