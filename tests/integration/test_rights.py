# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A role that may not read everything: all of it is named, before anything is read."""

from __future__ import annotations

import pytest

from tests.fix_stage import Stage, tree_of

UNREADABLE = """
CREATE ROLE reader LOGIN PASSWORD 'a reader';
GRANT SELECT ON public.access_log TO reader;
CREATE TABLE sales.secrets (line text);
INSERT INTO sales.secrets VALUES ('x');
ALTER TABLE sales.secrets ENABLE ROW LEVEL SECURITY;
CREATE POLICY mine ON sales.secrets USING (line = current_user);
SELECT lo_from_bytea(4711, 'a large object');
"""
LOGIN = {"login_user": "reader", "login_password": "a reader"}


@pytest.fixture(scope="module")
def reader(stage: Stage) -> Stage:
    """The stage with a role that may read one table."""
    stage.source.execute(UNREADABLE, database="shop")
    return stage


def test_all_that_may_not_be_read_is_named_before_anything_is_read(reader: Stage) -> None:
    before = tree_of(reader.path)
    log = reader.source.log
    seen = log.stat().st_size
    run = reader.ansible.tasks(reader.backup(**LOGIN))
    (result,) = run.results
    assert run.status == 2
    assert result.code == "rights_missing"
    named = (
        "table public.customers",
        "schema sales",
        "sales.orders",
        "sequence sales.orders_id_seq",
        "sales.secrets (row security)",
        "large object 4711",
        "grant it pg_read_all_data",
    )
    for words in named:
        assert words in result.message
    assert "access_log" not in result.message
    assert tree_of(reader.path) == before
    said = log.read_bytes()[seen:].decode()
    assert "reader@shop" in said, "the server's log does not show what was asked"
    for words in ("COPY ", "LOCK TABLE", "pg_export_snapshot", "FROM ONLY"):
        assert words not in said


def test_with_pg_read_all_data_the_rest_is_named(reader: Stage) -> None:
    reader.source.execute("GRANT pg_read_all_data TO reader")
    (result,) = reader.ansible.tasks(reader.backup(**LOGIN)).results
    assert result.code == "rights_missing"
    assert "sales.secrets (row security)" in result.message
    assert "large object 4711" in result.message
    assert "customers" not in result.message


def test_a_role_that_may_read_the_tables_alone_gets_all_but_the_roles_passwords(
    reader: Stage,
) -> None:
    # Unlike pg_read_all_data, SELECT on tables is no right to read pg_authid.
    reader.source.execute(
        """
        REVOKE pg_read_all_data FROM reader;
        GRANT USAGE ON SCHEMA sales TO reader;
        GRANT SELECT ON ALL TABLES IN SCHEMA public, sales TO reader;
        GRANT SELECT ON ALL SEQUENCES IN SCHEMA sales TO reader;
        ALTER TABLE sales.secrets DISABLE ROW LEVEL SECURITY;
        SELECT lo_unlink(4711);
        """,
        database="shop",
    )
    run = reader.ansible.tasks(reader.backup(**LOGIN))
    assert run.status == 0, run.output
    assert "may not read the passwords of roles" in " ".join(run.output.split())
