# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""S3 with wrong keys, few rights, unknown certificates, and endpoints that are no S3."""

from __future__ import annotations

import json
import typing as t

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import (
    AccessDenied,
    ConfigError,
    ObjectMissing,
    StorageUnavailable,
)
from ansible_collections.granary.postgres.plugins.module_utils._core.redaction import Secret
from ansible_collections.granary.postgres.plugins.module_utils._storage.registry import open_backend
from tests.fix_storage_faults import Action, Heard, settings_of, web_server
from tests.testbed.components import ensure
from tests.testbed.process import run
from tests.testbed.s3 import Bucket, S3Server


def test_a_key_that_may_only_read(s3_server: S3Server, s3_bucket: Bucket) -> None:
    reader = ("reader-access", "reader-secret-PLANTED")
    run(
        [
            *(ensure("versitygw") / "bin" / "versitygw", "admin"),
            *("--access", s3_bucket.access_key, "--secret", s3_bucket.secret_key),
            *("--endpoint-url", s3_server.endpoint, "create-user"),
            *("--access", reader[0], "--secret", reader[1], "--role", "user"),
        ],
        doing="making a user",
    )
    arn = f"arn:aws:s3:::{s3_bucket.name}"
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": [reader[0]]},
        "Action": ["s3:GetObject", "s3:ListBucket"],
        "Resource": [arn, f"{arn}/*"],
    }
    s3_bucket.client().put_bucket_policy(
        Bucket=s3_bucket.name,
        Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
    )
    with open_backend(settings_of(s3_bucket)) as owner:
        owner.write("config", b"x")
    keys = {"access_key": Secret(reader[0]), "secret_key": Secret(reader[1])}
    with open_backend(settings_of(s3_bucket, **keys), Heard()) as backend:
        assert backend.read("config") == b"x"
        assert backend.size("config") == 1
        assert backend.prepare() is False
        refusals: list[Action] = [
            lambda b: b.write("data/x", b"x"),
            lambda b: b.write_exclusive("config", b"x"),
            lambda b: b.delete("config"),
        ]
        for refused in refusals:
            with pytest.raises(AccessDenied, match=r"AccessDenied: .* their rights") as caught:
                refused(backend)
            assert "PLANTED" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"secret_key": Secret("PLANTED-secret")}, "SignatureDoesNotMatch"),
        ({"access_key": Secret("PLANTED-access")}, "InvalidAccessKeyId"),
    ],
)
def test_wrong_credentials_are_named_by_the_servers_code(
    s3_bucket: Bucket, heard: Heard, changes: dict[str, Secret], code: str
) -> None:
    with open_backend(settings_of(s3_bucket, **changes), heard) as backend:
        actions: list[Action] = [
            lambda b: b.prepare(),
            lambda b: b.read("config"),
            lambda b: b.size("config"),
            lambda b: b.write("config", b"x"),
            lambda b: b.delete("config"),
        ]
        for action in actions:
            with pytest.raises(AccessDenied, match=code) as caught:
                action(backend)
            assert "PLANTED" not in str(caught.value)
    assert heard.retries == 0


def test_no_credentials_at_all(
    s3_bucket: Bucket, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    none = settings_of(s3_bucket, access_key=None, secret_key=None)
    with open_backend(none, heard) as backend, pytest.raises(ConfigError, match="no S3 cred"):
        backend.read("config")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3_bucket.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3_bucket.secret_key)
    with open_backend(none, heard) as backend, pytest.raises(ObjectMissing):
        backend.read("config")
    assert heard.retries == 0


def test_a_profile_is_boto3s_own(
    s3_bucket: Bucket, tmp_path: t.Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    credentials = tmp_path / "credentials"
    credentials.write_text(
        f"[granary]\naws_access_key_id = {s3_bucket.access_key}\n"
        f"aws_secret_access_key = {s3_bucket.secret_key}\n"
    )
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(credentials))
    options = {"access_key": None, "secret_key": None}
    with open_backend(settings_of(s3_bucket, profile="granary", **options)) as backend:
        assert backend.prepare() is False
    with (
        open_backend(settings_of(s3_bucket, profile="other", **options)) as backend,
        pytest.raises(ConfigError, match="other"),
    ):
        backend.prepare()


def test_a_certificate_that_nobody_vouches_for(s3_tls_bucket: Bucket, heard: Heard) -> None:
    with (
        open_backend(settings_of(s3_tls_bucket), heard) as backend,
        pytest.raises(ConfigError, match=r"certificate verify failed.*ca_bundle"),
    ):
        backend.read("config")
    assert heard.retries == 0


def test_a_certificate_need_not_be_vouched_for_where_that_is_asked_for(
    s3_tls_bucket: Bucket,
) -> None:
    with open_backend(settings_of(s3_tls_bucket, verify_tls=False)) as backend:
        backend.write("config", b"x")
        assert backend.read("config") == b"x"


def test_https_where_http_is_spoken(s3_bucket: Bucket, heard: Heard) -> None:
    endpoint = s3_bucket.endpoint.replace("http://", "https://")
    with (
        open_backend(settings_of(s3_bucket, endpoint=endpoint), heard) as backend,
        pytest.raises(ConfigError, match=r"no TLS with that server .* check the endpoint"),
    ):
        backend.read("config")
    assert heard.retries == 0


def test_http_where_https_is_spoken(s3_tls_bucket: Bucket) -> None:
    endpoint = s3_tls_bucket.endpoint.replace("https://", "http://")
    with (
        open_backend(settings_of(s3_tls_bucket, endpoint=endpoint)) as backend,
        pytest.raises(StorageUnavailable, match="whether it wants http or https"),
    ):
        backend.read("config")


@pytest.mark.parametrize("status", [200, 301, 302, 400, 404, 405])
def test_a_web_page_is_no_storage(s3_bucket: Bucket, heard: Heard, status: int) -> None:
    actions: list[Action] = [
        lambda b: b.prepare(),
        lambda b: b.prepare(create_bucket=True),
        lambda b: b.read("config"),
        lambda b: b.read("config", 1, 2),
        lambda b: b.write("config", b"x"),
        lambda b: b.write_exclusive("config", b"x"),
        lambda b: b.size("config"),
        lambda b: b.age_seconds("config"),
        lambda b: list(b.entries("")),
        lambda b: b.delete("config"),
    ]
    with (
        web_server(status) as endpoint,
        open_backend(settings_of(s3_bucket, endpoint=endpoint), heard) as backend,
    ):
        for action in actions:
            with pytest.raises(
                ConfigError, match=r"as an S3 server|redirects to https://elsewhere|ranges"
            ):
                action(backend)
    assert heard.retries == 0
