# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""Values that must not be seen, and texts from which they are taken out."""

from __future__ import annotations

import re

_USERINFO = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*://[^\s/:@]*):[^\s/@]*@", re.IGNORECASE)
_CONNINFO = re.compile(
    r"(?P<key>\b(?:ssl)?password\s*=\s*)(?:'(?:[^'\\]|\\.)*'|\S+)", re.IGNORECASE
)
HIDDEN = "***"


class Secret:
    """Holds a secret text so that no ``repr``, ``str``, log line or traceback shows it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the secret itself, for the one call that needs it."""
        return self._value

    def __repr__(self) -> str:
        return f"Secret({HIDDEN!r})"

    __str__ = __repr__

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


def redact(text: str, *secrets: Secret | None) -> str:
    """Return ``text`` without the given secrets, passwords in URLs and passwords in connection
    strings."""
    for secret in secrets:
        if secret:
            text = text.replace(secret.reveal(), HIDDEN)
    text = _USERINFO.sub(rf"\g<scheme>:{HIDDEN}@", text)
    return _CONNINFO.sub(rf"\g<key>{HIDDEN}", text)
