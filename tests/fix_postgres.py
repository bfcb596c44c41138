# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""PostgreSQL servers and databases as fixtures.

Shared servers live as long as the session (each xdist worker has its own, started when first
asked for); a test that stops, kills or reconfigures one takes a private one.
"""

from __future__ import annotations

import contextlib
import itertools
import typing as t
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.fix_sample import draw_for
from tests.testbed.postgres import PostgresOptions, PostgresServer

ALL_MAJORS = (14, 15, 16, 17, 18)
"""What is served in full; 10 and 13 are asked for by name where a test is about them."""

SAMPLE_MAJORS = (14, 18)
"""The short form: the oldest and the newest."""


class PostgresFactory(t.Protocol):
    """Gives a running server of a major; the keywords are those of PostgresOptions."""

    def __call__(self, major: int, **options: t.Any) -> PostgresServer: ...


class DatabaseFactory(t.Protocol):
    """Makes a database on a server and drops it when the test ends; gives its name.

    `clauses` is SQL after CREATE DATABASE name, TEMPLATE template0 for example.
    """

    def __call__(
        self, server: PostgresServer, clauses: str = "", *, name: str | None = None
    ) -> str: ...


@dataclass(frozen=True, slots=True)
class Database:
    """A database of its own for one test."""

    server: PostgresServer
    name: str

    def execute(self, sql: str, parameters: t.Sequence[object] | None = None) -> list[t.Any]:
        """Run SQL as the superuser, give the rows of its last statement."""
        return self.server.execute(sql, parameters, database=self.name)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --pg-majors."""
    parser.addoption(
        "--pg-majors",
        help="majors of PostgreSQL for tests that ask for `pg_major`: 15,17 or all; default: "
        f"{' and '.join(map(str, SAMPLE_MAJORS))}, in the short form one of them for each test",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register our marker."""
    config.addinivalue_line(
        "markers",
        "pg_majors(*majors): the majors of `pg_major` for this test, whatever is asked; in the "
        "short form one of them is drawn",
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that asks for `pg_major` with each of the majors wanted, or with one of them."""
    if "pg_major" not in metafunc.fixturenames:
        return
    marker = metafunc.definition.get_closest_marker("pg_majors")
    wanted = metafunc.config.getoption("--pg-majors")
    if marker:
        majors = list(marker.args)
    elif wanted == "all":
        majors = list(ALL_MAJORS)
    else:
        majors = list(map(int, wanted.split(","))) if wanted else list(SAMPLE_MAJORS)
    if not wanted:
        majors = draw_for(metafunc, majors, 1)
    metafunc.parametrize("pg_major", majors, scope="session")


@pytest.fixture(scope="session")
def postgres(request: pytest.FixtureRequest) -> Iterator[PostgresFactory]:
    """Shared servers: the same major with the same options is the same server."""
    servers: dict[str, PostgresServer] = {}

    def give(major: int, **options: t.Any) -> PostgresServer:
        key = f"{major} {sorted(options.items())}"
        if key not in servers:
            servers[key] = PostgresServer(major, PostgresOptions(**options))
        servers[key].start()
        return servers[key]

    yield give
    for server in servers.values():
        server.close(keep_log=request.session.testsfailed > 0)


@pytest.fixture
def private_postgres(request: pytest.FixtureRequest) -> Iterator[PostgresFactory]:
    """Servers for this test alone, which may do with them what it likes."""
    failed_before = request.session.testsfailed
    with contextlib.ExitStack() as stack:

        def give(major: int, **options: t.Any) -> PostgresServer:
            server = PostgresServer(major, PostgresOptions(**options))
            stack.callback(
                lambda: server.close(keep_log=request.session.testsfailed > failed_before)
            )
            server.start()
            return server

        yield give


@pytest.fixture(scope="session")
def pg(postgres: PostgresFactory, pg_major: int) -> PostgresServer:
    """The shared server of the major in turn; trusts everybody."""
    return postgres(pg_major)


_numbers = itertools.count(1)


@pytest.fixture
def fresh_database() -> Iterator[DatabaseFactory]:
    """Makes databases, dropped when the test ends."""
    made: list[tuple[PostgresServer, str]] = []

    def give(server: PostgresServer, clauses: str = "", *, name: str | None = None) -> str:
        name = name or f"test_{next(_numbers)}"
        server.execute(f"CREATE DATABASE {quoted(name)} {clauses}")
        made.append((server, name))
        return name

    yield give
    for server, name in made:
        if server.alive:
            drop_database(server, name)


@pytest.fixture
def database(pg: PostgresServer, fresh_database: DatabaseFactory) -> Database:
    """An empty database on the shared server of the major in turn."""
    return Database(pg, fresh_database(pg))


def drop_database(server: PostgresServer, name: str) -> None:
    """Drop a database if it is there, whoever is connected to it."""
    server.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name]
    )
    force = " WITH (FORCE)" if server.major >= 13 else ""
    server.execute(f"DROP DATABASE IF EXISTS {quoted(name)}{force}")


def quoted(name: str) -> str:
    """A name as a quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'
