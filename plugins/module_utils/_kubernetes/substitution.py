# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""Variables in Tasks and Functions: ``${NAME}`` and what can be done to its value on the way.

The syntax and its meaning are those of drone/envsubst in gomodules' variant, which Stash uses: an
unknown name is an error unless a default stands beside it, an explicit empty value stays empty, and
``$${`` gives ``${``. Strings are walked one by one, never the object's JSON, so that quotes and
backslashes in a value do no harm.
"""

from __future__ import annotations

import re
import typing as t

from .._core.errors import InvalidObject
from .substitution_functions import changed

if t.TYPE_CHECKING:
    from collections.abc import Mapping

_NAME = re.compile(r"[A-Za-z0-9_]+(?:-[A-Za-z0-9_]+)*", re.ASCII)
_DEFAULTS = (":=", ":-", "=")
_OTHERS = ("^^", "^", ",,", ",", "##", "#", "%%", "%", "//", "/#", "/%", "/", ":")
_SEPARATOR = {":": ":", "/": "/", "//": "/", "/#": "/", "/%": "/"}


def substitute(obj: t.Any, variables: Mapping[str, str]) -> t.Any:
    """Return a copy of ``obj`` (dicts, lists, scalars) with the variables in all its strings.

    Raises ``InvalidObject`` that names the variable.
    """
    if isinstance(obj, str):
        return substituted(obj, variables)
    if isinstance(obj, dict):
        return {
            substituted(key, variables): substitute(value, variables) for key, value in obj.items()
        }
    if isinstance(obj, list):
        return [substitute(each, variables) for each in obj]
    return obj


def substituted(text: str, variables: Mapping[str, str]) -> str:
    """Return ``text`` with its variables. Raises ``InvalidObject``."""
    if "${" not in text:
        return text
    return _Reader(text, variables).plain()


class _Reader:
    """Reads one text from left to right."""

    def __init__(self, text: str, variables: Mapping[str, str]) -> None:
        self._text = text
        self._variables = variables
        self._at = 0

    def plain(self) -> str:
        """Return the whole text with its variables."""
        return self._until("")

    def _until(self, stops: str, *, escapes: bool = False) -> str:
        """Return what stands before the first character of ``stops``; empty reads to the end."""
        found: list[str] = []
        while self._at < len(self._text):
            rest = self._text[self._at : self._at + 3]
            if stops and rest[0] in stops:
                break
            if rest == "$${":
                found.append("${")
                self._at += 3
            elif rest.startswith("${"):
                found.append(self._variable())
            elif escapes and len(rest) > 1 and rest[0] == "\\" and rest[1] in f"{stops}\\":
                found.append(rest[1])
                self._at += 2
            else:
                found.append(rest[0])
                self._at += 1
        return "".join(found)

    def _variable(self) -> str:
        start = self._at
        self._at += 2
        is_length = self._text.startswith("#", self._at)
        if is_length:
            self._at += 1
        match = _NAME.match(self._text, self._at)
        if match is None:
            raise InvalidObject(
                f"The variable in {self._text[start:]!r} has no name; write ${{NAME}}, "
                "or $${ for the characters themselves."
            )
        self._at = match.end()
        name = match[0]
        value = str(len(self._value(name))) if is_length else self._changed(name)
        if not self._text.startswith("}", self._at):
            raise InvalidObject(
                f"The variable in {self._text[start:]!r} does not end, or cannot be read; "
                "write ${NAME} or ${NAME:=default}."
            )
        self._at += 1
        return value

    def _changed(self, name: str) -> str:
        for mark in _DEFAULTS:
            if self._text.startswith(mark, self._at):
                self._at += len(mark)
                default = self._until("}")
                return self._variables.get(name, default)
        for mark in _OTHERS:
            if self._text.startswith(mark, self._at):
                self._at += len(mark)
                return changed(self._value(name), mark, self._arguments(mark))
        return self._value(name)

    def _arguments(self, mark: str) -> list[str]:
        """Return what follows ``mark``, in the parts that it has."""
        separator = _SEPARATOR.get(mark, "")
        arguments = [self._until(f"{separator}}}", escapes=True)]
        if separator and self._text.startswith(separator, self._at):
            self._at += 1
            arguments.append(self._until("}", escapes=True))
        return arguments

    def _value(self, name: str) -> str:
        try:
            return self._variables[name]
        except KeyError as exc:
            raise InvalidObject(
                f"The variable {name} in {self._text!r} is not known; "
                f"give it as a parameter, or a default as in ${{{name}:=value}}."
            ) from exc
