# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What goes wrong in the test bed itself, apart from what goes wrong in a test."""

from __future__ import annotations


class TestBedError(Exception):
    """A component could not be installed, started or stopped; the message says which and why."""

    __test__ = False  # pytest takes classes named Test* for tests
