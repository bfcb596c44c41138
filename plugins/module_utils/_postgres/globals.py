# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""Roles and tablespaces: what globals.sql defines, and the part of it that a target still lacks.

A restore adds; it never changes a role that is there, least of all the password of its own. The
script is filtered as text and runs through psql, because newer ones hold psql commands.
"""

from __future__ import annotations

import dataclasses
import re
import typing as t

from .._core.errors import RepositoryDamaged
from .manifest import TablespaceEntry
from .quoting import SessionText
from .sql_text import (
    IDENTIFIER,
    LITERAL,
    body,
    split_statements,
    unquote_identifier,
    unquote_literal,
)

if t.TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

_ENCODING = re.compile(rb"SET client_encoding = '([A-Za-z0-9_]+)';")
_ROLE = re.compile(
    rb"(?:(CREATE) ROLE|ALTER ROLE|COMMENT ON ROLE|SECURITY LABEL FOR %b ON ROLE)\s+(%b)"
    % (IDENTIFIER, IDENTIFIER)
)
_MEMBERSHIP = re.compile(
    rb"GRANT (%b) TO (%b)(?P<options> WITH [^\"]*?)?(?P<grantor> GRANTED BY %b)?;"
    % (IDENTIFIER, IDENTIFIER, IDENTIFIER)
)
# The order of the options is pg_dumpall's.
_NO_INHERIT = re.compile(rb"\s+WITH \w+ NOINHERIT\b")
_TABLESPACE = re.compile(
    rb"(?:(CREATE) TABLESPACE|ALTER TABLESPACE|COMMENT ON TABLESPACE"
    rb"|SECURITY LABEL FOR %b ON TABLESPACE|(?:GRANT|REVOKE)\b[^\"]*? ON TABLESPACE)\s+(%b)"
    % (IDENTIFIER, IDENTIFIER)
)
_LOCATION = re.compile(rb"\sLOCATION\s+(%b)\s*;" % LITERAL)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Globals:
    """The names that a globals.sql makes, in its order."""

    roles: tuple[str, ...]
    tablespaces: tuple[TablespaceEntry, ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class GlobalsPlan:
    """What is to be run of a globals.sql, and what that makes.

    ``script`` is for psql. The roles and tablespaces of ``kept_*`` exist and stay as they are.
    ``widened`` are memberships, as ``member in role``, that lost an ``INHERIT FALSE`` or ``SET
    FALSE``: the member may do more than in the source.
    """

    script: bytes
    new_roles: tuple[str, ...]
    kept_roles: tuple[str, ...]
    new_tablespaces: tuple[TablespaceEntry, ...]
    kept_tablespaces: tuple[TablespaceEntry, ...]
    widened: tuple[str, ...] = ()


def read_globals(script: bytes) -> Globals:
    """Return what the script makes."""
    text = _text_of(script)
    roles: list[str] = []
    tablespaces: list[TablespaceEntry] = []
    for statement in map(body, split_statements(script)):
        if (role := _ROLE.match(statement)) and role[1]:
            roles.append(_name(role[2], text))
        elif (tablespace := _TABLESPACE.match(statement)) and tablespace[1]:
            location = _LOCATION.search(statement)
            if location is None:
                raise RepositoryDamaged("globals.sql holds a tablespace without a location.")
            tablespaces.append(
                TablespaceEntry(
                    _name(tablespace[2], text), text.decode(unquote_literal(location[1]))
                )
            )
    return Globals(roles=tuple(roles), tablespaces=tuple(tablespaces))


def plan_globals(
    script: bytes,
    *,
    existing_roles: Collection[str],
    existing_tablespaces: Collection[str],
    no_tablespaces: bool = False,
    keep_grantors: bool = True,
    keep_options: bool = True,
) -> GlobalsPlan:
    """Leave out of the script whatever concerns roles and tablespaces that are there.

    Memberships stay if either role is new. ``keep_grantors`` False drops ``GRANTED BY``: servers
    before 16 wrote down anybody there, servers since 16 want a role with the admin option.
    ``keep_options`` False drops ``INHERIT`` and ``SET``, which servers before 16 do not know.
    """
    text = _text_of(script)
    found = read_globals(script)
    new_roles = {role for role in found.roles if role not in existing_roles}
    new_tablespaces = {
        one.name
        for one in found.tablespaces
        if not no_tablespaces and one.name not in existing_tablespaces
    }
    kept = _kept_statements(script, text, new_roles, new_tablespaces)
    return GlobalsPlan(
        script=b"".join(
            _membership(statement, keep_grantors=keep_grantors, keep_options=keep_options)
            for statement in kept
        ),
        new_roles=tuple(role for role in found.roles if role in new_roles),
        kept_roles=tuple(role for role in found.roles if role not in new_roles),
        new_tablespaces=tuple(one for one in found.tablespaces if one.name in new_tablespaces),
        kept_tablespaces=tuple(one for one in found.tablespaces if one.name not in new_tablespaces),
        widened=() if keep_options else tuple(_widened(kept, text)),
    )


def _widened(statements: Sequence[bytes], text: SessionText) -> Iterator[str]:
    """Yield the memberships that are narrower than servers without their options can say.

    A role that is NOINHERIT inherits nothing there either.
    """
    members = {
        role[2]
        for sql in map(body, statements)
        if (role := _ROLE.match(sql)) and _NO_INHERIT.match(sql, role.end())
    }
    for sql in map(body, statements):
        found = _MEMBERSHIP.match(sql)
        options = (found["options"] or b"") if found else b""
        if found and (
            b"SET FALSE" in options or (b"INHERIT FALSE" in options and found[2] not in members)
        ):
            yield f"{_name(found[2], text)} in {_name(found[1], text)}"


def _kept_statements(
    script: bytes,
    text: SessionText,
    roles: set[str],
    tablespaces: set[str],
) -> list[bytes]:
    kept = []
    for statement in split_statements(script):
        sql = body(statement)
        if membership := _MEMBERSHIP.match(sql):
            if roles.isdisjoint({_name(membership[n], text) for n in (1, 2)}):
                continue
        elif tablespace := _TABLESPACE.match(sql):
            if _name(tablespace[2], text) not in tablespaces:
                continue
        elif (role := _ROLE.match(sql)) and _name(role[2], text) not in roles:
            continue
        kept.append(statement)
    return kept


def _membership(statement: bytes, *, keep_grantors: bool, keep_options: bool) -> bytes:
    """Leave out of a GRANT of a role what the server would not take; others stay as they are."""
    found = _MEMBERSHIP.match(body(statement))
    if not found or (keep_grantors and keep_options):
        return statement
    options = found["options"] or b""
    if not keep_options:
        options = b" WITH ADMIN OPTION" if b"ADMIN OPTION" in options else b""
    grantor = found["grantor"] if keep_grantors and found["grantor"] else b""
    return b"\nGRANT %b TO %b%b%b;" % (found[1], found[2], options, grantor)


def is_own_password(statement: bytes, role: str, text: SessionText) -> bool:
    """Whether the statement gives ``role`` a password."""
    sql = body(statement)
    found = _ROLE.match(sql)
    if not found or not sql.startswith(b"ALTER ROLE") or _name(found[2], text) != role:
        return False
    return (
        re.match(rb"\s+WITH\b.*\sPASSWORD\s+%b" % LITERAL, sql[found.end() :], re.DOTALL)
        is not None
    )


def stated_encoding(statement: bytes) -> SessionText | None:
    """Return the encoding that a statement of a dump sets, or None if it sets none."""
    found = _ENCODING.search(statement)
    return SessionText(found[1].decode()) if found else None


def _text_of(script: bytes) -> SessionText:
    return stated_encoding(script) or SessionText("UTF8")


def _name(raw: bytes, text: SessionText) -> str:
    return text.decode(unquote_identifier(raw))
