# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""Which pg_restore reads a snapshot's archives, and which psql its scripts."""

from __future__ import annotations

import typing as t

from .._core.errors import ProgramMissing
from .programs import find_program

if t.TYPE_CHECKING:
    from collections.abc import Sequence

    from .programs import Program

# Archive version -> the oldest pg_restore that reads it (K_VERS_MAX in pg_backup_archiver.h). A
# version that is not named here was there before all of ours.
_READ_SINCE = {(1, 15): 16, (1, 16): 17}
_OLDEST = 12


def find_restore_program(
    archive_version: Sequence[int], *, target_major: int, bin_dir: str | None = None
) -> Program:
    """Return the pg_restore for archives of ``archive_version``.

    One that is no older than the target is preferred, since older ones know less of it; any that
    reads the archive does otherwise.

    Raises ``ProgramMissing``.
    """
    reads = _READ_SINCE.get((archive_version[0], archive_version[1]), _OLDEST)
    try:
        return find_program("pg_restore", at_least_major=max(reads, target_major), bin_dir=bin_dir)
    except ProgramMissing:
        return find_program("pg_restore", at_least_major=reads, bin_dir=bin_dir)


def find_script_program(bin_dir: str | None = None) -> Program:
    """Return the psql for globals and plain dumps, of any major that we know.

    Raises ``ProgramMissing``.
    """
    return find_program("psql", at_least_major=_OLDEST, bin_dir=bin_dir)
