# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Snapshots, databases and tables that are not there, and options that do not go together."""

from __future__ import annotations

from tests.bad_input import (
    Case,
    backup,
    check,
    folder,
    info,
    on_place,
    restore,
    restore_at,
    without,
)

LISTED = "sales.orders"
SNAPSHOT = [
    Case("unknown snapshot", restore(snapshot="0123456789"), "snapshot_missing", ("lists them",)),
    Case("no id", restore(snapshot="yesterday"), "snapshot_missing", ("'yesterday'",)),
    Case("empty id", restore(snapshot=""), "snapshot_missing", ("give `latest`",)),
    Case(
        "ambiguous prefix",
        restore_at(snapshot=lambda scene: scene.shared_digit),
        "snapshot_ambiguous",
        ("give more digits",),
    ),
    Case("several hosts", restore(host=None), "config", ("main, other", "say by host")),
    Case("unknown host", restore(host="else"), "snapshot_missing", ("'else'", "main, other")),
    Case("table not in the snapshot", restore(tables=["a.b"]), "config", ("'a.b'", "schema.table")),
    Case("table without schema", restore(tables=["orders"]), "config", ("schema.table",)),
    Case(
        "database not in the snapshot",
        restore(databases=["shop", "no"]),
        "snapshot_missing",
        ("'no'", "lists what there is"),
    ),
    Case(
        "database not in the snapshot that is named",
        lambda scene: scene.stage.restore(snapshot=scene.stage.snapshot, databases=["no"]),
        "config",
        ("'no'", "correct databases"),
    ),
    Case(
        "target not empty",
        restore_at(login_port=lambda scene: scene.stage.source.port),
        "target_not_empty",
        ("'shop'", "use clean", "rename"),
    ),
    Case(
        "no database to go into", restore(tables=[LISTED], into="no"), "database_missing", ("no",)
    ),
    Case(
        "table in the way",
        restore_at(
            tables=lambda scene: [LISTED],
            into=lambda scene: "shop",
            login_port=lambda scene: scene.stage.source.port,
        ),
        "target_not_empty",
        (LISTED, "rename_tables"),
    ),
    Case("bad query", info(query="snapshots[0"), "config", ("snapshots[0", "correct query")),
    Case("query of a wrong type", info(query="length(`1`)"), "config", ("length", "query")),
    Case("negative limit", info(limit=-1), "config", ("limit",)),
]

CHECK = [
    Case("subset of nothing", check(read_data_subset="0%"), "config", ("'0%'", "such as 5%")),
    Case("subset of too much", check(read_data_subset="101%"), "config", ("'101%'", "100%")),
    Case("third of two", check(read_data_subset="3/2"), "config", ("'3/2'", "such as 2/10")),
    Case("part 0", check(read_data_subset="0/5"), "config", ("'0/5'",)),
    Case("too many parts", check(read_data_subset="1/257"), "config", ("256/256",)),
    Case("negative subset", check(read_data_subset="-5%"), "config", ("'-5%'",)),
    Case("subset in words", check(read_data_subset="half"), "config", ("'half'",)),
    Case("subset of no unit", check(read_data_subset="5"), "config", ("'5'",)),
    Case(
        "subset and all",
        check(read_data_subset="5%", read_data=True),
        "config",
        ("read_data reads all", "give one of the two"),
    ),
    Case(
        "subset and repair",
        check(read_data_subset="1/2", repair=True),
        "config",
        ("repair reads all", "give one of the two"),
    ),
]

AZURE = {"backend": {"azure": {"container": "backups"}}}

CLASHES = [
    Case("no backend", on_place("repository", lambda s: {"backend": {}}), None, ("local, s3",)),
    Case(
        "two backends",
        on_place(
            "repository", lambda s: {"backend": folder("/x")["backend"] | {"s3": {"bucket": "x"}}}
        ),
        None,
        ("local|s3",),
    ),
    Case(
        "a container of no account",
        on_place("repository", lambda s: AZURE),
        "config",
        ("give its name as storage_account_name",),
    ),
    Case(
        "a storage account's key with a slip",
        on_place(
            "repository",
            lambda s: AZURE | {"storage_account_name": "acct", "storage_account_key": "no base64!"},
        ),
        "config",
        ("not base64", "copy it again"),
    ),
    Case(
        "no key of a service account",
        on_place(
            "repository_info",
            lambda s: {
                "backend": {"gcs": {"bucket": "b"}},
                "service_account_file": "/nowhere/key.json",
            },
        ),
        "config",
        ("'/nowhere/key.json' are not a file",),
    ),
    Case(
        "half a key",
        on_place("repository", lambda s: {"access_key": "x"}),
        None,
        ("secret_key",),
    ),
    Case(
        "token without key",
        on_place("repository", lambda s: {"session_token": "x"}),
        None,
        ("session_token",),
    ),
    Case("no host", lambda s: without(s.stage.backup(), "host"), None, ("host",)),
    Case("empty host", backup(host=""), "config", ("host",)),
    Case("arguments for parallel", backup(dump_args=["-n", "x"]), "config", ("format=plain",)),
    Case(
        "tables to leave out of plain",
        backup(format="plain", exclude_tables=["a.b"]),
        "config",
        ("exclude_tables", "--exclude-table-data"),
    ),
    Case(
        "two in one script", backup(format="plain", databases=["a", "b"]), "config", ("name one",)
    ),
    Case("no databases", backup(databases=[]), "config", ("databases", "leave it out")),
    Case("tag with a comma", backup(tags=["a,b"]), "config", ("tag", "comma")),
    Case("small packs", backup(pack_size=1000), "config", ("pack_size", "64 KiB")),
    Case("negative wait", backup(lock_timeout=-1), "config", ("lock_timeout",)),
    Case("no jobs, backup", backup(jobs=0), "config", ("jobs", "at least 1")),
    Case("no jobs, restore", restore(jobs=0), "config", ("jobs", "at least 1")),
    Case("unknown format", backup(format="custom"), None, ("parallel, plain",)),
    Case("no tables", restore(tables=[]), "config", ("tables", "leave it out")),
    Case("no databases, restore", restore(databases=[]), "config", ("databases", "leave it")),
    Case("clean with tables", restore(tables=[LISTED], clean=True), "config", ("clean", "tables")),
    Case("into without tables", restore(into="x"), "config", ("into", "tables")),
    Case(
        "into with rename",
        restore(tables=[LISTED], into="x", rename={"shop": "y"}),
        "config",
        ("into", "rename"),
    ),
    Case("rename onto itself", restore(rename={"shop": "shop"}), "config", ("itself", "leave it")),
    Case("rename of another", restore(rename={"shap": "x"}), "config", ("'shap'", "'shop'")),
    Case("rename to nothing", restore(rename={"shop": ""}), "config", ("rename",)),
    Case("rename to template0", restore(rename={"shop": "template0"}), "config", ("rename",)),
    Case("renamed without tables", restore(rename_tables={"a.b": "a.c"}), "config", ("tables",)),
    Case(
        "table onto itself",
        restore(tables=[LISTED], rename_tables={LISTED: LISTED}),
        "config",
        ("itself", "leave it"),
    ),
    Case(
        "table renamed without schema",
        restore(tables=[LISTED], rename_tables={LISTED: "x"}),
        "config",
        ("schema.table",),
    ),
    Case(
        "renamed table not chosen",
        restore(tables=[LISTED], rename_tables={"a.b": "a.c"}),
        "config",
        ("a.b", "add it"),
    ),
    Case(
        "two tables, one name",
        restore(
            tables=[LISTED, "public.customers"],
            rename_tables={LISTED: "a.b", "public.customers": "a.b"},
        ),
        "config",
        ("give them different names",),
    ),
]
