# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Databases made anew from what was read of them: what `pg_dump --create` says must be the same."""

from __future__ import annotations

import contextlib
import dataclasses
import re
import typing as t
from collections.abc import Iterator

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import (
    DatabaseMissing,
    ServerUnsupported,
)
from ansible_collections.granary.postgres.plugins.module_utils._core.redaction import Secret
from ansible_collections.granary.postgres.plugins.module_utils._postgres import database_definition
from ansible_collections.granary.postgres.plugins.module_utils._postgres.connection import connect
from ansible_collections.granary.postgres.plugins.module_utils._postgres.manifest import (
    DatabaseDefinition,
)
from ansible_collections.granary.postgres.plugins.module_utils._postgres.model import (
    ConnectionSettings,
)
from ansible_collections.granary.postgres.plugins.module_utils._postgres.quoting import (
    program_dbname,
)
from ansible_collections.granary.postgres.plugins.module_utils._postgres.session import (
    execute,
    session_text,
)
from tests.fix_postgres import DatabaseFactory, PostgresFactory, quoted
from tests.testbed.postgres import PostgresServer

if t.TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection

pytestmark = pytest.mark.pg_majors(13, 14, 15, 16, 17, 18)

NAME = "x=y dbname=z \"q' %s 🐘"
ROLES = ("al ice", "bob", "carol")


@pytest.fixture
def server(pg_major: int, postgres: PostgresFactory) -> Iterator[PostgresServer]:
    found = postgres(pg_major)
    for role in ROLES:
        if not found.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]):
            found.execute(f"CREATE ROLE {quoted(role)}")
    yield found
    for role in ROLES:
        found.execute(f"DROP OWNED BY {quoted(role)}")


@pytest.fixture
def conn(server: PostgresServer) -> Iterator[Connection]:
    password = Secret(server.password) if server.password else None
    settings = ConnectionSettings(
        host=server.host, port=server.port, user=server.user, password=password
    )
    with contextlib.closing(connect(settings, "postgres")) as opened:
        yield opened


def remake(conn: Connection, definition: DatabaseDefinition, name: str, **flags: bool) -> None:
    text = session_text(conn)
    major = conn.info.server_version // 10000
    for statement in database_definition.create_statements(
        definition, name, major, text=text, **flags
    ):
        execute(conn, statement)
    for statement in database_definition.finish_statements(definition, name, text=text):
        execute(conn, statement)


def described(server: PostgresServer, name: str) -> str:
    """What pg_dump --create says of the database itself, without its name."""
    text = server.client("pg_dump", "--create", "--schema-only", "-d", program_dbname(name))
    lines = [line for line in text.splitlines() if not re.match(r"--|\\", line)]
    plain = name if re.fullmatch("[a-z_]+", name) else quoted(name)
    return "\n".join(lines).replace(f"DATABASE {plain}", "DATABASE *")


def drop(server: PostgresServer, *names: str) -> None:
    for name in names:
        if server.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]):
            server.execute(f"ALTER DATABASE {quoted(name)} IS_TEMPLATE false")
            server.execute(f"DROP DATABASE {quoted(name)}")


def test_everything_that_a_database_has(server: PostgresServer, conn: Connection) -> None:
    drop(server, NAME, "copy")
    name = quoted(NAME)
    for sql in (
        f"CREATE DATABASE {name} OWNER \"al ice\" TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'",
        f"GRANT CREATE, CONNECT ON DATABASE {name} TO bob WITH GRANT OPTION",
        f"SET ROLE bob; GRANT CREATE ON DATABASE {name} TO carol",
        f"REVOKE TEMP ON DATABASE {name} FROM PUBLIC",
        f'ALTER DATABASE {name} SET search_path TO "a,b", public, "$user", "say ""x"""',
        f"ALTER DATABASE {name} SET work_mem TO '64MB'",
        f"ALTER DATABASE {name} SET default_transaction_read_only TO on",
        f"ALTER DATABASE {name} SET my.thing TO E'it''s \\\\ x, y\\n:db'",
        f"ALTER ROLE bob IN DATABASE {name} SET statement_timeout TO '1min'",
        f"ALTER ROLE bob IN DATABASE {name} SET work_mem TO '1MB'",
        f"COMMENT ON DATABASE {name} IS E'line\\n\\\\ quote'' x'",
        f"ALTER DATABASE {name} CONNECTION LIMIT 7",
        f"ALTER DATABASE {name} IS_TEMPLATE true",
        f"ALTER DATABASE {name} SET granary.restoring TO 'a mark'",
    ):
        server.execute(sql)
    definition = database_definition.read_definition(conn, NAME)
    assert definition.encoding == "LATIN1"
    assert "granary.restoring" not in {setting.name for setting in definition.settings}
    remake(conn, definition, "copy")
    assert (
        dataclasses.replace(database_definition.read_definition(conn, "copy"), name=NAME)
        == definition
    )
    server.execute(f"ALTER DATABASE {name} RESET granary.restoring")
    assert described(server, "copy") == described(server, NAME)
    drop(server, NAME, "copy")


def test_what_could_hinder_the_load_comes_last(
    server: PostgresServer, conn: Connection, fresh_database: DatabaseFactory
) -> None:
    name = fresh_database(server)
    server.execute(f"ALTER DATABASE {quoted(name)} SET work_mem TO '64MB'")
    server.execute(f"ALTER DATABASE {quoted(name)} SET default_transaction_read_only TO on")
    server.execute(f"ALTER DATABASE {quoted(name)} CONNECTION LIMIT 0")
    definition = database_definition.read_definition(conn, name)
    text = session_text(conn)
    early = b"\n".join(
        database_definition.early_statements(definition, "x", text, no_privileges=False)
    )
    late = b"\n".join(database_definition.finish_statements(definition, "x", text=text))
    assert b"work_mem" in early
    assert b"read_only" not in early
    assert b"read_only" in late
    assert b"CONNECTION LIMIT = 0" in late


def test_a_database_closed_to_connections(server: PostgresServer, conn: Connection) -> None:
    drop(server, "closed", "copy")
    server.execute("CREATE DATABASE closed ALLOW_CONNECTIONS false")
    definition = database_definition.read_definition(conn, "closed")
    assert not definition.allow_connections
    remake(conn, definition, "copy")
    assert not database_definition.read_definition(conn, "copy").allow_connections
    drop(server, "closed", "copy")


def test_owner_rights_and_tablespace_are_left_out_when_asked(
    server: PostgresServer, conn: Connection
) -> None:
    drop(server, "hers", "copy")
    server.execute('CREATE DATABASE hers OWNER "al ice"')
    server.execute("GRANT CREATE ON DATABASE hers TO bob")
    definition = dataclasses.replace(
        database_definition.read_definition(conn, "hers"), tablespace="not there"
    )
    remake(conn, definition, "copy", no_owner=True, no_privileges=True, no_tablespaces=True)
    copy = database_definition.read_definition(conn, "copy")
    assert (copy.owner, copy.acl, copy.tablespace) == (server.user, None, "pg_default")
    drop(server, "hers", "copy")


@pytest.mark.pg_majors(15, 16, 17, 18)
@pytest.mark.parametrize("provider", ["icu", "builtin"])
def test_locale_providers(server: PostgresServer, conn: Connection, provider: str) -> None:
    drop(server, "other", "copy")
    clauses = "TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C' "
    if provider == "icu":
        clauses += "LOCALE_PROVIDER icu ICU_LOCALE 'de'"
        clauses += " ICU_RULES '&a < g'" if server.major >= 16 else ""
    elif server.major >= 17:
        clauses += "LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8'"
    server.execute(f"CREATE DATABASE other {clauses}")
    definition = database_definition.read_definition(conn, "other")
    if provider == "icu":
        assert (definition.locale_provider, definition.locale) == ("icu", "de")
        assert definition.icu_rules == ("&a < g" if server.major >= 16 else None)
    remake(conn, definition, "copy")
    assert (
        dataclasses.replace(database_definition.read_definition(conn, "copy"), name="other")
        == definition
    )
    assert described(server, "copy") == described(server, "other")
    with pytest.raises(ServerUnsupported, match="locale provider"):
        database_definition.create_statements(
            dataclasses.replace(definition, locale_provider="unheard of"),
            "copy",
            server.major,
            text=session_text(conn),
        )
    if definition.locale_provider == "icu":
        with pytest.raises(ServerUnsupported, match="locale provider icu"):
            database_definition.create_statements(definition, "copy", 14, text=session_text(conn))
    drop(server, "other", "copy")


def test_a_database_that_is_not_there(conn: Connection) -> None:
    with pytest.raises(DatabaseMissing, match="'nothing' does not exist"):
        database_definition.read_definition(conn, "nothing")
