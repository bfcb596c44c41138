# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleFilterError

from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.crd_schema import updates

DOCUMENTATION = r"""
name: crd_updates
short_description: Decide which CustomResourceDefinitions may be written
description:
  - Compares definitions with those that are in a cluster. One that would no longer take what the
    present one takes (a version, a field, a value) is not to be written.
  - The role P(granary.postgres.operator#role) uses it.
version_added: 0.1.0
author:
  - Granary contributors (@granary-postgres)
positional: present
options:
  _input:
    description: The definitions to be written.
    type: list
    elements: dict
    required: true
  present:
    description: All definitions that are in the cluster, as M(kubernetes.core.k8s_info) gives them.
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- name: Write the definitions that take nothing away
  kubernetes.core.k8s:
    definition: "{{ (definitions | granary.postgres.crd_updates(found.resources)).apply }}"
"""

RETURN = r"""
_value:
  description: What is to be done.
  type: dict
  contains:
    apply:
      description: The definitions to be written.
      type: list
      elements: dict
    missing:
      description: The names of those that are not in the cluster yet.
      type: list
      elements: str
    going:
      description: The names of those that are being deleted.
      type: list
      elements: str
    kept:
      description: A sentence for each that is left as it is in the cluster.
      type: list
      elements: str
"""


def crd_updates(wanted: t.Any, present: t.Any) -> dict[str, t.Any]:
    """Return what is to be done; see RETURN."""
    for each in (wanted, present):
        if not isinstance(each, list) or not all(isinstance(one, dict) for one in each):
            raise AnsibleFilterError("crd_updates compares two lists of definitions.")
    return updates(wanted, present)


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Return them by their names."""
        return {"crd_updates": crd_updates}
