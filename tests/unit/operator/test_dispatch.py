# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The image's entry point."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ansible_collections.granary.postgres.operator.__main__ import COMMANDS, main


def test_the_commands_of_the_image() -> None:
    assert list(COMMANDS) == [
        "operator",
        "backup-pg",
        "restore-pg",
        "update-status",
        "create-backupsession",
        "run-hook",
        "wipe-out",
    ]


@pytest.mark.parametrize("arguments", [[], ["frobnicate"], ["--help"]])
def test_anything_else_is_answered_with_the_commands(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert "backup-pg" in capsys.readouterr().err


@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "operator"])
def test_a_command_without_its_arguments_says_which_one_is_missing(command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ansible_collections.granary.postgres.operator", command],
        check=False,
        capture_output=True,
        text=True,
        cwd="/",
    )
    assert done.returncode == 1
    assert "error failed code=config" in done.stderr
    assert "required" in done.stderr
