# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""What a server is: version, role, identity, room; and whether it can be served at all."""

from __future__ import annotations

import typing as t

from .._core.errors import RightsMissing, ServerUnsupported
from .connection import connect
from .model import ServerFacts
from .session import execute, fetch

if t.TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection

    from .model import ConnectionSettings

OLDEST_PARALLEL = 120000
OLDEST_PLAIN = 90600
NEWEST_MAJOR = 18
_POOLER_TRIES = 5

_LSN = """CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
               ELSE pg_current_wal_lsn() END::text"""
_LSN_BEFORE_10 = """CASE WHEN pg_is_in_recovery() THEN pg_last_xlog_replay_location()
                         ELSE pg_current_xlog_location() END::text"""

# NLOCKENTS and MaxBackends: storage/lmgr/lock.c, utils/init/postinit.c. Version 18 reserves
# autovacuum_worker_slots.
_FACTS = """
SELECT current_setting('server_version'), pg_is_in_recovery(), {lsn},
       r.rolname, r.rolsuper,
       has_table_privilege('pg_catalog.pg_authid', 'SELECT'),
       current_setting('max_locks_per_transaction')::int,
       current_setting('max_connections')::int,
       current_setting('max_prepared_transactions')::int,
       current_setting('max_connections')::int
         + coalesce(current_setting('autovacuum_worker_slots', true),
                    current_setting('autovacuum_max_workers'))::int + 1
         + current_setting('max_worker_processes')::int
         + current_setting('max_wal_senders')::int,
       current_setting('max_connections')::int
         - current_setting('superuser_reserved_connections')::int
         - coalesce(current_setting('reserved_connections', true), '0')::int
         - (SELECT count(*) FROM pg_stat_activity {clients}),
       CASE WHEN r.rolconnlimit >= 0
            THEN r.rolconnlimit
                 - (SELECT count(*) FROM pg_stat_activity WHERE usename = current_user)
       END
  FROM pg_roles r WHERE r.rolname = current_user"""
_SINCE_10 = 100000
_LAST_OLD_SCHEME = 9  # 9.6 is a major version; from 10 on the first number alone is


def read_server(conn: Connection) -> ServerFacts:
    """Ask the server for its facts; must not be called inside a transaction.

    Raises ``ServerUnsupported`` for a server older than 9.6.
    """
    version = conn.server_version
    if version < OLDEST_PLAIN:
        raise ServerUnsupported(_too_old(_shown(version)))
    sql = _FACTS.format(
        lsn=_LSN if version >= _SINCE_10 else _LSN_BEFORE_10,
        clients="WHERE backend_type = 'client backend'" if version >= _SINCE_10 else "",
    )
    row = fetch(conn, sql, "Could not ask the server what it is")[0]
    free = row[10] if row[11] is None else min(row[10], row[11])
    return ServerFacts(
        version_num=version,
        version=row[0].split(" ")[0],
        system_identifier=_system_identifier(conn),
        in_recovery=row[1],
        lsn=row[2] or "0/0",
        role=row[3],
        is_superuser=row[4],
        may_read_role_passwords=row[5],
        max_locks_per_transaction=row[6],
        max_connections=row[7],
        max_prepared_transactions=row[8],
        free_connections=max(0, int(free)),
        lock_table_entries=row[6] * (row[9] + row[8]),
    )


def _system_identifier(conn: Connection) -> str | None:
    # In a statement of its own: the right to call it is asked for before a CASE around it could
    # help.
    try:
        rows = fetch(conn, "SELECT system_identifier::text FROM pg_control_system()")
    except RightsMissing:
        return None
    return str(rows[0][0])


def read_lsn(conn: Connection) -> str:
    """Return where the write-ahead log stands: written on a primary, replayed on a standby."""
    lsn = _LSN if conn.server_version >= _SINCE_10 else _LSN_BEFORE_10
    return str(fetch(conn, f"SELECT {lsn}", "Could not read the log position")[0][0] or "0/0")


def check_supported(facts: ServerFacts, *, dump_format: str, allow_newer: bool = False) -> None:
    """Refuse a server that this format of backup, ``parallel`` or ``plain``, cannot serve.

    Raises ``ServerUnsupported``.
    """
    if facts.version_num < OLDEST_PLAIN:
        raise ServerUnsupported(_too_old(facts.version))
    if dump_format == "parallel" and facts.version_num < OLDEST_PARALLEL:
        raise ServerUnsupported(
            f"PostgreSQL {facts.version} can be backed up with format=plain only; "
            "format=parallel needs a server of version 12 or later.",
            version=facts.version,
        )
    if facts.major > NEWEST_MAJOR and not allow_newer:
        raise ServerUnsupported(
            f"PostgreSQL {facts.version} is newer than {NEWEST_MAJOR}, the newest version that was "
            "tested; set allow_newer_server=true to try it all the same.",
            version=facts.version,
        )


def _too_old(version: str) -> str:
    return (
        f"PostgreSQL {version} is too old: servers from 9.6 to {NEWEST_MAJOR} can be served, "
        "those before 12 with format=plain only."
    )


def _shown(version_num: int) -> str:
    major = version_num // 10000
    return f"{major}.{version_num // 100 % 100}" if major <= _LAST_OLD_SCHEME else str(major)


def refuse_pooler(conn: Connection, settings: ConnectionSettings) -> None:
    """Refuse a connection pooler that gives each transaction any server session.

    A pooler tells clients a process id of its own invention; only then a second connection looks
    whether two of ours, one inside a transaction, are handed the same sessions in turn. Pooling by
    session is let through.

    Raises ``ServerUnsupported``.
    """
    if conn.info.backend_pid == _backend_pid(conn):
        return
    other = connect(settings, conn.info.dbname)
    try:
        for dummy in range(_POOLER_TRIES):
            before = _backend_pid(conn)
            execute(other, "BEGIN")
            during = _backend_pid(other)
            # Asked only if need be: a pooler with room for one session would let us wait.
            shared = during == before or _backend_pid(conn) != before
            execute(other, "ROLLBACK")
            if shared:
                raise ServerUnsupported(
                    f"What answers at {settings.place} is a connection pooler in transaction mode, "
                    "through which no snapshot can be shared; name the server itself by login_host "
                    "and login_port, or set the pooler to session mode for this database."
                )
    finally:
        other.close()


def _backend_pid(conn: Connection) -> int:
    return int(fetch(conn, "SELECT pg_backend_pid()", "Could not ask for the server process")[0][0])
