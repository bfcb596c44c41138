# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""python -m tests.testbed.kube COMMAND...: run a command where a cluster can be started."""

from __future__ import annotations

import sys

from tests.testbed.errors import TestBedError

from .namespaces import run_inside


def main() -> int:
    """Return the command's status."""
    if not sys.argv[1:]:
        sys.stderr.write(f"usage: {__doc__}\n")
        return 2
    try:
        return run_inside(sys.argv[1:])
    except TestBedError as exc:
        sys.stderr.write(f"{exc}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
