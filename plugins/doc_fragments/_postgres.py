# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Twin of ``postgres()`` in ``plugins/module_utils/_ansible/argspec.py``."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  login_host:
    description:
      - The host of the server, from E(PGHOST) by default.
      - Without one, the server is reached by its Unix-domain socket.
    type: str
  login_port:
    description: The port of the server, from E(PGPORT) by default, else 5432.
    type: int
  login_user:
    description:
      - The role to log in as, from E(PGUSER) by default, else the name of the user who runs the task.
      - A role that is a member of C(pg_read_all_data) can back up databases that use neither row security nor large objects.
    type: str
  login_password:
    description: The password of O(login_user), from E(PGPASSWORD) or libpq's password file by default.
    type: str
  login_unix_socket:
    description: The folder of the server's Unix-domain socket; O(login_host) does not count then.
    type: path
  login_db:
    description: The database to connect to for what concerns the whole server, from E(PGDATABASE) by default, else V(postgres).
    type: str
  ssl_mode:
    description:
      - Whether the connection is encrypted and what is verified of the server's certificate, from E(PGSSLMODE) by default.
      - V(verify-full) is the one that also proves that the server is the one named by O(login_host).
    type: str
    choices: [disable, allow, prefer, require, verify-ca, verify-full]
  ca_cert:
    description: A file of certificate authorities that the server's certificate is verified with, from E(PGSSLROOTCERT) by default.
    type: path
  ssl_cert:
    description: A file with the client's certificate, from E(PGSSLCERT) by default.
    type: path
  ssl_key:
    description: A file with the key of O(ssl_cert), from E(PGSSLKEY) by default.
    type: path
  bin_dir:
    description:
      - The folder with PostgreSQL's client programs (C(pg_dump), C(pg_dumpall), C(pg_restore), C(psql)).
      - By default they are searched on the E(PATH) and in the folders where Debian's and PostgreSQL's own packages put them.
    type: path
requirements:
  - psycopg2
  - PostgreSQL's client programs, no older than the server
"""
