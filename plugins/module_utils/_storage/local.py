# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""A folder of this host, or of a file server that is mounted there.

Writes go to ``<name>-tmp-<n>`` in the same folder, are synced, and get their name by rename or
link, so that a reader sees the whole object or none. A failed sync is an error and never tried
again: Linux reports lost pages once, and the second call would succeed over a hole.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import time
import typing as t

from .._core.errors import (
    AccessDenied,
    ObjectMissing,
    ObjectTooShort,
    StorageError,
    StorageFull,
)
from .base import (
    TEMPORARY_MARK,
    Backend,
    check_name,
    check_prefix,
    check_range,
    check_unfinished,
    finished_name,
    is_name,
)
from .model import Buffer, Entry, Unfinished

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .model import LocalSettings

# restic's rule: a repository whose `config` the group may read is a group's, otherwise it is its
# owner's alone.
_OWNER_FOLDER, _OWNER_FILE = 0o700, 0o400
_GROUP_FOLDER, _GROUP_FILE = 0o070, 0o040
_MISSING = frozenset({errno.ENOENT, errno.ENOTDIR})
_DENIED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_NO_LINKS = frozenset({errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.EMLINK})


# ext2 and its successors keep it at the root of each file system.
_LOST_AND_FOUND = "lost+found"


def _is_foreign(name: str) -> bool:
    return not is_name(name) and finished_name(name) is None


def _translate(exc: OSError, doing: str) -> StorageError:
    """Say what the operating system refused; ``doing`` is such as "write /folder/name"."""
    said = f"Could not {doing}: {exc.strerror or exc}"
    if exc.errno in _MISSING:
        return ObjectMissing(f"{said}.", errno=exc.errno)
    if exc.errno in _DENIED:
        return AccessDenied(
            f"{said}; check the owner and mode of the folder and how it is mounted.",
            errno=exc.errno,
        )
    if exc.errno in _FULL:
        return StorageFull(f"{said}; make room there, then run it again.", errno=exc.errno)
    return StorageError(f"{said}; check the disk or the mount.", errno=exc.errno)


@contextlib.contextmanager
def _translated(doing: str) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise _translate(exc, doing) from exc


def _sync_folder(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, data: Buffer) -> None:
    rest = memoryview(data).cast("B")
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _read_range(descriptor: int, offset: int, length: int) -> bytes:
    """Return up to ``length`` bytes; less only where the file ends."""
    data = os.pread(descriptor, length, offset)
    if len(data) == length:
        return data
    parts = [data]
    have = len(data)
    while parts[-1] and have < length:
        parts.append(os.pread(descriptor, length - have, offset + have))
        have += len(parts[-1])
    return b"".join(parts)


class LocalBackend(Backend):
    """A local folder; holds no state but its path."""

    def __init__(self, settings: LocalSettings) -> None:
        self.settings = settings
        self._root = os.path.normpath(settings.path)
        super().__init__(self._root)

    def prepare(self, *, create_bucket: bool = False) -> bool:
        """Make the folder and its parents; ``create_bucket`` means nothing here."""
        with _translated(f"make the folder {self._root}"):
            if os.path.isdir(self._root):
                return False
            return self._make_folders(self._root, group=False)

    def read(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        """Read from one open file, so a file that is replaced meanwhile is read as it was."""
        check_range(name, offset, length)
        path = self._path(name)
        if length == 0:
            return b""
        with _translated(f"read {path}"):
            descriptor = os.open(path, os.O_RDONLY)
            try:
                size = os.fstat(descriptor).st_size
                wanted = size - offset if length is None else length
                data = _read_range(descriptor, offset, wanted) if wanted > 0 else b""
            finally:
                os.close(descriptor)
        if (offset and wanted <= 0) or len(data) < wanted:
            raise ObjectTooShort(
                f"{path} has {size} bytes and ends before the range that was asked for "
                f"({'all' if length is None else length} from {offset}); it is damaged.",
                size=size,
                offset=offset,
                length=length,
            )
        return data

    def write(self, name: str, data: Buffer) -> None:
        """Write beside the name, sync, rename, sync the folder."""
        path = self._path(name)
        with self._temporary(path, data) as temporary:
            os.rename(temporary, path)
            _sync_folder(os.path.dirname(path))

    def write_exclusive(self, name: str, data: Buffer) -> bool | None:
        """Give the synced file its name by link(), which never replaces; None without links."""
        path = self._path(name)
        with self._temporary(path, data) as temporary:
            try:
                os.link(temporary, path)
            except FileExistsError:
                # A file server may repeat a request whose answer was lost: the link is then ours.
                if os.stat(temporary).st_nlink < 2:  # noqa: PLR2004 - our name and the new one
                    return False
            except OSError as exc:
                if exc.errno in _NO_LINKS:
                    return None
                raise
            os.unlink(temporary)
            _sync_folder(os.path.dirname(path))
            return True

    def size(self, name: str) -> int | None:
        """Look at the file's own size."""
        path = self._path(name)
        with _translated(f"look at {path}"):
            try:
                found = os.stat(path)
            except (FileNotFoundError, NotADirectoryError):
                self._check_root()
                return None
        return found.st_size if stat.S_ISREG(found.st_mode) else None

    def entries(self, prefix: str) -> Iterator[Entry]:
        """Walk the folders; links to folders and files are followed."""
        check_prefix(prefix)
        self._check_root()
        for name, status in self._walk(prefix):
            if is_name(name):  # unfinished writes are none
                yield Entry(name=name, size=status.st_size)

    def delete(self, name: str) -> None:
        """Unlink and sync the folder, so that deletions keep their order over a power cut."""
        self._unlink(self._path(name))

    def _unlink(self, path: str) -> None:
        with _translated(f"delete {path}"):
            try:
                os.unlink(path)
            except (FileNotFoundError, NotADirectoryError):
                self._check_root()
                return
            _sync_folder(os.path.dirname(path))

    def age_seconds(self, name: str) -> float | None:
        """Compare the file's mtime with that of a file written now in the same folder."""
        path = self._path(name)
        with _translated(f"look at {path}"):
            try:
                written = os.stat(path).st_mtime
            except (FileNotFoundError, NotADirectoryError):
                self._check_root()
                return None
        with self._temporary(path, b"\0") as temporary:
            return max(0.0, os.stat(temporary).st_mtime - written)

    def unfinished(self) -> Iterator[Unfinished]:
        """Walk the folders; ages come from mtimes, as in ``age_seconds``."""
        self._check_root()
        now: float | None = None
        for name, status in self._walk(""):
            if finished_name(name) is not None:
                if now is None:
                    now = self._now()
                age = max(0.0, now - status.st_mtime)
                yield Unfinished(name=name, size=status.st_size, age_seconds=age)

    def _now(self) -> float:
        try:
            with self._temporary(f"{self._root}/clock", b"") as temporary:
                return os.stat(temporary).st_mtime
        except StorageFull:
            return time.time()

    def discard_unfinished(self, name: str) -> None:
        """Unlink and sync the folder."""
        check_unfinished(name)
        self._unlink(f"{self._root}/{name}")

    def strangers(self) -> Iterator[str]:
        """Walk the folders; links that lead nowhere, sockets and the like are strangers too."""
        self._check_root()
        for item, name in self._scan(""):
            yield from self._strangers_in(item, name)

    def _strangers_in(self, item: os.DirEntry[str], name: str) -> Iterator[str]:
        with _translated(f"list {item.path}"):
            is_folder, is_file = item.is_dir(), item.is_file()
        if name == _LOST_AND_FOUND or (is_file and not _is_foreign(name)):
            return
        if _is_foreign(name) or not is_folder:
            yield f"{name}/" if is_folder else name
            return
        for inner, inner_name in self._scan(f"{name}/"):
            yield from self._strangers_in(inner, inner_name)

    def remove_folders(self, names: Iterable[str]) -> None:
        """Remove them by rmdir; what is not empty, or not ours to remove, stays."""
        parents = set()
        for name in names:
            path = self._path(name)
            with contextlib.suppress(OSError):
                os.rmdir(path)
                parents.add(os.path.dirname(path))
        for parent in parents:
            with contextlib.suppress(ObjectMissing), _translated(f"sync {parent}"):
                _sync_folder(parent)

    def close(self) -> None:
        """Do nothing: nothing is kept open."""

    def _path(self, name: str) -> str:
        check_name(name)
        return f"{self._root}/{name}"

    def _check_root(self) -> None:
        with _translated(f"look at {self._root}"):
            try:
                os.stat(f"{self._root}/")
            except (FileNotFoundError, NotADirectoryError) as exc:
                raise ObjectMissing(
                    f"The folder {self._root} is not there; "
                    "check the path, and that its disk is mounted."
                ) from exc

    def _walk(self, prefix: str) -> Iterator[tuple[str, os.stat_result]]:
        """Yield the files below a folder, unfinished ones too."""
        for item, name in self._scan(prefix):
            if _is_foreign(name):
                continue
            with _translated(f"list {item.path}"):
                try:
                    status = item.stat()
                except FileNotFoundError:
                    continue
            if stat.S_ISDIR(status.st_mode):
                yield from self._walk(f"{name}/")
            elif stat.S_ISREG(status.st_mode):
                yield name, status

    def _scan(self, prefix: str) -> list[tuple[os.DirEntry[str], str]]:
        """Return what is in one folder, with names from the root.

        Taken whole at once: what others do to the folder meanwhile cannot shift our place in it.
        """
        folder = f"{self._root}/{prefix}"
        with _translated(f"list {folder}"):
            try:
                with os.scandir(folder) as found:
                    return [(item, prefix + item.name) for item in found]
            except (FileNotFoundError, NotADirectoryError):
                return []

    def _group_may_read(self) -> bool:
        try:
            return bool(os.stat(f"{self._root}/config").st_mode & stat.S_IRGRP)
        except FileNotFoundError:
            return False

    def _make_folders(self, path: str, *, group: bool) -> bool:
        """Make ``path`` and its missing parents, durably; True if one was made."""
        if os.path.isdir(path):
            return False
        parent = os.path.dirname(path)
        self._make_folders(parent, group=group)
        try:
            os.mkdir(path, _OWNER_FOLDER)
        except FileExistsError:
            if os.path.isdir(path):
                return False
            raise
        if group:
            # Added to what is there: a plain mode would take the set-group-id bit off.
            os.chmod(path, stat.S_IMODE(os.stat(path).st_mode) | _GROUP_FOLDER)
        _sync_folder(path)
        _sync_folder(parent)
        return True

    def _open_temporary(self, path: str, group: bool) -> tuple[int, str]:
        temporary = f"{path}{TEMPORARY_MARK}{int.from_bytes(os.urandom(6), 'big')}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        try:
            return os.open(temporary, flags, 0o600), temporary
        except FileNotFoundError:
            # Not the place itself: a disk that is not mounted must not be written beside.
            self._check_root()
            self._make_folders(os.path.dirname(path), group=group)
        return os.open(temporary, flags, 0o600), temporary

    @contextlib.contextmanager
    def _temporary(self, path: str, data: Buffer) -> Iterator[str]:
        """Yield the name of a synced file with ``data`` beside ``path``; gone afterwards."""
        with _translated(f"write {path}"):
            group = self._group_may_read()
            descriptor, temporary = self._open_temporary(path, group)
            try:
                try:
                    _write_all(descriptor, data)
                    os.fchmod(descriptor, _OWNER_FILE | (_GROUP_FILE if group else 0))
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)
                yield temporary
            finally:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(temporary)
