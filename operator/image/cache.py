# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What has been made once, under a digest of all that it was made from.

An entry appears whole (a folder beside, then a rename), is made by one process while others wait,
and is never changed. The last few of each name stay.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
import typing as t
from contextlib import contextmanager
from pathlib import Path

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_KEPT = 3  # of each name: two checkouts and one more, without filling the disk


def cache_folder() -> Path:
    """GRANARY_CACHE, else /var/cache/granary; the image's part of it."""
    return Path(os.environ.get("GRANARY_CACHE") or "/var/cache/granary") / "image"


def digest_of(*parts: str | bytes | Path) -> str:
    """SHA-256 over texts, bytes and contents of files, each with its length, in lower-case hex."""
    whole = hashlib.sha256()
    for part in parts:
        data = part.read_bytes() if isinstance(part, Path) else part
        data = data.encode() if isinstance(data, str) else data
        whole.update(f"{len(data)}:".encode())
        whole.update(data)
    return whole.hexdigest()


def entry(name: str, digest: str, make: Callable[[Path], None], *, fresh: bool = False) -> Path:
    """The folder of one entry; `make` fills it where there is none, or where `fresh` asks for it.

    What `make` raises goes on to the caller, and leaves nothing.
    """
    folder = cache_folder() / f"{name}-{digest[:16]}"
    if folder.is_dir() and not fresh:
        os.utime(folder)
        return folder
    with _one_at_a_time(name):
        if not folder.is_dir() or fresh:
            _fill(folder, make)
        _remove_old(name, folder)
    return folder


def _fill(folder: Path, make: Callable[[Path], None]) -> None:
    beside = Path(tempfile.mkdtemp(prefix=".new-", dir=folder.parent))
    try:
        beside.chmod(0o755)
        filled = beside / "filled"
        filled.mkdir()
        make(filled)
        if folder.exists():
            folder.rename(beside / "before")
        filled.rename(folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _remove_old(name: str, but: Path) -> None:
    found = [path for path in but.parent.glob(f"{name}-*") if path != but and path.is_dir()]
    found.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    for path in found[_KEPT - 1 :]:
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def _one_at_a_time(name: str) -> Iterator[None]:
    old_mask = os.umask(0o022)
    try:
        cache_folder().mkdir(parents=True, exist_ok=True)
        with (cache_folder() / f".lock-{name}").open("w", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
    finally:
        os.umask(old_mask)
