# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""S3 servers and buckets as fixtures."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.testbed.ceph import CephS3Server
from tests.testbed.certificates import Authority
from tests.testbed.http_proxy import HttpProxy
from tests.testbed.s3 import Bucket, CarelessS3Server, S3Server

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """The S3 server of this session; tests that stop one start their own."""
    with S3Server() as server:
        yield server


@pytest.fixture(scope="session")
def s3_tls_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """The same over TLS, with a certificate that only its bucket's `ca_bundle` vouches for."""
    folder: Path = tmp_path_factory.mktemp("s3-authority")
    with S3Server(authority=Authority(folder)) as server:
        yield server


@pytest.fixture(scope="session")
def careless_s3_server() -> Iterator[S3Server]:
    """An S3 server that ignores If-None-Match and If-Match."""
    with CarelessS3Server() as server:
        yield server


@pytest.fixture(scope="session")
def ceph_s3_server() -> Iterator[S3Server]:
    """Ceph's gateway, for tests marked slow: 570 MB of programs and 13 s to start.

    Stock restic cannot write to Ceph 20.2: it does not sign its Content-Type (refused, 403).
    """
    with CephS3Server() as server:
        yield server


@pytest.fixture
def s3_bucket(s3_server: S3Server) -> Iterator[Bucket]:
    """An empty bucket, removed with all that is in it."""
    yield from _bucket_of(s3_server)


@pytest.fixture
def s3_tls_bucket(s3_tls_server: S3Server) -> Iterator[Bucket]:
    """An empty bucket over TLS."""
    yield from _bucket_of(s3_tls_server)


@pytest.fixture
def careless_s3_bucket(careless_s3_server: S3Server) -> Iterator[Bucket]:
    """An empty bucket whose server ignores conditional writes."""
    yield from _bucket_of(careless_s3_server)


@pytest.fixture
def ceph_s3_bucket(ceph_s3_server: S3Server) -> Iterator[Bucket]:
    """An empty bucket of Ceph's gateway."""
    yield from _bucket_of(ceph_s3_server)


@pytest.fixture
def s3_proxy(s3_server: S3Server) -> Iterator[HttpProxy]:
    """A proxy before the session's S3 server that can fail single requests."""
    with HttpProxy(s3_server.port) as proxy:
        yield proxy


def _bucket_of(server: S3Server) -> Iterator[Bucket]:
    name = f"test-{next(_numbers)}"
    yield server.make_bucket(name)
    server.drop_bucket(name)
