# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Repositories and servers that are not what the user thinks."""

from __future__ import annotations

from tests.bad_input import (
    HTML,
    NOBODY,
    NOT_HTTP,
    Case,
    Make,
    backup,
    backup_at,
    bucket,
    folder,
    info,
    on_place,
    profile,
    restore,
    restore_at,
)
from tests.fix_ansible import login
from tests.testbed.postgres import client_bin


def no_such(path: str) -> Make:
    """The repository in a folder that holds none."""
    return on_place("backup", lambda scene: folder(scene.empty / path))


REPOSITORY = [
    Case("wrong password, info", info(password="not it"), "wrong_password", ("password",)),
    Case("wrong password, backup", backup(password="not it"), "wrong_password", ("give the",)),
    Case("wrong password, restore", restore(password="not it"), "wrong_password", ("give the",)),
    Case(
        "wrong password, repository",
        on_place("repository", lambda scene: {"password": "not it"}),
        "wrong_password",
        ("give the",),
    ),
    Case(
        "no repository, info",
        on_place("repository_info", lambda scene: folder(scene.empty)),
        "repository_missing",
        ("no repository", "check the place"),
    ),
    Case("no repository, backup", no_such(""), "repository_missing", ("make a repository",)),
    Case("no folder, backup", no_such("x"), "repository_missing", ("make a repository",)),
    Case(
        "a folder of another kind",
        on_place("restore", lambda scene: folder(scene.stage.source.data_dir)),
        "repository_missing",
        ("no repository",),
    ),
    Case("relative path", on_place("repository", lambda s: folder("a")), "config", ("from /",)),
    Case(
        "a file in place of the folder",
        on_place("repository", lambda scene: folder(scene.stage.path / "config")),
        "storage",
        ("config", "File exists"),
    ),
    Case(
        "no bucket, info",
        on_place("repository_info", bucket(name="not-there")),
        "repository_missing",
        ("NoSuchBucket", "check the bucket's name"),
    ),
    Case(
        "no bucket, backup",
        on_place("backup", bucket(name="not-there")),
        "repository_missing",
        ("NoSuchBucket", "check the bucket's name"),
    ),
    Case(
        "no bucket, repository",
        on_place("repository", bucket(name="not-there")),
        "object_missing",
        ("NoSuchBucket", "create_bucket"),
    ),
    Case(
        "no name for a bucket",
        on_place("repository", bucket(name="No_Bucket")),
        "storage",
        ("No_Bucket", "InvalidBucketName", "check"),
    ),
    Case(
        "wrong secret key",
        on_place("repository", bucket(secret_key="not the secret key")),
        "access_denied",
        ("SignatureDoesNotMatch", "check the credentials"),
    ),
    Case(
        "wrong access key",
        on_place("backup", bucket(access_key="not the access key")),
        "access_denied",
        ("check the credentials",),
    ),
    Case(
        "no S3 there, repository",
        on_place("repository", bucket(endpoint=HTML)),
        "storage_unavailable",
        ("perhaps not from an S3 server", "check the endpoint"),
    ),
    Case(
        "no S3 there, backup",
        on_place("backup", bucket(endpoint=HTML)),
        "config",
        ("not answer as an S3 server", "check endpoint"),
    ),
    Case(
        "no S3 there, restore",
        on_place("restore", bucket(endpoint=HTML)),
        "config",
        ("not answer as an S3 server", "check endpoint"),
    ),
    Case(
        "not even HTTP",
        on_place("repository", bucket(endpoint=NOT_HTTP)),
        "storage_unavailable",
        ("http or https",),
    ),
    Case(
        "nobody at the endpoint",
        on_place("repository", bucket(endpoint=NOBODY)),
        "storage_unavailable",
        ("Connection refused", "check endpoint"),
    ),
    Case(
        "endpoint without scheme",
        on_place("repository", bucket(endpoint="localhost:1")),
        "config",
        ("https://host",),
    ),
    Case(
        "no such CA bundle",
        on_place("repository", bucket(ca_bundle="/no/such/file")),
        "config",
        ("/no/such/file", "give a file"),
    ),
    Case("unknown profile", on_place("repository", profile), "config", ("profile", "correct")),
]

SERVER = [
    Case("wrong login, backup", backup(login_password="not it"), "login_refused", ("login_pass",)),
    Case("wrong login, restore", restore(login_password="not it"), "login_refused", ("check",)),
    Case("no such role", backup(login_user="nobody"), "login_refused", ("login_user",)),
    Case("no such login_db", backup(login_db="no"), "database_missing", ("check the name",)),
    Case(
        "no such host",
        backup(login_host="no.such.host.invalid"),
        "server_unreachable",
        ("no.such.host.invalid", "login_host"),
    ),
    Case("no such socket", backup(login_unix_socket="/no"), "server_unreachable", ("/no",)),
    Case("no such database", backup(databases=["shop", "no"]), "database_missing", ("no", "corr")),
    Case(
        "no such database, plain",
        backup(databases=["no"], format="plain"),
        "database_missing",
        ("no", "check"),
    ),
    Case("closed database", backup(databases=["template0"]), "config", ("template0", "leave")),
    Case(
        "server down, backup",
        backup_at(login_port=lambda scene: scene.nobody_there),
        "server_unreachable",
        ("Connection refused", "check that the server runs"),
    ),
    Case(
        "server down, restore",
        restore_at(login_port=lambda scene: scene.nobody_there),
        "server_unreachable",
        ("Connection refused", "check that the server runs"),
    ),
    Case(
        "no PostgreSQL there",
        backup_at(login_port=lambda scene: scene.s3.port),
        "server_unreachable",
        ("login_port",),
    ),
    Case("TLS where there is none", backup(ssl_mode="require"), "login_refused", ("TLS",)),
    Case(
        "no client programs, backup",
        backup_at(bin_dir=lambda scene: str(scene.empty)),
        "program_missing",
        ("pg_dump", "17", "postgresql-client-17", "bin_dir"),
    ),
    Case(
        "no client programs, plain",
        backup_at(bin_dir=lambda scene: str(scene.empty), format=lambda scene: "plain"),
        "program_missing",
        ("pg_dump", "bin_dir"),
    ),
    Case(
        "no pg_dumpall",
        backup_at(bin_dir=lambda scene: str(scene.pg_dump_alone)),
        "program_missing",
        ("pg_dumpall", "bin_dir"),
    ),
    Case(
        "no client programs, restore",
        restore_at(bin_dir=lambda scene: str(scene.empty)),
        "program_missing",
        ("pg_restore", "bin_dir"),
    ),
    Case(
        "client older than the server",
        backup(bin_dir=str(client_bin(15))),
        "program_missing",
        ("version 17 or newer", "found: 15.", "install"),
    ),
    Case(
        "client older than the archive",
        restore(bin_dir=str(client_bin(15))),
        "program_missing",
        ("pg_restore", "version 17 or newer", "found: 15.", "install"),
    ),
    Case(
        "pooler in transaction mode, backup",
        backup_at(login_port=lambda scene: scene.pooled),
        "server_unsupported",
        ("transaction mode", "name the server itself"),
    ),
    Case(
        "pooler in transaction mode, plain",
        backup_at(login_port=lambda scene: scene.pooled, format=lambda scene: "plain"),
        "server_unsupported",
        ("transaction mode", "name the server itself"),
    ),
    Case(
        "pooler in transaction mode, restore",
        restore_at(login_port=lambda scene: scene.pooled),
        "server_unsupported",
        ("transaction mode", "name the server itself"),
    ),
    Case(
        "another system under one host",
        lambda scene: scene.stage.backup(**login(scene.stage.target), databases=["postgres"]),
        "config",
        ("new_system",),
    ),
    Case(
        "no such table to leave out",
        backup(exclude_tables=["public.nothing"]),
        "config",
        ("public.nothing", "correct exclude_tables"),
    ),
]
