# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ansible_collections.granary.postgres.plugins.module_utils._postgres.globals import (
    is_own_password,
    plan_globals,
    read_globals,
)
from ansible_collections.granary.postgres.plugins.module_utils._postgres.manifest import (
    TablespaceEntry,
)
from ansible_collections.granary.postgres.plugins.module_utils._postgres.quoting import SessionText

SCRIPT = """\
--
-- PostgreSQL database cluster dump
--

\\restrict KEY

SET default_transaction_read_only = off;
SET client_encoding = 'UTF8';

CREATE ROLE "al ice";
ALTER ROLE "al ice" WITH LOGIN PASSWORD 'a';
COMMENT ON ROLE "al ice" IS 'x;
CREATE ROLE nobody;';
CREATE ROLE "postgres";
ALTER ROLE "postgres" WITH SUPERUSER LOGIN PASSWORD 'SCRAM-SHA-256$4096:x';
CREATE ROLE "rëaders";
ALTER ROLE "rëaders" SET "search_path" TO 'a', 'b';
GRANT "rëaders" TO "al ice" WITH ADMIN OPTION GRANTED BY "postgres";
GRANT "postgres" TO "old" GRANTED BY "postgres";
CREATE TABLESPACE "fast; disk" OWNER "postgres" LOCATION '/srv/it''s';
ALTER TABLESPACE "fast; disk" SET (random_page_cost=1);
GRANT ALL ON TABLESPACE "fast; disk" TO "al ice";
GRANT SET ON PARAMETER "work_mem" TO "al ice";

\\unrestrict KEY
""".encode()
SPACE = TablespaceEntry("fast; disk", "/srv/it's")


def test_what_the_script_makes_is_read() -> None:
    found = read_globals(SCRIPT)
    assert found.roles == ("al ice", "postgres", "rëaders")
    assert found.tablespaces == (SPACE,)


def test_on_an_empty_server_everything_runs_but_what_is_about_its_own_role() -> None:
    plan = plan_globals(SCRIPT, existing_roles=["postgres"], existing_tablespaces=[])
    assert plan.new_roles == ("al ice", "rëaders")
    assert plan.kept_roles == ("postgres",)
    assert plan.new_tablespaces == (SPACE,)
    assert b'"postgres" WITH' not in plan.script
    assert b'CREATE ROLE "postgres"' not in plan.script
    left_out = (b'CREATE ROLE "postgres"', b'ALTER ROLE "postgres"', b'GRANT "postgres"')
    lines = SCRIPT.splitlines(keepends=True)
    wanted = b"".join(line for line in lines if not line.startswith(left_out))
    assert plan.script.split() == wanted.split()


def test_roles_and_tablespaces_that_are_there_are_not_touched() -> None:
    there = ["al ice", "postgres", "old"]
    plan = plan_globals(SCRIPT, existing_roles=there, existing_tablespaces=["fast; disk"])
    assert plan.new_roles == ("rëaders",)
    assert plan.kept_tablespaces == (SPACE,)
    assert b"TABLESPACE" not in plan.script
    assert b"PASSWORD" not in plan.script
    assert b"COMMENT" not in plan.script
    # One end of it is new.
    assert 'GRANT "rëaders" TO "al ice"'.encode() in plan.script


def test_tablespaces_are_left_out_when_asked() -> None:
    plan = plan_globals(SCRIPT, existing_roles=[], existing_tablespaces=[], no_tablespaces=True)
    assert plan.new_tablespaces == ()
    assert b"TABLESPACE" not in plan.script


def test_grantors_are_left_out_when_asked() -> None:
    plan = plan_globals(
        SCRIPT, existing_roles=["postgres"], existing_tablespaces=[], keep_grantors=False
    )
    assert 'GRANT "rëaders" TO "al ice" WITH ADMIN OPTION;'.encode() in plan.script


def test_what_older_servers_do_not_know_of_memberships_is_left_out() -> None:
    script = (
        b'CREATE ROLE "a";\nCREATE ROLE "b";\n'
        b'GRANT "a" TO "b" WITH ADMIN OPTION, INHERIT FALSE, SET FALSE GRANTED BY "postgres";\n'
        b'GRANT "b" TO "a" WITH INHERIT TRUE GRANTED BY "postgres";\n'
    )
    plan = plan_globals(script, existing_roles=[], existing_tablespaces=[], keep_options=False)
    assert b'\nGRANT "a" TO "b" WITH ADMIN OPTION GRANTED BY "postgres";' in plan.script
    assert b'\nGRANT "b" TO "a" GRANTED BY "postgres";' in plan.script
    assert plan.widened == ("b in a",)
    whole = plan_globals(script, existing_roles=[], existing_tablespaces=[])
    assert whole.script == script
    assert whole.widened == ()


def test_memberships_that_older_servers_can_narrow_by_the_role_are_not_named() -> None:
    script = (
        b'CREATE ROLE "a";\nCREATE ROLE "b";\nCREATE ROLE "c";\n'
        b'ALTER ROLE "b" WITH NOSUPERUSER NOINHERIT LOGIN;\n'
        b"ALTER ROLE \"c\" WITH NOSUPERUSER INHERIT PASSWORD ' WITH x NOINHERIT ';\n"
        b'GRANT "a" TO "b" WITH INHERIT FALSE;\n'
        b'GRANT "a" TO "c" WITH INHERIT FALSE;\n'
        b'GRANT "c" TO "b" WITH INHERIT FALSE, SET FALSE;\n'
    )
    plan = plan_globals(script, existing_roles=[], existing_tablespaces=[], keep_options=False)
    assert plan.widened == ("c in a", "b in c")


def test_names_are_in_the_scripts_own_encoding() -> None:
    script = "SET client_encoding = 'LATIN1';\nCREATE ROLE \"é\";\n".encode("latin-1")
    assert read_globals(script).roles == ("é",)


def test_only_a_statement_that_sets_the_roles_own_password_is_one() -> None:
    text = SessionText("UTF8")
    own = b"\n-- x\nALTER ROLE \"po\"\"st\" WITH SUPERUSER PASSWORD 'x' VALID UNTIL 'infinity';"
    assert is_own_password(own, 'po"st', text)
    assert is_own_password(b"ALTER ROLE bob WITH PASSWORD 'x';", "bob", text)
    for statement in (
        b"ALTER ROLE bobby WITH PASSWORD 'x';",
        b"ALTER ROLE bob WITH NOSUPERUSER;",
        b"ALTER ROLE bob SET x TO ' WITH PASSWORD ''y''';",
        b"COMMENT ON ROLE bob IS 'ALTER ROLE bob WITH PASSWORD ''x'';';",
    ):
        assert not is_own_password(statement, "bob", text)
