# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Arguments as Stash's Functions give them, the strange ones included."""

from __future__ import annotations

import io

import pytest

from ansible_collections.granary.postgres.operator.job.arguments import (
    add_database,
    add_repository,
    repository_spec,
    target_of,
)
from ansible_collections.granary.postgres.operator.job.log_lines import LogEvents
from ansible_collections.granary.postgres.operator.job.plain_arguments import (
    command_parser,
    flag,
    mapping,
    names,
    read_arguments,
)
from ansible_collections.granary.postgres.plugins.module_utils._core.errors import ConfigError

# As the catalogue's Function has them, substituted.
STASH_ARGUMENTS = [
    "--provider=s3",
    "--bucket=backups",
    "--endpoint=http://minio.demo.svc:9000",
    "--insecure-tls=false",
    "--region=",
    "--path=/demo/pg",
    "--storage-secret-name=s3-secret",
    "--storage-secret-namespace=demo",
    "--scratch-dir=/stash-tmp",
    "--enable-cache=true",
    "--max-connections=0",
    "--hostname=host-0",
    "--pg-args=--clean --if-exists",
    "--wait-timeout=300",
    "--user=",
    "--namespace=demo",
    "--appbinding=pg",
    "--appbinding-namespace=dbs",
    "--retention-keep-last=5",
    "--retention-prune=true",
    "--output-dir=/stash-tmp/output",
    "--license-apiservice=",
]


def test_stash_arguments_are_taken_without_a_word() -> None:
    parser = command_parser("backup-pg")
    add_repository(parser)
    add_database(parser)
    log = io.StringIO()
    options = read_arguments(parser, STASH_ARGUMENTS, LogEvents(log))
    assert log.getvalue() == ""
    spec = repository_spec(options)
    assert (spec.provider, spec.bucket, spec.prefix) == ("s3", "backups", "/demo/pg")
    assert (spec.secret_name, spec.namespace) == ("s3-secret", "demo")
    assert (spec.region, spec.endpoint) == (None, "http://minio.demo.svc:9000")
    assert options.pg_args == "--clean --if-exists"
    assert options.wait_timeout == 300
    assert target_of(options).reference() == {
        "apiVersion": "appcatalog.appscode.com/v1alpha1",
        "kind": "AppBinding",
        "namespace": "dbs",
        "name": "pg",
    }


def test_a_value_may_be_the_next_word() -> None:
    parser = command_parser("backup-pg")
    parser.add_argument("--appbinding")
    options = read_arguments(parser, ["--appbinding", "pg"], LogEvents(io.StringIO()))
    assert options.appbinding == "pg"


def test_an_empty_place_of_the_output_is_the_usual_one() -> None:
    parser = command_parser("backup-pg")
    add_database(parser)
    options = read_arguments(parser, ["--appbinding=x", "--output-dir="], LogEvents(io.StringIO()))
    assert str(options.output_dir) == "/stash-tmp/output"


def test_an_unknown_flag_is_warned_of() -> None:
    log = io.StringIO()
    read_arguments(command_parser("wipe-out"), ["--frobnicate=yes"], LogEvents(log))
    assert "warning" in log.getvalue()
    assert "--frobnicate=yes" in log.getvalue()


def test_a_missing_or_unreadable_flag_is_our_own_error() -> None:
    parser = command_parser("backup-pg")
    parser.add_argument("--needed", required=True)
    parser.add_argument("--flag", type=flag)
    with pytest.raises(ConfigError, match="--needed"):
        read_arguments(parser, [], LogEvents(io.StringIO()))
    with pytest.raises(ConfigError, match="'maybe' is neither true nor false"):
        read_arguments(parser, ["--needed=x", "--flag=maybe"], LogEvents(io.StringIO()))


def test_a_repository_must_be_named() -> None:
    parser = command_parser("backup-pg")
    add_repository(parser)
    options = read_arguments(parser, ["--provider=s3"], LogEvents(io.StringIO()))
    with pytest.raises(ConfigError, match="--bucket and --storage-secret-name"):
        repository_spec(options)


def test_lists_and_mappings() -> None:
    assert names(" a, b,,c ") == ("a", "b", "c")
    assert mapping("a=b,c=d=e") == {"a": "b", "c": "d=e"}
    assert mapping("") == {}
    for text, value in {"true": True, "True": True, "1": True, "false": False, "": False}.items():
        assert flag(text) is value
