# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import psycopg2
import pytest

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import (
    DumpFailed,
    PostgresError,
    ServerUnreachable,
)
from ansible_collections.granary.postgres.plugins.module_utils._core.redaction import Secret
from ansible_collections.granary.postgres.plugins.module_utils._postgres.connection import (
    program_environment,
    translate,
)
from ansible_collections.granary.postgres.plugins.module_utils._postgres.model import (
    ConnectionSettings,
)


def test_the_environment_holds_the_password_and_nothing_that_changes_a_dump() -> None:
    settings = ConnectionSettings(
        host="db", port=5433, user="me", password=Secret("s3cret"), ssl_mode="verify-full"
    )
    outer = {
        "PATH": "/bin",
        "LANG": "de_DE.UTF-8",
        "PGOPTIONS": "-c search_path=x",
        "PGCLIENTENCODING": "LATIN1",
        "PGPASSFILE": "/home/me/.pgpass",
        "AWS_SECRET_ACCESS_KEY": "not for pg_dump",
    }
    env = program_environment(settings, application_name="run 1", environ=outer)
    assert env == {
        "PATH": "/bin",
        "PGPASSFILE": "/home/me/.pgpass",
        "LC_ALL": "C",
        "PGAPPNAME": "run 1",
        "PGHOST": "db",
        "PGPORT": "5433",
        "PGUSER": "me",
        "PGPASSWORD": "s3cret",
        "PGSSLMODE": "verify-full",
        "PGCONNECT_TIMEOUT": "15",
    }


def test_a_socket_folder_goes_before_a_host() -> None:
    settings = ConnectionSettings(host="db", unix_socket="/run/postgresql")
    assert program_environment(settings, environ={})["PGHOST"] == "/run/postgresql"


def test_an_error_of_the_driver_without_sqlstate_is_a_broken_connection() -> None:
    error = translate(psycopg2.OperationalError("SSL SYSCALL error: EOF detected\n"), "Reading")
    assert isinstance(error, ServerUnreachable)
    assert "SSL SYSCALL error: EOF detected" in str(error)


@pytest.mark.parametrize(
    "words",
    [
        "server closed the connection unexpectedly",
        "connection lost",
        "error with status PGRES_COPY_OUT and no message from the libpq",
    ],
)
def test_the_end_of_a_connection_inside_copy_is_recognised(words: str) -> None:
    error = translate(psycopg2.DatabaseError(words), "Reading", otherwise=DumpFailed)
    assert isinstance(error, ServerUnreachable)


def test_anything_else_is_what_the_caller_says() -> None:
    error = translate(psycopg2.DatabaseError("something odd"), "Reading", otherwise=DumpFailed)
    assert isinstance(error, DumpFailed)
    assert isinstance(error, PostgresError)
    assert str(error) == "Reading: something odd."
