# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Look into the collection's artefact: what users need is in it, the rest is not, it is small."""

from __future__ import annotations

import sys
import tarfile
from pathlib import Path

MOST_BYTES = 1_000_000
FILES = frozenset(
    (
        "CHANGELOG.md",
        "CHANGELOG.rst",
        "CODE_OF_CONDUCT.md",
        "COPYING",
        "FILES.json",
        "MANIFEST.json",
        "README.md",
        "bindep.txt",
        "requirements.txt",
    )
)
FOLDERS = frozenset(("LICENSES", "changelogs", "docs", "meta", "playbooks", "plugins", "roles"))
NEEDED = (
    "README.md",
    "requirements.txt",
    "bindep.txt",
    "meta/runtime.yml",
    "meta/execution-environment.yml",
)


def main() -> int:
    """Return 0 if the artefact named on the command line is as it should be."""
    (artefact,) = (Path(word) for word in sys.argv[1:])
    with tarfile.open(artefact) as archive:
        names = [member.name for member in archive if not member.isdir()]
    complaints = [f"{name} is not for users" for name in names if not _for_users(name)]
    complaints += [f"{name} is missing" for name in NEEDED if name not in names]
    size_bytes = artefact.stat().st_size
    if size_bytes > MOST_BYTES:
        complaints.append(f"{size_bytes} bytes are more than {MOST_BYTES}")
    for complaint in complaints:
        sys.stdout.write(f"{artefact.name}: {complaint}\n")
    sys.stdout.write(f"{artefact.name}: {len(names)} files, {size_bytes} bytes\n")
    return 1 if complaints else 0


def _for_users(name: str) -> bool:
    first = name.partition("/")[0]
    return name in FILES or (first != name and first in FOLDERS)


if __name__ == "__main__":
    sys.exit(main())
