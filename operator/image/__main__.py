# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""python3 -m ansible_collections.granary.postgres.operator.image build | unpack"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from pathlib import Path

from ansible_collections.granary.postgres.operator.image.build import (
    LAYERS,
    build_image,
    default_name,
    layer,
    unpack,
)
from ansible_collections.granary.postgres.plugins.module_utils._core.errors import GranaryError


def main() -> int:
    """Build what the command line asks for and say what came of it."""
    parser = argparse.ArgumentParser(prog="operator.image", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    build = commands.add_parser("build", help="write the image's archive")
    build.add_argument("--name", default=default_name(), help="NAME:TAG (%(default)s)")
    build.add_argument("--output", type=Path, help="where to copy the archive to")
    build.add_argument(
        "--fresh", action="store_true", help="fetch Debian's packages anew, for security fixes"
    )
    files = commands.add_parser("unpack", help="write the files of layers, for a Containerfile")
    files.add_argument("layers", nargs="+", choices=LAYERS)
    files.add_argument("--into", type=Path, required=True, help="a folder for the layers' folders")
    arguments = parser.parse_args()
    try:
        if arguments.command == "build":
            _build(arguments.name, arguments.output, fresh=arguments.fresh)
        else:
            for name in arguments.layers:
                (arguments.into / name).mkdir(parents=True)
                unpack(name, arguments.into / name)
    except GranaryError as exc:
        sys.stderr.write(f"{exc.sentence}\n")
        return 1
    return 0


def _build(name: str, output: Path | None, *, fresh: bool) -> None:
    made = build_image(name, fresh=fresh)
    for wanted in LAYERS:
        tar = layer(wanted).tar
        made_on = time.strftime("%Y-%m-%d", time.gmtime(tar.stat().st_mtime))
        sys.stdout.write(f"{tar.stat().st_size / 1e6:7.1f} MB  {wanted}, made {made_on}\n")
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(made, output)
    sys.stdout.write(f"{made.stat().st_size / 1e6:7.1f} MB  {name} in {output or made}\n")


if __name__ == "__main__":
    sys.exit(main())
