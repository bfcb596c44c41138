# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""What the engine knows of a server, its databases and their tables: plain data, no connection.

Names of database objects are ``str`` here. Where the server's bytes are not valid in the session's
encoding they carry surrogate escapes, so that every name can be turned back into exactly its bytes
(see ``quoting.SessionText``).
"""

from __future__ import annotations

import dataclasses
import typing as t

if t.TYPE_CHECKING:
    from .._core.redaction import Secret

PAGE_BYTES = 8192
APPLICATION_NAME = "granary"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionSettings:
    """Where the server is and who we are; ``None`` leaves a field to libpq's environment.

    ``application_name`` is what the server calls our sessions; those of client programs have a word
    more.
    """

    host: str | None = None
    port: int | None = None
    user: str | None = None
    password: Secret | None = None
    unix_socket: str | None = None
    dbname: str | None = None
    ssl_mode: str | None = None
    ca_cert: str | None = None
    ssl_cert: str | None = None
    ssl_key: str | None = None
    connect_timeout_seconds: int = 15
    application_name: str = APPLICATION_NAME

    @property
    def place(self) -> str:
        """The server as messages name it."""
        where = self.unix_socket or self.host or "the default host"
        return f"{where}, port {self.port}" if self.port else where


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ServerFacts:
    """What one connection says of its server; ``lsn`` is that of the moment of asking.

    ``system_identifier`` is ``None`` where the role may not call ``pg_control_system()``.
    ``lock_table_entries`` is how many objects the server's shared lock table is made for
    (storage/lmgr/lock.c, NLOCKENTS).
    """

    version_num: int
    version: str
    system_identifier: str | None
    in_recovery: bool
    lsn: str
    role: str
    is_superuser: bool
    may_read_role_passwords: bool
    max_locks_per_transaction: int
    max_connections: int
    max_prepared_transactions: int
    free_connections: int
    lock_table_entries: int

    @property
    def major(self) -> int:
        """The major version; 9 for 9.6."""
        return self.version_num // 10000


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """One row of pg_database, as far as the choice of databases needs it."""

    oid: int
    name: str
    encoding: str
    is_template: bool
    allows_connections: bool
    may_connect: bool


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PartitionRoot:
    """The topmost partitioned table above a leaf.

    ``strategies`` are those of every level from the root down to the leaf's parent: ``hash``,
    ``list`` or ``range``. ``sorts_text`` says that one of the levels is a range of a type that a
    collation sorts.
    """

    schema: str
    name: str
    strategies: tuple[str, ...]
    sorts_text: bool = False

    @property
    def moves_rows(self) -> bool:
        """Whether a row may belong to another leaf in another database.

        Hashes of enums and texts differ, and what lies between two texts depends on the locale.
        Lists are compared by equality, and other types sort alike everywhere.
        """
        return "hash" in self.strategies or self.sorts_text


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A relation that can hold or stand for rows.

    ``kind`` is pg_class.relkind: ``r`` table, ``p`` partitioned table, ``m`` materialized view,
    ``f`` foreign table. ``persistence`` is ``p`` permanent, ``u`` unlogged. ``columns`` are those
    that COPY can write (not generated), in the order of their numbers; ``column_count`` counts the
    generated ones too. ``extension`` names the extension that the table is a member of;
    ``is_extension_config`` says that pg_dump dumps rows of it all the same. ``size_bytes`` is
    ``pg_table_size``: heap with its maps and TOAST, no indexes. ``pages`` counts the heap's main
    fork, ``toast_bytes`` the TOAST table's. ``row_security`` says that policies apply to the
    connecting role. ``parent`` is the oid of the partitioned table right above a partition.
    """

    oid: int
    schema: str
    name: str
    kind: str
    persistence: str
    access_method: str | None
    file_node: int
    extension: str | None
    is_extension_config: bool
    size_bytes: int
    pages: int
    toast_bytes: int
    columns: tuple[str, ...]
    column_count: int
    is_leaf: bool
    root: PartitionRoot | None
    inherits: bool
    row_security: bool
    index_count: int
    parent: int | None = None

    @property
    def key(self) -> tuple[str, str]:
        """Schema and name: how a table is found across servers."""
        return (self.schema, self.name)

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TableFile:
    """A table as the search for changes needs it: name and file, read without a lock.

    ``parent`` is the oid of the partitioned table right above a partition.
    """

    oid: int
    schema: str
    name: str
    file_node: int
    index_count: int
    parent: int | None = None

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"
