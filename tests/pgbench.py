# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""pgbench with its built-in transaction on small tables, and what must be true of its tables."""

from __future__ import annotations

import contextlib
import subprocess
import typing as t
from collections.abc import Iterator
from pathlib import Path

from tests.testbed.postgres import PostgresServer, client_bin

PROGRAM_MAJOR = 16
"""The clients of this major come with pgbench."""

ACCOUNTS, TELLERS = 20_000, 10

# The built-in script tpcb-like, for fewer accounts than 100,000 (pgbench.c, builtin_script).
_SCRIPT = f"""
\\set aid random(1, {ACCOUNTS})
\\set tid random(1, {TELLERS})
\\set delta random(-5000, 5000)
BEGIN;
UPDATE pgbench_accounts SET abalance = abalance + :delta WHERE aid = :aid;
SELECT abalance FROM pgbench_accounts WHERE aid = :aid;
UPDATE pgbench_tellers SET tbalance = tbalance + :delta WHERE tid = :tid;
UPDATE pgbench_branches SET bbalance = bbalance + :delta WHERE bid = 1;
INSERT INTO pgbench_history (tid, bid, aid, delta, mtime)
    VALUES (:tid, 1, :aid, :delta, CURRENT_TIMESTAMP);
END;
"""

FACTS = """
SELECT (SELECT sum(abalance)::bigint FROM pgbench_accounts),
       (SELECT sum(tbalance)::bigint FROM pgbench_tellers),
       (SELECT sum(bbalance)::bigint FROM pgbench_branches),
       (SELECT coalesce(sum(delta), 0)::bigint FROM pgbench_history),
       (SELECT count(*) FROM pgbench_accounts),
       (SELECT count(*) FROM pgbench_tellers),
       (SELECT count(*) FROM pgbench_branches),
       (SELECT count(*) FROM pgbench_history)"""


class Facts(t.NamedTuple):
    """What `FACTS` says: four sums that are one number, and rows."""

    accounts_sum: int
    tellers_sum: int
    branches_sum: int
    history_sum: int
    accounts: int
    tellers: int
    branches: int
    history: int

    @property
    def right(self) -> bool:
        """Whether each transaction is there as a whole or not at all, and no row is missing."""
        return len(set(self[:4])) == 1 and self[4:7] == (ACCOUNTS, TELLERS, 1)


def make_tables(server: PostgresServer, database: str) -> None:
    """Make pgbench's tables with fewer rows."""
    _program(server, database, "-i", "-I", "dtp")
    server.execute(
        "INSERT INTO pgbench_branches (bid, bbalance) VALUES (1, 0);"
        "INSERT INTO pgbench_tellers (tid, bid, tbalance)"
        f" SELECT i, 1, 0 FROM generate_series(1, {TELLERS}) i;"
        "INSERT INTO pgbench_accounts (aid, bid, abalance, filler)"
        f" SELECT i, 1, 0, '' FROM generate_series(1, {ACCOUNTS}) i",
        database=database,
    )


def read_facts(server: PostgresServer, database: str) -> Facts:
    """Read them in one snapshot."""
    return Facts(*server.execute(FACTS, database=database)[0])


@contextlib.contextmanager
def pgbench(server: PostgresServer, database: str, folder: Path, *, rate: int) -> Iterator[Path]:
    """Run about `rate` transactions a second meanwhile; gives the file of its words."""
    script, words = folder / "tpcb-like.sql", folder / "pgbench.txt"
    script.write_text(_SCRIPT, encoding="utf-8")
    command: list[str | Path] = [
        *(client_bin(PROGRAM_MAJOR) / "pgbench", "-n", "-f", script, "-c", "2", "-j", "1"),
        *("-T", "86400", "-R", str(rate), database),
    ]
    env = {**server.environment(), "PGAPPNAME": "pgbench", "LC_ALL": "C"}
    with (
        words.open("wb") as output,
        subprocess.Popen(
            command, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        ) as process,
    ):
        try:
            yield words
            assert process.poll() is None, words.read_text(encoding="utf-8")
        finally:
            process.terminate()


def _program(server: PostgresServer, database: str, *arguments: str) -> None:
    subprocess.run(
        [client_bin(PROGRAM_MAJOR) / "pgbench", *arguments, database],
        env={**server.environment(), "LC_ALL": "C"},
        check=True,
        capture_output=True,
    )
