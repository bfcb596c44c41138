# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The list of components and the cache that they are installed into.

Installs are atomic (a folder beside, then a rename), happen once (a stamp with the hash of the
component's entry) and are safe when several processes ask at the same time (flock).
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import json
import os
import shutil
import tempfile
import time
import tomllib
import typing as t
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from . import apt, gomod, locales, npm, pypi
from .errors import TestBedError
from .process import run

_LIST = Path(__file__).with_name("components.toml")
_STAMP = ".granary-component.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """One entry of components.toml."""

    name: str
    entry: dict[str, t.Any]

    @property
    def digest(self) -> str:
        """Changes when anything of the entry, or of our own sources of it, does: a new install."""
        text = json.dumps(self.entry, sort_keys=True)
        return hashlib.sha256(text.encode() + gomod.sources(self.entry)).hexdigest()


def cache_folder() -> Path:
    """GRANARY_CACHE, else a folder that other users can read: servers do not run as root."""
    return Path(os.environ.get("GRANARY_CACHE") or "/var/cache/granary")


@functools.cache
def read_list() -> dict[str, t.Any]:
    """The whole of components.toml."""
    with _LIST.open("rb") as file:
        return tomllib.load(file)


def component(name: str) -> Component:
    """One component by its name; raises TestBedError if there is none."""
    entries = read_list()["components"]
    if name not in entries:
        raise TestBedError(f"there is no component {name!r}; known: {', '.join(sorted(entries))}")
    return Component(name=name, entry=entries[name])


def names_of(wanted: str) -> list[str]:
    """The components of a set, or the one component of that name; `long` includes `test`."""
    sets: dict[str, list[str]] = read_list()["sets"]
    if wanted == "long":
        return [*sets["test"], *sets["long"]]
    return sets.get(wanted, [wanted])


def installed(name: str) -> Path | None:
    """The folder of a component if it is installed as listed, else None."""
    wanted = component(name)
    folder = cache_folder() / name
    try:
        stamp = json.loads((folder / _STAMP).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return folder if stamp["digest"] == wanted.digest else None


def ensure(name: str) -> Path:
    """The folder of a component, installed first where it is not there yet."""
    folder = installed(name)
    if folder is not None:
        return folder
    with _locked(name):
        return installed(name) or _install(component(name))


def program_folder(role: t.Literal["servers", "clients"], major: int) -> Path:
    """The folder of the programs of one PostgreSQL major, installed on demand."""
    folders: dict[str, str] = read_list()[role]
    if str(major) not in folders:
        raise TestBedError(f"no {role} of PostgreSQL {major}: there are {', '.join(folders)}")
    name, dummy, inside = folders[str(major)].partition("/")
    return ensure(name) / inside


def majors(role: t.Literal["servers", "clients"]) -> list[int]:
    """The majors that there are, ascending."""
    return sorted(int(major) for major in read_list()[role])


def _install(wanted: Component) -> Path:
    started = time.monotonic()
    cache = cache_folder()
    folder = cache / wanted.name
    beside = Path(tempfile.mkdtemp(prefix=f".{wanted.name}.", dir=cache))
    try:
        beside.chmod(0o755)
        _fetch(wanted.entry, beside)
        said = _check(wanted, beside)
        stamp = {"digest": wanted.digest, "said": said, "seconds": time.monotonic() - started}
        (beside / _STAMP).write_text(json.dumps(stamp), encoding="utf-8")
        if folder.exists():
            folder.rename(beside / ".before")
        beside.rename(folder)
        shutil.rmtree(folder / ".before", ignore_errors=True)
    except TestBedError as exc:
        raise TestBedError(f"{wanted.name} could not be installed: {exc}") from exc
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return folder


def _fetch(entry: dict[str, t.Any], into: Path) -> None:
    match entry["kind"]:
        case "deb":
            apt.install(entry, into)
        case "locale":
            locales.install(entry, into)
        case "pypi":
            pypi.install(entry, into)
        case "npm":
            npm.install(entry, into, ensure)
        case "go":
            gomod.install(entry, into, ensure)
        case "go-module":
            gomod.build(entry, into, ensure)
        case kind:
            raise TestBedError(f"there is no installer {kind!r}")


def _check(wanted: Component, folder: Path) -> str:
    program, *arguments = wanted.entry["check"]
    env = {}
    if wanted.entry["kind"] == "locale":
        env = {"LOCPATH": str(folder), "LC_ALL": wanted.entry["locales"][0]}
    arguments = [argument.replace("{folder}", str(folder)) for argument in arguments]
    said = run([folder / program, *arguments], doing=f"checking {wanted.name}", env=env)
    if wanted.entry["expect"] not in said:
        raise TestBedError(f"{program} says {said.strip()!r}, not {wanted.entry['expect']!r}")
    return said.strip().splitlines()[0]


def version_said(name: str) -> str:
    """What the program of an installed component said of its version; "" if not installed."""
    folder = installed(name)
    if folder is None:
        return ""
    said: str = json.loads((folder / _STAMP).read_text(encoding="utf-8"))["said"]
    return said


@contextmanager
def _locked(name: str) -> Iterator[None]:
    old_mask = os.umask(0o022)
    try:
        locks = cache_folder() / ".locks"
        locks.mkdir(parents=True, exist_ok=True)
        with (locks / name).open("w", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
    finally:
        os.umask(old_mask)
