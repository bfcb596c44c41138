# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the modules for sessions in Kubernetes have in common; twin of ``argspec._session``."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  namespace:
    description: The namespace.
    type: str
    required: true
  wait:
    description:
      - Whether to wait until the session has ended. A session that ended without success fails the task, with its own words.
      - Without it the task is done when the session is there.
    type: bool
    default: true
  wait_timeout:
    description:
      - For how many seconds to wait. Then the task fails, and the session goes on.
    type: int
    default: 3600
"""
