# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Compare docs/playbooks.md with the playbooks: every variable of theirs is there, and no other."""

from __future__ import annotations

import re
import sys
from pathlib import Path

PAGE = Path("docs/playbooks.md")
NAMES = ("backup", "restore", "install_operator", "uninstall_operator")
PLAYBOOKS = tuple(Path(f"playbooks/{name}.yml") for name in NAMES)
VARIABLE = re.compile(r"\bgranary_[a-z_]+")


def main() -> int:
    """Return 0 if page and playbooks name the same variables; name each that differs."""
    used = {name for path in PLAYBOOKS for name in VARIABLE.findall(path.read_text("utf-8"))}
    told = set(VARIABLE.findall(PAGE.read_text("utf-8")))
    for name in sorted(used ^ told):
        where = "is not in" if name in used else "is used by no playbook but stands in"
        sys.stdout.write(f"{name} {where} {PAGE}\n")
    return 1 if used != told or not used else 0


if __name__ == "__main__":
    sys.exit(main())
