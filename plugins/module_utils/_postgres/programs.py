# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""Finding a client program of a fitting version on this machine.

It starts programs with ``--version`` only; how they are used is told elsewhere.
"""

from __future__ import annotations

import dataclasses
import glob
import os
import re
import typing as t

from .._core.errors import ProgramError, ProgramMissing
from .._core.process import run

if t.TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# Debian and its PGDG repository; PGDG's repository for Red Hat and its kin.
_FOLDERS = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin")
# "pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)", "psql (PostgreSQL) 18beta1", "...
# (EnterpriseDB) 15.4.0"
_VERSION = re.compile(r"\)\s+((\d+)[\w.]*)")
# Debian's /usr/bin/pg_dump asks its own rules which version to start, so what it says of itself
# proves nothing.
_WRAPPER = "pg_wrapper"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """An installed client program; ``version`` is its own text, such as ``15.18``."""

    name: str
    path: str
    major: int
    version: str


def find_program(
    name: str,
    *,
    at_least_major: int,
    newest_major: int | None = None,
    bin_dir: str | None = None,
    environ: Mapping[str, str] | None = None,
) -> Program:
    """Return the installed program of the lowest major from ``at_least_major`` on.

    ``newest_major`` bounds the choice. ``bin_dir`` is the only folder looked into if it is given;
    otherwise PATH, then Debian's and
    PGDG's folders. Of equal majors the first found is taken.

    Raises ``ProgramMissing``, which names what was found and which package to install.
    """
    env = os.environ if environ is None else environ
    found = find_programs(name, bin_dir=bin_dir, environ=env)
    fitting = [
        program
        for program in found
        if at_least_major <= program.major and program.major <= (newest_major or program.major)
    ]
    if fitting:
        return min(fitting, key=lambda program: program.major)
    raise ProgramMissing(
        _missing(name, found, at_least_major, newest_major, bin_dir),
        program=name,
        major=at_least_major,
    )


def find_programs(
    name: str, *, bin_dir: str | None = None, environ: Mapping[str, str] | None = None
) -> list[Program]:
    """Return every installed ``name`` that runs, in the order of search; see ``find_program``."""
    env = os.environ if environ is None else environ
    programs: list[Program] = []
    seen: set[str] = set()
    for folder in _folders(bin_dir, env):
        path = os.path.join(folder, name)
        real = os.path.realpath(path)
        if real in seen or os.path.basename(real) == _WRAPPER or not os.access(path, os.X_OK):
            continue
        seen.add(real)
        program = _identify(name, path, env)
        if program is not None:
            programs.append(program)
    return programs


def _folders(bin_dir: str | None, env: Mapping[str, str]) -> Iterator[str]:
    if bin_dir is not None:
        yield bin_dir
        return
    yield from (folder for folder in env.get("PATH", os.defpath).split(os.pathsep) if folder)
    for pattern in _FOLDERS:
        yield from sorted(glob.glob(pattern))


def _identify(name: str, path: str, env: Mapping[str, str]) -> Program | None:
    quiet = {key: value for key, value in env.items() if key in {"PATH", "LD_LIBRARY_PATH"}}
    try:
        output = run([path, "--version"], env=quiet | {"LC_ALL": "C"})[0]
    except ProgramError:
        # What does not even say its version is of no use; the message says what is.
        return None
    match = _VERSION.search(output.decode("utf-8", "replace"))
    if match is None:
        return None
    return Program(name=name, path=path, major=int(match[2]), version=match[1])


def _missing(
    name: str, found: list[Program], at_least: int, newest: int | None, bin_dir: str | None
) -> str:
    wanted = f"version {at_least}" if newest == at_least else f"version {at_least} or newer"
    if newest is not None and newest != at_least:
        wanted = f"a version from {at_least} to {newest}"
    where = bin_dir or "PATH, /usr/lib/postgresql and /usr/pgsql-*"
    there = ", ".join(f"{program.version} at {program.path}" for program in found)
    package = newest or at_least
    return (
        f"No {name} of {wanted} was found in {where} "
        f"(found: {there or 'none'}); install the package postgresql-client-{package} (Debian, "
        f"Ubuntu) or postgresql{package} (Red Hat, from PGDG), or name its folder by bin_dir."
    )
