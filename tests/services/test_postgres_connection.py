# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Connections, sessions and server facts against real servers."""

from __future__ import annotations

import contextlib
import dataclasses
import typing as t
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import (
    ConfigError,
    DatabaseMissing,
    GranaryError,
    LoginRefused,
    PostgresError,
    RightsMissing,
    ServerUnreachable,
    ServerUnsupported,
)
from ansible_collections.granary.postgres.plugins.module_utils._core.process import run
from ansible_collections.granary.postgres.plugins.module_utils._core.redaction import Secret
from ansible_collections.granary.postgres.plugins.module_utils._postgres.catalog import (
    list_databases,
)
from ansible_collections.granary.postgres.plugins.module_utils._postgres.connection import (
    connect,
    program_environment,
)
from ansible_collections.granary.postgres.plugins.module_utils._postgres.model import (
    ConnectionSettings,
)
from ansible_collections.granary.postgres.plugins.module_utils._postgres.quoting import (
    program_dbname,
)
from ansible_collections.granary.postgres.plugins.module_utils._postgres.server import (
    check_supported,
    read_server,
    refuse_pooler,
)
from ansible_collections.granary.postgres.plugins.module_utils._postgres.session import (
    execute,
    fetch,
    prepare_dump_session,
    prepare_restore_session,
    session_text,
)
from tests.fix_postgres import Database, DatabaseFactory, PostgresFactory
from tests.fix_proxy import TcpProxyFactory
from tests.testbed.certificates import Authority
from tests.testbed.postgres import PostgresServer, client_bin, client_major_for

if t.TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection

ODD_NAMES = ("x=y dbname=z", "it's", 'quo"te', "back\\slash", "new\nline", "🐘" * 15, "a.b/c %41")


def settings_of(server: PostgresServer, **changes: t.Any) -> ConnectionSettings:
    plain = ConnectionSettings(
        host=server.host,
        port=server.port,
        user=server.user,
        password=Secret(server.password) if server.password else None,
        dbname="postgres",
    )
    return dataclasses.replace(plain, **changes)


@contextlib.contextmanager
def opened(
    server: PostgresServer, dbname: str | None = None, **changes: t.Any
) -> Iterator[Connection]:
    conn = connect(settings_of(server, **changes), dbname)
    try:
        yield conn
    finally:
        conn.close()


@pytest.fixture(scope="module")
def guarded(postgres: PostgresFactory) -> PostgresServer:
    """A server that asks for a password."""
    return postgres(18, auth="scram-sha-256")


@pytest.mark.parametrize(
    ("changes", "expected", "words"),
    [
        ({"password": Secret("wr0ng-pa55")}, LoginRefused, "password authentication failed"),
        ({"password": None}, LoginRefused, "no password supplied"),
        ({"user": "nobody here"}, LoginRefused, "login_user"),
        ({"dbname": "no such"}, DatabaseMissing, 'database "no such" does not exist'),
        ({"ssl_mode": "require"}, LoginRefused, "SSL"),
        ({"ssl_mode": "sometimes"}, ConfigError, "sslmode"),
        ({"host": "nowhere.invalid"}, ServerUnreachable, "login_host"),
        ({"unix_socket": "/nowhere"}, ServerUnreachable, "/nowhere"),
        ({"port": 1}, ServerUnreachable, "refused"),
    ],
)
def test_a_login_that_fails_says_why_and_what_to_do(
    guarded: PostgresServer, changes: dict[str, t.Any], expected: type[GranaryError], words: str
) -> None:
    with pytest.raises(expected) as caught, opened(guarded, **changes):
        pass
    assert words in str(caught.value)
    assert "wr0ng-pa55" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_role_that_may_not_connect_is_told_so(pg: PostgresServer, database: Database) -> None:
    database.execute(f'REVOKE CONNECT ON DATABASE "{database.name}" FROM public')
    database.execute("DROP ROLE IF EXISTS visitor; CREATE ROLE visitor LOGIN")
    with pytest.raises(RightsMissing, match="CONNECT"), opened(pg, database.name, user="visitor"):
        pass


def test_tls_is_verified_to_the_name_and_a_client_certificate_logs_in(
    postgres: PostgresFactory, tmp_path_factory: pytest.TempPathFactory
) -> None:
    authority = Authority(tmp_path_factory.mktemp("authority"))
    stranger = Authority(tmp_path_factory.mktemp("stranger"))
    server = postgres(
        18,
        authority=authority,
        hba=("hostssl all certified 127.0.0.1/32 cert", "hostnossl all certified all reject"),
    )
    server.execute("CREATE ROLE certified LOGIN")
    files = authority.issue("certified")
    trusted = {"ssl_mode": "verify-full", "ca_cert": str(authority.certificate)}
    certified = {"user": "certified", "ssl_cert": str(files.certificate), "ssl_key": str(files.key)}
    with opened(server, **trusted, **certified) as conn:
        assert fetch(conn, "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()") == [(True,)]
    with (
        pytest.raises(LoginRefused, match="certificate"),
        opened(server, **trusted, user="certified"),
    ):
        pass
    wrong = {**trusted, "ca_cert": str(stranger.certificate)}
    with pytest.raises(LoginRefused, match="SSL error"), opened(server, **wrong):
        pass


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_database_of_any_name_is_reached_by_us_and_by_client_programs(
    pg: PostgresServer, fresh_database: DatabaseFactory, name: str
) -> None:
    fresh_database(pg, name=name)
    with opened(pg, name) as conn:
        assert fetch(conn, "SELECT current_database()") == [(name,)]
        assert name in [database.name for database in list_databases(conn)]
    psql = client_bin(client_major_for(pg.major)) / "psql"
    output, dummy = run(
        [str(psql), "-XAtc", "SELECT current_database()", "-d", program_dbname(name)],
        env=program_environment(settings_of(pg)),
    )
    assert output.decode() == name + "\n"


def test_names_of_databases_are_bytes_whatever_the_database_asked(
    pg: PostgresServer, fresh_database: DatabaseFactory
) -> None:
    name = fresh_database(pg, name="café")
    latin = fresh_database(pg, "TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'")
    with opened(pg, latin) as conn:
        before = session_text(conn)
        assert name in [database.name for database in list_databases(conn)]
        assert session_text(conn) == before


def test_a_broken_connection_is_reported_as_one(
    pg: PostgresServer, tcp_proxy: TcpProxyFactory
) -> None:
    proxy = tcp_proxy(pg.port)
    with opened(pg, port=proxy.port) as conn:
        proxy.cut()
        with pytest.raises(ServerUnreachable, match="Could not look"):
            fetch(conn, "SELECT 1", "Could not look")


def test_a_session_that_was_ended_by_an_administrator_is_unreachable(pg: PostgresServer) -> None:
    with opened(pg) as conn:
        pg.execute("SELECT pg_terminate_backend(%s)", [conn.info.backend_pid])
        with pytest.raises(ServerUnreachable) as caught:
            fetch(conn, "SELECT 1")
    assert caught.value.retryable


def test_the_servers_words_and_sqlstate_are_kept(pg: PostgresServer) -> None:
    with opened(pg) as conn, pytest.raises(PostgresError) as caught:
        fetch(conn, "SELECT nonsense FROM pg_class", "Could not do it")
    assert str(caught.value) == 'Could not do it: column "nonsense" does not exist.'
    assert caught.value.details["sqlstate"] == "42703"


@pytest.mark.parametrize(
    ("encoding", "name"),
    [
        ("UTF8", "täble 🐘"),
        ("LATIN1", "täble"),
        ("SQL_ASCII", "täble \udce9"),
        ("EUC_JP", "表"),
        ("MULE_INTERNAL", "\udce9"),
    ],
)
def test_a_dump_session_talks_the_databases_own_bytes(
    pg: PostgresServer, fresh_database: DatabaseFactory, encoding: str, name: str
) -> None:
    dbname = fresh_database(pg, f"TEMPLATE template0 ENCODING '{encoding}' LOCALE 'C'")
    if encoding == "MULE_INTERNAL":
        name = "plain"
    with opened(pg, dbname) as conn:
        prepare_dump_session(conn)
        text = session_text(conn)
        assert text.encoding == encoding
        execute(conn, b"CREATE TABLE public." + text.identifier(name) + b" (a int)")
        query = b"SELECT relname, octet_length(relname::text) FROM pg_class WHERE relname = "
        rows = fetch(conn, query + text.literal(name))
        assert rows == [(name, len(text.encode(name)))]


def test_a_session_reads_rows_as_pg_dump_does(pg: PostgresServer, database: Database) -> None:
    database.execute(
        f"ALTER DATABASE \"{database.name}\" SET DateStyle = 'SQL, DMY';"
        f'ALTER DATABASE "{database.name}" SET IntervalStyle = iso_8601;'
        f'ALTER DATABASE "{database.name}" SET statement_timeout = 7000;'
        f'ALTER DATABASE "{database.name}" SET extra_float_digits = -10;'
        f'ALTER DATABASE "{database.name}" SET bytea_output = escape;'
        f'ALTER DATABASE "{database.name}" SET default_transaction_read_only = on;'
    )
    with opened(pg, database.name) as conn:
        prepare_dump_session(conn)
        row = fetch(
            conn,
            "SELECT date '2001-02-03'::text, interval '1 day 2h'::text, (1::float8/3)::text,"
            " '\\x00ff'::bytea::text, current_setting('statement_timeout'),"
            " current_setting('search_path')",
        )
        assert row == [("2001-02-03", "1 day 02:00:00", "0.3333333333333333", "\\x00ff", "0", '""')]
        prepare_restore_session(conn, "UTF8")
        execute(conn, "CREATE TABLE public.t (a int)")


@pytest.mark.pg_majors(10, 13, 14, 15, 16, 17, 18)
def test_the_facts_of_a_server(pg: PostgresServer) -> None:
    pg.execute("DROP ROLE IF EXISTS modest; CREATE ROLE modest LOGIN CONNECTION LIMIT 3")
    ((wanted,),) = pg.execute("SELECT system_identifier::text FROM pg_control_system()")
    with opened(pg) as conn, opened(pg, user="modest") as modest_conn:
        facts, modest = read_server(conn), read_server(modest_conn)
    assert facts.major == pg.major
    assert facts.system_identifier == modest.system_identifier == wanted
    assert (facts.is_superuser, modest.is_superuser) == (True, False)
    assert (facts.may_read_role_passwords, modest.may_read_role_passwords) == (True, False)
    assert not facts.in_recovery
    assert facts.lsn != "0/0"
    assert modest.free_connections == 2
    assert 0 < facts.free_connections < facts.max_connections
    assert facts.lock_table_entries > 64 * facts.max_connections


def test_a_standby_says_so(private_postgres: PostgresFactory, pg_major: int) -> None:
    primary = private_postgres(pg_major)
    standby = primary.standby()
    try:
        standby.wait_for_replay(primary)
        with opened(primary) as conn, opened(standby) as standby_conn:
            facts, ours = read_server(conn), read_server(standby_conn)
    finally:
        standby.close()
    assert ours.in_recovery
    assert ours.system_identifier == facts.system_identifier
    assert ours.lsn != "0/0"


def test_versions_that_cannot_be_served_are_refused(pg: PostgresServer) -> None:
    with opened(pg) as conn:
        facts = read_server(conn)
    check_supported(facts, dump_format="parallel")
    old = dataclasses.replace(facts, version_num=100023, version="10.23")
    check_supported(old, dump_format="plain")
    with pytest.raises(ServerUnsupported, match="format=plain only"):
        check_supported(old, dump_format="parallel")
    with pytest.raises(ServerUnsupported, match="too old"):
        check_supported(dataclasses.replace(facts, version_num=90500), dump_format="plain")
    new = dataclasses.replace(facts, version_num=190000, version="19.0")
    with pytest.raises(ServerUnsupported, match="allow_newer_server"):
        check_supported(new, dump_format="parallel")
    check_supported(new, dump_format="parallel", allow_newer=True)


def test_a_server_is_no_pooler(pg: PostgresServer) -> None:
    with opened(pg) as conn:
        refuse_pooler(conn, settings_of(pg))


def test_a_socket_folder_is_enough(pg: PostgresServer) -> None:
    folder: Path = pg.socket_dir
    with opened(pg, host=None, unix_socket=str(folder)) as conn:
        assert fetch(conn, "SELECT inet_client_addr() IS NULL") == [(True,)]
