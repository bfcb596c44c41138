# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import typing as t

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import (
    ConfigError,
    DatabaseMissing,
    GranaryError,
    RightsMissing,
)
from ansible_collections.granary.postgres.plugins.module_utils._core.redaction import Secret
from ansible_collections.granary.postgres.plugins.module_utils._postgres.model import (
    ConnectionSettings,
    Database,
)
from ansible_collections.granary.postgres.plugins.module_utils._storage.model import LocalSettings
from ansible_collections.granary.postgres.plugins.module_utils._workflows.backup import (
    check_request,
)
from ansible_collections.granary.postgres.plugins.module_utils._workflows.backup_plan import (
    choose_databases,
)
from ansible_collections.granary.postgres.plugins.module_utils._workflows.backup_run import (
    snapshot_tags,
)
from ansible_collections.granary.postgres.plugins.module_utils._workflows.requests import (
    BackupRequest,
    RepositoryAccess,
)

REQUEST = BackupRequest(
    repository=RepositoryAccess(
        settings=LocalSettings(path="/backups"), passwords=(Secret("password"),)
    ),
    connection=ConnectionSettings(),
    host="main",
)


def database(name: str, **changes: bool) -> Database:
    plain = {"is_template": False, "allows_connections": True, "may_connect": True}
    return Database(oid=1, name=name, encoding="UTF8", **(plain | changes))


SERVER = [
    database("a"),
    database("b"),
    database("closed", allows_connections=False),
    database("template0", allows_connections=False, is_template=True),
    database("template1", is_template=True),
]


def test_all_databases_are_those_for_users() -> None:
    assert [one.name for one in choose_databases(SERVER, None)] == ["a", "b"]


def test_databases_come_in_the_order_asked_for_and_once() -> None:
    chosen = choose_databases(SERVER, ["template1", "b", "template1"])
    assert [one.name for one in chosen] == ["template1", "b"]


@pytest.mark.parametrize(
    ("wanted", "error", "words"),
    [
        (["x", "a", "y"], DatabaseMissing, "The databases x, y do not exist"),
        (["closed"], ConfigError, "The database closed does not allow connections"),
        (["secret"], RightsMissing, "may not connect to secret"),
    ],
)
def test_databases_that_cannot_be_read_are_named(
    wanted: list[str], error: type[GranaryError], words: str
) -> None:
    with pytest.raises(error, match=words):
        choose_databases([*SERVER, database("secret", may_connect=False)], wanted)


def test_a_server_without_databases_for_users() -> None:
    with pytest.raises(ConfigError, match="no database"):
        choose_databases(SERVER[3:], None)


def test_a_plain_request_is_fine() -> None:
    check_request(REQUEST)
    check_request(dataclasses.replace(REQUEST, format="plain", dump_args=("--clean",)))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"host": ""}, "host"),
        ({"host": "a\nb"}, "host"),
        ({"tags": ("a,b",)}, "comma"),
        ({"tags": ("",)}, "empty"),
        ({"databases": ()}, "empty list"),
        ({"dump_args": ("--clean",)}, "dump_args work with format=plain alone"),
        ({"format": "plain", "exclude_tables": ("a.b",)}, "exclude_tables works with"),
        ({"format": "plain", "skip_unchanged": True}, "skip_unchanged works with"),
        ({"format": "plain", "databases": ("a", "b")}, "name one database"),
        ({"pack_size": 65535}, "pack_size"),
        ({"pack_size": (128 << 20) + 1}, "pack_size"),
        ({"lock_timeout": -1}, "lock_timeout is -1"),
        ({"yield_after": -1}, "yield_after is -1"),
        ({"segment_threshold": -1}, "segment_threshold is -1"),
    ],
)
def test_options_that_cannot_work_are_refused(changes: dict[str, t.Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        check_request(dataclasses.replace(REQUEST, **changes))


def test_our_tag_is_first_and_none_is_twice() -> None:
    tagged = dataclasses.replace(REQUEST, tags=("nightly", "granary", "nightly"))
    assert snapshot_tags(tagged) == ("granary", "nightly")
