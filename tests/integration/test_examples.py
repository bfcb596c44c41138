# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The EXAMPLES of every module, run in one playbook; only places and names of servers are ours."""

from __future__ import annotations

import getpass
import typing as t
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.fix_ansible import ROOT, Ansible, bucket_repository
from tests.fix_repository import PASSWORD
from tests.fix_stage import SHOP, counts_of
from tests.testbed import folders
from tests.testbed.certificates import Authority
from tests.testbed.postgres import PostgresOptions, PostgresServer, client_bin
from tests.testbed.s3 import Bucket

ORDERS = """
CREATE TABLE public.orders AS SELECT n AS id, 'note ' || n AS note FROM generate_series(1, 40) n;
"""
AROUND = {"name", "check_mode", "register", "failed_when"}
PLAIN = "the password of an example"


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """What stands in for the places that the examples name."""

    bucket: Bucket
    path: Path
    servers: dict[str, PostgresServer]
    certificate: Path

    def adapt(self, module: str, options: dict[str, t.Any]) -> dict[str, t.Any]:
        """The options of an example with our places in theirs."""
        backend = options["backend"]
        adapted = {**options, **self._backend(backend)}
        if module not in {"backup", "restore"}:
            return adapted
        server = self.servers[str(options.get("login_host") or options["login_unix_socket"])]
        adapted |= {"bin_dir": str(client_bin(17)), "login_port": server.port}
        if "login_host" in options:
            return adapted | {"login_host": server.host, "ca_cert": str(self.certificate)}
        return adapted | {"login_unix_socket": str(server.socket_dir)}

    def _backend(self, backend: dict[str, t.Any]) -> dict[str, t.Any]:
        if "local" in backend:
            assert backend["local"] == {"path": "/var/backups/postgres"}
            return {"backend": {"local": {"path": str(self.path)}}}
        place = bucket_repository(self.bucket, prefix=backend["s3"]["prefix"])
        del place["password"]
        return place


@pytest.fixture
def places(s3_bucket: Bucket) -> Iterator[Places]:
    """A server with the shop, reached as the examples do, and a new one."""
    folder = folders.make_scratch()
    authority = Authority(folder / "authority")
    options = PostgresOptions(
        authority=authority,
        auth="scram-sha-256",
        password=PLAIN,
        hba=["local all all trust"],
    )
    with PostgresServer(17, options) as main, PostgresServer(17, options) as new:
        main.execute(f'CREATE ROLE "{getpass.getuser()}" SUPERUSER LOGIN')
        main.execute(f"CREATE ROLE backup LOGIN IN ROLE pg_read_all_data PASSWORD '{PLAIN}'")
        main.execute("CREATE DATABASE shop")
        main.execute(SHOP + ORDERS, database="shop")
        yield Places(
            bucket=s3_bucket,
            path=folder / "repository",
            servers={"db.example.com": main, "new.example.com": new, "/var/run/postgresql": main},
            certificate=authority.certificate,
        )
    folders.remove(folder)


def examples_of(module: str) -> list[dict[str, t.Any]]:
    """The tasks in a module's EXAMPLES."""
    source = (ROOT / "plugins" / "modules" / f"{module}.py").read_text(encoding="utf-8")
    block = source.split('EXAMPLES = r"""', 1)[1].split('"""', 1)[0]
    tasks: list[dict[str, t.Any]] = yaml.safe_load(block)
    return tasks


def test_every_example_runs(ansible: Ansible, places: Places, tmp_path: Path) -> None:
    tasks = []
    for module in (
        *("repository", "backup", "repository_info", "restore", "retention", "repository_check"),
        "repository_key",  # the last: it changes the password
    ):
        for example in examples_of(module):
            name = f"granary.postgres.{module}"
            assert set(example) - AROUND == {name}
            tasks.append({**example, name: places.adapt(module, example[name])})
    assert len(tasks) >= 21
    assert len({task["name"] for task in tasks}) == len(tasks)
    playbook = tmp_path / "examples.yml"
    play = {"hosts": "localhost", "gather_facts": False, "tasks": tasks}
    playbook.write_text(yaml.safe_dump([play], sort_keys=False), encoding="utf-8")
    variables = {
        "backup_password": PASSWORD,
        "second_password": "the second one",
        "next_password": "the next one",
        "database_password": PLAIN,
        "s3_access_key": places.bucket.access_key,
        "s3_secret_key": places.bucket.secret_key,
    }
    run = ansible.playbook(str(playbook), variables=variables)
    assert run.status == 0, run.output
    assert [result.task for result in run.results] == [task["name"] for task in tasks]
    main, new = places.servers["db.example.com"], places.servers["new.example.com"]
    assert counts_of(new, "shop", "public.orders") == {"public.orders": 40}
    beside = {"public.orders": 40, "public.orders_of_yesterday": 40}
    assert counts_of(main, "shop", *beside) == beside
    yesterday = {"public.orders": 40, "public.access_log": 0}
    assert counts_of(main, "shop_of_yesterday", *yesterday) == yesterday
