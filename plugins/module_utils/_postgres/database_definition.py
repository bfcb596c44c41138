# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""A database's own properties: read from any server, and laid back under any name.

``pg_restore --create`` cannot rename, so we make databases ourselves, with everything that
``pg_dump --create`` says. Rows and definitions inside a database are no business of this module.
"""

from __future__ import annotations

import typing as t

from .._core.errors import DatabaseMissing, ServerUnsupported
from .manifest import AclEntry, DatabaseDefinition, LabelEntry, SettingEntry
from .session import fetch, session_text
from .target import RESTORING

if t.TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection

    from .quoting import SessionText

_PROVIDERS = {"c": "libc", "i": "icu", "b": "builtin"}
_PROVIDER_SINCE = 15
# The first major that can make a database of the provider.
_PROVIDERS_SINCE = {"libc": 0, "icu": 15, "builtin": 17}
_ICU_RULES_SINCE = 16
_LOCALE_SINCE = 17

# Settings whose value is a list of quoted names (variable_is_guc_list_quote in
# src/bin/pg_dump/dumputils.c): as one literal they would mean one name.
_LISTS = {
    "local_preload_libraries",
    "search_path",
    "session_preload_libraries",
    "shared_preload_libraries",
    "temp_tablespaces",
    "unix_socket_directories",
}
# Settings that could stop a session of the restore, or change who it is: they come last.
_AFTER_LOAD = {
    "default_transaction_deferrable",
    "default_transaction_isolation",
    "default_transaction_read_only",
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
    "local_preload_libraries",
    "lock_timeout",
    "role",
    "row_security",
    "session_preload_libraries",
    "session_replication_role",
    "statement_timeout",
    "transaction_timeout",
}


def read_definition(conn: Connection, name: str) -> DatabaseDefinition:
    """Read how a database of this server is made; ``conn`` may be to any database.

    Raises ``DatabaseMissing``.
    """
    literal = session_text(conn).literal(name)
    rows = fetch(conn, _definition_query(conn.info.server_version // 10000) + literal)
    if not rows:
        raise DatabaseMissing(
            f"Database {name!r} does not exist any more; run the task again.", database=name
        )
    (oid, owner, encoding, provider, collate, ctype, locale, rules, version, *rest) = rows[0]
    tablespace, limit, allows, is_template, has_acl, comment = rest
    return DatabaseDefinition(
        name=name,
        owner=owner,
        encoding=encoding,
        locale_provider=_PROVIDERS.get(provider, str(provider)),
        collate=collate,
        ctype=ctype,
        locale=locale,
        icu_rules=rules,
        collation_version=version,
        tablespace=tablespace,
        connection_limit=limit,
        allow_connections=allows,
        is_template=is_template,
        acl=_read_acl(conn, oid) if has_acl else None,
        settings=_read_settings(conn, oid),
        comment=comment,
        labels=_read_labels(conn, oid),
    )


def create_statements(
    definition: DatabaseDefinition,
    new_name: str,
    target_major: int,
    *,
    text: SessionText,
    no_owner: bool = False,
    no_privileges: bool = False,
    no_tablespaces: bool = False,
) -> list[bytes]:
    """Return what makes the empty database, in order, each to be run outside of a transaction.

    ``text`` is the encoding of the session that runs them. Whatever could hinder the load (limits,
    a read-only default) is left to ``finish_statements``.

    Raises ``ServerUnsupported`` when the target does not know the locale provider.
    """
    parts = [b"CREATE DATABASE", text.identifier(new_name), b"WITH TEMPLATE = template0"]
    if not no_owner:
        parts.append(b"OWNER = " + text.identifier(definition.owner))
    parts.append(b"ENCODING = " + text.literal(definition.encoding))
    parts += _locale_clauses(definition, target_major, text)
    if not no_tablespaces:
        parts.append(b"TABLESPACE = " + text.identifier(definition.tablespace))
    return [b" ".join(parts), *early_statements(definition, new_name, text, no_privileges)]


def early_statements(
    definition: DatabaseDefinition, new_name: str, text: SessionText, no_privileges: bool
) -> list[bytes]:
    """Return what gives a database its rights and its harmless settings, before the load."""
    statements = [] if no_privileges else _acl_statements(definition, new_name, text)
    before, dummy = _split_settings(definition.settings)
    return statements + [_setting_statement(setting, new_name, text) for setting in before]


def finish_statements(
    definition: DatabaseDefinition, new_name: str, *, text: SessionText
) -> list[bytes]:
    """Return what is due once the database is loaded: the rest of its settings, comment, limits."""
    database = text.identifier(new_name)
    dummy, after = _split_settings(definition.settings)
    statements = [_setting_statement(setting, new_name, text) for setting in after]
    if definition.comment is not None:
        statements.append(
            b"COMMENT ON DATABASE %b IS %b" % (database, text.literal(definition.comment))
        )
    statements += [
        b"SECURITY LABEL FOR %b ON DATABASE %b IS %b"
        % (text.identifier(label.provider), database, text.literal(label.label))
        for label in definition.labels
    ]
    if definition.connection_limit != -1:
        limit = str(definition.connection_limit).encode()
        statements.append(b"ALTER DATABASE %b CONNECTION LIMIT = %b" % (database, limit))
    if definition.is_template:
        statements.append(b"ALTER DATABASE %b IS_TEMPLATE = true" % database)
    if not definition.allow_connections:
        statements.append(b"ALTER DATABASE %b ALLOW_CONNECTIONS = false" % database)
    return statements


def _definition_query(major: int) -> bytes:
    provider = "d.datlocprovider" if major >= _PROVIDER_SINCE else "'c'"
    version = "d.datcollversion" if major >= _PROVIDER_SINCE else "NULL"
    rules = "d.daticurules" if major >= _ICU_RULES_SINCE else "NULL"
    locale = "NULL"
    if major >= _PROVIDER_SINCE:
        locale = "d.datlocale" if major >= _LOCALE_SINCE else "d.daticulocale"
    return f"""
SELECT d.oid, pg_catalog.pg_get_userbyid(d.datdba), pg_catalog.pg_encoding_to_char(d.encoding),
       {provider}::text, d.datcollate, d.datctype, {locale}::text, {rules}::text, {version}::text,
       s.spcname, d.datconnlimit, d.datallowconn, d.datistemplate, d.datacl IS NOT NULL,
       pg_catalog.shobj_description(d.oid, 'pg_database')
  FROM pg_catalog.pg_database d JOIN pg_catalog.pg_tablespace s ON s.oid = d.dattablespace
 WHERE d.datname = """.encode()


def _read_acl(conn: Connection, oid: int) -> tuple[AclEntry, ...]:
    rows = fetch(
        conn,
        f"""
SELECT CASE WHEN a.grantee <> 0 THEN pg_catalog.pg_get_userbyid(a.grantee) END,
       pg_catalog.pg_get_userbyid(a.grantor), a.privilege_type, a.is_grantable
  FROM pg_catalog.pg_database d,
       pg_catalog.aclexplode(d.datacl) WITH ORDINALITY
         AS a(grantor, grantee, privilege_type, is_grantable, place)
 WHERE d.oid = {oid} ORDER BY a.place""",
    )
    grouped: dict[tuple[str | None, str, bool], list[str]] = {}
    for grantee, grantor, privilege, grantable in rows:
        grouped.setdefault((grantee, grantor, grantable), []).append(privilege)
    return tuple(
        AclEntry(grantee, grantor, tuple(privileges), grantable)
        for (grantee, grantor, grantable), privileges in grouped.items()
    )


def _read_settings(conn: Connection, oid: int) -> tuple[SettingEntry, ...]:
    rows = fetch(
        conn,
        f"""
SELECT CASE WHEN r.setrole <> 0 THEN pg_catalog.pg_get_userbyid(r.setrole) END, s.setting
  FROM pg_catalog.pg_db_role_setting r,
       pg_catalog.unnest(r.setconfig) WITH ORDINALITY AS s(setting, place)
 WHERE r.setdatabase = {oid} ORDER BY r.setrole <> 0, 1, s.place""",
    )
    pairs = ((role, *setting.partition("=")) for role, setting in rows)
    return tuple(
        SettingEntry(role, name, value)
        for role, name, dummy_sign, value in pairs
        if name != RESTORING
    )


def _read_labels(conn: Connection, oid: int) -> tuple[LabelEntry, ...]:
    rows = fetch(
        conn,
        "SELECT provider, label FROM pg_catalog.pg_shseclabel WHERE objoid = "
        f"{oid} AND classoid = 'pg_catalog.pg_database'::pg_catalog.regclass ORDER BY provider",
    )
    return tuple(LabelEntry(provider, label) for provider, label in rows)


def _locale_clauses(
    definition: DatabaseDefinition, target_major: int, text: SessionText
) -> list[bytes]:
    provider = definition.locale_provider
    since = _PROVIDERS_SINCE.get(provider)
    if since is None or target_major < since:
        raise ServerUnsupported(
            f"Database {definition.name!r} has the locale provider {provider}, which PostgreSQL "
            f"{target_major} does not know; restore into a newer server.",
            database=definition.name,
        )
    clauses = [
        b"LC_COLLATE = " + text.literal(definition.collate),
        b"LC_CTYPE = " + text.literal(definition.ctype),
    ]
    # Without it a new database has the provider of template0, which may be another one.
    if target_major >= _PROVIDER_SINCE:
        clauses.append(b"LOCALE_PROVIDER = " + provider.encode())
    if definition.locale is not None and provider in {"icu", "builtin"}:
        clauses.append(provider.encode() + b"_LOCALE = " + text.literal(definition.locale))
    if definition.icu_rules is not None:
        clauses.append(b"ICU_RULES = " + text.literal(definition.icu_rules))
    return clauses


def _acl_statements(
    definition: DatabaseDefinition, new_name: str, text: SessionText
) -> list[bytes]:
    if definition.acl is None:
        return []
    database = text.identifier(new_name)
    statements = [
        b"REVOKE ALL ON DATABASE %b FROM PUBLIC" % database,
        b"REVOKE ALL ON DATABASE %b FROM %b" % (database, text.identifier(definition.owner)),
    ]
    # What the owner gave comes first: it is by his grant options that others gave the rest.
    for entry in sorted(definition.acl, key=lambda entry: entry.grantor != definition.owner):
        grantee = b"PUBLIC" if entry.grantee is None else text.identifier(entry.grantee)
        grant = b"GRANT %b ON DATABASE %b TO %b" % (
            ", ".join(entry.privileges).encode(),
            database,
            grantee,
        )
        if entry.grantable:
            grant += b" WITH GRANT OPTION"
        if entry.grantor == definition.owner:
            statements.append(grant)
        else:
            role = b"SET ROLE " + text.identifier(entry.grantor)
            statements += [role, grant, b"RESET ROLE"]
    return statements


def _split_settings(
    settings: tuple[SettingEntry, ...],
) -> tuple[list[SettingEntry], list[SettingEntry]]:
    """Split into what may be set before the load and what comes after it.

    Whatever stands behind a setting that must wait waits too: the server keeps the order.
    """
    before: list[SettingEntry] = []
    after: list[SettingEntry] = []
    waiting: set[str | None] = set()
    for setting in settings:
        if setting.name.lower() in _AFTER_LOAD:
            waiting.add(setting.role)
        (after if setting.role in waiting else before).append(setting)
    return before, after


def _setting_statement(setting: SettingEntry, new_name: str, text: SessionText) -> bytes:
    database = text.identifier(new_name)
    if setting.role is None:
        whose = b"ALTER DATABASE " + database
    else:
        whose = b"ALTER ROLE %b IN DATABASE %b" % (text.identifier(setting.role), database)
    values = [setting.value]
    if setting.name.lower() in _LISTS:
        values = split_list(setting.value)
    value = b", ".join(map(text.literal, values))
    return b"%b SET %b TO %b" % (whose, text.identifier(setting.name), value)


def split_list(value: str) -> list[str]:
    """Return the names in a list such as ``"$user", public`` (SplitGUCList in dumputils.c)."""
    names, rest = [], value.strip()
    while rest:
        if rest.startswith('"'):
            name, rest = _quoted_name(rest[1:])
        else:
            name, comma, rest = rest.partition(",")
            name, rest = name.strip(), comma + rest
        names.append(name)
        rest = rest.strip().removeprefix(",").strip()
    return names or [""]


def _quoted_name(rest: str) -> tuple[str, str]:
    """Split after the closing quote; a doubled quote inside stands for one."""
    name = ""
    while True:
        part, dummy, rest = rest.partition('"')
        name += part
        if not rest.startswith('"'):
            return name, rest
        name, rest = name + '"', rest[1:]
