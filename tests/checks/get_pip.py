# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Stands in for the get-pip script that ansible-test would download: Python brings a pip."""

from __future__ import annotations

import ensurepip
import os
import subprocess
import sys

if __name__ == "__main__":
    ensurepip.bootstrap()
    os.environ.pop("PIP_CONFIG_FILE", None)  # ensurepip sets an empty one
    wanted = [word for word in sys.argv[1:] if not word.startswith("--")]
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    sys.exit(subprocess.call([*command, *wanted]))
