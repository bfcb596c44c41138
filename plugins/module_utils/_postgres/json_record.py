# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""Dataclasses to compact JSON and back, every type looked at on the way in.

A dataclass is an object, a NamedTuple an array (a segment table is long), a tuple of one type an
array. A reader passes over fields and trailing array elements that it does not know, and takes the
default of those that are missing, so that later versions may add. Bytes of names that are not
UTF-8 are lone surrogates, written ``\\udcXX``.
"""

from __future__ import annotations

import dataclasses
import json
import types
import typing as t

from .._core.errors import RepositoryDamaged

T = t.TypeVar("T")


def encode_record(record: object) -> bytes:
    """Return the same bytes for equal records: fields in the order of the class, no blanks."""
    text = json.dumps(_plain(record), ensure_ascii=False, separators=(",", ":"))
    # What UTF-8 cannot hold are lone surrogates, and this error handler writes them as JSON does.
    return text.encode("utf-8", "backslashreplace")


def decode_record(kind: type[T], data: bytes, what: str) -> T:
    """Return the record of class ``kind`` that ``data`` holds.

    Raises ``RepositoryDamaged``, naming ``what`` and the place in it, when the data is not such a
    record.
    """
    return t.cast(T, _Decoder(what).value(kind, parse_object(data, what), ""))


def parse_object(data: bytes, what: str) -> dict[str, object]:
    """Return the JSON object in ``data``; raises ``RepositoryDamaged`` when there is none."""
    try:
        found = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as exc:
        raise RepositoryDamaged(f"{what} is not JSON ({exc}); take another snapshot.") from exc
    if not isinstance(found, dict):
        raise RepositoryDamaged(f"{what} is not a JSON object; take another snapshot.")
    return found


def _plain(value: object) -> object:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)
        }
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(value[key]) for key in sorted(value)}
    return value


class _Decoder:
    def __init__(self, what: str) -> None:
        self._what = what
        self._hints: dict[type, dict[str, object]] = {}

    def value(self, kind: object, found: object, place: str) -> object:
        origin = t.get_origin(kind)
        if origin in {t.Union, types.UnionType}:
            return self._optional(kind, found, place)
        if origin is tuple:
            item = t.get_args(kind)[0]
            return tuple(
                self.value(item, one, f"{place}[{number}]")
                for number, one in enumerate(self._is(list, found, place))
            )
        if origin is dict:
            item = t.get_args(kind)[1]
            entries: dict[str, object] = self._is(dict, found, place)
            return {key: self.value(item, one, f"{place}.{key}") for key, one in entries.items()}
        if isinstance(kind, type) and issubclass(kind, tuple):
            return self._row(kind, found, place)
        if dataclasses.is_dataclass(kind) and isinstance(kind, type):
            return self._record(kind, found, place)
        return self._is(t.cast("type[object]", kind), found, place)

    def _optional(self, kind: object, found: object, place: str) -> object:
        if found is None:
            return None
        (inner,) = (one for one in t.get_args(kind) if one is not types.NoneType)
        return self.value(inner, found, place)

    def _row(self, kind: type, found: object, place: str) -> object:
        items = self._is(list, found, place)
        hints = self._hints_of(kind)
        if len(items) < len(hints):
            self._wrong(place, f"{len(hints)} elements")
        return kind(
            *(
                self.value(hint, item, f"{place}.{name}")
                for (name, hint), item in zip(hints.items(), items, strict=False)
            )
        )

    def _record(self, kind: type, found: object, place: str) -> object:
        entries = self._is(dict, found, place)
        values: dict[str, object] = {}
        hints = self._hints_of(kind)
        for field in dataclasses.fields(kind):
            if field.name in entries:
                values[field.name] = self.value(
                    hints[field.name], entries[field.name], f"{place}.{field.name}"
                )
            elif (
                field.default is dataclasses.MISSING
                and field.default_factory is dataclasses.MISSING
            ):
                self._wrong(f"{place}.{field.name}", "a value")
        return kind(**values)

    def _is(self, kind: type[T], found: object, place: str) -> T:
        # bool is an int for Python, not for JSON.
        if not isinstance(found, kind) or (kind is int and isinstance(found, bool)):
            self._wrong(place, kind.__name__)
        return found

    def _hints_of(self, kind: type) -> dict[str, object]:
        if kind not in self._hints:
            self._hints[kind] = t.get_type_hints(kind)
        return self._hints[kind]

    def _wrong(self, place: str, wanted: str) -> t.NoReturn:
        raise RepositoryDamaged(
            f"{self._what} is damaged: {place.lstrip('.') or 'its top'} should hold {wanted}; "
            "take another snapshot."
        )
