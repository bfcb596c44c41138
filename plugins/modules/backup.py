#!/usr/bin/python
# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: backup
short_description: Back up PostgreSQL databases into a repository
description:
  - Reads databases at one moment each, large tables in parallel and in parts, straight into a repository in the restic format.
  - A snapshot appears only when everything was read, counted, stored and indexed. A backup that failed leaves no snapshot.
  - No scratch disk is needed. What did not change since an earlier backup is not stored again.
version_added: 0.1.0
extends_documentation_fragment:
  - granary.postgres._attributes
  - granary.postgres._attributes.actiongroup_postgres
  - granary.postgres._postgres
  - granary.postgres._repository
attributes:
  check_mode:
    support: full
    details: Looks at server, rights and repository, and says what would be read.
  diff_mode:
    support: none
  idempotent:
    support: none
    details: Every run makes a snapshot.
options:
  host:
    description:
      - The name of the server in the repository. What is kept by a retention policy and what V(latest) means goes by it.
      - Two servers in one repository must have different ones.
    type: str
    required: true
  databases:
    description: The databases; all that allow connections and are no templates by default.
    type: list
    elements: str
  exclude_tables:
    description:
      - Tables, each as C(schema.table), whose rows are left out, of a partitioned table those of all partitions. Their definitions are kept.
      - Foreign keys into such a table are left out on restore.
    type: list
    elements: str
    default: []
  globals:
    description:
      - Whether roles and tablespaces are backed up.
      - Passwords of roles are part of it only where O(login_user) may read them; the result says so where not.
    type: bool
    default: true
  jobs:
    description: How many connections read at the same time; the number of processors, at most 4, by default.
    type: int
  compression:
    description: V(auto) is zstd's level 1, which rows shrink by as much as by level 3, in half the time; V(max) is its level 9.
    type: str
    choices: [auto, max, 'off']
    default: auto
  tags:
    description: Tags of the snapshot, besides V(granary).
    type: list
    elements: str
    default: []
  format:
    description:
      - V(parallel) stores archives and the rows of large tables. It serves servers of version 12 and later.
      - V(plain) stores one SQL script as C(pg_dumpall) or C(pg_dump) writes it. It serves servers of version 9.6 and later.
    type: str
    choices: [parallel, plain]
    default: parallel
  dump_args:
    description: Arguments for C(pg_dump) or C(pg_dumpall), with O(format=plain) alone.
    type: list
    elements: str
    default: []
  lock_timeout:
    description:
      - For how many seconds to wait for a table that somebody else has locked.
      - After such a wait, and when a table was made, dropped or rewritten meanwhile, the backup locks all tables anew.
        It does so 10 times, and more often only as long as this time is not over.
    type: int
    default: 60
  yield_after:
    description:
      - Give up, without a snapshot, when somebody has waited for so many seconds behind a table lock of the backup.
      - By default the backup goes on, and what waits runs when it ends.
    type: int
  segment_threshold:
    description:
      - Rows of tables larger than this are read in parallel; V(0) is every table that can be read so.
      - The rows of smaller tables are in one archive.
    type: bytes
    default: 8MB
  pack_size:
    description: The size of the repository's pack files.
    type: bytes
    default: 16MB
  skip_unchanged:
    description:
      - Do not read rows again that the server shows to be as they were in the newest snapshot of O(host).
        The new snapshot then names what that one stored, and is as whole as any other.
      - They are told by the numbers of the transactions that made them, a range of pages at a time, which takes the
        server about a twentieth of the work of reading them.
      - Everything is read again after the server started or recovered from a crash, from a standby, from servers before
        version 14, and of tables with a column whose text other objects shape, such as C(regclass), C(money), composite
        types and types of extensions.
      - Make one backup without it when memory and disks of the server were set back together to an earlier moment, as
        the snapshots of a virtual machine can do. The server cannot notice that.
    type: bool
    default: false
  accept_warnings:
    description: Make a snapshot even when C(pg_dump) warned that it left something out, such as subscriptions that O(login_user) may not read.
    type: bool
    default: false
  new_system:
    description: Accept that O(host) is another database system than the one in its newest snapshot.
    type: bool
    default: false
  allow_newer_server:
    description: Try a server of a major version newer than the ones tested.
    type: bool
    default: false
requirements:
  - pyfastcdc
seealso:
  - module: granary.postgres.restore
  - module: granary.postgres.repository
"""

EXAMPLES = r"""
- name: Back up all databases of a server
  granary.postgres.backup:
    backend:
      s3:
        bucket: backups
        prefix: production/main
        endpoint: https://s3.example.com
    password: "{{ backup_password }}"
    host: main
    login_host: db.example.com
    login_user: backup
    login_password: "{{ database_password }}"
    ssl_mode: verify-full

- name: Back up one database without the rows of a log, and let migrations go first
  granary.postgres.backup:
    backend:
      local:
        path: /var/backups/postgres
    password: "{{ backup_password }}"
    host: main
    databases: [shop]
    exclude_tables: [public.access_log]
    yield_after: 30
    login_unix_socket: /var/run/postgresql
"""

RETURN = r"""
snapshot:
  description: The snapshot.
  returned: success
  type: dict
  contains:
    id:
      description: Its id in full; V(null) in check mode.
      type: str
      sample: 0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0
    time:
      description: When it was made (RFC 3339, UTC); V(null) in check mode.
      type: str
      sample: "2026-11-22T03:00:00.123456789Z"
    host:
      description: The value of O(host).
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
stats:
  description: What was read and stored.
  returned: success
  type: dict
  contains:
    databases:
      description: How many databases.
      type: int
      sample: 2
    tables:
      description: How many tables with rows of their own.
      type: int
      sample: 154
    rows:
      description: How many rows, as the server counted them.
      type: int
      sample: 7200345
    read_bytes:
      description: How many bytes the server sent.
      type: int
      sample: 1503238553
    unchanged_bytes:
      description: How many bytes of rows were not read again, with O(skip_unchanged=true).
      type: int
      sample: 0
    stored_bytes:
      description: How many bytes were added to the repository's packs.
      type: int
      sample: 40894464
    new_blobs:
      description: How many pieces of data the repository did not hold before.
      type: int
      sample: 97
    duration_seconds:
      description: How long it took.
      type: float
      sample: 6.2
dump_warnings:
  description: Every warning of C(pg_dump) and C(pg_dumpall).
  returned: success
  type: list
  elements: str
  sample: []
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._ansible import argspec
from ..module_utils._ansible.face import run_module
from ..module_utils._ansible.settings import (
    connection_settings,
    repository_access,
    storage_libraries,
)
from ..module_utils._core.events import Events
from ..module_utils._workflows.backup import run_backup
from ..module_utils._workflows.requests import BackupRequest


def back_up(params: t.Mapping[str, t.Any], check_mode: bool, events: Events) -> dict[str, t.Any]:
    request = BackupRequest(
        repository=repository_access(params),
        connection=connection_settings(params),
        **{name: params[name] for name in argspec.backup().options},
        bin_dir=params["bin_dir"],
    )
    result = run_backup(request, events=events, check_mode=check_mode)
    return {"changed": True, **result.to_return()}


def main() -> None:
    spec = argspec.repository().merge(argspec.postgres()).merge(argspec.backup())
    module = AnsibleModule(supports_check_mode=True, **spec.to_kwargs())
    run_module(module, back_up, ("psycopg2", "pyfastcdc", *storage_libraries(module.params)))


if __name__ == "__main__":
    main()
