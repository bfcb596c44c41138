# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""``secretTransforms`` of an AppBinding: keys of its Secret renamed, added and removed, in memory.

They are applied in their order; the Secret itself stays as it is.
"""

from __future__ import annotations

import base64
import typing as t

from .._core.errors import InvalidObject

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from .objects import Object

_KINDS = ("renameKey", "addKey", "addKeysFrom", "removeKey")


def transformed(
    secret: Mapping[str, bytes],
    transforms: Iterable[Object],
    read_secret: Callable[[str], Mapping[str, bytes]],
    what: str,
) -> dict[str, bytes]:
    """Return the decoded data of a Secret after all transforms of ``what``.

    Raises ``InvalidObject``, and what ``read_secret`` raises.
    """
    found = dict(secret)
    for transform in transforms:
        given = [kind for kind in _KINDS if transform.get(kind) is not None]
        if len(given) != 1:
            raise InvalidObject(
                f"{what} has a secretTransform with {len(given)} of {', '.join(_KINDS)}; "
                "each has exactly one."
            )
        _apply(found, given[0], transform[given[0]], read_secret)
    return found


def _apply(
    found: dict[str, bytes],
    kind: str,
    fields: Object,
    read_secret: Callable[[str], Mapping[str, bytes]],
) -> None:
    match kind:
        case "renameKey":
            if fields["from"] in found:
                found[fields["to"]] = found.pop(fields["from"])
        case "addKey":
            found[fields["key"]] = _value(fields)
        case "addKeysFrom":
            found.update(read_secret(fields["secretRef"]["name"]))
        case _:
            found.pop(fields["key"], None)


def _value(fields: Object) -> bytes:
    text = fields.get("stringValue")
    if text is not None:
        return str(text).encode()
    try:
        return base64.b64decode(fields.get("value") or "", validate=True)
    except ValueError as exc:
        raise InvalidObject(
            f"The value that a secretTransform gives to {fields['key']} is not base64; "
            "use stringValue for plain text."
        ) from exc
