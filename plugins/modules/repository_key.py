#!/usr/bin/python
# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: repository_key
short_description: Manage the passwords of a repository of PostgreSQL backups
description:
  - Adds a password to a repository in the restic format, removes one, changes one, or lists the keys that there are.
  - A repository has one master key, which everything in it is encrypted with, and a key file for each password, which holds a copy of the master key
    that this password opens.
  - Removing a key does not revoke it. Who has read the repository with a password may have kept a copy of its key file, or of the master key, and can
    read all of the repository, what is added later included, for as long as he can reach it. To lock somebody out, take his access to the storage
    away, or make a new repository and back up into that.
  - The key that O(password) opens is never removed, and so never the last one; O(replace) exchanges it, and writes the new one first.
  - Works under an exclusive lock when it changes something, so it waits for backups to end.
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
    details:
      - Adding a password that opens the repository already changes nothing, nor does removing a key that is not there.
      - With O(replace), a second run with the same O(password) changes nothing although that one opens the repository no more, because O(key_password)
        does.
options:
  state:
    description:
      - With V(present), O(key_password) opens the repository; without one nothing is changed, and the keys are listed.
      - With V(absent), there is no key that O(key_password) opens, or whose id begins with O(key_id).
    type: str
    choices: [present, absent]
    default: present
  key_password:
    description: The password of the key that is to be there or to go, which need not be O(password).
    type: str
  key_id:
    description: The id of the key that is to go, or its beginning if no other id begins so.
    type: str
  replace:
    description:
      - Remove every key that O(password) opens once O(key_password) opens the repository. That changes the password.
      - A run that is killed leaves at least one of the two, and the next one completes it.
    type: bool
    default: false
notes:
  - There are at most 20 keys, since restic reads no more.
seealso:
  - module: granary.postgres.repository
"""

EXAMPLES = r"""
- name: Let a second password open the repository
  granary.postgres.repository_key:
    backend:
      local:
        path: /var/backups/postgres
    password: "{{ backup_password }}"
    key_password: "{{ second_password }}"

- name: Which keys are there
  granary.postgres.repository_key:
    backend:
      local:
        path: /var/backups/postgres
    password: "{{ backup_password }}"

- name: Remove the second password
  granary.postgres.repository_key:
    backend:
      local:
        path: /var/backups/postgres
    password: "{{ backup_password }}"
    state: absent
    key_password: "{{ second_password }}"

- name: Change the password
  granary.postgres.repository_key:
    backend:
      local:
        path: /var/backups/postgres
    password: "{{ backup_password }}"
    key_password: "{{ next_password }}"
    replace: true
"""

RETURN = r"""
repository_keys:
  description: The keys as they are after the task, by id.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: The key's id; V(null) in check mode for one that would be added.
      type: str
      sample: 3b7e9d1c5f02a4b6c8d0e2f41638507a9bbcddee0f1122334455667788990011
    created:
      description: When it was made, as its maker wrote it, or V(null).
      type: str
      sample: "2026-11-22T03:00:00.123456+00:00"
    host:
      description: Where it was made, as its maker wrote it, or V(null).
      type: str
      sample: db1
    username:
      description: Who made it, as its maker wrote it, or V(null).
      type: str
      sample: postgres
    current:
      description: Whether it is the one that opens the repository for this task, or, after O(replace), the one in its place.
      type: bool
      sample: true
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._ansible import argspec
from ..module_utils._ansible.face import run_module
from ..module_utils._ansible.settings import key_request, storage_libraries
from ..module_utils._core.events import Events
from ..module_utils._workflows.keys import change_keys


def change(params: t.Mapping[str, t.Any], check_mode: bool, events: Events) -> dict[str, t.Any]:
    result = change_keys(key_request(params), events=events, check_mode=check_mode)
    return {"changed": result.changed, **result.to_return()}


def main() -> None:
    spec = argspec.repository().merge(argspec.repository_key())
    module = AnsibleModule(supports_check_mode=True, **spec.to_kwargs())
    run_module(module, change, storage_libraries(module.params))


if __name__ == "__main__":
    main()
