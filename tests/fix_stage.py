# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the tests through Ansible play on: servers, a small shop, a repository that holds it."""

from __future__ import annotations

import hashlib
import typing as t
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.fix_ansible import Ansible, Task, local_repository, login
from tests.fix_postgres import PostgresFactory, drop_database
from tests.fix_quick_key import make_key_quick
from tests.fix_repository import Place
from tests.testbed import folders
from tests.testbed.postgres import PostgresServer

SHOP = """
CREATE SCHEMA sales;
CREATE TABLE public.customers (id int PRIMARY KEY, name text NOT NULL);
INSERT INTO public.customers SELECT n, 'customer ' || n FROM generate_series(1, 500) n;
CREATE TABLE sales.orders (
    id serial PRIMARY KEY, customer int NOT NULL REFERENCES public.customers, note text
);
INSERT INTO sales.orders (customer, note)
    SELECT n % 500 + 1, repeat('a note ', 20) || n FROM generate_series(1, 3000) n;
CREATE TABLE public.access_log (line text);
INSERT INTO public.access_log SELECT 'line ' || n FROM generate_series(1, 100) n;
CREATE INDEX ON sales.orders (customer);
CREATE VIEW sales.per_customer AS
    SELECT customer, count(*) AS orders FROM sales.orders GROUP BY customer;
"""
ROWS = {"public.customers": 500, "sales.orders": 3000, "public.access_log": 100}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A source with the database `shop`, an empty target, and a repository with one backup."""

    ansible: Ansible
    source: PostgresServer
    target: PostgresServer
    path: Path
    snapshot: str

    @property
    def repository(self) -> dict[str, t.Any]:
        """The options of the repository."""
        return local_repository(self.path)

    def backup(self, **more: t.Any) -> Task:
        """A backup of the shop."""
        options = {**self.repository, **login(self.source), "host": "main", "databases": ["shop"]}
        return Task(module="backup", options=options | more)

    def restore(self, **more: t.Any) -> Task:
        """A restore of the shop into the target."""
        return Task(module="restore", options={**self.repository, **login(self.target), **more})


@pytest.fixture(scope="module")
def scratch() -> Iterator[Path]:
    """A folder of this module that other users can read, as servers and their programs do."""
    folder = folders.make_scratch()
    yield folder
    folders.remove(folder)


@pytest.fixture(scope="module")
def stage(ansible: Ansible, postgres: PostgresFactory, scratch: Path) -> Iterator[Stage]:
    """The stage, made once a module; both servers ask for passwords."""
    source = postgres(17, auth="scram-sha-256", settings={"log_statement": "all"})
    target = postgres(18, auth="scram-sha-256")
    source.execute("CREATE DATABASE shop")
    source.execute(SHOP, database="shop")
    path = scratch / "repository"
    shop = Stage(ansible=ansible, source=source, target=target, path=path, snapshot="")
    run = ansible.tasks(
        Task(module="repository", options=shop.repository),
        shop.backup(),
    )
    assert run.status == 0, run.output
    with Place(where=path, cache_dir=scratch).open() as repository:
        make_key_quick(repository)  # as every task opens it
    yield Stage(
        ansible=ansible,
        source=source,
        target=target,
        path=path,
        snapshot=run.results[1]["snapshot"]["id"],
    )
    drop_database(source, "shop")
    drop_new_databases(target)


def drop_new_databases(server: PostgresServer) -> None:
    """Drop every database that was made since initdb."""
    for (name,) in server.execute("SELECT datname FROM pg_database WHERE oid >= 16384"):
        drop_database(server, name)


def tree_of(path: Path) -> dict[str, str]:
    """Every file and folder below a path with the hash of what is in it."""
    return {
        str(found.relative_to(path)): hashlib.sha256(found.read_bytes()).hexdigest()
        if found.is_file()
        else "folder"
        for found in sorted(path.rglob("*"))
    }


def state_of(server: PostgresServer) -> str:
    """All that a server holds, as pg_dumpall writes it, and its databases' own settings."""
    script = server.client("pg_dumpall")
    settings = server.execute(
        "SELECT datname, setconfig FROM pg_db_role_setting JOIN pg_database d"
        " ON setdatabase = d.oid ORDER BY 1, 2"
    )
    lines = (line for line in script.splitlines() if not line.startswith(("\\restrict", "\\unr")))
    return "\n".join([*lines, str(settings)])


def counts_of(server: PostgresServer, database: str, *tables: str) -> dict[str, int]:
    """The number of rows of each table."""
    return {
        table: server.execute(f"SELECT count(*) FROM {table}", database=database)[0][0]
        for table in tables
    }
