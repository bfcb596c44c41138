# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What can be chosen of a backup and of a restore, through the modules."""

from __future__ import annotations

import pytest

from tests.fix_ansible import Result, Task
from tests.fix_stage import ROWS, Stage, counts_of

OWNED = """
CREATE ROLE shopper LOGIN PASSWORD 'x';
CREATE ROLE auditor;
ALTER TABLE sales.orders OWNER TO shopper;
GRANT SELECT ON public.customers TO auditor;
"""


@pytest.fixture(scope="module")
def owned(stage: Stage) -> Stage:
    """The stage with owners and grants, backed up without the rows of one table."""
    stage.source.execute(OWNED, database="shop")
    run = stage.ansible.tasks(stage.backup(exclude_tables=["public.access_log"], tags=["owned"]))
    assert run.status == 0, run.output
    return stage


def restored(stage: Stage, *tasks: Task) -> list[Result]:
    """Results of restores that must end well and be proved."""
    run = stage.ansible.tasks(*tasks)
    assert run.status == 0, run.output
    assert all(result["verified"] for result in run.results)
    return list(run.results)


def owner_of(stage: Stage, database: str, table: str) -> str:
    """The owner of a table in the target."""
    sql = "SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = %s::regclass"
    ((owner,),) = stage.target.execute(sql, [table], database=database)
    return str(owner)


def grants_on(stage: Stage, database: str, table: str) -> object:
    """The grants on a table in the target."""
    sql = "SELECT relacl::text FROM pg_class WHERE oid = %s::regclass"
    return stage.target.execute(sql, [table], database=database)[0][0]


def test_databases_under_other_names(owned: Stage) -> None:
    without, plain, whole = restored(
        owned,
        owned.restore(rename={"shop": "mine"}, globals=False, no_owner=True, no_privileges=True),
        owned.restore(rename={"shop": "theirs"}),
        owned.restore(snapshot=owned.snapshot[:12], rename={"shop": "of before"}),
    )
    assert without["restore"]["missing_roles"] == []
    assert plain["restore"]["missing_roles"] == ["auditor", "shopper"]
    assert whole["snapshot"]["id"] == owned.snapshot
    assert owner_of(owned, "mine", "sales.orders") == owned.target.user
    assert grants_on(owned, "mine", "public.customers") is None
    assert owner_of(owned, "theirs", "sales.orders") == "shopper"
    assert "auditor=r/" in str(grants_on(owned, "theirs", "public.customers"))
    left_out = {**ROWS, "public.access_log": 0}
    assert counts_of(owned.target, "mine", *ROWS) == left_out
    assert counts_of(owned.target, "theirs", *ROWS) == left_out
    assert counts_of(owned.target, "of before", *ROWS) == ROWS


def test_missing_roles_are_named_before_anything_is_made(owned: Stage) -> None:
    owned.source.execute("CREATE ROLE late; GRANT SELECT ON sales.orders TO late", database="shop")
    run = owned.ansible.tasks(owned.backup(globals=False), owned.restore(rename={"shop": "never"}))
    refused = run.results[1]
    assert refused.code == "restore_failed"
    assert "'late'" in refused.message
    assert "no_owner and no_privileges" in refused.message
    names = owned.target.execute("SELECT datname FROM pg_database")
    assert ("never",) not in names


def test_tables_beside_others(owned: Stage) -> None:
    owned.target.execute("CREATE DATABASE beside")
    owned.target.execute("CREATE TABLE public.customers (other int)", database="beside")
    options = {"snapshot": owned.snapshot, "no_owner": True, "into": "beside"}
    both, renamed = restored(
        owned,
        owned.restore(tables=["sales.orders", "public.access_log"], **options),
        owned.restore(
            tables=["public.customers"],
            rename_tables={"public.customers": "old.customers"},
            **options,
        ),
    )
    assert both["restore"]["databases"][0]["action"] == "into"
    assert both["restore"]["new_schemas"] == ["sales"]
    assert len(both["restore"]["foreign_keys_left_out"]) == 1
    assert both["stats"]["rows"] == ROWS["sales.orders"] + ROWS["public.access_log"]
    assert renamed["restore"]["renamed_tables"] == [
        {"table": "public.customers", "target": "old.customers", "rows": 500}
    ]
    wanted = {"sales.orders": 3000, "public.access_log": 100, "old.customers": 500}
    assert counts_of(owned.target, "beside", *wanted, "public.customers") == {
        **wanted,
        "public.customers": 0,
    }
    # What a table comes with: its sequence, default, key and indexes.
    owned.target.execute("INSERT INTO sales.orders (customer) VALUES (1)", database="beside")
    ((last, indexes),) = owned.target.execute(
        "SELECT max(id), (SELECT count(*) FROM pg_index WHERE indrelid = 'sales.orders'::regclass)"
        " FROM sales.orders",
        database="beside",
    )
    assert (last, indexes) == (3001, 2)


def test_rows_that_did_not_change_are_not_read_again(owned: Stage) -> None:
    options = {"segment_threshold": 0, "skip_unchanged": True}
    run = owned.ansible.tasks(
        owned.backup(**options),
        owned.backup(**options),
        owned.restore(rename={"shop": "twice"}, no_owner=True, no_privileges=True),
    )
    assert run.status == 0, run.output
    first, second, back = run.results
    assert first["stats"]["unchanged_bytes"] == 0
    assert second["stats"]["unchanged_bytes"] > 400_000
    assert second["stats"]["read_bytes"] < 100_000
    assert second["stats"]["rows"] == first["stats"]["rows"] == sum(ROWS.values())
    assert back["verified"]
    assert counts_of(owned.target, "twice", *ROWS) == ROWS


def test_a_plain_script_of_one_database(owned: Stage) -> None:
    run = owned.ansible.tasks(
        owned.backup(format="plain", dump_args=["--no-owner", "--no-privileges"], host="plain"),
        Task(
            module="restore",
            options=owned.restore(host="plain", into="scripted").options,
            check=True,
            diff=True,
        ),
        owned.restore(host="plain", into="scripted"),
    )
    assert run.status == 0, run.output
    backup, check, restore = run.results
    assert backup["snapshot"]["paths"] == ["/dumpfile.sql"]
    assert check["diff"]["after"] == {"databases": ["scripted"]}
    assert [check["verified"], restore["verified"]] == [False, False]
    assert restore["restore"]["database"] == "scripted"
    assert counts_of(owned.target, "scripted", *ROWS) == ROWS
