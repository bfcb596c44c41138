# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""libc locales compiled into a folder for LOCPATH: a minimal Debian has none but C."""

from __future__ import annotations

import tempfile
import typing as t
from pathlib import Path

from .apt import unpack
from .process import run


def install(entry: dict[str, t.Any], into: Path) -> None:
    """Compile the listed locales, each named language.charset."""
    with tempfile.TemporaryDirectory(prefix="granary-locales-") as scratch:
        unpack(entry["origins"], Path(scratch))
        sources = Path(scratch, "usr/share/i18n")
        for name in entry["locales"]:
            language, dummy, charset = name.partition(".")
            run(
                [
                    *("localedef", "--no-archive", "-i", language),
                    *("-f", charset, into / name),
                ],
                doing=f"localedef {name}",
                env={"I18NPATH": str(sources)},
            )
