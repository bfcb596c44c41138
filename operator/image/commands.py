# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Programs of the machine that builds: Debian's, pip, Go.

A failure is the engine's own error, so that the one who builds reads one sentence.
"""

from __future__ import annotations

import os
import shutil
import typing as t

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import (
    ConfigError,
    GranaryError,
)
from ansible_collections.granary.postgres.plugins.module_utils._core.process import run

if t.TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class ImageError(GranaryError):
    """The image could not be made, or what was made is not what was asked for."""

    code = "image"


def said(
    *command: str | Path, folder: Path | None = None, environment: Mapping[str, str] | None = None
) -> str:
    """Run a program, in `folder` if one is given, and return its standard output.

    `environment` is added to our own. Raises ProgramError with the end of its words if it fails.
    """
    words = [str(word) for word in command]
    if folder is not None:
        words = ["env", "--chdir", str(folder), *words]
    output, dummy = run(words, env={**os.environ, "LC_ALL": "C.UTF-8", **(environment or {})})
    return output.decode("utf-8", "replace")


def ensure_program(name: str, package: str) -> None:
    """See that a program of a Debian package is there; as root it is installed.

    Raises ConfigError, which names the package, if it is not there and we are not root.
    """
    if shutil.which(name):
        return
    if os.geteuid() != 0:
        raise ConfigError(f"{name} is missing: install the Debian package {package}.")
    apt = ("apt-get", "-qq", "-o", "Dpkg::Use-Pty=0")
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    said(*apt, "update", environment=quiet)
    said(*apt, "install", "-y", "--no-install-recommends", package, environment=quiet)
