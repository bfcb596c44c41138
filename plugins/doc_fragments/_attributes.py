# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What every module of the collection says of itself."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options: {}
requirements:
  - Python 3.11 or later on the host that runs the task
author:
  - Granary contributors (@granary-postgres)
attributes:
  check_mode:
    description: Can run in C(check_mode) and return changed status prediction without modifying target.
  diff_mode:
    description: Will return details on what has changed (or possibly needs changing in C(check_mode)), when in diff mode.
  idempotent:
    description: When run twice in a row outside check mode, with the same arguments, the second invocation indicates no change.
  action_group:
    description:
      - Use C(group/granary.postgres.repository), C(group/granary.postgres.postgres) or
        C(group/granary.postgres.kubernetes) in C(module_defaults) to set the shared options once.
"""

    # Modules that talk to a repository.
    ACTIONGROUP_REPOSITORY = r"""
options: {}
attributes:
  action_group:
    support: full
    membership:
      - granary.postgres.repository
"""

    # Modules that talk to a repository and to a server.
    ACTIONGROUP_POSTGRES = r"""
options: {}
attributes:
  action_group:
    support: full
    membership:
      - granary.postgres.repository
      - granary.postgres.postgres
"""

    # Modules that talk to the API server of a Kubernetes cluster.
    ACTIONGROUP_KUBERNETES = r"""
options: {}
attributes:
  action_group:
    support: full
    membership:
      - granary.postgres.kubernetes
"""
