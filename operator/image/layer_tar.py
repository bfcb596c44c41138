# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A tree of files as one layer: the same tree gives the same bytes, wherever and whenever.

Sorted names, one time for all, numeric owners. Only files, folders and links: a container's runtime
makes the devices.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tarfile
import typing as t
from pathlib import Path

from ansible_collections.granary.postgres.operator.image.commands import ImageError

EPOCH = 1_767_225_600  # 2026-01-01T00:00:00Z: the time of everything in the image
_CHUNK_BYTES = 1 << 20


def write_layer(tree: Path, into: Path) -> str:
    """Write the layer of `tree` and return its SHA-256, in lower-case hex.

    Raises ImageError where `tree` holds what no layer can.
    """
    seen: dict[tuple[int, int], str] = {}
    with tarfile.open(into, "w", format=tarfile.PAX_FORMAT) as archive:
        for path in _sorted_paths(tree):
            member = _member(path, path.relative_to(tree), seen)
            if member.isreg():
                with path.open("rb") as file:
                    archive.addfile(member, file)
            else:
                archive.addfile(member)
    return file_digest(into)


def file_digest(path: Path) -> str:
    """The SHA-256 of a file, in lower-case hex."""
    whole = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            whole.update(chunk)
    return whole.hexdigest()


def _sorted_paths(tree: Path) -> t.Iterator[Path]:
    for folder, folders, files in os.walk(tree):
        folders.sort()
        here = [name for name in folders if os.path.islink(os.path.join(folder, name))]
        if Path(folder) != tree:
            yield Path(folder)
        for name in sorted([*files, *here]):
            yield Path(folder, name)


def _member(path: Path, name: Path, seen: dict[tuple[int, int], str]) -> tarfile.TarInfo:
    status = path.lstat()
    member = tarfile.TarInfo(str(name))
    member.mtime = EPOCH
    member.uid, member.gid = status.st_uid, status.st_gid
    if stat.S_ISDIR(status.st_mode):
        member.type = tarfile.DIRTYPE
        member.mode = status.st_mode & 0o7777
    elif stat.S_ISLNK(status.st_mode):
        member.type = tarfile.SYMTYPE
        member.linkname = os.readlink(path)
        member.mode = 0o777
    elif stat.S_ISREG(status.st_mode):
        member.mode = status.st_mode & 0o7777
        first = seen.setdefault((status.st_dev, status.st_ino), member.name)
        if first != member.name:
            member.type = tarfile.LNKTYPE
            member.linkname = first
        else:
            member.size = status.st_size
    else:
        raise ImageError(f"{path} is neither a file nor a folder nor a link.")
    return member
