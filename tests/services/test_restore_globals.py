# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Restores and what a whole server shares: roles, rights and tablespaces."""

from __future__ import annotations

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import RestoreFailed
from ansible_collections.granary.postgres.plugins.module_utils._core.events import RecordedEvents
from tests.fix_backup import back_up_server
from tests.fix_postgres import PostgresFactory
from tests.fix_repository import Place
from tests.fix_restore import restore_server
from tests.fix_shop import SHOP, THRESHOLD, Shop
from tests.testbed.postgres import client_bin


def test_without_owners_and_rights_no_role_is_needed(shop: Shop) -> None:
    events = RecordedEvents()
    result = shop.restore(
        databases=("shop",), globals=False, no_owner=True, no_privileges=True, events=events
    )

    assert result.verified
    assert shop.target.execute("SELECT rolname FROM pg_roles WHERE oid >= 16384") == []
    owner = "SELECT relowner::regrole::text, relacl FROM pg_class WHERE relname = 'items'"
    assert shop.target.execute(owner, database="shop") == [("postgres", None)]
    assert [said for said in events.warnings if "work_mem of role 'app'" in said]
    assert shop.target.execute("SHOW work_mem", database="shop") == [("7MB",)]


def test_roles_that_are_there_stay_as_they_are(shop: Shop) -> None:
    shop.target.execute("CREATE ROLE app NOLOGIN PASSWORD 'mine'")
    before = shop.target.execute(
        "SELECT rolcanlogin, rolpassword FROM pg_authid WHERE rolname = 'app'"
    )
    assert shop.restore(databases=("shop",)).verified
    after = shop.target.execute(
        "SELECT rolcanlogin, rolpassword FROM pg_authid WHERE rolname = 'app'"
    )
    assert after == before
    members = (
        "SELECT roleid::regrole::text, member::regrole::text FROM pg_auth_members"
        " WHERE member >= 16384"
    )
    assert shop.target.execute(members) == [("reader", "app")]


def test_tablespaces(private_postgres: PostgresFactory, local_place: Place) -> None:
    settings = {"allow_in_place_tablespaces": "on"}
    source, target = (private_postgres(15, settings=settings) for dummy in range(2))
    source.execute("CREATE TABLESPACE fast LOCATION ''")
    source.execute("CREATE DATABASE spread")
    source.execute("CREATE TABLE t TABLESPACE fast AS SELECT 1 AS a", database="spread")
    local_place.create().close()
    back_up_server(source, local_place, databases=["spread"])
    with pytest.raises(RestoreFailed, match=r"lacks 1 tablespace .*'fast'.*no_tablespaces"):
        restore_server(target, local_place, globals=False)
    assert restore_server(target, local_place, globals=False, no_tablespaces=True).verified
    where = "SELECT reltablespace FROM pg_class WHERE relname = 't'"
    assert target.execute(where, database="spread") == [(0,)]
    target.execute("CREATE TABLESPACE fast LOCATION ''")
    assert restore_server(target, local_place, globals=False, clean=True).verified
    assert target.execute(where, database="spread") != [(0,)]


def test_an_older_major_takes_what_it_knows(
    postgres: PostgresFactory, private_postgres: PostgresFactory, local_place: Place
) -> None:
    source, target = private_postgres(18), private_postgres(15)
    source.execute("CREATE ROLE app; CREATE ROLE reader; GRANT reader TO app WITH INHERIT FALSE")
    source.execute("CREATE DATABASE shop OWNER app")
    source.execute(SHOP, database="shop")
    local_place.create().close()
    back_up_server(source, local_place, databases=["shop"], segment_threshold=THRESHOLD)
    events = RecordedEvents()
    result = restore_server(target, local_place, bin_dir=str(client_bin(18)), events=events)

    assert result.verified
    assert [said for said in events.warnings if "INHERIT FALSE" in said and "app in reader" in said]
    rows = target.execute("SELECT count(*), sum(length(note)) FROM feelings", database="shop")
    assert rows == source.execute(
        "SELECT count(*), sum(length(note)) FROM feelings", database="shop"
    )
