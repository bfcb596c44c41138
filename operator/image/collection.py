# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The uppermost layer: the collection's own code, its launcher, and hook-template."""

from __future__ import annotations

import json
import re
import shutil
import typing as t
from pathlib import Path

from ansible_collections.granary.postgres.operator.image import bytecode, golang, libraries
from ansible_collections.granary.postgres.operator.image.commands import ImageError

HERE = Path(__file__).resolve().parents[2]
"""The collection: a checkout, or where it is installed."""
ROOT = "opt/granary"
_NAMESPACE = f"{ROOT}/ansible_collections/granary/postgres"
_FOLDERS = ("plugins/module_utils", "operator")
# The image is not built in the image, and nothing there speaks with Ansible.
_LEFT_OUT = ("operator/image", "plugins/module_utils/_ansible")
_LICENCES = ("COPYING", "LICENSES/BSD-2-Clause.txt", "LICENSES/GPL-3.0-or-later.txt")
# -P: what lies in the folder where it is started is not imported.
_LAUNCHER = f"""#!/bin/sh
exec /usr/bin/{bytecode.COMMAND} -P -m ansible_collections.granary.postgres.operator "$@"
"""


def version() -> str:
    """The collection's version, as its metadata have it in a checkout or where it is installed."""
    checkout, installed = HERE / "galaxy.yml", HERE / "MANIFEST.json"
    if checkout.exists():
        found = re.search(r"^version: *(\S+)$", checkout.read_text(encoding="utf-8"), re.MULTILINE)
        if found:
            return found[1]
    elif installed.exists():
        stated: str = json.loads(installed.read_bytes())["collection_info"]["version"]
        return stated
    raise ImageError(f"Neither galaxy.yml nor MANIFEST.json in {HERE} states a version.")


def read_sources() -> dict[str, bytes]:
    """All files that go into the image, by their path in the collection, sorted.

    They are read once: somebody may be at work on them while the image is made.
    """
    return {name: (HERE / name).read_bytes() for name in sorted({*_code(), *_LICENCES})}


def make(root: Path, sources: t.Mapping[str, bytes], interpreter: bytecode.Interpreter) -> None:
    """Fill `root` with `sources` and what starts them."""
    for name, content in sources.items():
        target = root / _NAMESPACE / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    bytecode.compile_tree(root, ROOT, interpreter)
    path = root / libraries.FOLDER / "granary.pth"
    path.parent.mkdir(parents=True)
    path.write_text(f"/{ROOT}\n", encoding="utf-8")
    programs = root / "usr" / "local" / "bin"
    programs.mkdir(parents=True)
    (programs / "granary").write_text(_LAUNCHER, encoding="utf-8")
    shutil.copyfile(golang.hook_template(), programs / golang.PROGRAM)
    licences = root / "usr" / "share" / "doc" / golang.PROGRAM
    shutil.copytree(golang.hook_template().parent / golang.LICENCES, licences)
    for program in programs.iterdir():
        program.chmod(0o755)


def _code() -> t.Iterator[str]:
    for folder in _FOLDERS:
        for path in (HERE / folder).rglob("*.py"):
            name = path.relative_to(HERE).as_posix()
            if not name.startswith(_LEFT_OUT):
                yield name
