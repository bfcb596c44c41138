# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lowest layer: Debian with Python and the certificates of public authorities, no more.

apt is not in it (nothing is ever installed into a running image); dpkg's list of packages is, for
those who look for known vulnerabilities.
"""

from __future__ import annotations

import shutil
import stat
import tempfile
from pathlib import Path

from ansible_collections.granary.postgres.operator.image import debian
from ansible_collections.granary.postgres.operator.image.bytecode import Interpreter, compile_tree
from ansible_collections.granary.postgres.operator.image.commands import ensure_program, said
from ansible_collections.granary.postgres.operator.image.layer_tar import EPOCH

SUITE = "bookworm"
PACKAGES = ("ca-certificates", "python3")
USER_ID = 65535
HOME = "/stash-tmp"
# Nobody reads manuals there, and no program in the image uses the C library's character sets.
_LEFT_OUT = (
    *("/usr/share/doc/*", "/usr/share/info/*", "/usr/share/locale/*", "/usr/share/man/*"),
    *("/usr/share/bash-completion/*", "/usr/share/lintian/*", f"/{debian.LIBRARIES}/gconv/*"),
)
# With /usr merged by mmdebstrap itself: Debian's package for it would bring all of Perl.
_MERGED = "/usr/share/mmdebstrap/hooks/merged-usr"
_LICENCES = "/usr/share/doc/*/copyright"
# Of the machine that built it, or of no use in a container.
_REMOVED = (
    *("etc/apt", "etc/hostname", "etc/machine-id", "etc/resolv.conf"),
    *("var/cache", "var/lib/apt", "var/lib/systemd", "var/log"),
)
_EMPTY = ("var/cache", "var/log")


def make(root: Path) -> None:
    """Fill `root`; must run as root, needs no mounts and no capability to make any."""
    debian.require_architecture()
    ensure_program("mmdebstrap", "mmdebstrap")
    with tempfile.TemporaryDirectory(prefix="granary-image-") as scratch:
        lines = Path(scratch, "sources.list")
        lines.write_text("\n".join([*debian.sources(SUITE), ""]), encoding="utf-8")
        excluded = [f"--dpkgopt=path-exclude={pattern}" for pattern in _LEFT_OUT]
        said(
            *("mmdebstrap", "--quiet", "--mode=root", "--variant=essential", "--format=directory"),
            f"--architectures={debian.ARCHITECTURE}",
            '--aptopt=APT::Install-Recommends "false"',
            *(*excluded, f"--dpkgopt=path-include={_LICENCES}"),
            f"--hook-dir={_MERGED}",
            f"--include={','.join(PACKAGES)}",
            *(SUITE, root, lines),
            environment={"SOURCE_DATE_EPOCH": str(EPOCH), "TMPDIR": scratch},
        )
    _finish(root)


def _finish(root: Path) -> None:
    for name in _REMOVED:
        _remove(root / name)
    for path in (root / "dev").iterdir():  # a container's runtime makes them
        _remove(path)
    for path in root.rglob("*"):
        _take_rights_off(path)
    for name in _EMPTY:
        (root / name).mkdir()
    for name, line in (
        ("passwd", f"granary:x:{USER_ID}:{USER_ID}:Granary:{HOME}:/usr/sbin/nologin"),
        ("group", f"granary:x:{USER_ID}:"),
    ):
        with (root / "etc" / name).open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")
    (root / HOME.lstrip("/")).mkdir()
    (root / HOME.lstrip("/")).chmod(0o1777)  # the place of a volume; other users run there too
    compile_tree(root, "usr/lib", Interpreter.of_root(root))


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _take_rights_off(path: Path) -> None:
    """No program acts as somebody else, no file may be written by everybody."""
    mode = path.lstat().st_mode
    if path.is_symlink():
        return
    if path.is_dir():
        path.chmod(stat.S_IMODE(mode) & ~(stat.S_ISUID | stat.S_ISGID))
    else:
        path.chmod(stat.S_IMODE(mode) & ~(stat.S_ISUID | stat.S_ISGID | stat.S_IWOTH))
