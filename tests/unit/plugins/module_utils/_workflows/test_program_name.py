# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The name under which snapshots are written carries the collection's version."""

from __future__ import annotations

import re
from pathlib import Path

from ansible_collections.granary.postgres.plugins.module_utils._workflows.snapshot_writer import (
    PROGRAM,
)

GALAXY = Path(__file__).parents[5] / "galaxy.yml"


def test_it_is_the_one_in_galaxy_yml() -> None:
    version = re.search(r"^version: (\S+)$", GALAXY.read_text("utf-8"), re.MULTILINE)
    assert version is not None
    assert f"granary.postgres {version[1]}" == PROGRAM
