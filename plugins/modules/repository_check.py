#!/usr/bin/python
# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: repository_check
short_description: Check a repository of PostgreSQL backups, and repair it
description:
  - Looks at everything that a repository consists of (keys, index, packs, snapshots, and each snapshot against its own manifest) and, if asked, at every
    byte of the data.
  - Damage is named twice, by the files of the repository, and by what it means, which are the snapshots, databases and tables that cannot be restored
    whole.
  - The task fails when it finds damage, and RV(check) is returned all the same.
  - Takes no lock unless it repairs, so backups and M(granary.postgres.retention) go on beside it, and a place that cannot be written to can be checked.
  - The result is kept in the repository, where M(granary.postgres.repository_info) shows it.
version_added: 0.1.0
extends_documentation_fragment:
  - granary.postgres._attributes
  - granary.postgres._attributes.actiongroup_repository
  - granary.postgres._repository
attributes:
  check_mode:
    support: full
    details:
      - Looks at the same and says the same, a repair that it would make included, and writes nothing, the result neither.
  diff_mode:
    support: none
  idempotent:
    support: full
    details:
      - A second O(repair) finds nothing to do.
options:
  read_data:
    description:
      - Read all packs to the last byte. Every hash is compared and every piece of data is opened; of tables that were not part of a dump program's archive,
        rows are counted and compared too.
      - Without it, damage inside of packs is not seen.
    type: bool
    default: false
  read_data_subset:
    description:
      - Read a part of the packs, either a random share of them such as V(5%), or one of equal parts such as V(2/10), of at most 256.
      - Parts are the same packs each time, those that C(restic check --read-data-subset) reads, so all of V(1/10) to V(10/10) together are everything.
      - Cannot be used together with O(read_data) or O(repair), which read all packs.
    type: str
  repair:
    description:
      - Repair what can be repaired, under an exclusive lock, after all packs were read.
      - What can still be read in damaged packs is stored again. The index is made anew where it is damaged, or names what is not there. Index files are
        merged where there are many small ones.
      - Nothing that can be read is lost, in no moment. Damaged packs and index files are moved to C(granary/set-aside) in the repository, byte for
        byte, where restic does not look; remove them there when nobody wants to look at them any more.
      - Snapshots are never changed. What they have lost stays named, the task fails as long as there is any, and the next M(granary.postgres.backup)
        stores again what the server still has, by which older snapshots may become whole.
    type: bool
    default: false
seealso:
  - module: granary.postgres.repository_info
  - module: granary.postgres.retention
    description: O(granary.postgres.retention#module:snapshots) forgets snapshots that stay damaged.
"""

EXAMPLES = r"""
- name: Check a repository, and read a tenth of its data each day, all of it in ten days
  granary.postgres.repository_check:
    backend:
      local:
        path: /var/backups/postgres
    password: "{{ backup_password }}"
    read_data_subset: "{{ (now().strftime('%j') | int) % 10 + 1 }}/10"

- name: See what a repair would do and what would stay lost
  granary.postgres.repository_check:
    backend:
      local:
        path: /var/backups/postgres
    password: "{{ backup_password }}"
    repair: true
  check_mode: true
  register: repair
  failed_when: repair.check is not defined

- name: Repair, and go on with a backup although some snapshots have lost something
  granary.postgres.repository_check:
    backend:
      local:
        path: /var/backups/postgres
    password: "{{ backup_password }}"
    repair: true
  register: repaired
  failed_when: repaired.check is not defined
"""

RETURN = r"""
check:
  description: What was found.
  returned: whenever the repository could be looked at, also when the task fails because of damage
  type: dict
  contains:
    ok:
      description: Whether nothing is damaged, or nothing is any more after O(repair).
      type: bool
      sample: false
    summary:
      description: The result in a sentence.
      type: str
      sample: >-
        The repository in /var/backups/postgres has 1 damaged file (data/5f/5f1c9a6a7e1d3c3bd1f5f0a4a8a3b0d1c2e3f405162738495a6b7c8d9e0f1a2b: it is
        missing) and 1 snapshot that cannot be restored whole: snapshot 0f1e2d3c of host main (2026-11-22T03:00:00Z): database shop has lost rows of
        sales.orders.
    advice:
      description: What to do, in this order.
      type: list
      elements: str
      sample: ["run repository_check with repair: true, which keeps all that can still be read"]
    time:
      description: When the check began (RFC 3339, UTC).
      type: str
      sample: "2026-11-22T04:00:00.123456789Z"
    read_data:
      description: How much of the packs was read; V(none), V(all) or O(read_data_subset).
      type: str
      sample: all
    snapshots:
      description: How many snapshots were looked at.
      type: int
      sample: 14
    packs:
      description: How many packs there are.
      type: int
      sample: 211
    stored_bytes:
      description: The size of all packs.
      type: int
      sample: 3435973836
    packs_read:
      description: How many packs were read.
      type: int
      sample: 211
    read_bytes:
      description: Their size.
      type: int
      sample: 3435973836
    duration_seconds:
      description: How long it took.
      type: float
      sample: 12.3
    damage:
      description: The damaged files of the repository, at most 1000; after O(repair), those that it found.
      type: list
      elements: dict
      contains:
        name:
          description: The file.
          type: str
          sample: data/5f/5f1c9a6a7e1d3c3bd1f5f0a4a8a3b0d1c2e3f405162738495a6b7c8d9e0f1a2b
        reason:
          description: What is wrong with it.
          type: str
          sample: it is missing
    damage_count:
      description: How many damaged files there are.
      type: int
      sample: 1
    damaged_snapshots:
      description: The snapshots that cannot be restored whole, newest first, at most 1000; after O(repair), those that it left so.
      type: list
      elements: dict
      contains:
        id:
          description: The snapshot's id in full.
          type: str
          sample: 0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0
        host:
          description: The host that it is of.
          type: str
          sample: main
        time:
          description: When it was made.
          type: str
          sample: "2026-11-22T03:00:00Z"
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
        summary:
          description: What it has lost, in words.
          type: str
          sample: "snapshot 0f1e2d3c of host main (2026-11-22T03:00:00Z): database shop has lost rows of sales.orders"
        databases:
          description: The databases that have lost something.
          type: list
          elements: dict
          contains:
            name:
              description: The database.
              type: str
              sample: shop
            definitions:
              description: Whether it has lost its definitions, without which nothing of it can be restored.
              type: bool
              sample: false
            small_tables:
              description: Whether it has lost the archive with the rows of small tables, sequences and large objects.
              type: bool
              sample: false
            tables:
              description: The tables that have lost rows, at most 1000.
              type: list
              elements: str
              sample: [sales.orders]
            tables_count:
              description: How many these are.
              type: int
              sample: 1
        files:
          description: The files of the snapshot that are damaged, at most 100.
          type: list
          elements: dict
          contains:
            path:
              description: The file, or a folder.
              type: str
              sample: /postgres/databases/shop/tables/sales/orders/000/000000.copy
            reason:
              description: What is wrong with it.
              type: str
              sample: 1 blob of 117, the first is 5d41402abc4b2a76b9719d911017c592d41d8cd98f00b204e9800998ecf8427e
        files_count:
          description: How many these are.
          type: int
          sample: 1
    damaged_snapshots_count:
      description: How many these are.
      type: int
      sample: 1
    notes:
      description: What is worth knowing and is no damage, such as packs of a backup that was stopped.
      type: list
      elements: str
      sample: []
    repair:
      description: What O(repair) did, or would do in check mode; V(null) without it.
      type: dict
      contains:
        changed:
          description: Whether there was anything to do.
          type: bool
          sample: true
        packs_indexed:
          description: Whole packs that the index did not name, or named wrongly.
          type: int
          sample: 0
        packs_missing:
          description: Packs that the index named and that are not there.
          type: list
          elements: str
          sample: []
        set_aside:
          description: Damaged packs and index files that were moved to C(granary/set-aside).
          type: list
          elements: str
          sample: [data/5f/5f1c9a6a7e1d3c3bd1f5f0a4a8a3b0d1c2e3f405162738495a6b7c8d9e0f1a2b]
        blobs_saved:
          description: Pieces of data that were stored again out of damaged packs.
          type: int
          sample: 16
        blobs_lost:
          description: Pieces of data that the index named and that cannot be read anywhere.
          type: int
          sample: 1
        index_merged:
          description: Whether small index files were merged.
          type: bool
          sample: false
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._ansible import argspec
from ..module_utils._ansible.face import failure, run_module
from ..module_utils._ansible.settings import check_request, storage_libraries
from ..module_utils._core.events import Events
from ..module_utils._workflows.repository_check import check_repository


def check(params: t.Mapping[str, t.Any], check_mode: bool, events: Events) -> dict[str, t.Any]:
    result = check_repository(check_request(params), events=events, check_mode=check_mode)
    damaged = result.failure()
    return {
        "changed": result.changed,
        "check": result.to_return(),
        **({} if damaged is None else failure(damaged)),
    }


def main() -> None:
    spec = argspec.repository().merge(argspec.repository_check())
    module = AnsibleModule(supports_check_mode=True, **spec.to_kwargs())
    run_module(module, check, storage_libraries(module.params))


if __name__ == "__main__":
    main()
