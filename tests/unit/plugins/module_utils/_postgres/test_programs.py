# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import ProgramMissing
from ansible_collections.granary.postgres.plugins.module_utils._postgres.programs import (
    find_program,
    find_programs,
)


def install(folder: Path, answer: str, name: str = "pg_dump", status: int = 0) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / name
    program.write_text(f"#!/bin/sh\necho '{answer}'\nexit {status}\n", encoding="utf-8")
    program.chmod(0o755)
    return program


@pytest.fixture
def path(tmp_path: Path) -> dict[str, str]:
    folders = {
        "new": "pg_dump (PostgreSQL) 91.2 (Debian 91.2-1.pgdg12+1)",
        "newer": "pg_dump (EnterpriseDB) 92beta1",
        "newest": "pg_dump (PostgreSQL) 93.0",
        "strange": "hello",
    }
    for folder, answer in folders.items():
        install(tmp_path / folder, answer)
    install(tmp_path / "broken", "pg_dump (PostgreSQL) 91.0", status=1)
    return {"PATH": ":".join(str(tmp_path / name) for name in ("broken", *folders))}


def test_the_lowest_major_that_is_not_older_is_taken(path: dict[str, str]) -> None:
    found = find_program("pg_dump", at_least_major=92, environ=path)
    assert (found.major, found.version) == (92, "92beta1")


def test_what_does_not_run_or_says_no_version_is_passed_over(path: dict[str, str]) -> None:
    found = [program for program in find_programs("pg_dump", environ=path) if program.major > 90]
    assert [program.major for program in found] == [91, 92, 93]


def test_an_upper_bound_is_kept(path: dict[str, str]) -> None:
    with pytest.raises(ProgramMissing, match="a version from 90000 to 90001"):
        find_program("pg_dump", at_least_major=90000, newest_major=90001, environ=path)


def test_the_message_says_what_was_found_and_what_to_install(
    path: dict[str, str], tmp_path: Path
) -> None:
    with pytest.raises(ProgramMissing) as caught:
        find_program("pg_dump", at_least_major=94, environ=path)
    assert f"93.0 at {tmp_path}/newest/pg_dump" in str(caught.value)
    assert "postgresql-client-94" in str(caught.value)


def test_bin_dir_is_the_only_place_looked_into(path: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(ProgramMissing, match="found: none"):
        find_program("pg_dump", at_least_major=90, bin_dir=str(tmp_path / "no"), environ=path)


def test_debians_wrapper_is_not_believed(tmp_path: Path) -> None:
    wrapper = install(tmp_path / "share", "pg_dump (PostgreSQL) 95.1", name="pg_wrapper")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "pg_dump").symlink_to(wrapper)
    assert find_programs("pg_dump", bin_dir=str(tmp_path / "bin"), environ={}) == []
