#!/usr/bin/python
# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: repository
short_description: Make or remove a repository for PostgreSQL backups
description:
  - Makes a repository in the restic format, version 2, where there is none, and leaves an existing one as it is; or removes one.
  - Several hosts may run this task on the same empty place at once; one repository comes out of it.
  - Stock C(restic) can list, check, restore and prune what is in it.
version_added: 0.1.0
extends_documentation_fragment:
  - granary.postgres._attributes
  - granary.postgres._attributes.actiongroup_repository
  - granary.postgres._repository
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  state:
    description:
      - With V(present), the repository exists and opens with O(password).
      - With V(absent), it is removed, for which O(password) has to open it. It waits for others that work on it, as long as
        O(repository_lock_wait) says. Exactly what belongs to the repository is removed; when anything else is in its place, nothing is. The folder or
        bucket itself stays.
      - A removal that was interrupted is completed by the next one. What is left when no key is, such as C(config) alone, opens nothing any more, and
        is removed without asking for O(password).
      - Where a bucket keeps versions of objects, the old versions stay; its own rules remove them.
    type: str
    choices: [present, absent]
    default: present
  force:
    description: With O(state=absent), remove the snapshots too, if there are any. They are gone for good.
    type: bool
    default: false
  create_bucket:
    description: Make the bucket too, if there is none.
    type: bool
    default: false
seealso:
  - module: granary.postgres.repository_info
  - module: granary.postgres.backup
"""

EXAMPLES = r"""
- name: Keep backups in a folder
  granary.postgres.repository:
    backend:
      local:
        path: /var/backups/postgres
    password: "{{ backup_password }}"

- name: Keep backups in a bucket
  granary.postgres.repository:
    backend:
      s3:
        bucket: backups
        prefix: production/main
        endpoint: https://s3.example.com
    access_key: "{{ s3_access_key }}"
    secret_key: "{{ s3_secret_key }}"
    password: "{{ backup_password }}"
    create_bucket: true

- name: Remove a repository with all backups in it
  granary.postgres.repository:
    backend:
      s3:
        bucket: backups
        prefix: production/old
        endpoint: https://s3.example.com
    access_key: "{{ s3_access_key }}"
    secret_key: "{{ s3_secret_key }}"
    password: "{{ backup_password }}"
    state: absent
    force: true
"""

RETURN = r"""
repository:
  description: The repository that is there, or that was removed.
  returned: success
  type: dict
  contains:
    id:
      description: Its id; V(null) in check mode when there is no repository yet, and where there was none to remove.
      type: str
      sample: 5f1c9a6a7e1d3c3bd1f5f0a4a8a3b0d1c2e3f405162738495a6b7c8d9e0f1a2b
    version:
      description: The version of its format; V(null) where there was none to remove.
      type: int
      sample: 2
    location:
      description: Where it is.
      type: str
      sample: s3:https://s3.example.com/backups/production/main
removed:
  description: What went with the repository, all 0 where there was none.
  returned: with O(state=absent)
  type: dict
  contains:
    snapshots:
      description: How many snapshots.
      type: int
      sample: 14
    objects:
      description: How many files or objects of a bucket.
      type: int
      sample: 245
    stored_bytes:
      description: Their size.
      type: int
      sample: 3435973836
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._ansible import argspec
from ..module_utils._ansible.face import run_module
from ..module_utils._ansible.settings import repository_access, storage_libraries
from ..module_utils._core.events import Events
from ..module_utils._workflows.removal import remove_repository
from ..module_utils._workflows.repository import create_repository


def present(params: t.Mapping[str, t.Any], check_mode: bool, events: Events) -> dict[str, t.Any]:
    result = create_repository(
        repository_access(params),
        create_bucket=params["create_bucket"],
        check_mode=check_mode,
        events=events,
    )
    after = result.to_return()
    before = {} if result.changed else after
    return {
        "changed": result.changed,
        "repository": after,
        "diff": {"before": before, "after": after},
    }


def absent(params: t.Mapping[str, t.Any], check_mode: bool, events: Events) -> dict[str, t.Any]:
    result = remove_repository(
        repository_access(params), force=params["force"], check_mode=check_mode, events=events
    )
    return {"changed": result.changed, **result.to_return()}


def main() -> None:
    own = argspec.ArgumentSpec(
        options={
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "create_bucket": {"type": "bool", "default": False},
            "force": {"type": "bool", "default": False},
        }
    )
    spec = argspec.repository().merge(own)
    module = AnsibleModule(supports_check_mode=True, **spec.to_kwargs())
    action = absent if module.params["state"] == "absent" else present
    run_module(module, action, storage_libraries(module.params))


if __name__ == "__main__":
    main()
