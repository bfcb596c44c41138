# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""What the last check found, kept in the repository for whoever asks next.

A sealed JSON object under a name that restic passes over. It holds two results: that of the last
check, and that of the last one which read data, so that a quick look does not hide what a long one
found. Nothing depends on it: one that is missing or unreadable is no result.
"""

from __future__ import annotations

import dataclasses
import json
import typing as t

from .._core.errors import ObjectMissing, ObjectTooShort, RepositoryDamaged
from .unpacked import decode_unpacked, encode_unpacked

if t.TYPE_CHECKING:
    from collections.abc import Mapping

    from .repository import Repository

CHECK_RECORD = "granary/check"
SET_ASIDE = "granary/set-aside/"

_FORMAT = 1

Result: t.TypeAlias = "Mapping[str, t.Any]"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CheckRecord:
    """The results, in plain types: ``last`` of any check, ``data`` of one that read data; None
    where there was none.
    """

    last: Result | None = None
    data: Result | None = None


def read_check_record(repository: Repository) -> CheckRecord:
    """Return what is recorded; nothing is, where the record cannot be read (a warning says so)."""
    try:
        sealed = repository.backend.read(CHECK_RECORD)
        name = f"{CHECK_RECORD} in {repository.location}"
        fields = json.loads(decode_unpacked(repository.key, sealed, name=name))
        if fields["format"] != _FORMAT:
            return CheckRecord()
        return CheckRecord(last=fields["last"], data=fields["data"])
    except ObjectMissing:
        return CheckRecord()
    except (RepositoryDamaged, ObjectTooShort, ValueError, KeyError, TypeError) as exc:
        repository.events.warn(
            f"The result of the last check cannot be read from {CHECK_RECORD} in "
            f"{repository.location} ({str(exc).rstrip('.')}); check again."
        )
        return CheckRecord()


def write_check_record(repository: Repository, record: CheckRecord) -> None:
    """Store both results, in place of what is there. Raises what the storage raises."""
    fields = {"format": _FORMAT, "last": record.last, "data": record.data}
    data = json.dumps(fields, separators=(",", ":")).encode("ascii")
    sealed = encode_unpacked(repository.key, repository.version, data)
    repository.backend.write(CHECK_RECORD, sealed)
