# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The files of made-up backups: small, different for every run, and largely shared between runs.

A run's name says what it stores, so nobody has to remember it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping

RUN_FILE = "/postgres/run"
PIECE_BYTES = 4096
_TABLES = 12
_VARIANTS = 5


def files_of_run(run: str) -> dict[str, bytes]:
    """Path and content of each file that the run called `run` stores, about 100 KiB in all."""
    chance = random.Random(run)
    files = {
        f"/postgres/tables/{table:02}.copy": _table(table, chance.randrange(_VARIANTS))
        for table in range(_TABLES)
    }
    files["/postgres/own.copy"] = chance.randbytes(3 * PIECE_BYTES)
    files["/postgres/empty"] = b""
    files[RUN_FILE] = run.encode()
    return files


def run_of_files(files: Mapping[str, bytes]) -> str:
    """The name of the run that stored these files."""
    return files.get(RUN_FILE, b"").decode("utf-8", "replace")


def _table(number: int, variant: int) -> bytes:
    chance = random.Random(f"table {number} in variant {variant}")
    if number % 2:
        return chance.randbytes(chance.randrange(1, 4) * PIECE_BYTES - 17)
    rows = (b"%d\trow of table %d\t%d\n" % (n, number, chance.randrange(9**9)) for n in range(300))
    return b"".join(rows)


def pieces(data: bytes) -> Iterator[bytes]:
    """The blobs of a file."""
    for start in range(0, len(data), PIECE_BYTES):
        yield data[start : start + PIECE_BYTES]
