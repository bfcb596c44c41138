#!/usr/bin/python
# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: restore_session
short_description: Restore a database in Kubernetes, and wait for it
description:
  - Makes a RestoreSession, which restores a snapshot of a Repository into the server of an AppBinding, and waits until Granary's operator has finished it.
  - A RestoreSession runs once. If there is one of that name that restores the same, its end is waited for and nothing is restored again.
  - The host that runs the task needs access to the API server alone, neither to the database nor to the repository.
version_added: 0.1.0
extends_documentation_fragment:
  - granary.postgres._attributes
  - granary.postgres._attributes.actiongroup_kubernetes
  - granary.postgres._kubernetes
  - granary.postgres._session
attributes:
  check_mode:
    support: full
    details: Says whether a session would be made, and does not wait for one that is there.
  diff_mode:
    support: none
  idempotent:
    support: full
options:
  name:
    description: The name of the session.
    type: str
    required: true
  target:
    description: The AppBinding of the server, in O(namespace).
    type: str
    required: true
  repository:
    description: The Repository.
    type: str
    required: true
  repository_namespace:
    description: The namespace of the Repository, O(namespace) by default. Its C(usagePolicy) must allow O(namespace).
    type: str
  task:
    description: The Task that restores.
    type: str
    default: postgres-restore
  params:
    description: Parameters of the Task, such as C(args), C(clean), C(databases) and C(rename).
    type: dict
    default: {}
  snapshot:
    description: The snapshot, by its id in full or its first 8 or more digits, in quotes; or V(latest).
    type: str
    default: latest
  source_host:
    description: The host that V(latest) is chosen from; by default all of the repository.
    type: str
seealso:
  - module: granary.postgres.backup_session
  - module: granary.postgres.restore
    description: M(granary.postgres.restore) restores without Kubernetes.
"""

EXAMPLES = r"""
- name: Restore the latest backup into a server that was made anew
  granary.postgres.restore_session:
    namespace: demo
    name: after-the-move
    target: sample-postgres
    repository: s3-repo

- name: Restore one database of an older snapshot under another name
  granary.postgres.restore_session:
    namespace: demo
    name: shop-of-monday
    target: sample-postgres
    repository: s3-repo
    snapshot: "0f1e2d3c"
    params:
      databases: shop
      rename: shop=shop_monday
"""

RETURN = r"""
session:
  description: The session as it was last seen.
  returned: whenever there is one, or would be in check mode
  type: dict
  contains:
    name:
      description: Its name.
      type: str
      sample: after-the-move
    namespace:
      description: Its namespace.
      type: str
      sample: demo
    phase:
      description: Its phase; V(null) before the operator has looked at it.
      type: str
      sample: Succeeded
    duration:
      description: How long it took, as C(kubectl get) shows it.
      type: str
      sample: 1m21s
    stats:
      description: What became of each host, in the words of the session's status.
      type: list
      elements: dict
      sample:
        - hostname: host-0
          phase: Succeeded
          duration: 1m12.4s
    conditions:
      description: The conditions of the session and of its target.
      type: list
      elements: dict
      sample:
        - type: MetricsPushed
          status: "True"
          reason: SuccessfullyPushedMetrics
          lastTransitionTime: "2026-11-22T03:01:21Z"
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._ansible import argspec
from ..module_utils._ansible.face import run_module
from ..module_utils._ansible.sessions import cluster, restore_wish, session_return, waiting
from ..module_utils._core.events import Events
from ..module_utils._kubernetes.session_run import run_restore_session


def restore(params: t.Mapping[str, t.Any], check_mode: bool, events: Events) -> dict[str, t.Any]:
    result = run_restore_session(
        cluster(params), restore_wish(params), waiting=waiting(params), check_mode=check_mode
    )
    return session_return(result)


def main() -> None:
    spec = argspec.kubernetes().merge(argspec.restore_session())
    module = AnsibleModule(supports_check_mode=True, **spec.to_kwargs())
    run_module(module, restore, ())


if __name__ == "__main__":
    main()
