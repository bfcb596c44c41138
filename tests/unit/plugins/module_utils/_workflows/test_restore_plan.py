# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a restore refuses before it writes anything, and what it plans."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import (
    ConfigError,
    RestoreFailed,
    TargetNotEmpty,
)
from ansible_collections.granary.postgres.plugins.module_utils._postgres import manifest as m
from ansible_collections.granary.postgres.plugins.module_utils._postgres.model import (
    ConnectionSettings,
)
from ansible_collections.granary.postgres.plugins.module_utils._postgres.target import (
    TargetDatabase,
    TargetServer,
)
from ansible_collections.granary.postgres.plugins.module_utils._storage.model import LocalSettings
from ansible_collections.granary.postgres.plugins.module_utils._workflows.requests import (
    RepositoryAccess,
    RestoreRequest,
)
from ansible_collections.granary.postgres.plugins.module_utils._workflows.restore import (
    refuse_clashes,
)
from ansible_collections.granary.postgres.plugins.module_utils._workflows.restore_database import (
    expected_counts,
    routes_differ,
    table_tasks,
)
from ansible_collections.granary.postgres.plugins.module_utils._workflows.restore_plan import (
    plan_restore,
)

ACCESS = RepositoryAccess(settings=LocalSettings(path="/nowhere"), passwords=())


def request(**options: t.Any) -> RestoreRequest:
    return RestoreRequest(repository=ACCESS, connection=ConnectionSettings(), **options)


def definition(name: str = "shop", **more: t.Any) -> m.DatabaseDefinition:
    return m.DatabaseDefinition(
        name=name,
        owner="alice",
        encoding="UTF8",
        locale_provider="libc",
        collate="C",
        ctype="C",
        **more,
    )


def database(name: str = "shop", **more: t.Any) -> m.DatabaseEntry:
    facts: dict[str, t.Any] = {"definition": definition(name), "tables": (), "roles": ("alice",)}
    return m.DatabaseEntry(
        lsn="0/1",
        schema_dump=m.FileEntry(10, 1),
        data_dump=m.FileEntry(10, 1),
        archive_version=(1, 14),
        **{**facts, **more},
    )


def snapshot(*databases: m.DatabaseEntry, roles: tuple[str, ...] = ("alice",)) -> m.Manifest:
    server = m.ServerEntry(
        version="15.1", version_num=150001, system_identifier="1", lsn="0/1", in_recovery=False
    )
    return m.Manifest(
        program="granary 0.1.0",
        server=server,
        settings=m.Settings(segment_threshold=0, dump_program="pg_dump 15.1"),
        globals=m.GlobalsEntry(file=m.FileEntry(1, 1), roles=roles),
        databases=databases,
    )


def server(*databases: TargetDatabase, roles: tuple[str, ...] = ()) -> TargetServer:
    return TargetServer(
        databases={one.name: one for one in databases},
        roles=frozenset(roles),
        tablespaces=frozenset({"pg_default", "pg_global"}),
        extensions=frozenset({"plpgsql"}),
    )


def existing(name: str, restoring: str | None = None) -> TargetDatabase:
    return TargetDatabase(name=name, allows_connections=True, restoring=restoring)


def full(dummy: str) -> bool:
    return False


def test_what_is_not_there_is_created() -> None:
    plan = plan_restore(request(), snapshot(database()), server(), full)
    assert [(one.target, one.action) for one in plan.databases] == [("shop", "create")]
    assert plan.missing_roles == ("alice",)


def test_a_database_that_is_there_is_refused_replaced_or_filled() -> None:
    there = server(existing("shop"), roles=("alice",))
    held = snapshot(database())
    with pytest.raises(TargetNotEmpty, match="'shop' exists and is not empty; use clean"):
        plan_restore(request(), held, there, full)
    assert plan_restore(request(clean=True), held, there, full).databases[0].action == "replace"
    filled = plan_restore(request(), held, there, lambda dummy: True)
    assert filled.databases[0].action == "fill"


def test_half_a_restore_is_replaced_without_being_asked_for() -> None:
    there = server(existing("shop", restoring="abcd"), roles=("alice",))
    plan = plan_restore(request(), snapshot(database()), there, full)
    assert plan.databases[0].action == "replace"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"databases": ("other",)}, "holds no database 'other'; it holds 'cash', 'shop'"),
        ({"rename": {"other": "new"}}, "rename names 'other', which is not restored"),
        ({"rename": {"shop": "shop"}}, "maps database 'shop' onto itself"),
        ({"rename": {"shop": "cash"}}, "Two databases would both become 'cash'"),
        ({"rename": {"shop": ""}}, "no usable name"),
    ],
)
def test_wrong_names_are_refused(options: dict[str, t.Any], words: str) -> None:
    held = snapshot(database("shop"), database("cash"))
    with pytest.raises(ConfigError, match=words):
        plan_restore(request(**options), held, server(), full)


def test_names_may_be_swapped() -> None:
    held = snapshot(database("shop"), database("cash"))
    plan = plan_restore(request(rename={"shop": "cash", "cash": "shop"}), held, server(), full)
    assert [one.target for one in plan.databases] == ["cash", "shop"]


def test_what_the_server_lacks_is_named_at_once() -> None:
    held = snapshot(database(roles=("alice", "bob", "eve")))
    with pytest.raises(RestoreFailed, match=r"lacks 2 roles .*'bob', 'eve'.*no_owner"):
        plan_restore(request(), held, server(), full)
    plan = plan_restore(request(no_owner=True, no_privileges=True), held, server(), full)
    assert plan.missing_roles == ()
    spaces = snapshot(database(tablespaces=("fast",)))
    with pytest.raises(RestoreFailed, match=r"lacks 1 tablespace .*'fast'.*no_tablespaces"):
        plan_restore(request(), spaces, server(), full)
    extensions = snapshot(database(extensions=(m.ExtensionEntry("postgis", "3", "public"),)))
    with pytest.raises(RestoreFailed, match=r"cannot make 1 extension .*'postgis'"):
        plan_restore(request(), extensions, server(), full)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"tables": ()}, "tables is empty"),
        ({"rename_tables": {"a.b": "a.c"}}, "rename_tables goes with tables"),
        ({"tables": ("a.b",), "clean": True}, "clean drops whole databases"),
        ({"tables": ("a.b",), "into": "x", "rename": {"x": "y"}}, "into names the target"),
    ],
)
def test_options_that_clash_are_refused(options: dict[str, t.Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        refuse_clashes(request(**options))


def table(name: str, rows: int | None, root: m.RootEntry | None = None) -> m.TableEntry:
    return m.TableEntry(
        schema="s",
        name=name,
        taken_over=True,
        rows=rows,
        columns=("a",),
        segments=(m.SegmentEntry(rows or 0, 100, 1),),
        files=(m.FileEntry(100, 1),),
        size=100,
        root=root,
    )


def test_rows_of_partitions_are_compared_by_their_root() -> None:
    by_range = m.RootEntry(schema="s", name="root", strategies=("range",))
    uncounted = m.RootEntry(schema="s", name="dark", strategies=("list",))
    entry = database(
        tables=(
            table("a", 5),
            table("p1", 3, by_range),
            table("p2", 4, by_range),
            table("d1", None, uncounted),
            table("d2", 9, uncounted),
        )
    )
    counts = {(one.name, one.only): rows for one, rows in expected_counts(entry).items()}
    assert counts == {("a", True): 5, ("root", False): 7}


def test_rows_go_through_the_root_where_their_partition_may_be_another() -> None:
    by_hash = m.RootEntry(schema="s", name="root", strategies=("range", "hash"))
    by_range = m.RootEntry(schema="s", name="root", strategies=("range",))
    ids = b"i" * 32

    def place(root: m.RootEntry | None, through_root: bool) -> str:
        return next(iter(table_tasks(table("leaf", 1, root), ids, through_root=through_root))).name

    assert place(None, True) == "leaf"
    assert place(by_range, False) == "leaf"
    assert place(by_range, True) == "root"
    assert place(by_hash, False) == "root"


def test_another_locale_or_encoding_may_route_rows_elsewhere() -> None:
    assert not routes_differ(definition("a"), definition("b", comment="x"))
    assert routes_differ(definition(), definition(collation_version="2.36"))
    assert routes_differ(definition(), definition(locale="de"))
