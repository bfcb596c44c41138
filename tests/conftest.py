# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What all tests share: the plugins with the fixtures, and what is printed before the first test.

A component that cannot be installed or started fails the tests that need it; nothing is skipped.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

# ansible-test runs the unit tests with its own settings, without the checkout on the path.
sys.path[:0] = [str(Path(__file__).parent.parent)]

pytest_plugins = sorted(f"tests.{path.stem}" for path in Path(__file__).parent.glob("fix_*.py"))
pytest.register_assert_rewrite(*pytest_plugins)  # before one of them imports another


def pytest_report_header() -> list[str]:
    """Name the real components and their versions, as far as they are installed."""
    from tests.testbed.components import cache_folder, read_list, version_said

    said = {name: version_said(name) for name in read_list()["components"]}
    shown = [f"{name} ({version})" for name, version in said.items() if version]
    lines = [f"components in {cache_folder()}: {len(shown)} of {len(said)} installed"]
    return lines + [f"  {', '.join(shown[at : at + 3])}" for at in range(0, len(shown), 3)]
