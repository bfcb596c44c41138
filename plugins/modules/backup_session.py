#!/usr/bin/python
# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_session
short_description: Run a BackupConfiguration in Kubernetes now, and wait for the backup
description:
  - Makes a BackupSession, as the schedule of the BackupConfiguration does, and waits until Granary's operator has finished it.
  - A paused BackupConfiguration is run as well. One that is not ready, or that is being run at this moment, skips the session, which fails the task.
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
    support: partial
    details: With O(name), a second run takes up the session of the first. Without it, each run is a backup.
options:
  name:
    description:
      - The name of the session. If there is one of that name, of the same O(invoker), its end is waited for and no other one is made.
      - By default O(invoker) and the time, so that each run makes a session.
    type: str
  invoker:
    description: The BackupConfiguration.
    type: str
    required: true
seealso:
  - module: granary.postgres.restore_session
  - module: granary.postgres.backup
    description: M(granary.postgres.backup) backs up without Kubernetes.
"""

EXAMPLES = r"""
- name: Back up before an upgrade
  granary.postgres.backup_session:
    namespace: demo
    invoker: sample-postgres-backup
  register: before

- name: Show what it stored
  ansible.builtin.debug:
    var: before.session.stats

- name: Start a backup, go on with something else, and wait for its end later
  granary.postgres.backup_session:
    namespace: demo
    invoker: sample-postgres-backup
    name: release-42
    wait: false

- name: Wait for it
  granary.postgres.backup_session:
    namespace: demo
    invoker: sample-postgres-backup
    name: release-42
    wait_timeout: 7200
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
      sample: sample-postgres-backup-1795316460
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
          snapshots:
            - name: 0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0
              path: dumpfile.sql
              totalSize: 3.201 GiB
              uploaded: 41.032 MiB
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
from ..module_utils._ansible.sessions import cluster, session_return, waiting
from ..module_utils._core.events import Events
from ..module_utils._kubernetes.session_run import run_backup_session


def back_up(params: t.Mapping[str, t.Any], check_mode: bool, events: Events) -> dict[str, t.Any]:
    result = run_backup_session(
        cluster(params),
        namespace=params["namespace"],
        invoker=params["invoker"],
        name=params["name"],
        waiting=waiting(params),
        check_mode=check_mode,
    )
    return session_return(result)


def main() -> None:
    spec = argspec.kubernetes().merge(argspec.backup_session())
    module = AnsibleModule(supports_check_mode=True, **spec.to_kwargs())
    run_module(module, back_up, ())


if __name__ == "__main__":
    main()
