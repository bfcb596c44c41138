#!/usr/bin/python
# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: repository_info
short_description: Show what is in a repository of PostgreSQL backups
description:
  - Lists the snapshots of a repository in the restic format, whoever made them, who holds locks, what the last check found, and sizes.
  - Takes no lock, and removes none.
version_added: 0.1.0
extends_documentation_fragment:
  - granary.postgres._attributes
  - granary.postgres._attributes.actiongroup_repository
  - granary.postgres._repository
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: full
options:
  host:
    description: Show only the snapshots of this host.
    type: str
  tags:
    description: Show only the snapshots that carry all of these tags.
    type: list
    elements: str
    default: []
  limit:
    description: Show only so many snapshots, the newest ones.
    type: int
  query:
    description:
      - A JMESPath expression over RV(repository), RV(snapshots), RV(locks), RV(last_check), RV(last_data_check) and RV(stats).
      - What it selects is returned as RV(result), in place of them.
    type: str
requirements:
  - jmespath, for O(query)
seealso:
  - module: granary.postgres.restore
  - name: JMESPath
    description: The language of O(query).
    link: https://jmespath.org/
"""

EXAMPLES = r"""
- name: Which backups are there of the main server
  granary.postgres.repository_info:
    backend:
      local:
        path: /var/backups/postgres
    password: "{{ backup_password }}"
    host: main

- name: When was the last one made
  granary.postgres.repository_info:
    backend:
      local:
        path: /var/backups/postgres
    password: "{{ backup_password }}"
    host: main
    limit: 1
    query: snapshots[0].time

- name: Who holds a lock
  granary.postgres.repository_info:
    backend:
      local:
        path: /var/backups/postgres
    password: "{{ backup_password }}"
    query: locks[].[host, pid, owner, age_seconds]

- name: Was all well when it was checked last
  granary.postgres.repository_info:
    backend:
      local:
        path: /var/backups/postgres
    password: "{{ backup_password }}"
    query: last_check.summary
"""

RETURN = r"""
repository:
  description: The repository.
  returned: without O(query)
  type: dict
  contains:
    id:
      description: Its id.
      type: str
      sample: 5f1c9a6a7e1d3c3bd1f5f0a4a8a3b0d1c2e3f405162738495a6b7c8d9e0f1a2b
    version:
      description: The version of its format.
      type: int
      sample: 2
    location:
      description: Where it is.
      type: str
      sample: /var/backups/postgres
snapshots:
  description: The snapshots, newest first.
  returned: without O(query)
  type: list
  elements: dict
  contains:
    id:
      description: The snapshot's id in full.
      type: str
      sample: 0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0
    time:
      description: When it was made (RFC 3339, UTC).
      type: str
      sample: "2026-11-22T03:00:00.123456789Z"
    host:
      description: The host that it is of.
      type: str
      sample: main
    paths:
      description: Its paths; V(/postgres) for a parallel backup, V(/dumpfile.sql) for a plain one.
      type: list
      elements: str
      sample: [/postgres]
    tags:
      description: Its tags.
      type: list
      elements: str
      sample: [granary]
    original:
      description: The id of the snapshot that this one is a changed copy of, or V(null).
      type: str
      sample: null
    size_bytes:
      description: The size of its files, before compression and deduplication, or V(null) where its maker left it out.
      type: int
      sample: 1503238553
locks:
  description: The locks, oldest first; each run that works on the repository holds one.
  returned: without O(query)
  type: list
  elements: dict
  contains:
    id:
      description: The id of its file, which is another one every five minutes.
      type: str
      sample: 9d7c3b1a5e8f2046c1d3e5f708192a3b4c5d6e7f8091a2b3c4d5e6f708192a3b
    time:
      description: When it was last refreshed, by its owner's clock, or V(null) where the file cannot be read; so with all that the file says.
      type: str
      sample: "2026-11-22T03:00:00.123456789Z"
    exclusive:
      description: Whether nobody else may hold one beside it; backups and restores share.
      type: bool
      sample: false
    host:
      description: The machine, container or pod that its owner runs on.
      type: str
      sample: db1
    username:
      description: The owner's user.
      type: str
      sample: postgres
    pid:
      description: The owner's process there.
      type: int
      sample: 4711
    age_seconds:
      description: Seconds since it was last refreshed, by the clock of the storage, or V(null) where that cannot be found out.
      type: float
      sample: 34.0
    owner:
      description:
        - What is known of the owner from the host that runs the task.
        - V(alive), when that very process is seen to run; V(gone), when that is proved, and then the next run that the lock stands in the way of
          removes it; V(unknown) otherwise, such as on another host.
      type: str
      sample: alive
    reason:
      description: Why the owner is V(gone), or V(null).
      type: str
      sample: its process is gone
last_check:
  description: The result of the last M(granary.postgres.repository_check), V(null) where there was none.
  returned: without O(query)
  type: dict
  contains: &result_of_check
    ok:
      description: Whether nothing was damaged, or nothing was any more after a repair.
      type: bool
      sample: true
    summary:
      description: The result in a sentence.
      type: str
      sample: "The repository in /var/backups/postgres is whole: 14 snapshots, 211 packs, of which 211 were read to the last byte."
    advice:
      description: What to do, in this order.
      type: list
      elements: str
      sample: []
    time:
      description: When the check began (RFC 3339, UTC).
      type: str
      sample: "2026-11-22T04:00:00.123456789Z"
    read_data:
      description: How much of the packs was read; V(none), V(all) or the part.
      type: str
      sample: all
    packs:
      description: How many packs there were.
      type: int
      sample: 211
    packs_read:
      description: How many of them were read.
      type: int
      sample: 211
    damage:
      description: The damaged files of the repository, each with what is wrong with it, at most 100; of a repair, those that it found.
      type: list
      elements: str
      sample: []
    damage_count:
      description: How many these are.
      type: int
      sample: 0
    damaged_snapshots:
      description: The snapshots that cannot be restored whole, each with what it has lost, at most 100.
      type: list
      elements: str
      sample: []
    damaged_snapshots_count:
      description: How many these are.
      type: int
      sample: 0
last_data_check:
  description: The same of the last one that read data, in full or in part.
  returned: without O(query)
  type: dict
  contains: *result_of_check
stats:
  description: Numbers of the repository as a whole.
  returned: without O(query)
  type: dict
  contains:
    snapshots:
      description: How many snapshots were found; RV(snapshots) may hold fewer.
      type: int
      sample: 14
    packs:
      description: How many pack files there are.
      type: int
      sample: 211
    stored_bytes:
      description: The size of all pack files.
      type: int
      sample: 3435973836
    blobs:
      description: How many different pieces of data the index names.
      type: int
      sample: 4711
result:
  description: What O(query) selected.
  returned: with O(query)
  type: raw
  sample: "2026-11-22T03:00:00.123456789Z"
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._ansible import argspec
from ..module_utils._ansible.face import run_module
from ..module_utils._ansible.query import select
from ..module_utils._ansible.settings import repository_access, storage_libraries
from ..module_utils._core.events import Events
from ..module_utils._workflows.repository import describe_repository


def describe(params: t.Mapping[str, t.Any], check_mode: bool, events: Events) -> dict[str, t.Any]:
    description = describe_repository(
        repository_access(params),
        host=params["host"],
        tags=params["tags"],
        limit=params["limit"],
        events=events,
    )
    return {"changed": False, **select(params["query"], description.to_return())}


def main() -> None:
    spec = argspec.repository().merge(argspec.repository_info())
    module = AnsibleModule(supports_check_mode=True, **spec.to_kwargs())
    query = ("jmespath",) if module.params["query"] is not None else ()
    run_module(module, describe, (*storage_libraries(module.params), *query))


if __name__ == "__main__":
    main()
