#!/usr/bin/python
# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: restore
short_description: Restore PostgreSQL databases or tables from a repository
description:
  - Loads databases, or selected tables, from a snapshot into a server, large tables in parallel, and compares the rows with those that were backed up.
  - Restores snapshots of M(granary.postgres.backup), and those of C(pg_dump) or C(pg_dumpall) that stock C(restic) stored as C(dumpfile.sql).
  - A restore that met an error of the server is a failed restore.
  - While it is restored, a database carries the setting C(granary.restoring). A database that carries it is not whole.
version_added: 0.1.0
extends_documentation_fragment:
  - granary.postgres._attributes
  - granary.postgres._attributes.actiongroup_postgres
  - granary.postgres._postgres
  - granary.postgres._repository
attributes:
  check_mode:
    support: full
    details: Makes the whole plan, with all its refusals, and loads nothing.
  diff_mode:
    support: full
    details: Shows which databases and tables come into the server.
  idempotent:
    support: none
    details: A restore is always done anew.
options:
  snapshot:
    description: The id of a snapshot, its beginning, or V(latest).
    type: str
    default: latest
  host:
    description: The host whose snapshots V(latest) looks at. It may be left out where the repository holds one host.
    type: str
  databases:
    description: The databases to restore; all of the snapshot by default. V(latest) is then the newest snapshot that holds them all.
    type: list
    elements: str
  rename:
    description: New names for databases, from the name in the snapshot to the name in the server.
    type: dict
    default: {}
  tables:
    description:
      - Restore these tables alone, each as C(schema.table), with the sequences they own, defaults, constraints, indexes and triggers.
      - They come from the one database of the snapshot, or from the one that O(databases) names.
    type: list
    elements: str
  into:
    description:
      - An existing database that O(tables) are restored into.
      - For the snapshot of a plain SQL script of one database, the database that it is restored into.
    type: str
  rename_tables:
    description:
      - New names for O(tables), each as C(schema.table), from the name in the snapshot.
      - Under another name a table has columns, NOT NULL and rows alone.
    type: dict
    default: {}
  clean:
    description: Drop a target database that exists, and make it anew. Without it a target that holds anything is refused.
    type: bool
    default: false
  globals:
    description:
      - Whether roles and tablespaces that the snapshot holds, and the server does not, are made.
      - Roles that exist are left as they are. Does nothing with O(tables).
    type: bool
    default: true
  no_owner:
    description: Everything belongs to O(login_user) instead of its owner.
    type: bool
    default: false
  no_privileges:
    description: Leave out grants and revokes.
    type: bool
    default: false
  no_tablespaces:
    description: Put everything into the default tablespace.
    type: bool
    default: false
  jobs:
    description: How many connections load at the same time; the number of processors, at most 4, by default.
    type: int
seealso:
  - module: granary.postgres.backup
  - module: granary.postgres.repository_info
"""

EXAMPLES = r"""
- name: Restore the newest backup of a server into a new one
  granary.postgres.restore:
    backend:
      s3:
        bucket: backups
        prefix: production/main
        endpoint: https://s3.example.com
    password: "{{ backup_password }}"
    host: main
    login_host: new.example.com
    login_user: postgres
    login_password: "{{ database_password }}"

- name: Bring one table back beside the one in production
  granary.postgres.restore:
    backend:
      local:
        path: /var/backups/postgres
    password: "{{ backup_password }}"
    host: main
    databases: [shop]
    tables: [public.orders]
    into: shop
    rename_tables:
      public.orders: public.orders_of_yesterday
    login_unix_socket: /var/run/postgresql

- name: Restore a database under another name
  granary.postgres.restore:
    backend:
      local:
        path: /var/backups/postgres
    password: "{{ backup_password }}"
    host: main
    databases: [shop]
    rename:
      shop: shop_of_yesterday
    globals: false
    login_unix_socket: /var/run/postgresql
"""

RETURN = r"""
snapshot:
  description: The snapshot that was restored.
  returned: success
  type: dict
  contains:
    id:
      description: Its id in full.
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
      description: Its paths.
      type: list
      elements: str
      sample: [/postgres]
    tags:
      description: Its tags.
      type: list
      elements: str
      sample: [granary]
verified:
  description:
    - Whether the rows in the server were compared with those that were backed up, and are the same in number.
    - Always V(false) in check mode and for a plain SQL script, which says nothing of its rows.
  returned: success
  type: bool
  sample: true
restore:
  description: What was restored, or would be in check mode.
  returned: success
  type: dict
  contains:
    databases:
      description: The databases, in the order in which they are restored; empty for a plain SQL script.
      type: list
      elements: dict
      contains:
        database:
          description: Its name in the snapshot.
          type: str
          sample: shop
        target:
          description: Its name in the server.
          type: str
          sample: shop_of_yesterday
        action:
          description:
            - V(create) where the server had none of that name, V(replace) where it was dropped and made anew,
              V(fill) where it was there and empty, V(into) for tables that come into an existing one.
          type: str
          sample: create
        table_count:
          description: How many tables with rows of their own.
          type: int
          sample: 154
        rows:
          description: How many rows they hold.
          type: int
          sample: 7200345
        size_bytes:
          description: The size of their rows in the snapshot.
          type: int
          sample: 1503238553
        tables:
          description: The tables, by schema and name, at most 1,000.
          type: list
          elements: dict
          contains:
            schema:
              description: Its schema.
              type: str
              sample: public
            name:
              description: Its name.
              type: str
              sample: orders
            rows:
              description: How many rows; V(null) where the rows were left out of the backup.
              type: int
              sample: 120000
    globals:
      description: Whether roles and tablespaces that the server lacks are made.
      type: bool
      sample: true
    missing_roles:
      description: The roles that the server lacked.
      type: list
      elements: str
      sample: [shopper]
    missing_tablespaces:
      description: The tablespaces that the server lacked.
      type: list
      elements: str
      sample: []
    renamed_tables:
      description: The tables of O(rename_tables), each with C(table), C(target) and C(rows).
      returned: with O(tables)
      type: list
      elements: dict
      sample:
        - table: public.orders
          target: public.orders_of_yesterday
          rows: 120000
    new_schemas:
      description: The schemas that were made for the tables.
      returned: with O(tables)
      type: list
      elements: str
      sample: []
    foreign_keys_left_out:
      description: The foreign keys that were left out, since what they point to is not there.
      returned: with O(tables)
      type: list
      elements: str
      sample: []
    database:
      description: The database that psql connected to.
      returned: for a plain SQL script
      type: str
      sample: shop
stats:
  description: What was loaded.
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
      description: How many rows.
      type: int
      sample: 7200345
    read_bytes:
      description: How many bytes were loaded into the server.
      type: int
      sample: 1503238553
    unchanged_bytes:
      description: V(0), a restore skips nothing.
      type: int
      sample: 0
    stored_bytes:
      description: V(0), a restore stores nothing in the repository.
      type: int
      sample: 0
    new_blobs:
      description: V(0), as RV(stats.stored_bytes).
      type: int
      sample: 0
    duration_seconds:
      description: How long it took.
      type: float
      sample: 23.6
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
from ..module_utils._workflows.requests import RestoreRequest
from ..module_utils._workflows.restore import run_restore


def load(params: t.Mapping[str, t.Any], check_mode: bool, events: Events) -> dict[str, t.Any]:
    request = RestoreRequest(
        repository=repository_access(params),
        connection=connection_settings(params),
        **{name: params[name] for name in argspec.restore().options},
        bin_dir=params["bin_dir"],
    )
    result = run_restore(request, events=events, check_mode=check_mode)
    return {"changed": True, **result.to_return()}


def main() -> None:
    spec = argspec.repository().merge(argspec.postgres()).merge(argspec.restore())
    module = AnsibleModule(supports_check_mode=True, **spec.to_kwargs())
    run_module(module, load, ("psycopg2", *storage_libraries(module.params)))


if __name__ == "__main__":
    main()
