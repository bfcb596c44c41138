# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Look into the collection's artefact: what users need is in it, the rest is not, it is small, and
its pages lead to no page that is missing.
"""

from __future__ import annotations

import posixpath
import re
import sys
import tarfile
from pathlib import Path

MOST_BYTES = 1_000_000
FILES = frozenset(
    (
        "CHANGELOG.md",
        "CHANGELOG.rst",
        "CODE_OF_CONDUCT.md",
        "CONTRIBUTING.md",
        "COPYING",
        "FILES.json",
        "MANIFEST.json",
        "README.md",
        "TESTING.md",
        "bindep.txt",
        "requirements.txt",
    )
)
FOLDERS = frozenset(
    ("LICENSES", "changelogs", "docs", "meta", "operator", "playbooks", "plugins", "roles")
)
# A link to another file of the collection, without the place in it.
LINK = re.compile(r"\]\((?![a-z]+:|#)([^)#\s]+)")
NEEDED = (
    "README.md",
    "requirements.txt",
    "bindep.txt",
    "meta/runtime.yml",
    "meta/execution-environment.yml",
    "operator/__main__.py",
    "operator/image/Containerfile",
    "operator/image/hook-template/go.sum",
    "operator/requirements.txt",
)


def main() -> int:
    """Return 0 if the artefact named on the command line is as it should be."""
    (artefact,) = (Path(word) for word in sys.argv[1:])
    with tarfile.open(artefact) as archive:
        names = [member.name for member in archive if not member.isdir()]
        pages = {name: _read(archive, name) for name in names if name.endswith(".md")}
    complaints = [f"{name} is not for users" for name in names if not _for_users(name)]
    complaints += [f"{name} is missing" for name in NEEDED if name not in names]
    complaints += _dead_links(pages, names)
    size_bytes = artefact.stat().st_size
    if size_bytes > MOST_BYTES:
        complaints.append(f"{size_bytes} bytes are more than {MOST_BYTES}")
    for complaint in complaints:
        sys.stdout.write(f"{artefact.name}: {complaint}\n")
    sys.stdout.write(f"{artefact.name}: {len(names)} files, {size_bytes} bytes\n")
    return 1 if complaints else 0


def _read(archive: tarfile.TarFile, name: str) -> str:
    member = archive.extractfile(name)
    return member.read().decode() if member else ""


def _dead_links(pages: dict[str, str], names: list[str]) -> list[str]:
    folders = {posixpath.dirname(name) for name in names}
    dead = []
    for page, text in pages.items():
        for link in LINK.findall(text):
            target = posixpath.normpath(posixpath.join(posixpath.dirname(page), link))
            if target not in names and target not in folders:
                dead.append(f"{page} leads to {link}, which is missing")
    return dead


def _for_users(name: str) -> bool:
    first = name.partition("/")[0]
    return name in FILES or (first != name and first in FOLDERS)


if __name__ == "__main__":
    sys.exit(main())
