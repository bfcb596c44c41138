# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""TLS through the options of the modules: verified servers, client certificates, and S3."""

from __future__ import annotations

import typing as t
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.fix_ansible import Ansible, Task, bucket_repository, login
from tests.fix_stage import ROWS, SHOP, counts_of
from tests.testbed import folders
from tests.testbed.certificates import Authority
from tests.testbed.postgres import PostgresOptions, PostgresServer
from tests.testbed.s3 import Bucket

HBA = ("hostssl all client 127.0.0.1/32 cert", "hostnossl all client all reject")


@dataclass(frozen=True, slots=True, kw_only=True)
class Secured:
    """A server that takes its user `client` by certificate over TLS only."""

    server: PostgresServer
    authority: Authority
    folder: Path

    def login(self, **more: t.Any) -> dict[str, t.Any]:
        """The options that reach it fully verified."""
        files = self.authority.issue("client")
        options = login(self.server, login_user="client", ssl_mode="verify-full")
        return {
            **options,
            "ca_cert": str(self.authority.certificate),
            "ssl_cert": str(files.certificate),
            "ssl_key": str(files.key),
            **more,
        }


@pytest.fixture(scope="module")
def secured() -> Iterator[Secured]:
    """A source with a shop, reached by certificates."""
    folder = folders.make_scratch()
    authority = Authority(folder / "authority")
    options = PostgresOptions(authority=authority, hba=HBA)
    with PostgresServer(17, options) as server:
        server.execute("CREATE ROLE client SUPERUSER LOGIN")
        server.execute("CREATE DATABASE shop")
        server.execute(SHOP, database="shop")
        yield Secured(server=server, authority=authority, folder=folder)
    folders.remove(folder)


def test_everything_over_verified_tls(
    ansible: Ansible, secured: Secured, s3_tls_bucket: Bucket
) -> None:
    place = bucket_repository(s3_tls_bucket)
    common = {**place, **secured.login()}
    run = ansible.tasks(
        Task(module="repository", options=place),
        Task(module="backup", options={**common, "host": "tls", "segment_threshold": 0}),
        Task(
            module="restore",
            options={**common, "databases": ["shop"], "rename": {"shop": "copy"}},
        ),
    )
    assert run.status == 0, run.output
    assert run.results[2]["verified"]
    assert run.results[1]["stats"]["rows"] == sum(ROWS.values())
    assert counts_of(secured.server, "copy", *ROWS) == ROWS


@pytest.mark.slow
def test_what_cannot_be_verified_is_refused(
    ansible: Ansible, secured: Secured, s3_tls_bucket: Bucket
) -> None:
    place = bucket_repository(s3_tls_bucket, prefix="refused")
    stranger = Authority(secured.folder / "stranger", "Another authority")
    strange_client = stranger.issue("client")
    wrong: dict[str, dict[str, str | None]] = {
        "authority of another": {"ca_cert": str(stranger.certificate)},
        "no authority": {"ca_cert": None},
        "no such authority": {"ca_cert": "/no/such/file"},
        "no certificate": {"ssl_cert": "/no/such/file", "ssl_key": None},
        "no key": {"ssl_key": "/no/such/file"},
        "certificate of another": {
            "ssl_cert": str(strange_client.certificate),
            "ssl_key": str(strange_client.key),
        },
        "no TLS": {"ssl_mode": "disable"},
    }
    tasks = [
        Task(module="backup", options={**place, **secured.login(**options), "host": "tls"})
        for options in wrong.values()
    ]
    bad_bundle = {**place, "ca_bundle": str(stranger.certificate)}
    run = ansible.tasks(
        Task(module="repository", options=place),
        *tasks,
        Task(module="repository_info", options=bad_bundle),
    )
    made, *refused, not_trusted = run.results
    assert not made.failed, made.message
    for name, result in zip(wrong, refused, strict=True):
        assert result.failed, name
        assert result.code == "login_refused", (name, result.message)
        assert "check login_user" in result.message
    assert not_trusted.code == "config"
    assert "ca_bundle" in not_trusted.message
