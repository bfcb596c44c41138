# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How arguments are read: as Stash's Functions give them.

A flag that Stash passes and nobody needs here is taken and left alone, so that Functions written
for Stash work; so is every flag that is not known at all, with a warning.
"""

from __future__ import annotations

import argparse
import typing as t

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import ConfigError

if t.TYPE_CHECKING:
    from collections.abc import Sequence

    from ansible_collections.granary.postgres.operator.job.log_lines import LogEvents

_TRUE = {"1", "t", "true"}
_FALSE = {"", "0", "f", "false"}
# What Stash's own programs make of these is done otherwise here, or not at all.
_LEFT_ALONE = ("--license-apiservice", "--enable-cache", "--retention-")


class CommandParser(argparse.ArgumentParser):
    """Raises our own error where argparse would end the process."""

    def error(self, message: str) -> t.NoReturn:
        """Raise ``ConfigError``."""
        raise ConfigError(f"{self.prog}: {message}; correct the Function's args.")


def command_parser(command: str) -> CommandParser:
    """Return a parser for one command; flags cannot be shortened."""
    return CommandParser(prog=command, allow_abbrev=False, add_help=False)


def read_arguments(
    parser: argparse.ArgumentParser, arguments: Sequence[str], events: LogEvents
) -> argparse.Namespace:
    """Return the known arguments and warn of the others."""
    options, unknown = parser.parse_known_args(arguments)
    strange = [word for word in unknown if not word.startswith(_LEFT_ALONE)]
    if strange:
        events.warn(f"{parser.prog} does not know {' '.join(strange)}, and goes on without.")
    return options


def flag(text: str) -> bool:
    """Read a boolean as Go's programs do; for argparse."""
    if text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")


def number(text: str) -> int | None:
    """Read a whole number of 0 or more, or nothing; for argparse."""
    if not text:
        return None
    if not text.isascii() or not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number")
    return int(text)


def names(text: str) -> tuple[str, ...]:
    """Read names with commas between them; for argparse."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def mapping(text: str) -> dict[str, str]:
    """Read `old=new` pairs with commas between them; for argparse."""
    pairs = [name.partition("=") for name in names(text)]
    if any(not (old and equals and new) for old, equals, new in pairs):
        raise argparse.ArgumentTypeError(f"{text!r} is not written as old=new,old=new")
    return {old: new for old, dummy, new in pairs}
