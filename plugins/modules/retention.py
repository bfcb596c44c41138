#!/usr/bin/python
# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: retention
short_description: Remove old snapshots of PostgreSQL backups by a policy
description:
  - Keeps the snapshots that a policy says and removes the others, exactly as C(restic forget) with the same rules would.
  - Then removes from the repository what no snapshot uses any more, as C(restic prune) does.
  - Everything is decided before the first snapshot is removed. Where a rule is wrong, or a snapshot of the repository is damaged,
    nothing is removed.
  - Works under an exclusive lock of the repository, so it waits for backups that are running.
version_added: 0.1.0
extends_documentation_fragment:
  - granary.postgres._attributes
  - granary.postgres._attributes.actiongroup_repository
  - granary.postgres._repository
attributes:
  check_mode:
    support: full
    details: Reads the whole repository without a lock and says what would be removed.
  diff_mode:
    support: full
    details: One line for each snapshot, with the reasons.
  idempotent:
    support: full
options:
  host:
    description: Decide only over the snapshots of this host.
    type: str
  paths:
    description:
      - Decide only over snapshots that have all of these paths; V([/postgres]) by default, the path of parallel backups.
      - An empty list is all snapshots; V([/dumpfile.sql]) are plain backups, and those that Stash made.
    type: list
    elements: str
  tags:
    description:
      - Decide only over snapshots that carry all of these tags; V([granary]) by default, which every backup of this collection carries.
      - An empty list is all snapshots.
    type: list
    elements: str
  snapshots:
    description:
      - Remove these snapshots and no others, readable or not. It does not go together with a choice by O(host), O(paths) and O(tags),
        or with rules.
      - Each is an id in full, or its first 8 or more digits, in quotes. An id in full that is not there is passed over with a warning.
    type: list
    elements: str
  keep_last:
    description:
      - Keep so many of the newest snapshots of each group.
      - Of this and the other counts, V(unlimited) keeps all, V(0) is no rule. A snapshot is kept when any rule keeps it.
    type: str
  keep_hourly:
    description: Keep the newest snapshot of each hour, for so many hours that have one.
    type: str
  keep_daily:
    description:
      - Keep the newest snapshot of each day, for so many days that have one.
      - While a count is not used up, the oldest snapshot of the group is kept too.
    type: str
  keep_weekly:
    description: Keep the newest snapshot of each week (Monday to Sunday), for so many weeks that have one.
    type: str
  keep_monthly:
    description: Keep the newest snapshot of each month, for so many months that have one.
    type: str
  keep_yearly:
    description: Keep the newest snapshot of each year, for so many years that have one.
    type: str
  keep_within:
    description:
      - Keep all snapshots within this span before the newest one of the group.
      - A span has years, months, days and hours, such as V(1y6m), V(30d) or V(2d12h).
    type: str
  keep_within_hourly:
    description: Keep the newest snapshot of each hour within this span before the newest one.
    type: str
  keep_within_daily:
    description: Keep the newest snapshot of each day within this span before the newest one.
    type: str
  keep_within_weekly:
    description: Keep the newest snapshot of each week within this span before the newest one.
    type: str
  keep_within_monthly:
    description: Keep the newest snapshot of each month within this span before the newest one.
    type: str
  keep_within_yearly:
    description: Keep the newest snapshot of each year within this span before the newest one.
    type: str
  keep_tags:
    description:
      - Keep all snapshots that carry one of these tags.
      - Several tags with commas between them mean a snapshot that carries all of these. An empty tag means a snapshot without tags.
    type: list
    elements: str
  group_by:
    description:
      - What the snapshots of a group have in common; the rules are applied to each group by itself.
      - With an empty list, all are one group.
    type: list
    elements: str
    choices: [host, paths, tags]
    default: [host, paths]
  prune:
    description:
      - Remove what no snapshot uses any more, and merge the index when it has become many small files.
      - At most 5 % of the stored data may stay unused, rather than be copied, as with C(restic).
    type: bool
    default: true
  allow_remove_all:
    description:
      - Accept a policy that keeps nothing of a group. It is refused otherwise.
      - Accept no rule at all, with at least one of O(host), O(paths) and O(tags), which removes all snapshots that these choose.
      - Without it, the newest snapshot of each host and its paths is kept whatever the rules say.
    type: bool
    default: false
seealso:
  - module: granary.postgres.backup
  - module: granary.postgres.repository_info
  - name: Removing snapshots according to a policy
    description: What restic says of the rules.
    link: https://restic.readthedocs.io/en/stable/060_forget.html
"""

EXAMPLES = r"""
- name: Keep a week of all backups, then fewer and fewer
  granary.postgres.retention:
    backend:
      s3:
        bucket: backups
        prefix: production/main
        endpoint: https://s3.example.com
    access_key: "{{ s3_access_key }}"
    secret_key: "{{ s3_secret_key }}"
    password: "{{ backup_password }}"
    keep_within: 7d
    keep_weekly: 5
    keep_monthly: 12
    keep_yearly: unlimited

- name: Keep three backups of one server, and whatever carries the tag audited
  granary.postgres.retention:
    backend:
      local:
        path: /var/backups/postgres
    password: "{{ backup_password }}"
    host: main
    keep_last: 3
    keep_tags: [audited]

- name: Remove a damaged snapshot
  granary.postgres.retention:
    backend:
      local:
        path: /var/backups/postgres
    password: "{{ backup_password }}"
    snapshots:
      - 0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0
"""

RETURN = r"""
kept:
  description: The snapshots that were decided over and stay, the newest first; none with O(snapshots).
  returned: success
  type: list
  elements: dict
  contains: &snapshot
    id:
      description: Its id in full.
      type: str
      sample: 0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0
    time:
      description: When it was made (RFC 3339); V(null) when it is unreadable.
      type: str
      sample: "2026-11-22T03:00:00.123456789Z"
    host:
      description: The host that it is of; V(null) when it is unreadable.
      type: str
      sample: main
    paths:
      description: Its paths.
      type: list
      elements: str
      sample: [/postgres]
    tags:
      description: Its tags.
      type: list
      elements: str
      sample: [granary]
    reasons:
      description: Why it stays, in the words of C(restic forget), or why it goes.
      type: list
      elements: str
      sample: [daily snapshot, oldest monthly snapshot]
removed:
  description: The snapshots that were removed, or would be in check mode, the newest first.
  returned: success
  type: list
  elements: dict
  contains: *snapshot
stats:
  description: Numbers of the run.
  returned: success
  type: dict
  contains:
    snapshots_kept:
      description: How many are in RV(kept).
      type: int
      sample: 24
    snapshots_removed:
      description: How many are in RV(removed).
      type: int
      sample: 2
    duration_seconds:
      description: How long it took.
      type: float
      sample: 2.8
    prune:
      description: What the prune did, or would do in check mode; V(null) with O(prune=false). Sizes are bytes.
      type: dict
      contains:
        packs_deleted:
          description: How many packs held nothing that is used.
          type: int
          sample: 12
        packs_repacked:
          description: How many packs were replaced, what is still used of them being copied to new ones.
          type: int
          sample: 3
        packs_kept:
          description: How many packs stay as they are.
          type: int
          sample: 211
        unreferenced_packs:
          description: How many packs no index named, such as those of a backup that failed; they are deleted.
          type: int
          sample: 0
        undeleted_packs:
          description: How many packs the storage would not delete; the next prune tries again.
          type: int
          sample: 0
        blobs_removed:
          description: How many pieces of data went.
          type: int
          sample: 1432
        freed_bytes:
          description: By how much the repository has shrunk; in check mode an estimate.
          type: int
          sample: 201326592
        repacked_bytes:
          description: The size of the packs that were replaced.
          type: int
          sample: 50331648
        used_bytes:
          description: The size of the stored data that snapshots use.
          type: int
          sample: 3435973836
        unused_bytes_before:
          description: The size of the stored data that nothing used when the prune began.
          type: int
          sample: 220000000
        unused_bytes_after:
          description: The size of the stored data that nothing uses and that stays.
          type: int
          sample: 20000000
        index_files:
          description: How many index files there were.
          type: int
          sample: 5
        merge_index:
          description: Whether many small index files were made into few.
          type: bool
          sample: false
        abandoned_files:
          description: How many unfinished files were removed that writers had left over a day ago.
          type: int
          sample: 0
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._ansible import argspec
from ..module_utils._ansible.face import run_module
from ..module_utils._ansible.settings import repository_access, storage_libraries
from ..module_utils._core.events import Events
from ..module_utils._workflows.retention import run_retention
from ..module_utils._workflows.retention_request import RetentionRequest


def retain(params: t.Mapping[str, t.Any], check_mode: bool, events: Events) -> dict[str, t.Any]:
    request = RetentionRequest(
        repository=repository_access(params),
        **{name: params[name] for name in argspec.retention().options},
    )
    return run_retention(request, events=events, check_mode=check_mode).to_return()


def main() -> None:
    spec = argspec.repository().merge(argspec.retention())
    module = AnsibleModule(supports_check_mode=True, **spec.to_kwargs())
    run_module(module, retain, storage_libraries(module.params))


if __name__ == "__main__":
    main()
