# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What Stash's `args` of a restore, which go to psql there, mean here: pure."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.granary.postgres.operator.job.dump_arguments import split_arguments
from ansible_collections.granary.postgres.plugins.module_utils._core.errors import InvalidObject

if t.TYPE_CHECKING:
    from collections.abc import Iterator

# How much psql says, whether it asks for passwords or reads a start-up file: no matter here.
_CHANGE_NOTHING = {
    *("-q", "--quiet", "-X", "--no-psqlrc", "-w", "--no-password", "-a", "--echo-all"),
    *("-b", "--echo-errors", "-e", "--echo-queries", "-E", "--echo-hidden"),
}
_VARIABLE = ("-v", "--set", "--variable")
_DATABASE = ("-d", "--dbname")
_STOPS_ON_ERROR = "ON_ERROR_STOP"
_OFF = {"0", "off", "false", "no"}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LoadChoice:
    """How to restore; ``database`` is where a dump of one database goes, or psql begins."""

    database: str | None = None
    clean: bool = False
    allow_errors: bool = False


def choose_load(text: str) -> LoadChoice:
    """Return what ``args`` ask for. Raises ``InvalidObject`` for what psql alone could do."""
    choice = LoadChoice()
    for name, value in _options(split_arguments(text)):
        if name in _CHANGE_NOTHING:
            continue
        if name in _VARIABLE:
            choice = _with_variable(choice, value or "")
        elif name in _DATABASE and value and not {"=", ":"} & set(value):
            choice = dataclasses.replace(choice, database=value)
        elif name == "--clean":
            choice = dataclasses.replace(choice, clean=True)
        elif name == "--allow-errors":
            choice = dataclasses.replace(choice, allow_errors=True)
        else:
            shown = name if value is None else f"{name} {value}"
            raise InvalidObject(
                f"The Task's args hold {shown!r}, which a restore cannot heed; it knows --dbname "
                "with the bare name of a database, --set, --clean and --allow-errors."
            )
    return choice


def _with_variable(choice: LoadChoice, assignment: str) -> LoadChoice:
    name, dummy, value = assignment.partition("=")
    if name != _STOPS_ON_ERROR:
        return choice  # no dump asks psql for a variable
    return dataclasses.replace(choice, allow_errors=value.lower() in _OFF)


def _options(words: tuple[str, ...]) -> Iterator[tuple[str, str | None]]:
    """Yield each option with its value, written in one word or in two."""
    rest = iter(words)
    for word in rest:
        if word.startswith("--"):
            name, equals, value = word.partition("=")
            wants = name in _VARIABLE + _DATABASE
            yield name, value if equals else next(rest, None) if wants else None
        elif word.startswith(("-v", "-d")):
            yield word[:2], word[2:] or next(rest, None)
        elif word.startswith("-"):
            yield word, None
        else:
            yield "--dbname", word
